//! Another agent for a room whose agent does not come, or has vanished.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use frontdesk_livekit::api::{AgentDispatch, LiveKit, tolerate};
use frontdesk_livekit::room::{Participant, ParticipantKind, Room};

/// What it takes.
pub(crate) struct Replacement {
    pub(crate) api: Arc<LiveKit>,
    pub(crate) room: Arc<Room>,
    pub(crate) agent: AgentDispatch,
    /// Whose audio the caller had, but has no more.
    pub(crate) once_heard: BTreeSet<String>,
    /// Dispatches that led nowhere.
    pub(crate) withdrawn: Vec<String>,
    /// Set before an agent is removed.
    pub(crate) orphaned: Arc<AtomicBool>,
}

impl Replacement {
    /// Removes agents that are of no use, withdraws their dispatches, and asks for another one; the new dispatch's id, if one
    /// was made.
    pub(crate) async fn run(self) -> Option<String> {
        let Self { api, room, agent, once_heard, withdrawn, orphaned } = self;
        // The server tells a room of participants who publish nothing only every 3 s: the list is up to date.
        let present = match api.list_participants(room.name()).await {
            Ok(present) => present,
            Err(error) => {
                tracing::warn!(%error, "agents that do not speak cannot be looked for");
                room.participants()
            }
        };
        let agents: Vec<&Participant> = present.iter().filter(|other| other.kind == ParticipantKind::Agent).collect();
        if agents.iter().any(|agent| has_just_come(agent, &once_heard)) {
            tracing::info!("an agent has just come; no other is dispatched");
            return None;
        }
        for agent in agents {
            orphaned.store(true, Ordering::Relaxed);
            tolerate("remove a stale agent", api.remove_participant(room.name(), &agent.identity).await);
        }
        for id in &withdrawn {
            tolerate("withdraw a dispatch", api.delete_dispatch(room.name(), id).await);
        }
        match api.create_dispatch(room.name(), &agent).await {
            Ok(id) => Some(id),
            Err(error) => {
                tracing::warn!(%error, "no agent can be dispatched");
                None
            }
        }
    }
}

/// Whether an agent publishes that was never heard: its track is on the way to us.
fn has_just_come(agent: &Participant, once_heard: &BTreeSet<String>) -> bool {
    !agent.track_sids.is_empty() && !once_heard.contains(&agent.identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_publishes_for_the_first_time_has_just_come() {
        let agent = |tracks: &[&str]| {
            let mut agent = Participant::default();
            agent.identity = "agent-1".into();
            agent.track_sids = tracks.iter().map(|track| (*track).to_owned()).collect();
            agent
        };
        let nobody = BTreeSet::new();
        assert!(has_just_come(&agent(&["TR_1"]), &nobody));
        assert!(!has_just_come(&agent(&[]), &nobody), "it says nothing");
        assert!(!has_just_come(&agent(&["TR_1"]), &["agent-1".to_owned()].into()), "it has fallen silent");
    }
}
