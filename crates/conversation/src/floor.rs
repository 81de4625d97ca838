//! Who has the floor: the conversation's states as an onlooker tells them apart, and every way from one to another.
//!
//! The table is the code's own description of itself: a test watches random calls and fails on a step that is not in it, and on a
//! step in it that never happens. `docs/conversation.md` draws it.

use crate::machine::{Conversation, Phase};

/// A state of the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Floor {
    /// The call was not answered yet.
    Waiting,
    /// The caller owes the floor and is silent.
    Listening,
    /// The caller's turn is under way: he speaks, or may go on.
    Hearing,
    /// The agent owes the floor: model, tools or synthesiser are at work.
    Thinking,
    /// The agent is heard.
    Speaking,
    /// The agent is held: the caller speaks, and it is not known yet whether he wants the floor.
    Paused,
    /// The agent was cut off: what was heard of it is being found out.
    Flushing,
    /// The call is over; effects that are under way are waited for.
    Closing,
    /// The summary was given.
    Ended,
}

impl Floor {
    /// Its name in the diagram.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Listening => "listening",
            Self::Hearing => "hearing",
            Self::Thinking => "thinking",
            Self::Speaking => "speaking",
            Self::Paused => "paused",
            Self::Flushing => "flushing",
            Self::Closing => "closing",
            Self::Ended => "ended",
        }
    }

    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::Waiting,
        Self::Listening,
        Self::Hearing,
        Self::Thinking,
        Self::Speaking,
        Self::Paused,
        Self::Flushing,
        Self::Closing,
        Self::Ended,
    ];
}

/// A way from one state to another, and what leads there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// From this state.
    pub from: Floor,
    /// To this one.
    pub to: Floor,
    /// What leads there.
    pub when: &'static str,
}

const fn step(from: Floor, to: Floor, when: &'static str) -> Step {
    Step { from, to, when }
}

const ENDS_LATER: &str = "the call ends while an effect is under way";

/// Every way from one state to another that one input can cause.
pub const STEPS: &[Step] = &[
    step(Floor::Waiting, Floor::Thinking, "answered: the greeting is ordered"),
    step(Floor::Listening, Floor::Hearing, "speech or words"),
    step(Floor::Listening, Floor::Thinking, "typed, keyed, or the caller is away"),
    step(Floor::Listening, Floor::Ended, "the caller left, or stopped"),
    step(Floor::Hearing, Floor::Thinking, "the turn ends"),
    step(Floor::Hearing, Floor::Listening, "it was noise"),
    step(Floor::Hearing, Floor::Ended, "the caller left, or stopped"),
    step(Floor::Thinking, Floor::Speaking, "speech begins to play"),
    step(Floor::Thinking, Floor::Hearing, "the caller goes on: the turn is taken back"),
    step(Floor::Thinking, Floor::Listening, "nothing was to be said"),
    step(Floor::Thinking, Floor::Paused, "the caller speaks before speech begins to play"),
    step(Floor::Thinking, Floor::Flushing, "words take the floor before speech begins to play"),
    step(Floor::Thinking, Floor::Closing, ENDS_LATER),
    step(Floor::Thinking, Floor::Ended, "the caller left or was transferred, stopped, or speech failed for good"),
    step(Floor::Speaking, Floor::Listening, "all was said"),
    step(Floor::Speaking, Floor::Hearing, "all was said, and the caller's turn is under way"),
    step(Floor::Speaking, Floor::Thinking, "between two utterances, or another turn was taken"),
    step(Floor::Speaking, Floor::Paused, "the caller speaks for min_duration"),
    step(Floor::Speaking, Floor::Flushing, "words take the floor"),
    step(Floor::Speaking, Floor::Ended, "the last word was said, or the caller left"),
    step(Floor::Paused, Floor::Speaking, "no words, or a backchannel"),
    step(Floor::Paused, Floor::Thinking, "the same, with nothing playing yet"),
    step(Floor::Paused, Floor::Flushing, "words take the floor"),
    step(Floor::Paused, Floor::Hearing, "words take the floor before anything was heard"),
    step(Floor::Paused, Floor::Ended, "the caller left, or stopped"),
    step(Floor::Flushing, Floor::Hearing, "flushed; the caller goes on"),
    step(Floor::Flushing, Floor::Thinking, "flushed; his turn has ended"),
    step(Floor::Flushing, Floor::Paused, "flushed; the caller speaks on over the next reply"),
    step(Floor::Flushing, Floor::Ended, "the caller left, or stopped"),
    step(Floor::Flushing, Floor::Listening, "flushed; what cut it off was noise after all"),
    step(Floor::Listening, Floor::Closing, ENDS_LATER),
    step(Floor::Hearing, Floor::Closing, ENDS_LATER),
    step(Floor::Speaking, Floor::Closing, ENDS_LATER),
    step(Floor::Paused, Floor::Closing, ENDS_LATER),
    step(Floor::Flushing, Floor::Closing, ENDS_LATER),
    step(Floor::Waiting, Floor::Ended, "the caller left before the answer"),
    step(Floor::Closing, Floor::Ended, "the last commit has its outcome"),
];

impl Conversation {
    /// Who has the floor.
    #[must_use]
    pub fn floor(&self) -> Floor {
        let state = &self.state;
        match state.phase {
            Phase::Waiting => Floor::Waiting,
            Phase::Closing(_) => Floor::Closing,
            Phase::Ended(_) => Floor::Ended,
            Phase::Open if state.playout.flushing.is_some() => Floor::Flushing,
            Phase::Open if state.playout.paused_at.is_some() => Floor::Paused,
            Phase::Open if state.playout.is_audible() || state.playout.is_between() => Floor::Speaking,
            Phase::Open if state.reply.is_some() => Floor::Thinking,
            Phase::Open if state.caller.is_idle() => Floor::Listening,
            Phase::Open => Floor::Hearing,
        }
    }
}
