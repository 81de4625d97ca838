//! Repeated misunderstanding: the rule that counts it, and what the model is told.
//!
//! A turn is misunderstood if the recogniser was not sure of its words, if no words came of it, if the model gave no answer, or
//! if the agent had to ask for the same field once more. After [`crate::config::Misunderstanding::offer_after`] such turns in a
//! row the model is told, once, to stop asking and to offer a person or a message.

use serde::{Deserialize, Serialize};

use crate::fields::FieldKind;
use crate::ids::TurnId;
use crate::machine::Conversation;
use crate::words::Heard;

/// How well the agent and the caller have understood each other of late.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Trouble {
    now: Run,
    /// As it was before the turn committed last, which may be taken back.
    before: Run,
    /// The turn committed last, and whether it was misunderstood.
    turn: Option<(TurnId, bool)>,
    /// Whether the model was told in this run of trouble.
    told: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Run {
    /// Turns that were misunderstood without one between that was not.
    length: u32,
    /// The field that was asked for before the last turn.
    asked: Option<FieldKind>,
}

/// The mean confidence of a turn's words, if the recogniser told any.
fn confidence(heard: &Heard) -> Option<f32> {
    let known: Vec<f32> = heard.words.iter().map(|word| word.confidence).filter(|confidence| confidence.is_finite()).collect();
    if known.is_empty() {
        return None;
    }
    // A turn has at most a thousand words.
    #[expect(clippy::cast_precision_loss, reason = "exact far beyond a thousand")]
    let count = known.len() as f32;
    Some(known.iter().sum::<f32>() / count)
}

impl Conversation {
    /// A turn is being committed, and does not stand in the history yet.
    pub(crate) fn note_turn(&mut self, turn: TurnId, heard: &Heard) {
        let asked = self.state.asked;
        let trouble = &mut self.state.trouble;
        let again = asked.is_some() && asked == trouble.now.asked;
        let unsure = confidence(heard).is_some_and(|mean| mean < self.config.misunderstanding.confidence_min);
        trouble.before = trouble.now;
        trouble.now.asked = asked;
        trouble.turn = Some((turn, false));
        if again || unsure {
            self.turn_misunderstood(turn);
        } else {
            trouble.now.length = 0;
            trouble.told = false;
        }
    }

    /// A turn turns out to have been misunderstood; each counts once.
    pub(crate) fn turn_misunderstood(&mut self, turn: TurnId) {
        let trouble = &mut self.state.trouble;
        if trouble.turn != Some((turn, false)) {
            return;
        }
        trouble.turn = Some((turn, true));
        trouble.now.length = trouble.before.length.saturating_add(1);
        self.misunderstood();
    }

    /// The caller spoke, and no words came of it.
    pub(crate) fn note_unheard(&mut self) {
        let trouble = &mut self.state.trouble;
        trouble.turn = None;
        trouble.now.length = trouble.now.length.saturating_add(1);
        self.misunderstood();
    }

    /// The turn goes on: it is judged anew when it is committed again.
    pub(crate) fn forget_turn(&mut self, turn: TurnId) {
        let trouble = &mut self.state.trouble;
        if let Some((_, misunderstood)) = trouble.turn.take_if(|(last, _)| *last == turn) {
            trouble.now = trouble.before;
            if misunderstood {
                self.state.record.misunderstood = self.state.record.misunderstood.saturating_sub(1);
            }
        }
    }

    fn misunderstood(&mut self) {
        self.state.record.misunderstood = self.state.record.misunderstood.saturating_add(1);
        let (length, limit) = (self.state.trouble.now.length, self.config.misunderstanding.offer_after);
        if limit == 0 || length < limit || self.state.trouble.told {
            return;
        }
        self.state.trouble.told = true;
        self.state.record.offers = self.state.record.offers.saturating_add(1);
        self.audit("misunderstood.repeatedly", Some(length.to_string()));
        let person = self.config.tools.iter().find(|tool| tool.transfers_call);
        let offer = match person {
            Some(tool) => format!("to put the caller through to a person ({}), or to take a message", tool.name),
            None => "to take a message, so that a person calls back".into(),
        };
        let note = format!(
            "You and the caller have not understood each other {length} times in a row. Do not ask the same thing again. Say so in a few words and offer, now, {offer}."
        );
        self.state.history.note(note);
    }
}
