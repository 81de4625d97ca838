//! Tools that the model may call.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use frontdesk_conversation::{CommitOutcome, Effect, Prepared, ToolError, ToolSpec, ToolStatus, ToolTrace};
use serde_json::Value;

use crate::control::CallControl;
use crate::llm::ToolSchema;

/// A tool. Implementations validate their arguments and answer with errors that a model can repair from.
///
/// A `Read` or `Record` tool implements [`Tool::run`]; a `Commit` tool [`Tool::prepare`] and [`Tool::commit`].
#[async_trait]
pub trait Tool: Send + Sync {
    /// Its name, unique in a set: lower case with underscores.
    fn name(&self) -> &'static str;

    /// What it does and when to call it, worded for the model.
    fn description(&self) -> String;

    /// JSON Schema of its arguments.
    fn parameters(&self) -> Value;

    /// What it does to the world.
    fn effect(&self) -> Effect;

    /// After this long it counts as failed (a commit: as unknown).
    fn timeout(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// Whether its success ends the call.
    fn ends_call(&self) -> bool {
        false
    }

    /// Whether its success transfers the call once everything was said. Its result then names the target, a name that the transport
    /// knows: `{"target": "front office"}`; the model is told what came of the transfer instead.
    fn transfers_call(&self) -> bool {
        false
    }

    /// Whether it makes sense at this point of a call. The model is not shown a tool that does not; one that it calls all the same
    /// fails with `not_available`, and nothing runs. A commit that was prepared can be confirmed in any case.
    fn is_available(&self, so_far: &CallSoFar<'_>) -> bool {
        let _ = so_far;
        true
    }

    /// Which arguments are fields collected from the caller, as (field, value as the caller would have said it): they enter the
    /// call record with the recogniser's confidence.
    fn fields(&self, _arguments: &Value) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Runs a `Read` or `Record` tool.
    async fn run(&self, context: &ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let _ = (context, arguments);
        Err(unsupported(self.name(), "run"))
    }

    /// Validates, holds what is needed, words the read-back of a `Commit` tool.
    async fn prepare(&self, context: &ToolContext, arguments: Value) -> Result<Prepared, ToolError> {
        let _ = (context, arguments);
        Err(unsupported(self.name(), "prepare"))
    }

    /// Takes effect, at most once under `confirmation` (with the call's id it is the idempotency key).
    async fn commit(&self, context: &ToolContext, confirmation: &str, arguments: Value) -> CommitOutcome {
        let _ = (context, confirmation, arguments);
        CommitOutcome::Refused(unsupported(self.name(), "commit"))
    }
}

fn unsupported(tool: &str, phase: &str) -> ToolError {
    ToolError { code: "unsupported".into(), message: format!("{tool} has no phase `{phase}`"), details: None, retryable: false }
}

/// What has come of a call's tools so far. It is read from the conversation's own record, so a worker that takes a call over sees the
/// same.
#[derive(Debug, Clone, Copy)]
pub struct CallSoFar<'a>(&'a [ToolTrace]);

impl<'a> CallSoFar<'a> {
    /// The tool calls of a call, oldest first.
    #[must_use]
    pub const fn new(tools: &'a [ToolTrace]) -> Self {
        Self(tools)
    }

    /// Whether the tool was called and did what it shall; a `Commit`, whether it was committed.
    #[must_use]
    pub fn has_done(&self, tool: &str) -> bool {
        self.0.iter().any(|trace| trace.name == tool && trace.status == ToolStatus::Done)
    }

    /// Whether any tool failed with an error of this code.
    #[must_use]
    pub fn has_failed_with(&self, code: &str) -> bool {
        let of = |trace: &ToolTrace| trace.output.pointer("/error/code").is_some_and(|given| given == code);
        self.0.iter().any(|trace| trace.status == ToolStatus::Failed && of(trace))
    }
}

/// Who calls a tool.
#[derive(Debug, Clone)]
pub struct ToolContext {
    /// The call, first half of the idempotency key.
    pub call_id: String,
    /// The tenant.
    pub tenant_id: String,
    /// The id of the tool call within the call; the key of a `Record` tool.
    pub tool_call_id: String,
    /// The language of the call at the moment: a primary tag, `en`. In it the tool words what is said as it stands, read-backs above all.
    pub language: String,
    /// The caller's number, if the trunk gave it.
    pub caller_number: Option<crate::Pii<String>>,
    /// What the tool can do to the call.
    pub call: CallControl,
}

/// The tools of one call.
#[derive(Clone, Default)]
pub struct ToolSet {
    tools: Vec<Arc<dyn Tool>>,
}

impl ToolSet {
    /// A set of tools.
    #[must_use]
    pub fn new(tools: Vec<Arc<dyn Tool>>) -> Self {
        Self { tools }
    }

    /// The same set with one more tool.
    #[must_use]
    pub fn with(mut self, tool: Arc<dyn Tool>) -> Self {
        self.tools.push(tool);
        self
    }

    /// The tool of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.tools.iter().find(|tool| tool.name() == name)
    }

    /// All of them, in the order in which the model sees them.
    pub fn iter(&self) -> std::slice::Iter<'_, Arc<dyn Tool>> {
        self.tools.iter()
    }

    /// What the conversation needs to know.
    #[must_use]
    pub fn specs(&self) -> Vec<ToolSpec> {
        let spec = |tool: &Arc<dyn Tool>| ToolSpec {
            name: tool.name().into(),
            effect: tool.effect(),
            timeout: tool.timeout(),
            ends_call: tool.ends_call(),
            transfers_call: tool.transfers_call(),
        };
        self.tools.iter().map(spec).collect()
    }

    /// What the model sees.
    #[must_use]
    pub fn schemas(&self) -> Vec<ToolSchema> {
        self.tools.iter().map(schema_of).collect()
    }

    /// Whether one of them is a `Commit`.
    pub(crate) fn commits(&self) -> bool {
        self.tools.iter().any(|tool| tool.effect() == Effect::Commit)
    }
}

/// A tool as the model sees it.
pub(crate) fn schema_of(tool: &Arc<dyn Tool>) -> ToolSchema {
    ToolSchema { name: tool.name().into(), description: tool.description(), parameters: tool.parameters() }
}
