//! Tool calls: each gets exactly one output before the model is asked again (invariant 3), and a commit happens at most
//! once per confirmation (invariant 2).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::command::Command;
use crate::config::{Effect, ToolSpec};
use crate::confirm::{CONFIRM_TOOL, Confirmations};
use crate::ids::{ConfirmationId, ReplyId, ToolCallId};
use crate::input::{Prepared, ToolError};
use crate::machine::Conversation;
use crate::message::ToolCall;
use crate::outputs;
use crate::sentences::is_speakable;
use crate::summary::ToolStatus;
use crate::time::CallTime;

/// An id of the model that is longer than this is replaced.
const ID_CHARS_MAX: usize = 64;
/// So many ids are remembered; later ones are replaced by our own.
const IDS_MAX: usize = 4096;
/// How our own ids begin.
const ID_PREFIX: &str = "call-";

/// What a running call does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Runs a `Read` or `Record` tool.
    Run(Effect),
    /// Prepares a `Commit` tool.
    Prepare,
    /// Waits for the outcome of a commit.
    Confirm(ConfirmationId),
}

/// A call that has no output yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) call: ToolCall,
    pub(crate) reply: ReplyId,
    pub(crate) work: Work,
    pub(crate) deadline: CallTime,
    ends_call: bool,
    #[serde(default)]
    transfers_call: bool,
}

/// The tool calls of a conversation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Toolbox {
    pub(crate) running: Vec<Running>,
    pub(crate) confirmations: Confirmations,
    used: BTreeSet<String>,
    minted: u32,
}

impl Toolbox {
    /// Whether every call has its output.
    pub(crate) const fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether calls of this reply have no output yet.
    pub(crate) fn is_open_for(&self, reply: ReplyId) -> bool {
        self.running.iter().any(|running| running.reply == reply)
    }

    /// When the next call times out.
    pub(crate) fn due_at(&self) -> Option<CallTime> {
        self.running.iter().map(|running| running.deadline).min()
    }

    /// Takes a call out of the running ones if it does the work expected.
    pub(crate) fn take(&mut self, id: &ToolCallId, expected: impl Fn(&Work) -> bool) -> Option<Running> {
        let at = self.running.iter().position(|running| running.call.id == *id && expected(&running.work))?;
        Some(self.running.remove(at))
    }

    /// An id that no call of this conversation has had; the model's own if it can be.
    fn unique_id(&mut self, id: &ToolCallId) -> ToolCallId {
        let usable = !id.0.is_empty() && id.0.len() <= ID_CHARS_MAX && !id.0.starts_with(ID_PREFIX);
        if usable && self.used.len() < IDS_MAX && self.used.insert(id.0.clone()) {
            return id.clone();
        }
        self.minted += 1;
        ToolCallId(format!("{ID_PREFIX}{}", self.minted))
    }
}

impl Conversation {
    fn spec(&self, name: &str) -> Option<&ToolSpec> {
        self.config.tools.iter().find(|spec| spec.name == name)
    }

    /// Starts the calls of one step.
    pub(crate) fn start_calls(&mut self, now: CallTime, calls: Vec<ToolCall>) {
        let decisive =
            |call: &ToolCall| call.name == CONFIRM_TOOL || self.spec(&call.name).is_some_and(|spec| spec.effect == Effect::Commit);
        let undecided = calls.iter().any(decisive);
        for mut call in calls {
            call.id = self.state.tools.unique_id(&call.id);
            if call.arguments.is_null() || call.arguments == "" {
                // Some services send nothing for a tool without arguments.
                call.arguments = json!({});
            }
            let Some(reply) = &mut self.state.reply else { return };
            let entry = *reply.entry.get_or_insert_with(|| self.state.history.open_agent(reply.id));
            self.state.history.add_call(entry, call.clone());
            self.state.record.tool_started(&call, reply.turn, now);
            self.start_call(now, call, undecided);
        }
    }

    fn start_call(&mut self, now: CallTime, call: ToolCall, undecided: bool) {
        if !call.arguments.is_object() {
            let message =
                format!("The arguments must be one JSON object that follows the tool's schema; {} came.", kind_of(&call.arguments));
            return self.fail_call(now, &call, outputs::fault("invalid_arguments", message, true));
        }
        if call.name == CONFIRM_TOOL {
            return self.confirm(now, call);
        }
        let Some(spec) = self.spec(&call.name).cloned() else {
            let known: Vec<&str> = self.config.tools.iter().map(|spec| spec.name.as_str()).chain([CONFIRM_TOOL]).collect();
            let message = format!("There is no tool of this name. The tools are: {}.", known.join(", "));
            return self.fail_call(now, &call, outputs::fault("unknown_tool", message, true));
        };
        if (spec.ends_call || spec.transfers_call) && undecided {
            let message = "The call cannot end or be transferred in the same step in which something is prepared or confirmed. Tell the caller the outcome first.";
            return self.fail_call(now, &call, outputs::fault("not_yet", message, true));
        }
        let (work, command) = match spec.effect {
            Effect::Read | Effect::Record => (Work::Run(spec.effect), Command::RunTool { call: call.clone() }),
            Effect::Commit => (Work::Prepare, Command::PrepareTool { call: call.clone() }),
        };
        self.await_call(call, work, now + spec.timeout);
        if let Some(running) = self.state.tools.running.last_mut() {
            (running.ends_call, running.transfers_call) = (spec.ends_call, spec.transfers_call);
        }
        self.push(command);
    }

    /// Puts a call among the running ones.
    pub(crate) fn await_call(&mut self, call: ToolCall, work: Work, deadline: CallTime) {
        let reply = self.state.reply.as_ref().map(|reply| reply.id).unwrap_or_default();
        self.state.tools.running.push(Running { call, reply, work, deadline, ends_call: false, transfers_call: false });
    }

    /// Gives a call its output.
    pub(crate) fn settle_call(&mut self, now: CallTime, call: &ToolCall, status: ToolStatus, output: Value) {
        self.state.history.set_output(&call.id, output.to_string());
        self.state.record.tool_settled(&call.id, status, output, now);
    }

    /// Gives a call an error for an output.
    pub(crate) fn fail_call(&mut self, now: CallTime, call: &ToolCall, output: Value) {
        self.settle_call(now, call, ToolStatus::Failed, output);
        if let Some(reply) = &mut self.state.reply {
            reply.step_failed = true;
        }
    }

    /// A call ended badly after it had been started.
    fn fail_running(&mut self, now: CallTime, running: &Running, output: Value) {
        self.settle_call(now, &running.call, ToolStatus::Failed, output);
        if let Some(reply) = self.state.reply.as_mut().filter(|reply| reply.id == running.reply) {
            reply.step_failed = true;
        }
    }

    pub(crate) fn tool_finished(&mut self, now: CallTime, id: &ToolCallId, outcome: Result<Value, ToolError>) {
        let Some(running) = self.state.tools.take(id, |work| matches!(work, Work::Run(_))) else { return };
        match outcome {
            Ok(value) if running.transfers_call => self.transfer_asked(now, running, &value),
            Ok(value) => {
                self.settle_call(now, &running.call, ToolStatus::Done, outputs::bounded(value));
                if let Some(reply) = self.state.reply.as_mut().filter(|reply| reply.id == running.reply) {
                    reply.ends |= running.ends_call;
                }
            }
            Err(error) => self.fail_running(now, &running, outputs::bounded(outputs::error(&error))),
        }
    }

    pub(crate) fn tool_prepared(&mut self, now: CallTime, id: &ToolCallId, outcome: Result<Prepared, ToolError>) {
        let Some(running) = self.state.tools.take(id, |work| *work == Work::Prepare) else { return };
        let prepared = match outcome {
            Ok(prepared) if is_speakable(&prepared.read_back) => prepared,
            Ok(_) => return self.fail_running(now, &running, outputs::fault("no_read_back", "The tool gave nothing to read back.", false)),
            Err(error) => return self.fail_running(now, &running, outputs::bounded(outputs::error(&error))),
        };
        let timeout = self.spec(&running.call.name).map(|spec| spec.timeout).unwrap_or_default();
        let canonical = ToolCall { arguments: prepared.arguments, ..running.call.clone() };
        let confirmation = self.state.tools.confirmations.mint(canonical, prepared.read_back.clone(), timeout);
        self.settle_call(now, &running.call, ToolStatus::Prepared, outputs::awaiting(&confirmation, &prepared.read_back));
        if let Some(reply) = self.state.reply.as_mut().filter(|reply| reply.id == running.reply) {
            reply.read_backs.push(confirmation.clone());
        }
        self.audit("tool.prepared", Some(confirmation.0));
        self.push(Command::StoreState);
    }

    /// Settles the calls whose time has run out; whether there were any.
    pub(crate) fn tools_due(&mut self, now: CallTime) -> bool {
        let Some(at) = self.state.tools.running.iter().position(|running| running.deadline <= now) else { return false };
        let running = self.state.tools.running.remove(at);
        match &running.work {
            Work::Confirm(confirmation) => self.commit_timed_out(now, &confirmation.clone(), &running),
            Work::Run(Effect::Read) => {
                self.push(Command::CancelTool { call: running.call.id.clone() });
                self.fail_running(now, &running, outputs::timed_out());
            }
            Work::Run(_) | Work::Prepare => self.fail_running(now, &running, outputs::timed_out()),
        }
        true
    }

    /// The reply was cancelled: what only reads or prepares for it is of no use any more. Effects go on.
    pub(crate) fn cancel_tools(&mut self, now: CallTime, reply: ReplyId) {
        let running = std::mem::take(&mut self.state.tools.running);
        for running in running {
            let droppable = matches!(running.work, Work::Run(Effect::Read) | Work::Prepare);
            if running.reply != reply || !droppable {
                self.state.tools.running.push(running);
                continue;
            }
            if running.work == Work::Run(Effect::Read) {
                self.push(Command::CancelTool { call: running.call.id.clone() });
            }
            self.settle_call(now, &running.call, ToolStatus::Cancelled, outputs::cancelled());
        }
    }
}

const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text that is not valid JSON",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::Toolbox;
    use crate::ids::ToolCallId;

    #[test]
    fn ids_are_unique_whatever_the_model_sends() {
        let mut tools = Toolbox::default();
        let ids: Vec<String> = ["a", "a", "", "call-1", "b"].iter().map(|id| tools.unique_id(&ToolCallId((*id).into())).0).collect();
        assert_eq!(ids, ["a", "call-1", "call-2", "call-3", "b"]);
    }
}
