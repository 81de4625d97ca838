//! Confirmations: the second phase of a `Commit` tool.
//!
//! A confirmation is good once its read-back was played to the end and the caller took a turn after that (invariant 2).

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{ConfirmationId, TurnId};
use crate::message::ToolCall;
use crate::summary::ToolStatus;
use crate::time::CallTime;

/// Name of the built-in tool with which the model confirms.
pub const CONFIRM_TOOL: &str = "confirm";

/// What [`CONFIRM_TOOL`] does, worded for the model.
pub const CONFIRM_TOOL_DESCRIPTION: &str = "Carries out an action that was prepared and read back to the caller. Call it only after the caller has clearly agreed, \
     with the confirmation_id that the prepared action gave. Never call it in the same turn in which the action was prepared.";

/// Settled confirmations beyond this many are forgotten, oldest first.
const CONFIRMATIONS_MAX: usize = 64;

/// Arguments of [`CONFIRM_TOOL`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmArguments {
    /// The confirmation_id that the prepared action gave.
    pub confirmation_id: String,
}

/// JSON Schema of the arguments of [`CONFIRM_TOOL`]; the shell offers it to the model along with its own tools.
#[must_use]
pub fn confirm_tool_schema() -> Value {
    schemars::schema_for!(ConfirmArguments).to_value()
}

/// How far a confirmation has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Progress {
    /// Waits for the caller.
    Prepared,
    /// A later preparation took its place.
    Superseded,
    /// The commit was ordered.
    Committing {
        /// When its outcome becomes unknown.
        deadline: CallTime,
    },
    /// Ordered, and nothing is known of it.
    Unknown {
        /// What the model was told.
        output: Value,
    },
    /// Done or refused.
    Settled {
        /// How it ended.
        status: ToolStatus,
        /// What the model was told.
        output: Value,
    },
}

/// A prepared action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Confirmation {
    pub(crate) id: ConfirmationId,
    /// The call that prepared it, arguments in canonical form.
    pub(crate) call: ToolCall,
    pub(crate) read_back: String,
    pub(crate) timeout: Duration,
    /// The caller's last turn when the read-back had been played to its end; a later one may confirm.
    pub(crate) heard_after: Option<TurnId>,
    /// Speech that ends before this cannot be an answer to the read-back.
    #[serde(default)]
    pub(crate) heard_at: Option<CallTime>,
    pub(crate) progress: Progress,
}

/// Why a confirmation is not good.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Objection {
    /// There is no such confirmation.
    NoSuch,
    /// A later preparation took its place.
    Superseded,
    /// The read-back was not heard whole.
    ReadBackCut,
    /// The caller has not spoken since.
    NoAnswerYet,
}

/// What a confirmation leads to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// Order the commit.
    Commit,
    /// It was ordered; its outcome is waited for.
    Waiting(CallTime),
    /// It was settled before; the same answer again.
    Settled(ToolStatus, Value),
    /// It is not good.
    Objection(Objection),
}

/// The confirmations of a call.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Confirmations {
    list: Vec<Confirmation>,
    minted: u32,
}

impl Confirmations {
    /// Mints a confirmation; an older one of the same tool that was not confirmed is superseded.
    pub(crate) fn mint(&mut self, call: ToolCall, read_back: String, timeout: Duration) -> ConfirmationId {
        for older in self.list.iter_mut().filter(|older| older.call.name == call.name && older.progress == Progress::Prepared) {
            older.progress = Progress::Superseded;
        }
        if self.list.len() >= CONFIRMATIONS_MAX {
            let spent = self.list.iter().position(|old| matches!(old.progress, Progress::Settled { .. } | Progress::Superseded));
            let open = self.list.iter().position(|old| old.progress == Progress::Prepared);
            if let Some(oldest) = spent.or(open) {
                self.list.remove(oldest);
            }
        }
        self.minted += 1;
        let id = ConfirmationId(format!("c{}", self.minted));
        self.list.push(Confirmation {
            id: id.clone(),
            call,
            read_back,
            timeout,
            heard_after: None,
            heard_at: None,
            progress: Progress::Prepared,
        });
        id
    }

    pub(crate) fn get(&self, id: &ConfirmationId) -> Option<&Confirmation> {
        self.list.iter().find(|confirmation| confirmation.id == *id)
    }

    pub(crate) fn get_mut(&mut self, id: &ConfirmationId) -> Option<&mut Confirmation> {
        self.list.iter_mut().find(|confirmation| confirmation.id == *id)
    }

    /// The read-back was played to its end while `turn` was the caller's last.
    pub(crate) fn read_back_heard(&mut self, id: &ConfirmationId, turn: TurnId, answers_from: CallTime) {
        if let Some(confirmation) = self.get_mut(id) {
            confirmation.heard_after.get_or_insert(turn);
            confirmation.heard_at.get_or_insert(answers_from);
        }
    }

    /// A turn that was spoken before the end of a read-back could be heard answers something else.
    pub(crate) fn turn_committed(&mut self, turn: TurnId, last_speech: CallTime) {
        for confirmation in self.list.iter_mut().filter(|confirmation| confirmation.progress == Progress::Prepared) {
            if confirmation.heard_at.is_some_and(|heard| last_speech < heard) {
                confirmation.heard_after = Some(turn);
            }
        }
    }

    /// Nobody has heard the read-backs of actions that still wait: they are to be read again.
    pub(crate) fn forget_heard(&mut self) {
        for confirmation in self.list.iter_mut().filter(|confirmation| confirmation.progress == Progress::Prepared) {
            (confirmation.heard_after, confirmation.heard_at) = (None, None);
        }
    }

    /// Judges a confirmation that the model gives in answer to a turn.
    pub(crate) fn judge(&self, id: &ConfirmationId, turn: Option<TurnId>) -> Verdict {
        let Some(confirmation) = self.get(id) else { return Verdict::Objection(Objection::NoSuch) };
        match &confirmation.progress {
            Progress::Superseded => Verdict::Objection(Objection::Superseded),
            Progress::Committing { deadline } => Verdict::Waiting(*deadline),
            Progress::Unknown { output } => Verdict::Settled(ToolStatus::Unknown, output.clone()),
            Progress::Settled { status, output } => Verdict::Settled(*status, output.clone()),
            Progress::Prepared => match (confirmation.heard_after, turn) {
                (None, _) => Verdict::Objection(Objection::ReadBackCut),
                (Some(heard), Some(turn)) if turn > heard => Verdict::Commit,
                (Some(_), _) => Verdict::Objection(Objection::NoAnswerYet),
            },
        }
    }

    /// Whether the caller's next turn, after `last`, may be the answer to a read-back that was played to its end.
    pub(crate) fn awaits_answer(&self, last: TurnId) -> bool {
        self.list.iter().any(|confirmation| confirmation.progress == Progress::Prepared && confirmation.heard_after == Some(last))
    }

    /// The sentence to read back, while the confirmation still waits for the caller.
    pub(crate) fn read_back(&self, id: &ConfirmationId) -> Option<String> {
        self.get(id).filter(|confirmation| confirmation.progress == Progress::Prepared).map(|confirmation| confirmation.read_back.clone())
    }

    /// Those whose commit is under way.
    pub(crate) fn committing(&mut self) -> impl Iterator<Item = &mut Confirmation> {
        self.list.iter_mut().filter(|confirmation| matches!(confirmation.progress, Progress::Committing { .. }))
    }

    /// The ids that wait for the caller.
    pub(crate) fn waiting(&self) -> Vec<String> {
        self.list.iter().filter(|confirmation| confirmation.progress == Progress::Prepared).map(|c| c.id.0.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{Confirmations, Objection, Verdict, confirm_tool_schema};
    use crate::ids::{ToolCallId, TurnId};
    use crate::message::ToolCall;
    use crate::time::CallTime;

    fn call(name: &str) -> ToolCall {
        ToolCall { id: ToolCallId(format!("{name}-1")), name: name.into(), arguments: json!({}) }
    }

    #[test]
    fn good_only_when_heard_and_answered() {
        let mut confirmations = Confirmations::default();
        let id = confirmations.mint(call("book"), "Book?".into(), Duration::from_secs(5));
        assert_eq!(id.0, "c1");
        assert_eq!(confirmations.judge(&id, Some(TurnId(9))), Verdict::Objection(Objection::ReadBackCut));
        confirmations.read_back_heard(&id, TurnId(2), CallTime::from_millis(1000));
        assert_eq!(confirmations.judge(&id, Some(TurnId(2))), Verdict::Objection(Objection::NoAnswerYet));
        confirmations.turn_committed(TurnId(3), CallTime::from_millis(999));
        assert_eq!(confirmations.judge(&id, Some(TurnId(3))), Verdict::Objection(Objection::NoAnswerYet), "said before it was heard");
        confirmations.turn_committed(TurnId(4), CallTime::from_millis(1000));
        assert_eq!(confirmations.judge(&id, Some(TurnId(4))), Verdict::Commit);
        let other = confirmations.mint(call("cancel"), "Cancel?".into(), Duration::from_secs(5));
        assert_eq!(confirmations.judge(&id, Some(TurnId(4))), Verdict::Commit, "another tool does not supersede it");
        confirmations.mint(call("book"), "Book another?".into(), Duration::from_secs(5));
        assert_eq!(confirmations.judge(&id, Some(TurnId(3))), Verdict::Objection(Objection::Superseded));
        assert_eq!(confirmations.waiting(), [other.0, "c3".to_string()]);
    }

    #[test]
    fn the_schema_asks_for_the_id() {
        let schema = confirm_tool_schema();
        assert_eq!(schema["required"], json!(["confirmation_id"]));
        assert_eq!(schema["additionalProperties"], json!(false));
    }
}
