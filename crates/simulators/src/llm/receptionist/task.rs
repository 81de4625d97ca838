//! What the tasks of a conversation have in common.

use serde_json::Value;

use super::asking::Asking;
use super::booking::Booking;
use super::cancelling::Cancelling;
use super::facts::Facts;
use super::insurance::Insurance;
use super::listing::Listing;
use super::message::Errand;
use super::numbers;
use super::queueing::Queueing;
use super::registering::Registering;
use super::reserving::Reserving;
use super::words::{Intent, Words, yes_or_no};
use crate::stt::language_of;

/// An utterance of the caller.
#[derive(Debug)]
pub(super) struct Heard<'a> {
    pub(super) text: &'a str,
    pub(super) words: Words,
    pub(super) yes: Option<bool>,
}

impl<'a> Heard<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let words = Words::of(text);
        let yes = yes_or_no(&words);
        Self { text: text.trim(), words, yes }
    }

    /// Whether it is Spanish.
    pub(super) fn is_spanish(&self) -> bool {
        language_of(self.text) == "es"
    }
}

/// What is known of the caller, whatever is being done for him.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) name: Option<String>,
    pub(super) phone: Option<String>,
    /// Digits of a number that is not complete.
    pub(super) partial: String,
    /// Whether the present utterance told something of it.
    pub(super) changed: bool,
}

impl Known {
    /// Takes a number in answer to the question for it, also in several parts; whether there was any of it.
    pub(super) fn hear_phone(&mut self, words: &Words) -> bool {
        let Some(digits) = numbers::digit_rows(words).into_iter().max_by_key(String::len).filter(|digits| digits.len() > 2) else {
            return false;
        };
        self.partial.push_str(&digits);
        if self.partial.trim_start_matches('+').len() >= 10 {
            self.phone = Some(std::mem::take(&mut self.partial));
        }
        self.changed = true;
        true
    }

    /// The question for the number.
    pub(super) fn ask_phone(&self) -> Step {
        let question =
            if self.partial.is_empty() { "May I have your telephone number, with the area code?" } else { "And the rest of the number?" };
        Step::Ask(question.into())
    }
}

/// What a task needs next.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Something from the caller.
    Ask(String),
    /// A tool.
    Call { say: &'static str, name: &'static str, arguments: Value },
    /// Nothing more.
    Done,
}

/// Tools that are prepared, read back and confirmed.
const COMMITS: [&str; 6] =
    ["book_appointment", "reschedule_appointment", "cancel_appointment", "register_patient", "join_waiting_list", "leave_waiting_list"];

/// What a tool answered.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    /// A result.
    Result(Value),
    /// Prepared; the caller has to agree.
    Prepared(Pending),
    /// A commit was done.
    Done(Value),
    /// Nobody knows whether it was done.
    Unknown,
    /// It failed.
    Failed(Fault),
}

impl Outcome {
    fn unreadable() -> Self {
        Self::Failed(Fault { code: "unreadable".into(), details: Value::Null })
    }

    /// Reads a tool's output; what that tool cannot answer counts as failed.
    pub(super) fn of(tool: &str, content: &str) -> Self {
        let outcome = Self::read(content);
        let fits = match outcome {
            Self::Failed(_) => true,
            Self::Prepared(_) => COMMITS.contains(&tool),
            Self::Done(_) | Self::Unknown => tool == super::CONFIRM,
            Self::Result(_) => tool != super::CONFIRM && !COMMITS.contains(&tool),
        };
        if fits { outcome } else { Self::unreadable() }
    }

    /// Reads an output.
    pub(super) fn read(content: &str) -> Self {
        let Ok(value) = serde_json::from_str::<Value>(content) else {
            return Self::unreadable();
        };
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(error) = value.get("error") {
            let details = error.get("details").cloned().unwrap_or_default();
            return Self::Failed(Fault { code: text(error, "code"), details });
        }
        match value.get("status").and_then(Value::as_str) {
            Some("awaiting_confirmation") => {
                let (id, read_back) = (text(&value, "confirmation_id"), text(&value, "read_back"));
                if id.is_empty() || read_back.is_empty() {
                    return Self::unreadable();
                }
                Self::Prepared(Pending { id, read_back, agreed: false })
            }
            Some("done") => Self::Done(value.get("result").cloned().unwrap_or_default()),
            Some("outcome_unknown") => Self::Unknown,
            _ => Self::Result(value),
        }
    }
}

/// Why a tool failed.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) code: String,
    pub(super) details: Value,
}

impl Fault {
    /// The arguments that were wrong.
    pub(super) fn fields(&self) -> Vec<&str> {
        let faults = self.details.get("faults").and_then(Value::as_array);
        faults.into_iter().flatten().filter_map(|fault| fault.get("field")?.as_str()).collect()
    }

    /// Whether calling again is all there is to do.
    pub(super) fn is_passing(&self) -> bool {
        ["cancelled", "timeout"].contains(&self.code.as_str())
    }
}

/// An action that waits for the caller's yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) id: String,
    pub(super) read_back: String,
    /// The caller has said yes since it was read back.
    pub(super) agreed: bool,
}

impl Pending {
    /// Confirms once the caller has agreed; until then, reads back.
    pub(super) fn step(&self) -> Step {
        self.step_with(false)
    }

    /// The same, with a word in Spanish at the confirmation.
    pub(super) fn step_with(&self, is_spanish: bool) -> Step {
        if self.agreed {
            let say = if is_spanish { "Gracias. Un momento, por favor." } else { "Thank you. One moment, please." };
            let arguments = serde_json::json!({ "confirmation_id": self.id });
            return Step::Call { say, name: super::CONFIRM, arguments };
        }
        Step::Ask(self.read_back.clone())
    }

    /// Keeps an action that was prepared, and lets go of it once a tool has spoken about it; gives back what the task has to answer.
    pub(super) fn turn(pending: &mut Option<Self>, outcome: Outcome) -> Option<Outcome> {
        let code = if let Outcome::Failed(fault) = &outcome { fault.code.clone() } else { String::new() };
        match (code.as_str(), outcome) {
            (_, Outcome::Prepared(prepared)) => *pending = Some(prepared),
            // It is being read back again, or the answer to it is still to come.
            ("read_back_incomplete" | "caller_has_not_answered", _) => {
                if let Some(pending) = pending {
                    pending.agreed = false;
                }
            }
            // It has to be prepared anew.
            ("superseded" | "unknown_confirmation", _) => *pending = None,
            (_, outcome @ Outcome::Result(_)) => return Some(outcome),
            (_, outcome) => {
                *pending = None;
                return Some(outcome);
            }
        }
        None
    }
}

/// What came of an output: something to say, and whether the task cannot go on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reaction {
    pub(super) say: String,
    pub(super) stuck: bool,
}

impl Reaction {
    pub(super) fn say(text: impl Into<String>) -> Self {
        Self { say: text.into(), stuck: false }
    }

    pub(super) fn stuck(text: impl Into<String>) -> Self {
        Self { say: text.into(), stuck: true }
    }
}

/// What is said while nobody knows whether a commit was done.
pub(super) const CHECKING: &str = "I am checking whether that went through. We will look into it and get in touch with you.";

/// Something that the caller wants.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) intent: Intent,
    /// `note_intent` was called for it.
    pub(super) noted: bool,
    /// It was given up, or there was only something to say.
    pub(super) over: bool,
    pub(super) flow: Flow,
}

/// How far it has come.
#[derive(Debug)]
pub(super) enum Flow {
    Booking(Box<Booking>),
    Cancelling(Cancelling),
    Listing(Listing),
    Insurance(Insurance),
    Errand(Errand),
    Registering(Registering),
    Reserving(Box<Reserving>),
    Queueing(Queueing),
    Asking(Asking),
    Talk,
}

impl Task {
    /// A task that an utterance opens.
    pub(super) fn open(intent: Intent, heard: &Heard<'_>, facts: &Facts) -> Self {
        let flow = match intent {
            Intent::Move if facts.can_move => Flow::Booking(Box::new(Booking::open_move(heard, facts))),
            Intent::Book if heard.is_spanish() => Flow::Reserving(Box::default()),
            Intent::List => Flow::Listing(Listing::default()),
            Intent::Resend => Flow::Listing(Listing::resending()),
            Intent::Book | Intent::Move => Flow::Booking(Box::new(Booking::open(heard, facts))),
            Intent::Cancel => Flow::Cancelling(Cancelling::default()),
            Intent::Insurance => Flow::Insurance(Insurance::open(heard)),
            Intent::Message => Flow::Errand(Errand::open(heard)),
            Intent::Register => Flow::Registering(Registering::open(heard)),
            Intent::Queue => Flow::Queueing(Queueing::open(heard, facts)),
            Intent::Ask => Flow::Asking(Asking::open(heard)),
            Intent::Question | Intent::Advice | Intent::Emergency | Intent::Other => Flow::Talk,
        };
        Self { intent, noted: false, over: matches!(flow, Flow::Talk), flow }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.over
            || match &self.flow {
                Flow::Booking(booking) => booking.booked.is_some(),
                Flow::Cancelling(cancelling) => cancelling.cancelled,
                Flow::Listing(listing) => listing.told,
                Flow::Insurance(insurance) => insurance.answered,
                Flow::Errand(errand) => errand.taken,
                Flow::Registering(registering) => registering.over,
                Flow::Reserving(reserving) => reserving.over,
                Flow::Queueing(queueing) => queueing.over,
                Flow::Asking(asking) => asking.answered,
                Flow::Talk => true,
            }
    }

    /// Takes an utterance; whether it could be used.
    pub(super) fn hear(&mut self, heard: &Heard<'_>, known: &mut Known, facts: &Facts, reaction: &mut Reaction) -> bool {
        match &mut self.flow {
            Flow::Booking(booking) => booking.hear(heard, known, facts, reaction),
            Flow::Cancelling(cancelling) => cancelling.hear(heard, known, reaction),
            Flow::Listing(listing) => listing.hear(heard, known),
            Flow::Insurance(insurance) => insurance.hear(heard),
            Flow::Errand(errand) => errand.hear(heard, known),
            Flow::Registering(registering) => registering.hear(heard, known, reaction),
            Flow::Reserving(reserving) => reserving.hear(heard, known, reaction),
            Flow::Queueing(queueing) => queueing.hear(heard, known, facts, reaction),
            Flow::Asking(_) | Flow::Talk => false,
        }
    }

    /// What it needs next.
    pub(super) fn step(&self, known: &Known, facts: &Facts) -> Step {
        match &self.flow {
            _ if self.is_finished() => Step::Done,
            Flow::Booking(booking) => booking.step(known, facts),
            Flow::Cancelling(cancelling) => cancelling.step(known),
            Flow::Listing(listing) => listing.step(known),
            Flow::Insurance(insurance) => insurance.step(),
            Flow::Errand(errand) => errand.step(known),
            Flow::Registering(registering) => registering.step(known),
            Flow::Reserving(reserving) => reserving.step(known),
            Flow::Queueing(queueing) => queueing.step(known),
            Flow::Asking(asking) => asking.step(),
            Flow::Talk => Step::Done,
        }
    }

    /// The action that waits for a yes.
    pub(super) fn pending(&self) -> Option<&Pending> {
        match &self.flow {
            Flow::Booking(booking) => booking.pending.as_ref(),
            Flow::Cancelling(cancelling) => cancelling.pending.as_ref(),
            Flow::Registering(registering) => registering.pending.as_ref(),
            Flow::Reserving(reserving) => reserving.pending.as_ref(),
            Flow::Queueing(queueing) => queueing.pending.as_ref(),
            _ => None,
        }
    }

    /// Takes a tool's output.
    pub(super) fn settle(&mut self, outcome: Outcome, known: &mut Known) -> Reaction {
        let unknown = outcome == Outcome::Unknown;
        let reaction = match &mut self.flow {
            Flow::Booking(booking) => booking.settle(outcome, known),
            Flow::Cancelling(cancelling) => cancelling.settle(outcome, known),
            Flow::Listing(listing) => listing.settle(outcome, known),
            Flow::Insurance(insurance) => insurance.settle(outcome),
            Flow::Errand(errand) => errand.settle(outcome, known),
            Flow::Registering(registering) => registering.settle(outcome, known),
            Flow::Reserving(reserving) => reserving.settle(outcome, known),
            Flow::Queueing(queueing) => queueing.settle(outcome, known),
            Flow::Asking(asking) => asking.settle(outcome),
            Flow::Talk => Reaction::default(),
        };
        self.over |= unknown;
        reaction
    }
}
