//! Handing the caller to a person: ordered once everything was said, awaited within a bound, typed in its outcome.
//!
//! A tool asks for it (`transfers_call`), or the conversation itself when it cannot go on ([`crate::Config::trouble_transfer`]).
//! The tool's call stays open until the outcome is known, so that the model learns what came of it and nothing else (invariant 3).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::command::Command;
use crate::input::TransferOutcome;
use crate::machine::{Conversation, Phase};
use crate::message::ToolCall;
use crate::outputs;
use crate::reply::{After, Purpose, Stage};
use crate::summary::{EndReason, ToolStatus, TransferTrace};
use crate::time::CallTime;
use crate::tools::Running;
use crate::utterance::Role;

/// When the caller is gone, the outcome is waited for so long: a trunk may take him over before it says so.
const LEFT_WAIT: Duration = Duration::from_secs(2);

/// A transfer that is to come or under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Transfer {
    /// A name of the configuration.
    target: String,
    /// The call that asked for it; `None` if nobody but the conversation did.
    call: Option<ToolCall>,
    /// By when it must have ended, once it was ordered.
    deadline: Option<CallTime>,
}

impl Transfer {
    const fn is_ordered(&self) -> bool {
        self.deadline.is_some()
    }
}

impl Conversation {
    /// Whether the caller is being handed over.
    pub(crate) fn is_transferring(&self) -> bool {
        self.state.transfer.as_ref().is_some_and(Transfer::is_ordered)
    }

    /// Whether a transfer waits for the agent's last word.
    pub(crate) fn transfer_waits(&self) -> bool {
        self.state.transfer.as_ref().is_some_and(|transfer| !transfer.is_ordered())
    }

    /// Whether every call has its output, a transfer's included.
    pub(crate) fn calls_settled(&self) -> bool {
        self.state.tools.is_idle() && self.state.transfer.is_none()
    }

    /// When the transfer is given up.
    pub(crate) fn transfer_due_at(&self) -> Option<CallTime> {
        self.state.transfer.as_ref().and_then(|transfer| transfer.deadline)
    }

    /// A tool named where the caller is to go; he goes there once everything was said. The call stays open until then.
    pub(crate) fn transfer_asked(&mut self, now: CallTime, running: Running, result: &Value) {
        let alive = self.state.reply.as_ref().is_some_and(|reply| reply.id == running.reply);
        let target = result.get("target").or_else(|| running.call.arguments.get("target")).and_then(Value::as_str);
        let fault = match target {
            _ if !alive => Err((ToolStatus::Cancelled, outputs::cancelled())),
            _ if self.state.transfer.is_some() => {
                let message = "The call is being transferred already; one target at a time.";
                Err((ToolStatus::Failed, outputs::fault("busy", message, false)))
            }
            None => Err((ToolStatus::Failed, outputs::fault("no_target", "The tool named nobody to transfer to.", false))),
            Some(target) => Ok(target.to_owned()),
        };
        match fault {
            Err((status, output)) => self.settle_call(now, &running.call, status, output),
            Ok(target) => self.state.transfer = Some(Transfer { target, call: Some(running.call), deadline: None }),
        }
    }

    /// Everything was said: orders the transfer.
    pub(crate) fn order_transfer(&mut self, now: CallTime) {
        let own = || self.config.trouble_transfer.clone().map(|target| Transfer { target, call: None, deadline: None });
        let Some(mut transfer) = self.state.transfer.take().or_else(own) else {
            return self.close(now, EndReason::Failed);
        };
        transfer.deadline = Some(now + self.config.transfer_timeout.max(Duration::from_secs(1)));
        let target = transfer.target.clone();
        self.state.transfer = Some(transfer);
        if let Some(reply) = &mut self.state.reply {
            reply.stage = Stage::Transferring;
        }
        self.state.record.transfer_ordered(TransferTrace { target: target.clone(), at: now, outcome: None });
        self.audit("transfer.ordered", None);
        self.push(Command::Transfer { target });
        self.push(Command::StoreState);
    }

    /// Nothing can be said any more, or the words before the transfer were lost: it is ordered without them, or goes on.
    pub(crate) fn transfer_unsaid(&mut self, now: CallTime) {
        let (purpose, turn) = self.state.reply.as_ref().map_or((Purpose::Apology, None), |reply| (reply.purpose, reply.turn));
        // Set aside, so that to drop the speech does not drop it.
        let transfer = self.state.transfer.take();
        self.cancel_reply(now);
        self.start_reply(now, purpose, turn, None, After::Transfer);
        self.state.transfer = transfer;
        if self.is_transferring() {
            self.await_transfer();
        } else {
            self.order_transfer(now);
        }
    }

    /// The reply at work waits for what comes of the transfer.
    fn await_transfer(&mut self) {
        if let Some(reply) = &mut self.state.reply {
            reply.stage = Stage::Transferring;
        }
    }

    /// The agent cannot go on, and says this before the end: hands the caller to a person where that can be done, else hangs up.
    pub(crate) fn way_out(&self) -> (After, String) {
        if self.config.trouble_transfer.is_some() {
            (After::Transfer, self.phrases().put_through.clone())
        } else {
            (After::HangUp(EndReason::Failed), self.phrases().apology.clone())
        }
    }

    /// The agent cannot go on while the caller is being handed over: should that fail, nothing is left but to say so.
    pub(crate) fn give_up_transferring(&mut self, now: CallTime) {
        self.start_reply(now, Purpose::Apology, None, None, After::Transfer);
        self.await_transfer();
    }

    /// Nothing can be said any more: the call ends, or goes to a person without a word.
    pub(crate) fn speechless(&mut self, now: CallTime) {
        if self.is_transferring() {
            self.give_up_transferring(now);
        } else if self.config.trouble_transfer.is_some() {
            self.start_reply(now, Purpose::Apology, None, None, After::Transfer);
            self.order_transfer(now);
        } else {
            self.close(now, EndReason::Failed);
        }
    }

    /// The shell says what came of the transfer.
    pub(crate) fn transfer_ended(&mut self, now: CallTime, outcome: TransferOutcome) {
        let Some(transfer) = self.state.transfer.take_if(|transfer| transfer.is_ordered()) else { return };
        self.state.record.transfer_ended(outcome);
        self.audit("transfer.ended", Some(outcome.as_str().into()));
        if let Some(call) = &transfer.call {
            let status = if outcome == TransferOutcome::Accepted { ToolStatus::Done } else { ToolStatus::Failed };
            self.settle_call(now, call, status, outputs::transfer(&transfer.target, outcome));
        }
        if let Phase::Closing(reason) = &mut self.state.phase {
            if outcome == TransferOutcome::Accepted && *reason == EndReason::CallerHungUp {
                *reason = EndReason::Transferred;
            }
            return;
        }
        if outcome == TransferOutcome::Accepted {
            return self.close(now, EndReason::Transferred);
        }
        self.push(Command::StoreState);
        let Some(reply) = self.state.reply.as_mut().filter(|reply| reply.stage == Stage::Transferring) else { return };
        if reply.purpose == Purpose::Apology {
            reply.after = After::HangUp(EndReason::Failed);
            reply.stage = Stage::Speaking;
            let apology = self.phrases().apology.clone();
            self.say_after_tools(now, &apology, Role::Said);
        } else {
            reply.next_step();
        }
    }

    /// Gives the transfer up when its time has run out; whether it had.
    pub(crate) fn transfer_due(&mut self, now: CallTime) -> bool {
        let due = self.transfer_due_at().is_some_and(|at| at <= now);
        if due {
            self.transfer_ended(now, TransferOutcome::Failed { sip_code: None });
        }
        due
    }

    /// Forgets a transfer that was not ordered yet: the caller speaks, or the call ends.
    pub(crate) fn drop_transfer(&mut self, now: CallTime) {
        let dropped = self.state.transfer.take_if(|transfer| !transfer.is_ordered());
        if let Some(call) = dropped.and_then(|transfer| transfer.call) {
            self.settle_call(now, &call, ToolStatus::Cancelled, outputs::cancelled());
        }
    }

    /// The call ends: of a transfer under way the outcome is worth a moment only if it may be what took the caller away.
    pub(crate) fn close_transfer(&mut self, now: CallTime, reason: EndReason) {
        self.drop_transfer(now);
        let Some(transfer) = &mut self.state.transfer else { return };
        if reason == EndReason::CallerHungUp {
            let soon = now + LEFT_WAIT;
            transfer.deadline = transfer.deadline.map(|deadline| deadline.min(soon));
        } else if let Some(call) = self.state.transfer.take().and_then(|transfer| transfer.call) {
            self.settle_call(now, &call, ToolStatus::Unknown, outputs::transfer_unknown());
        }
    }

    /// Another worker has the call: its caller is still there, so the transfer that the one before waited for has not come about.
    pub(crate) fn take_over_transfer(&mut self, now: CallTime) {
        if self.is_transferring() {
            self.transfer_ended(now, TransferOutcome::Failed { sip_code: None });
        }
    }
}
