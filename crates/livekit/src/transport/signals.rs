//! The agent's state and the live transcript, told to the room without ever holding up the call.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frontdesk_agent::transport::{AgentState, Speaker, TranscriptLine};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::room::{Participant, Room};

/// Topic of transcripts.
const TRANSCRIPTION_TOPIC: &str = "lk.transcription";
/// Lines that may wait; beyond, the oldest is dropped.
const LINES_MAX: usize = 32;

/// What waits to be told. Only the newest state counts, and of a line that is still growing only the newest wording.
#[derive(Default)]
struct Waiting {
    state: Option<AgentState>,
    lines: VecDeque<TranscriptLine>,
    agent_track: String,
}

impl Waiting {
    fn push(&mut self, line: &TranscriptLine) {
        let growing = self.lines.iter_mut().find(|waiting| waiting.segment == line.segment && !waiting.is_final);
        match growing {
            Some(waiting) => *waiting = line.clone(),
            None => {
                if self.lines.len() >= LINES_MAX {
                    self.lines.pop_front();
                }
                self.lines.push_back(line.clone());
            }
        }
    }
}

/// The handle; the task ends with it.
pub(super) struct Signals {
    shared: Arc<Shared>,
    stop: CancellationToken,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    new_state: Notify,
    new_line: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Consistent after every single operation, so a poisoned lock is as good as a sound one.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signals {
    pub(super) fn start(room: Arc<Room>, caller: Participant) -> Self {
        let (shared, stop) = (Arc::new(Shared::default()), CancellationToken::new());
        let told = shared.clone();
        let task = async move { tokio::join!(tell_states(&room, &told), tell_lines(&room, &caller, &told)) };
        tokio::spawn(stop.clone().run_until_cancelled_owned(task));
        Self { shared, stop }
    }

    pub(super) fn agent_track(&self, sid: &str) {
        self.shared.lock().agent_track = sid.to_owned();
    }

    pub(super) fn state(&self, state: AgentState) {
        self.shared.lock().state = Some(state);
        self.shared.new_state.notify_one();
    }

    pub(super) fn transcript(&self, line: &TranscriptLine) {
        self.shared.lock().push(line);
        self.shared.new_line.notify_one();
    }

    pub(super) fn stop(&self) {
        self.stop.cancel();
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signals")
    }
}

/// States need signalling, lines do not: while it is being resumed, lines do not wait for a state that cannot be told.
async fn tell_states(room: &Room, shared: &Shared) {
    loop {
        let Some(state) = shared.lock().state.take() else {
            shared.new_state.notified().await;
            continue;
        };
        let attributes = BTreeMap::from([("lk.agent.state".to_owned(), state.as_str().to_owned())]);
        if let Err(error) = room.set_attributes(attributes).await {
            tracing::debug!(%error, "the agent's state was not told");
        }
    }
}

async fn tell_lines(room: &Room, caller: &Participant, shared: &Shared) {
    loop {
        let (line, agent_track) = {
            let mut waiting = shared.lock();
            (waiting.lines.pop_front(), waiting.agent_track.clone())
        };
        match line {
            Some(line) => publish(room, caller, &agent_track, &line).await,
            None => shared.new_line.notified().await,
        }
    }
}

async fn publish(room: &Room, caller: &Participant, agent_track: &str, line: &TranscriptLine) {
    let agent = room.local_participant().identity;
    let (identity, track) = match line.speaker {
        Speaker::Caller => (caller.identity.as_str(), room_track(room, caller)),
        Speaker::Agent => (agent.as_str(), agent_track.to_owned()),
    };
    let attributes = BTreeMap::from([
        ("lk.segment_id".to_owned(), line.segment.clone()),
        ("lk.transcription_final".to_owned(), line.is_final.to_string()),
        ("lk.transcribed_track_id".to_owned(), track),
    ]);
    if let Err(error) = room.send_text_as(identity, TRANSCRIPTION_TOPIC, &attributes, &line.text).await {
        tracing::debug!(%error, "a line of the transcript was not told");
    }
}

fn room_track(room: &Room, caller: &Participant) -> String {
    let present = room.participants();
    let caller = present.iter().find(|participant| participant.identity == caller.identity);
    caller.and_then(|caller| caller.track_sids.first().cloned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(segment: &str, text: &str, is_final: bool) -> TranscriptLine {
        TranscriptLine { speaker: Speaker::Caller, segment: segment.into(), text: text.into(), is_final, turn: None }
    }

    #[test]
    fn growing_lines_are_told_once_and_the_queue_is_bounded() {
        let mut waiting = Waiting::default();
        waiting.push(&line("a", "good", false));
        waiting.push(&line("a", "good morning", false));
        waiting.push(&line("a", "good morning.", true));
        waiting.push(&line("a", "again", false));
        let texts: Vec<&str> = waiting.lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["good morning.", "again"]);
        for number in 0..100 {
            waiting.push(&line(&number.to_string(), "x", true));
        }
        assert_eq!(waiting.lines.len(), LINES_MAX);
    }
}
