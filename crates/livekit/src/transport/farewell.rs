//! Ending a call for the caller as well: delete the room, then leave it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::api::{ApiError, LiveKit};
use crate::pulse;
use crate::room::{DisconnectReason, Participant, ParticipantKind, Room};

/// How long hanging up is waited for; it goes on in the background.
const WAIT: Duration = Duration::from_millis(2500);
/// How often deleting the room is tried: a caller must not be left in silence because the server was busy.
const ATTEMPTS: u32 = 5;
/// The first wait between tries; doubles.
const BACKOFF: Duration = Duration::from_millis(300);

/// Which room is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deletes {
    /// Ours, as long as we are in it.
    Always,
    /// We were cut off, and another agent may have come.
    UnlessServed,
    /// Somebody else's.
    Never,
}

/// Deletes the room and leaves it, once, even if it is dropped instead of said.
pub(super) struct Farewell {
    parts: Option<Parts>,
    task: Option<JoinHandle<()>>,
}

struct Parts {
    api: Arc<LiveKit>,
    room: Arc<Room>,
    name: String,
    deletes: Deletes,
    /// A person speaks to the caller: the room is not deleted meanwhile.
    is_lent: bool,
    /// The participant of our bridge, which hangs up when it is told so.
    bridge: Option<String>,
}

impl Farewell {
    pub(super) fn new(api: Arc<LiveKit>, room: Arc<Room>, name: String) -> Self {
        Self { parts: Some(Parts { api, room, name, deletes: Deletes::Always, is_lent: false, bridge: None }), task: None }
    }

    /// Our bridge is in the room, as this participant.
    pub(super) fn is_told_to(&mut self, bridge: String) {
        if let Some(parts) = &mut self.parts {
            parts.bridge = Some(bridge);
        }
    }

    /// The room is left, and not deleted.
    pub(super) fn leave_the_room_be(&mut self) {
        self.deletes(Deletes::Never);
    }

    /// The room is deleted only if no other agent is in it.
    pub(super) fn end_only_what_nobody_serves(&mut self) {
        self.deletes(Deletes::UnlessServed);
    }

    /// Whether the room is somebody else's for the time being.
    pub(super) fn lend(&mut self, is_lent: bool) {
        if let Some(parts) = &mut self.parts {
            parts.is_lent = is_lent;
        }
    }

    fn deletes(&mut self, deletes: Deletes) {
        // What was given to somebody else stays so.
        if let Some(parts) = self.parts.as_mut().filter(|parts| parts.deletes != Deletes::Never) {
            parts.deletes = deletes;
        }
    }

    /// Idempotent. Cancelled or too slow, it goes on in the background.
    pub(super) async fn say(&mut self) {
        self.begin();
        if let Some(task) = &mut self.task
            && let Ok(ended) = tokio::time::timeout(WAIT, task).await
        {
            if ended.is_err() {
                tracing::error!("hanging up broke off");
            }
            self.task = None;
        }
    }

    /// Leaves, and lets the room be: the call is somebody else's. Nothing is said after it.
    pub(super) async fn leave(&mut self) {
        if let Some(parts) = self.parts.take() {
            parts.room.leave(DisconnectReason::ClientInitiated).await;
        }
    }

    fn begin(&mut self) {
        let Some(parts) = self.parts.take() else { return };
        // Without a runtime the process is at its end, and the room's connections with it.
        if let Ok(runtime) = Handle::try_current() {
            self.task = Some(runtime.spawn(parts.run()));
        }
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.begin();
    }
}

impl fmt::Debug for Farewell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Farewell").field("said", &self.parts.is_none()).finish()
    }
}

impl Parts {
    async fn run(mut self) {
        self.delete().await;
        self.room.leave(DisconnectReason::ClientInitiated).await;
    }

    async fn delete(&mut self) {
        let mut wait = BACKOFF;
        for attempt in 1..=ATTEMPTS {
            let tried = self.try_delete().await;
            if matches!(&tried, Err(error) if !matches!(error, ApiError::NotFound { .. })) {
                self.tell_bridge().await;
            }
            match tried {
                Ok(()) | Err(ApiError::NotFound { .. }) => break,
                Err(error) if error.is_retryable() && attempt < ATTEMPTS => {
                    tracing::warn!(%error, attempt, "the room is not deleted yet");
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                Err(error) => {
                    tracing::error!(%error, "the room could not be deleted: a caller who is not behind our bridge may be left in silence");
                    break;
                }
            }
        }
    }

    /// Our bridge hangs up by itself; once is enough.
    async fn tell_bridge(&mut self) {
        if let Some(bridge) = self.bridge.take_if(|_| self.deletes == Deletes::Always) {
            pulse::hang_up(&self.room, vec![bridge]).await;
        }
    }

    async fn try_delete(&self) -> Result<(), ApiError> {
        match self.deletes {
            _ if self.is_lent => return Ok(()),
            Deletes::Never => return Ok(()),
            Deletes::UnlessServed => {
                let ours = self.room.local_participant().sid;
                if is_served(&self.api.list_participants(&self.name).await?, &ours) {
                    tracing::info!("the caller has another agent; the room is left to it");
                    return Ok(());
                }
            }
            Deletes::Always => {}
        }
        self.api.delete_room(&self.name).await
    }
}

/// Whether another agent than the one of this id is there. The server may still count us among those present; who joins anew, even
/// under our identity, has another id.
fn is_served(present: &[Participant], ours: &str) -> bool {
    present.iter().any(|other| other.kind == ParticipantKind::Agent && other.sid != ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_served_by_another_agent_and_not_by_what_the_server_still_takes_for_us() {
        let participant = |sid: &str, kind| Participant { sid: sid.into(), identity: "agent".into(), kind, ..Participant::default() };
        let (caller, ours) = (participant("PA_1", ParticipantKind::Sip), participant("PA_2", ParticipantKind::Agent));
        assert!(!is_served(&[], "PA_2"));
        assert!(!is_served(&[caller.clone(), ours.clone()], "PA_2"));
        assert!(is_served(&[caller, ours, participant("PA_3", ParticipantKind::Agent)], "PA_2"));
    }
}
