//! Running tools: each call is a task of its own, with a time-out, and a panic in one is an error like any other.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use frontdesk_conversation::{CommitOutcome, ConfirmationId, Effect, Prepared, ToolCall, ToolCallId, ToolError};
use futures_util::FutureExt;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::tasks::Tasks;
use crate::tool::{Tool, ToolContext, ToolSet};

/// Tools of one call that run at the same time; one more is refused.
const RUNNING_MAX: usize = 16;

/// What came of a tool.
#[derive(Debug)]
pub(crate) enum ToolReport {
    /// A `Read` or `Record` tool finished.
    Finished(ToolCallId, Result<Value, ToolError>),
    /// A `Commit` tool was prepared.
    Prepared(ToolCallId, Result<Prepared, ToolError>),
    /// A `Commit` tool ran.
    Committed(ConfirmationId, CommitOutcome),
}

/// The tools of one call and those of them that run.
pub(crate) struct Tools {
    set: ToolSet,
    context: ToolContext,
    reports: mpsc::Sender<ToolReport>,
    running: Vec<(ToolCallId, AbortHandle)>,
    /// What has an effect: neither a barge-in nor the end of the call, nor of the session's own task, cuts it off.
    effects: TaskTracker,
}

impl Tools {
    /// The tools of one call; `context` is completed with the id of each tool call.
    #[must_use]
    pub(crate) fn new(set: ToolSet, context: ToolContext, reports: mpsc::Sender<ToolReport>) -> Self {
        Self { set, context, reports, running: Vec::new(), effects: TaskTracker::new() }
    }

    fn context(&self, call: &ToolCallId) -> ToolContext {
        ToolContext { tool_call_id: call.0.clone(), ..self.context.clone() }
    }

    fn find(&mut self, name: &str) -> Result<Arc<dyn Tool>, ToolError> {
        self.running.retain(|(_, task)| !task.is_finished());
        if self.running.len() + self.effects.len() >= RUNNING_MAX {
            let message = format!("more than {RUNNING_MAX} tools are running; wait for their results");
            return Err(error("busy", message, true));
        }
        self.set.get(name).cloned().ok_or_else(|| error("unknown_tool", format!("there is no tool `{name}`"), false))
    }

    /// Runs a `Read` or `Record` tool; a `Read` as a task of `tasks`, which may be cut off.
    pub(crate) fn run(&mut self, tasks: &mut Tasks, call: ToolCall) {
        let tool = self.find(&call.name);
        let reports = self.reports.clone();
        let context = self.context(&call.id);
        let id = call.id.clone();
        let cancellable = tool.as_ref().map_or(true, |tool| tool.effect() == Effect::Read);
        let work = async move {
            let outcome = match tool {
                Ok(tool) => bounded(tool.timeout(), tool.run(&context, call.arguments)).await,
                Err(error) => Err(error),
            };
            // Fails only when the session is gone.
            let _ = reports.send(ToolReport::Finished(call.id, outcome)).await;
        };
        if cancellable {
            self.track(id, tasks.spawn(work));
        } else {
            self.effects.spawn(work.in_current_span());
        }
    }

    /// Prepares a `Commit` tool as a task of `tasks`.
    pub(crate) fn prepare(&mut self, tasks: &mut Tasks, call: ToolCall) {
        let tool = self.find(&call.name);
        let reports = self.reports.clone();
        let context = self.context(&call.id);
        let id = call.id.clone();
        let task = tasks.spawn(async move {
            let outcome = match tool {
                Ok(tool) => bounded(tool.timeout(), tool.prepare(&context, call.arguments)).await,
                Err(error) => Err(error),
            };
            // Fails only when the session is gone.
            let _ = reports.send(ToolReport::Prepared(call.id, outcome)).await;
        });
        self.track(id, task);
    }

    /// Runs a prepared `Commit` tool. It has no time-out here: at its time-out the conversation tells the model that the outcome is
    /// unknown, and the late result still counts.
    pub(crate) fn commit(&mut self, confirmation: ConfirmationId, call: ToolCall) {
        let tool = self.set.get(&call.name).cloned();
        let reports = self.reports.clone();
        let context = self.context(&call.id);
        let commit = async move {
            let outcome = match tool {
                Some(tool) => AssertUnwindSafe(tool.commit(&context, &confirmation.0, call.arguments))
                    .catch_unwind()
                    .await
                    // Nobody can tell how far it came.
                    .unwrap_or(CommitOutcome::Unknown),
                None => CommitOutcome::Refused(error("unknown_tool", format!("there is no tool `{}`", call.name), false)),
            };
            if reports.send(ToolReport::Committed(confirmation, outcome)).await.is_err() {
                tracing::warn!("a commit ended after its call's record was closed");
            }
        };
        self.effects.spawn(commit.in_current_span());
    }

    fn track(&mut self, id: ToolCallId, task: AbortHandle) {
        self.running.push((id, task));
    }

    /// Drops a running `Read` tool.
    pub(crate) fn cancel(&mut self, call: &ToolCallId) {
        self.running.retain(|(id, task)| {
            if id == call {
                task.abort();
            }
            id != call
        });
    }

    /// Whether something that has an effect still runs.
    #[must_use]
    pub(crate) fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// Waits until nothing that has an effect runs. Starts nothing more.
    pub(crate) async fn effects_ended(&self) {
        self.effects.close();
        self.effects.wait().await;
    }
}

async fn bounded<T>(limit: Duration, work: impl Future<Output = Result<T, ToolError>>) -> Result<T, ToolError> {
    match timeout(limit, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(error("internal", "the tool failed by a fault of ours; do not call it again in this turn".into(), false)),
        Err(_) => Err(error("timeout", format!("no answer within {} ms", limit.as_millis()), true)),
    }
}

fn error(code: &str, message: String, retryable: bool) -> ToolError {
    ToolError { code: code.into(), message, details: None, retryable }
}

#[cfg(test)]
mod tests;
