//! What whoever watches a call gets to see: the demo's terminal, a dashboard, tests.

use std::sync::Arc;
use std::time::Duration;

use frontdesk_conversation::{AgentState, CallTime, EndReason, ToolCallId, TranscriptLine, TurnMetrics};
use serde_json::Value;
use tokio::sync::broadcast;

use crate::pii::Pii;

/// Where observations go. Bounded and lossy: a watcher that is too slow misses the oldest and learns how many (tokio's
/// `RecvError::Lagged`); the call never waits for it.
pub type Observer = broadcast::Sender<Observation>;

/// An event of one call.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The call.
    pub call_id: Arc<str>,
    /// When, counted from the answer.
    pub at: CallTime,
    /// What happened.
    pub event: SessionEvent,
}

/// What happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SessionEvent {
    /// The call was answered.
    Answered {
        /// How long after the session began.
        after: Duration,
        /// Whether all providers were warm; else the apology plays.
        warm: bool,
    },
    /// What the agent does has changed.
    State(AgentState),
    /// The call goes on in another language; its primary tag.
    Language(String),
    /// A line of the transcript, growing or final.
    Transcript(Pii<TranscriptLine>),
    /// The figures of a turn.
    Turn(TurnMetrics),
    /// A tool was started.
    ToolStarted {
        /// The call of the tool.
        call: ToolCallId,
        /// The tool's name.
        name: String,
        /// What it is to do.
        phase: ToolPhase,
        /// Its arguments.
        arguments: Pii<Value>,
    },
    /// A tool ended.
    ToolEnded {
        /// The call of the tool.
        call: ToolCallId,
        /// The tool's name.
        name: String,
        /// What it was to do.
        phase: ToolPhase,
        /// Whether it did it; `None` when that cannot be told.
        succeeded: Option<bool>,
        /// How long it took.
        took: Duration,
    },
    /// Another agent has the call, or a task, or the agent before it again.
    HandedOff {
        /// Its name.
        to: String,
    },
    /// The call ended; the last event of a call.
    Ended(EndReason),
}

/// Phases of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolPhase {
    /// The one phase of a `Read` or `Record` tool.
    Run,
    /// The first phase of a `Commit` tool.
    Prepare,
    /// The second phase of a `Commit` tool.
    Commit,
}

/// Sends observations of one call.
#[derive(Clone)]
pub(crate) struct Watch {
    pub(crate) call_id: Arc<str>,
    pub(crate) observer: Option<Observer>,
}

impl Watch {
    pub(crate) fn tell(&self, at: CallTime, event: SessionEvent) {
        if let Some(observer) = &self.observer {
            // Fails only while nobody watches.
            let _ = observer.send(Observation { call_id: Arc::clone(&self.call_id), at, event });
        }
    }
}
