//! One call, from its INVITE to the end of its room. Run as one task.

mod leg;
mod ring;
mod talk;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use frontdesk_livekit::room::AudioPublisher;
use frontdesk_telephony::rtp::{MediaSocket, RtpEvents, RtpOptions, RtpSession, RtpStats};
use frontdesk_telephony::sdp::{self, LocalMedia, RemoteMedia, SessionDescription};
use frontdesk_telephony::sip::{DialogEvent, EndReason as SipEnd, IncomingCall, Invite, Refusal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admission;
use crate::bridge::Shared;
use crate::downlink::{DownlinkCounts, PREBUFFER_MS, QUEUE_MAX_MS};
use crate::report::{BridgeEvent, CallOutcome, CallReport, CallStages};
use crate::room_side::RoomSide;
use crate::rooms::Parting;
use crate::rules::{Rule, Trunk};
use leg::Leg;
use ring::Rung;

/// How long the caller's acknowledgement may take when it carries the answer to our offer; the endpoint gives up on its own
/// after 64 × T1.
const LATE_ANSWER_MAX: Duration = Duration::from_secs(40);

/// A call's trunk and rule.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) trunk: Trunk,
    pub(crate) rule: Rule,
}

/// See the module's documentation.
pub(crate) struct Call {
    shared: Arc<Shared>,
    /// Name of the room.
    name: String,
    started: Instant,
    stop: CancellationToken,
    stages: CallStages,
    dispatches: u32,
    counts: DownlinkCounts,
    rtp: Option<RtpStats>,
}

/// The media of a call before it is answered.
struct Prepared {
    socket: MediaSocket,
    local: LocalMedia,
    session: SessionDescription,
    /// `None` if the INVITE had no offer: ours goes with the 200, and the answer comes with the ACK.
    remote: Option<RemoteMedia>,
}

impl Call {
    pub(crate) fn new(shared: Arc<Shared>, name: String, stop: CancellationToken) -> Self {
        let (stages, counts) = (CallStages::default(), DownlinkCounts::default());
        Self { shared, name, started: Instant::now(), stop, stages, dispatches: 0, counts, rtp: None }
    }

    /// Serves the call to its end.
    pub(crate) async fn run(mut self, route: Route, incoming: IncomingCall) -> CallReport {
        let outcome = self.serve(&route, incoming).await;
        self.stages.ended = Some(self.started.elapsed());
        let in_time = |samples: u64| Duration::from_micros(samples.saturating_mul(125));
        CallReport {
            call_id: self.name,
            outcome,
            stages: self.stages,
            dispatches: self.dispatches,
            trimmed: in_time(self.counts.trimmed),
            lost: in_time(self.counts.lost),
            rtp: self.rtp,
        }
    }

    async fn serve(&mut self, route: &Route, mut incoming: IncomingCall) -> CallOutcome {
        if incoming.trying().await.is_err() {
            return CallOutcome::Cancelled;
        }
        let invite = incoming.shared_invite();
        let prepared = match self.prepare(&invite).await {
            Ok(prepared) => prepared,
            Err(status) => return refuse(incoming, status).await,
        };
        match self.ring(route, &invite, &mut incoming).await {
            Rung::Agent(side, publisher) => self.answered(&route.trunk, incoming, prepared, &invite, side, publisher).await,
            Rung::NoAgent(side) => self.apologise(incoming, prepared, &invite, side).await,
            Rung::Cancelled => CallOutcome::Cancelled,
            Rung::Refused(status) => refuse(incoming, status).await,
            Rung::Stopped => {
                let _gave_up = incoming.reject(Refusal::new(503)).await;
                CallOutcome::Stopped
            }
        }
    }

    /// Finds a port and answers the offer, before anything else is spent on the call.
    async fn prepare(&self, invite: &Invite) -> Result<Prepared, u16> {
        let socket = self.shared.ports.bind().await.map_err(|error| {
            tracing::warn!(%error, "call refused");
            503_u16
        })?;
        let address = self.shared.media_address(invite.source);
        let local = LocalMedia::new(SocketAddr::new(address, socket.local_addr().port()));
        let Some(offer) = &invite.offer else {
            return Ok(Prepared { socket, session: sdp::offer(&local), local, remote: None });
        };
        let negotiated = sdp::answer(offer, &local).map_err(|error| {
            tracing::info!(%error, "call refused");
            error.status()
        })?;
        Ok(Prepared { socket, local, session: negotiated.session, remote: Some(negotiated.remote) })
    }

    /// 200, and the media starts.
    async fn answer(
        &mut self,
        incoming: IncomingCall,
        prepared: Prepared,
        signalling: IpAddr,
        by_agent: bool,
    ) -> Result<(Leg, RtpEvents), CallOutcome> {
        let Prepared { socket, local, session, remote } = prepared;
        let mut dialog = incoming.answer(session.clone()).await.map_err(|_| CallOutcome::Cancelled)?;
        let invite_to_ok = self.started.elapsed();
        self.stages.answered = Some(invite_to_ok);
        tracing::info!(
            invite_to_answer_ms = invite_to_ok.as_millis(),
            ringing_ms = self.stages.ringing.map(|stage| stage.as_millis()),
            published_ms = self.stages.published.map(|stage| stage.as_millis()),
            agent_heard_ms = self.stages.agent_heard.map(|stage| stage.as_millis()),
            dispatches = self.dispatches,
            by_agent,
            "answered"
        );
        self.shared.tell(BridgeEvent::Answered { call_id: self.name.clone(), invite_to_ok, by_agent });
        let remote = match remote {
            Some(remote) => remote,
            None => {
                let acked = tokio::select! {
                    () = self.stop.cancelled() => return Err(CallOutcome::Stopped),
                    acked = tokio::time::timeout(LATE_ANSWER_MAX, dialog.next_event()) => acked,
                };
                let answer = match acked {
                    Ok(DialogEvent::Acked { session: Some(answer) }) => sdp::accept_answer(&local, &answer).ok(),
                    Ok(DialogEvent::Ended(reason)) => return Err(talk::outcome_of(&reason)),
                    _ => None,
                };
                let Some(answer) = answer else {
                    // Dropping the dialog sends BYE.
                    tracing::info!("the caller's acknowledgement holds no session");
                    return Err(CallOutcome::CallerLost);
                };
                answer
            }
        };
        let waits = self.shared.waits;
        let options = RtpOptions {
            first_packet_max: waits.first_packet,
            silence_max: waits.silence,
            queue_max_ms: QUEUE_MAX_MS,
            prebuffer_ms: PREBUFFER_MS,
            ..RtpOptions::default()
        };
        let (rtp, events) = RtpSession::start(socket, &remote, signalling, options);
        Ok((Leg { dialog, rtp, local, session }, events))
    }

    /// An agent is there: 200, and the conversation to its end.
    async fn answered(
        &mut self,
        trunk: &Trunk,
        incoming: IncomingCall,
        prepared: Prepared,
        invite: &Invite,
        mut side: RoomSide,
        publisher: AudioPublisher,
    ) -> CallOutcome {
        let (leg, events) = match self.answer(incoming, prepared, invite.source.ip(), true).await {
            Ok(answered) => answered,
            Err(outcome) => {
                side.close(Parting::Now);
                return outcome;
            }
        };
        side.start_uplink(events, publisher);
        side.downlink().connect(leg.rtp.clone());
        self.talk(trunk, leg, side).await
    }

    /// No agent is there: 200, the announcement, BYE.
    async fn apologise(&mut self, incoming: IncomingCall, prepared: Prepared, invite: &Invite, side: Option<RoomSide>) -> CallOutcome {
        if let Some(side) = side {
            side.close(Parting::Now);
        }
        match self.answer(incoming, prepared, invite.source.ip(), false).await {
            Ok((leg, _events)) => self.announce_and_hang_up(leg, CallOutcome::NoAgent).await,
            Err(outcome) => outcome,
        }
    }

    /// Tells the caller that nobody can be had, and hangs up.
    async fn announce_and_hang_up(&mut self, mut leg: Leg, outcome: CallOutcome) -> CallOutcome {
        let mut speaking = Box::pin(leg::announce(leg.rtp.clone(), self.shared.announcements.unavailable.clone()));
        let ended = loop {
            let event = tokio::select! {
                () = self.stop.cancelled() => break None,
                event = leg.dialog.next_event() => event,
                () = &mut speaking => break None,
            };
            if let Some(reason) = leg.on_event(event).await {
                break Some(reason);
            }
        };
        drop(speaking);
        self.keep_counts(&leg);
        if ended.is_none() {
            leg.hang_up().await;
        }
        outcome
    }

    fn keep_counts(&mut self, leg: &Leg) {
        self.rtp = Some(leg.rtp.stats());
    }
}

async fn refuse(incoming: IncomingCall, status: u16) -> CallOutcome {
    let refusal = Refusal::new(status);
    let refusal = if status == 503 { refusal.with("Retry-After", "5") } else { refusal };
    match incoming.reject(refusal).await {
        Ok(()) => CallOutcome::Refused(status),
        Err(_) => CallOutcome::Cancelled,
    }
}

/// The trunk and rule of a call, or its refusal.
pub(crate) fn route(shared: &Shared, invite: &Invite) -> Result<Route, Refusal> {
    let found = shared.rules.route(invite.source.ip(), &invite.request_uri.user);
    found.map(|(trunk, rule)| Route { trunk: trunk.clone(), rule: rule.clone() }).map_err(admission::refusal)
}

/// Whether the caller gave up, as opposed to the endpoint having refused the call by itself.
const fn gave_up(reason: &SipEnd) -> bool {
    matches!(reason, SipEnd::Cancelled | SipEnd::RemoteHangup)
}
