//! An answered call, to its end.

use std::sync::Arc;
use std::time::Duration;

use frontdesk_livekit::room::{DisconnectReason, EndReason};
use frontdesk_livekit::transfer::Reply;
use frontdesk_telephony::sip::{DialogEvent, EndReason as SipEnd, ReferStatus};
use tokio_util::task::AbortOnDropHandle;

use super::ring::is_hang_up;
use super::{Call, Leg, leg};
use crate::report::{BridgeEvent, CallOutcome};
use crate::room_side::{Notice, RoomSide};
use crate::rooms::Parting;
use crate::rules::Trunk;

/// How long the last words from the room may take to reach the RTP session.
const LAST_WORDS_MAX: Duration = Duration::from_millis(300);
/// How long the last words may be played.
const DRAIN_MAX: Duration = Duration::from_millis(1500);
/// How long the outcome of a transfer is waited for; shorter than the agent waits.
const TRANSFER_MAX: Duration = Duration::from_secs(35);
/// How often a caller without an agent is asked for patience.
const COMFORT_EVERY: Duration = Duration::from_secs(5);

impl Call {
    pub(super) async fn talk(&mut self, trunk: &Trunk, mut leg: Leg, mut side: RoomSide) -> CallOutcome {
        let before = self.dispatches - side.dispatches();
        let (outcome, parting) = self.converse(trunk, &mut leg, &mut side).await;
        self.dispatches = before + side.dispatches();
        self.counts = side.downlink().counts();
        match outcome {
            CallOutcome::AgentHungUp => {
                side.drain(LAST_WORDS_MAX).await;
                self.keep_counts(&leg);
                side.close(parting);
                leg::drain(&leg.rtp, DRAIN_MAX).await;
                self.keep_counts(&leg);
                leg.hang_up().await;
                outcome
            }
            CallOutcome::AgentLost | CallOutcome::RoomLost => {
                side.close(parting);
                self.announce_and_hang_up(leg, outcome).await
            }
            CallOutcome::CallerHungUp | CallOutcome::CallerLost => {
                self.keep_counts(&leg);
                side.close(parting);
                outcome
            }
            _ => {
                self.keep_counts(&leg);
                side.close(parting);
                leg.hang_up().await;
                outcome
            }
        }
    }

    /// Until either side is gone.
    async fn converse(&mut self, trunk: &Trunk, leg: &mut Leg, side: &mut RoomSide) -> (CallOutcome, Parting) {
        let mut comfort = None;
        // Who has asked for the transfer that is under way, and how it is named.
        let mut transferring: Option<(String, String)> = None;
        loop {
            let notice = tokio::select! {
                biased;
                () = self.stop.cancelled() => return (CallOutcome::Stopped, Parting::Linger),
                event = leg.dialog.next_event() => {
                    if let DialogEvent::Referred(status) = event {
                        tracing::info!(?status, "the transfer has ended");
                        if let Some((agent, id)) = transferring.take() {
                            side.tell_transfer(agent, Reply { id, status: final_status(status) });
                        }
                        continue;
                    }
                    match leg.on_event(event).await {
                        Some(reason) => return (outcome_of(&reason), Parting::Linger),
                        None => continue,
                    }
                }
                notice = side.next() => notice,
            };
            match notice {
                Notice::Heard => {
                    if comfort.take().is_some() {
                        tracing::info!("another agent is heard");
                        leg.rtp.clear();
                    }
                }
                Notice::Redispatched(dispatches) => {
                    self.shared.tell(BridgeEvent::Redispatched { call_id: self.name.clone(), dispatches });
                    comfort.get_or_insert_with(|| self.comfort(leg));
                }
                Notice::Key(key) => leg.press(key).await,
                Notice::Transfer(agent, request) => match leg.dialog.refer(&trunk.refer_to(&request), TRANSFER_MAX).await {
                    Ok(()) => {
                        tracing::info!("the caller is being transferred");
                        transferring = Some((agent, request.id));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the caller cannot be transferred");
                        side.tell_transfer(agent, Reply { id: request.id, status: None });
                    }
                },
                Notice::GiveUp => return (CallOutcome::AgentLost, Parting::Now),
                Notice::HangUp => return (CallOutcome::AgentHungUp, Parting::Now),
                Notice::MediaTimedOut => return (CallOutcome::MediaTimedOut, Parting::Linger),
                // An agent that was removed because it had vanished ends its room when it comes to hear of it.
                Notice::Ended(reason) if is_hang_up(reason) && side.is_orphaned() => return (CallOutcome::AgentLost, Parting::Now),
                Notice::Ended(reason) if is_hang_up(reason) => return (CallOutcome::AgentHungUp, parting_after(reason)),
                Notice::Ended(reason) => {
                    tracing::warn!(?reason, "the room is lost");
                    return (CallOutcome::RoomLost, Parting::Now);
                }
            }
        }
    }

    /// Asks the caller for patience until dropped.
    fn comfort(&self, leg: &Leg) -> AbortOnDropHandle<()> {
        let (rtp, clip) = (leg.rtp.clone(), Arc::clone(&self.shared.announcements.moment));
        AbortOnDropHandle::new(tokio::spawn(async move {
            while rtp.write(&clip).await.is_ok() {
                tokio::time::sleep(COMFORT_EVERY).await;
            }
        }))
    }
}

const fn final_status(status: ReferStatus) -> Option<u16> {
    match status {
        ReferStatus::Final(status) => Some(status),
        ReferStatus::Unknown => None,
    }
}

/// What is left of the room when the agent has hung up.
const fn parting_after(reason: EndReason) -> Parting {
    match reason {
        EndReason::Server(DisconnectReason::ParticipantRemoved) => Parting::Linger,
        _ => Parting::Gone,
    }
}

pub(super) const fn outcome_of(reason: &SipEnd) -> CallOutcome {
    match reason {
        SipEnd::RemoteHangup | SipEnd::Cancelled => CallOutcome::CallerHungUp,
        SipEnd::LocalHangup | SipEnd::Shutdown => CallOutcome::Stopped,
        _ => CallOutcome::CallerLost,
    }
}
