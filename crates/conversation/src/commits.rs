//! The second phase of a `Commit` tool: `confirm`, the order to commit, and whatever comes of it.

use serde_json::Value;

use crate::command::Command;
use crate::confirm::{Objection, Progress, Verdict};
use crate::ids::ConfirmationId;
use crate::input::CommitOutcome;
use crate::machine::Conversation;
use crate::message::ToolCall;
use crate::outputs;
use crate::summary::ToolStatus;
use crate::time::CallTime;
use crate::tools::{Running, Work};

impl Conversation {
    /// The model calls `confirm`.
    pub(crate) fn confirm(&mut self, now: CallTime, call: ToolCall) {
        let Some(id) = call.arguments.get("confirmation_id").and_then(Value::as_str).map(|id| ConfirmationId(id.into())) else {
            let message = "confirmation_id: a text is expected, the one that the prepared action gave.";
            return self.fail_call(now, &call, outputs::fault("invalid_arguments", message, true));
        };
        let turn = self.state.reply.as_ref().and_then(|reply| reply.turn);
        match self.state.tools.confirmations.judge(&id, turn) {
            Verdict::Commit => self.order_commit(now, id, call),
            Verdict::Waiting(deadline) => self.await_call(call, Work::Confirm(id), deadline),
            Verdict::Settled(status, output) => self.settle_call(now, &call, status, output),
            Verdict::Objection(objection) => self.object(now, &id, &call, &objection),
        }
    }

    fn order_commit(&mut self, now: CallTime, id: ConfirmationId, call: ToolCall) {
        let Some(confirmation) = self.state.tools.confirmations.get_mut(&id) else { return };
        let deadline = now + confirmation.timeout;
        confirmation.progress = Progress::Committing { deadline };
        let prepared = confirmation.call.clone();
        self.state.record.tool_confirmed(&prepared.id, &id, prepared.arguments.clone());
        self.await_call(call, Work::Confirm(id.clone()), deadline);
        self.audit("tool.committing", Some(id.0.clone()));
        // Before the order: whoever resumes this conversation must know that the commit is open.
        self.push(Command::StoreState);
        self.push(Command::CommitTool { confirmation: id, call: prepared });
    }

    fn object(&mut self, now: CallTime, id: &ConfirmationId, call: &ToolCall, objection: &Objection) {
        let (code, message) = match objection {
            Objection::NoSuch => {
                let waiting = self.state.tools.confirmations.waiting();
                let waiting = if waiting.is_empty() { "none".to_string() } else { waiting.join(", ") };
                ("unknown_confirmation", format!("confirmation_id: nothing was prepared under this id. Waiting for the caller: {waiting}."))
            }
            Objection::Superseded => {
                ("superseded", "A later preparation took the place of this one. Confirm that one, or prepare again.".to_string())
            }
            Objection::ReadBackCut => (
                "read_back_incomplete",
                "Not done: the caller has not heard the read-back to its end. It is being read again; wait for the caller's answer, then call confirm again."
                    .to_string(),
            ),
            Objection::NoAnswerYet => (
                "caller_has_not_answered",
                "Not done: the caller has said nothing since the read-back. Wait for the caller's answer, then call confirm again.".to_string(),
            ),
        };
        self.fail_call(now, call, outputs::fault(code, message, true));
        if let (Objection::ReadBackCut, Some(reply)) = (objection, &mut self.state.reply)
            && !reply.read_backs.contains(id)
        {
            reply.read_backs.push(id.clone());
        }
    }

    /// The outcome of a commit came.
    pub(crate) fn tool_committed(&mut self, now: CallTime, id: &ConfirmationId, outcome: &CommitOutcome) {
        let Some(confirmation) = self.state.tools.confirmations.get_mut(id) else { return };
        let (status, output) = outputs::commit(outcome);
        let late = match confirmation.progress {
            Progress::Committing { .. } => false,
            Progress::Unknown { .. } if status != ToolStatus::Unknown => true,
            _ => return,
        };
        confirmation.progress = match status {
            ToolStatus::Unknown => Progress::Unknown { output: output.clone() },
            _ => Progress::Settled { status, output: output.clone() },
        };
        let prepared = confirmation.call.clone();
        self.state.record.tool_settled(&prepared.id, status, output.clone(), now);
        if late {
            self.state.history.note(format!("The outcome of {} under confirmation {id} is known now: {output}", prepared.name));
        }
        while let Some(at) = self.state.tools.running.iter().position(|running| running.work == Work::Confirm(id.clone())) {
            let running = self.state.tools.running.remove(at);
            self.settle_call(now, &running.call, status, output.clone());
        }
        self.audit_outcome(id, status);
        self.push(Command::StoreState);
    }

    /// No outcome in time: it is unknown, and may still come.
    pub(crate) fn commit_timed_out(&mut self, now: CallTime, id: &ConfirmationId, running: &Running) {
        let (status, output) = outputs::commit(&CommitOutcome::Unknown);
        self.settle_call(now, &running.call, status, output.clone());
        let Some(confirmation) = self.state.tools.confirmations.get_mut(id) else { return };
        if !matches!(confirmation.progress, Progress::Committing { .. }) {
            return;
        }
        confirmation.progress = Progress::Unknown { output: output.clone() };
        let prepared = confirmation.call.id.clone();
        self.state.record.tool_settled(&prepared, status, output, now);
        self.audit_outcome(id, status);
        self.push(Command::StoreState);
    }

    fn audit_outcome(&mut self, id: &ConfirmationId, status: ToolStatus) {
        let action = match status {
            ToolStatus::Done => "tool.committed",
            ToolStatus::Unknown => "tool.outcome_unknown",
            _ => "tool.refused",
        };
        self.audit(action, Some(id.0.clone()));
    }
}
