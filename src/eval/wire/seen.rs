//! What a caller knows of his call while it goes on: from his own ear, and from the live transcript in the room.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frontdesk_simulators::caller::{CallerEvent, RoomSight, SpokenLine};
use tokio::time::Instant;

use crate::eval::line::code_told;

/// Lines of the agent that are kept since the caller's last act.
const LINES_MAX: usize = 256;

/// Shared between the caller's plan and whoever tells it.
#[derive(Debug, Clone)]
pub(super) struct Seen(Arc<Mutex<Sights>>);

/// What is known.
#[derive(Debug)]
pub(super) struct Sights {
    /// The agent's lines since the caller's last act: segment and text.
    pub(super) lines: Vec<(String, String)>,
    /// The agent's state in LiveKit's words.
    pub(super) state: String,
    /// What the agent did, and when it began, in seconds from the answer.
    pub(super) states: Vec<(f64, &'static str)>,
    /// The confirmation code that was told last.
    pub(super) code: Option<String>,
    /// When the agent was heard first since the caller's last act; that act's end, if it went on through it.
    pub(super) began: Option<Instant>,
    /// When its present stretch of speech began.
    pub(super) stretch: Option<Instant>,
    /// Whether it is heard, or was until a moment ago.
    pub(super) is_speaking: bool,
    /// Whether the caller is at an act.
    pub(super) is_acting: bool,
    /// The end of the caller's last act, or the answer.
    pub(super) done: Instant,
    answered: Instant,
    /// The step that comes next: its number, from 0, and what is done in it.
    pub(super) left: Option<(usize, String)>,
    /// What kept the caller from following his steps.
    pub(super) trouble: Option<String>,
}

impl Seen {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(Sights {
            lines: Vec::new(),
            state: String::new(),
            states: Vec::new(),
            code: None,
            began: None,
            stretch: None,
            is_speaking: false,
            is_acting: false,
            done: now,
            answered: now,
            left: None,
            trouble: None,
        })))
    }

    /// Values are replaced whole, so a panic elsewhere leaves them usable.
    pub(super) fn lock(&self) -> MutexGuard<'_, Sights> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sights {
    /// Takes what happened in the call.
    pub(super) fn event(&mut self, event: &CallerEvent) {
        let now = Instant::now();
        match event {
            CallerEvent::Answered { .. } => {
                (self.answered, self.done) = (now, now);
            }
            CallerEvent::AgentBegan { .. } => {
                self.began.get_or_insert(now);
                if !self.is_speaking {
                    self.stretch = Some(now);
                }
                self.is_speaking = true;
            }
            CallerEvent::AgentFinished => self.is_speaking = false,
            CallerEvent::Spoke { .. } | CallerEvent::Pressed { .. } => {
                self.is_acting = false;
                self.done = now;
                // What was cut off is no answer; what goes on is.
                self.began = self.is_speaking.then_some(now);
            }
            _ => {}
        }
    }

    /// Takes what is seen in the room; whether it is a new confirmation code.
    pub(super) fn sight(&mut self, sight: RoomSight) -> bool {
        match sight {
            RoomSight::AgentState(state) => {
                let known = ["listening", "thinking", "speaking"].into_iter().find(|known| *known == state);
                let at = self.answered.elapsed().as_secs_f64();
                self.states.extend(known.map(|known| (at, known)));
                self.state = state;
                false
            }
            RoomSight::Line(line) if line.is_agent => self.line(line),
            _ => false,
        }
    }

    fn line(&mut self, line: SpokenLine) -> bool {
        let code = code_told(&line.text).filter(|_| line.is_final);
        let is_new = code.is_some() && code != self.code;
        self.code = code.or(self.code.take());
        match self.lines.iter().position(|(segment, _)| *segment == line.segment) {
            Some(at) => self.lines[at].1 = line.text,
            None if self.lines.len() < LINES_MAX => self.lines.push((line.segment, line.text)),
            None => {}
        }
        is_new
    }

    /// Whether the agent has said this since the caller's last act.
    pub(super) fn has_heard(&self, words: &str) -> bool {
        let words = words.to_lowercase();
        self.lines.iter().any(|(_, text)| text.to_lowercase().contains(&words))
    }
}
