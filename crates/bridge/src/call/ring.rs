//! From the INVITE to somebody who can be talked to.

use std::sync::Arc;

use frontdesk_audio::SampleRate;
use frontdesk_livekit::room::{AudioPublisher, DisconnectReason, EndReason, PublishError};
use frontdesk_telephony::sip::{IncomingCall, Invite};
use tokio::time::Instant;

use super::{Call, Route, gave_up};
use crate::report::BridgeEvent;
use crate::room_side::{Notice, RoomSide};
use crate::rooms::{self, JoinError, Joined, Parting};
use crate::watch::AgentWatch;

/// Rooms that are tried while one call rings: a server that restarts loses the first.
const ROOMS_MAX: u32 = 3;

/// What a caller gets whose call no agent wants (RFC 3261 section 21.4.24): he hears the busy tone, or whatever his network has for it.
const BUSY_HERE: u16 = 486;

/// What ringing led to. The room is closed already unless it is in here.
pub(super) enum Rung {
    /// Somebody is heard, and our track is published.
    Agent(RoomSide, AudioPublisher),
    /// Nobody came. Say so.
    NoAgent(Option<RoomSide>),
    /// The caller gave up.
    Cancelled,
    /// Answer with this status.
    Refused(u16),
    /// The bridge goes down.
    Stopped,
}

/// How waiting in one room ended.
enum Waited {
    Agent(AudioPublisher),
    GiveUp,
    RoomEnded(EndReason),
    Cancelled,
    Stopped,
}

impl Call {
    /// Joins a room, lets the caller's phone ring, and waits for an agent.
    pub(super) async fn ring(&mut self, route: &Route, invite: &Arc<Invite>, incoming: &mut IncomingCall) -> Rung {
        let ring_until = self.started + self.shared.waits.ring_max;
        for attempt in 1.. {
            let joined = match self.join(route, invite, incoming).await {
                Ok(joined) => joined,
                Err(rung) if attempt == 1 => return rung,
                Err(Rung::Refused(_)) => return Rung::NoAgent(None),
                Err(rung) => return rung,
            };
            if self.stages.ringing.is_none() {
                if incoming.ringing().await.is_err() {
                    joined.lease.close(joined.room, Parting::Now);
                    return Rung::Cancelled;
                }
                self.stages.ringing = Some(self.started.elapsed());
            }
            let watch = AgentWatch::new(self.shared.waits, Instant::now(), ring_until);
            let (api, agent) = (self.shared.rooms.api.clone(), rooms::dispatch(&route.rule));
            let mut side = RoomSide::new(joined, api, agent, watch, self.shared.waits.agent_stall);
            let waited = self.wait_in(&mut side, incoming).await;
            self.dispatches += side.dispatches();
            match waited {
                Waited::Agent(publisher) => return Rung::Agent(side, publisher),
                Waited::GiveUp => return Rung::NoAgent(Some(side)),
                Waited::Cancelled => {
                    side.close(Parting::Now);
                    return Rung::Cancelled;
                }
                Waited::Stopped => {
                    side.close(Parting::Now);
                    return Rung::Stopped;
                }
                Waited::RoomEnded(reason) => {
                    // An agent that deletes the room does not want the call, unless it was a stale one that we removed.
                    let refused = is_hang_up(reason) && side.dispatches() == 1;
                    tracing::warn!(?reason, refused, "the room ended while it rang");
                    side.close(Parting::Now);
                    if refused {
                        return Rung::Refused(BUSY_HERE);
                    }
                    if attempt >= ROOMS_MAX || Instant::now() >= ring_until {
                        return Rung::NoAgent(None);
                    }
                    self.name = rooms::room_name(&route.rule);
                    tracing::info!(room = %self.name, "another room is made");
                }
            }
        }
        Rung::NoAgent(None)
    }

    async fn join(&self, route: &Route, invite: &Arc<Invite>, incoming: &mut IncomingCall) -> Result<Joined, Rung> {
        let (rooms, name, route, invite) = (self.shared.rooms.clone(), self.name.clone(), route.clone(), invite.clone());
        let mut join = Box::pin(async move { rooms.join(&name, &invite, &route.trunk, &route.rule).await });
        let gone = tokio::select! {
            biased;
            () = self.stop.cancelled() => Rung::Stopped,
            reason = incoming.ended() => {
                tracing::info!(gave_up = gave_up(&reason), "over before it rang");
                Rung::Cancelled
            }
            joined = &mut join => return joined.map_err(|error| refused(&error)),
        };
        // A room that is being joined is made in any case; it is left once it is there.
        self.shared.rooms.chores.spawn(async move {
            if let Ok(Joined { room, lease, .. }) = join.await {
                lease.close(room, Parting::Now);
            }
        });
        Err(gone)
    }

    async fn wait_in(&mut self, side: &mut RoomSide, incoming: &mut IncomingCall) -> Waited {
        let room = side.room().clone();
        let mut publish = std::pin::pin!(room.publish_audio(SampleRate::HZ_8000));
        let (mut publisher, mut publishing) = (None, true);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Waited::Stopped,
                _ = incoming.ended() => return Waited::Cancelled,
                published = &mut publish, if publishing => {
                    publishing = false;
                    match published {
                        Ok(ready) => {
                            self.stages.published = Some(self.started.elapsed());
                            publisher = Some(ready);
                        }
                        // Why the room has ended comes as its last event.
                        Err(PublishError::Closed(_)) => {}
                        Err(error) => {
                            tracing::warn!(%error, "the caller cannot be heard");
                            return Waited::RoomEnded(EndReason::MediaLost);
                        }
                    }
                }
                notice = side.next() => match notice {
                    Notice::Heard => self.stages.agent_heard = Some(self.started.elapsed()),
                    Notice::Redispatched(dispatches) => {
                        self.shared.tell(BridgeEvent::Redispatched { call_id: self.name.clone(), dispatches });
                    }
                    Notice::GiveUp => return Waited::GiveUp,
                    Notice::Ended(reason) => return Waited::RoomEnded(reason),
                    // Nobody can press keys, or hang up, in a call that is not answered.
                    Notice::Key(_) | Notice::Transfer(..) | Notice::HangUp | Notice::MediaTimedOut => {}
                },
            }
            if side.is_heard()
                && let Some(publisher) = publisher.take()
            {
                return Waited::Agent(publisher);
            }
        }
    }
}

/// Whether the server ended the room for the caller because somebody asked it to.
pub(super) const fn is_hang_up(reason: EndReason) -> bool {
    matches!(reason, EndReason::Server(DisconnectReason::RoomDeleted | DisconnectReason::ParticipantRemoved | DisconnectReason::RoomClosed))
}

fn refused(error: &JoinError) -> Rung {
    tracing::error!(%error, "no room for the call");
    Rung::Refused(503)
}
