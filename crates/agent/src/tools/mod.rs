//! Running tools: each call is a task of its own, with a time-out, and a panic in one is an error like any other.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use frontdesk_conversation::{CommitOutcome, ConfirmationId, Effect, Prepared, ToolCall, ToolCallId, ToolError, ToolSpec};
use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::control::{CallControl, CallOrder};
use crate::helpers::Tasks;
use crate::llm::ToolSchema;
use crate::model::confirm_schema;
use crate::numbers;
use crate::tool::{CallSoFar, Tool, ToolContext, ToolSet, schema_of};

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
    /// A tool orders something of the session; comes before its result.
    Order(CallOrder),
}

/// Sets of earlier agents and tasks that are kept for commits which they prepared.
const EARLIER_MAX: usize = 8;

/// The tools of one call and those of them that run.
pub(crate) struct Tools {
    set: ToolSet,
    earlier: VecDeque<ToolSet>,
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
        Self { set, earlier: VecDeque::new(), context, reports, running: Vec::new(), effects: TaskTracker::new() }
    }

    fn context(&self, call: &ToolCallId) -> ToolContext {
        ToolContext { tool_call_id: call.0.clone(), call: self.context.call.for_tool_call(), ..self.context.clone() }
    }

    /// The call goes on in this language.
    pub(crate) fn speak(&mut self, language: String) {
        self.context.language = language;
    }

    /// Another agent has the call: its tools are found first; what the ones before prepared can still be committed.
    pub(crate) fn replace(&mut self, set: ToolSet) {
        self.earlier.push_front(std::mem::replace(&mut self.set, set));
        self.earlier.truncate(EARLIER_MAX);
    }

    fn known(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.set.get(name).or_else(|| self.earlier.iter().find_map(|set| set.get(name)))
    }

    /// What the model sees of the tools that the conversation has at the moment and that make sense, and of `confirm` once there is
    /// something to confirm.
    #[must_use]
    pub(crate) fn schemas(&self, specs: &[ToolSpec], so_far: CallSoFar<'_>) -> Vec<ToolSchema> {
        let available = specs.iter().filter_map(|spec| self.known(&spec.name)).filter(|tool| tool.is_available(&so_far));
        let mut schemas: Vec<ToolSchema> = available.map(schema_of).collect();
        let commits = specs.iter().any(|spec| spec.effect == Effect::Commit) || self.earlier.iter().any(ToolSet::commits);
        schemas.extend(commits.then(confirm_schema));
        schemas
    }

    /// A tool call was answered while its tool goes on: nothing may cut it off any more.
    pub(crate) fn detach(&mut self, call: &ToolCallId) {
        self.running.retain(|(id, _)| id != call);
    }

    fn find(&mut self, name: &str, so_far: CallSoFar<'_>) -> Result<Arc<dyn Tool>, ToolError> {
        self.running.retain(|(_, task)| !task.is_finished());
        if self.running.len() + self.effects.len() >= RUNNING_MAX {
            let message = format!("more than {RUNNING_MAX} tools are running; wait for their results");
            return Err(error("busy", message, true));
        }
        let tool = self.known(name).cloned().ok_or_else(|| error("unknown_tool", format!("there is no tool `{name}`"), false))?;
        if !tool.is_available(&so_far) {
            let message = format!("`{name}` cannot be used at this point of the call; use only the tools that you are given");
            return Err(error("not_available", message, false));
        }
        Ok(tool)
    }

    /// Runs a `Read` or `Record` tool; a `Read` as a task of `tasks`, which may be cut off.
    pub(crate) fn run(&mut self, tasks: &mut Tasks, call: ToolCall, so_far: CallSoFar<'_>) {
        let tool = self.find(&call.name, so_far);
        let reports = self.reports.clone();
        let context = self.context(&call.id);
        let id = call.id.clone();
        let cancellable = tool.as_ref().map_or(true, |tool| tool.effect() == Effect::Read);
        let work = async move {
            let outcome = match tool {
                Ok(tool) => {
                    let run = unless_asking(tool.timeout(), &context.call, tool.run(&context, call.arguments));
                    measured(tool.name(), &context, run, Result::is_err).await
                }
                Err(error) => Err(error),
            };
            if context.call.is_asking() {
                // The call was answered when it began to ask the caller; now the task's own tool says what came of it.
                let result = outcome.map_or_else(|error| json!({ "error": error }), |result| json!({ "result": result }));
                if !context.call.tell_next(result) {
                    tracing::warn!(tool = %call.name, "the result of a tool that asked the caller comes too late");
                }
                return;
            }
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
    pub(crate) fn prepare(&mut self, tasks: &mut Tasks, call: ToolCall, so_far: CallSoFar<'_>) {
        let tool = self.find(&call.name, so_far);
        let reports = self.reports.clone();
        let context = self.context(&call.id);
        let id = call.id.clone();
        let task = tasks.spawn(async move {
            let outcome = match tool {
                Ok(tool) => {
                    let prepare = bounded(tool.timeout(), tool.prepare(&context, call.arguments));
                    measured(tool.name(), &context, prepare, Result::is_err).await
                }
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
        let tool = self.known(&call.name).cloned();
        let reports = self.reports.clone();
        let context = self.context(&call.id);
        let commit = async move {
            let outcome = match tool {
                Some(tool) => {
                    let commit = AssertUnwindSafe(tool.commit(&context, &confirmation.0, call.arguments)).catch_unwind();
                    // Nobody can tell how far one that panicked came.
                    let commit = commit.map(|outcome| outcome.unwrap_or(CommitOutcome::Unknown));
                    measured(tool.name(), &context, commit, |outcome| !matches!(outcome, CommitOutcome::Done(_))).await
                }
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

/// Runs a tool in a span of its own and tells how long it took.
async fn measured<T>(name: &'static str, context: &ToolContext, work: impl Future<Output = T>, failed: impl Fn(&T) -> bool) -> T {
    let span = tracing::info_span!(
        "execute_tool",
        gen_ai.operation.name = "execute_tool",
        gen_ai.tool.name = name,
        gen_ai.tool.call.id = %context.tool_call_id
    );
    let began = Instant::now();
    let outcome = work.instrument(span).await;
    numbers::tool(name, began.elapsed(), failed(&outcome));
    outcome
}

/// Like [`bounded`]; a tool that asks the caller has the time that the caller takes.
async fn unless_asking<T>(limit: Duration, call: &CallControl, work: impl Future<Output = Result<T, ToolError>>) -> Result<T, ToolError> {
    let work = AssertUnwindSafe(work).catch_unwind();
    tokio::pin!(work);
    let done = match timeout(limit, &mut work).await {
        Ok(done) => done,
        Err(_) if call.is_asking() => work.await,
        Err(_) => return Err(late(limit)),
    };
    done.unwrap_or_else(|_| Err(panicked()))
}

fn late(limit: Duration) -> ToolError {
    error("timeout", format!("no answer within {} ms", limit.as_millis()), true)
}

fn panicked() -> ToolError {
    error("internal", "the tool failed by a fault of ours; do not call it again in this turn".into(), false)
}

async fn bounded<T>(limit: Duration, work: impl Future<Output = Result<T, ToolError>>) -> Result<T, ToolError> {
    match timeout(limit, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(panicked()),
        Err(_) => Err(late(limit)),
    }
}

fn error(code: &str, message: String, retryable: bool) -> ToolError {
    ToolError { code: code.into(), message, details: None, retryable }
}

#[cfg(test)]
mod tests;
