//! A tool that does what a test wants.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use frontdesk_conversation::{CommitOutcome, Effect, Prepared, ToolError};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::tool::{CallSoFar, Tool, ToolContext};

/// A tool for tests. It notes every call as `phase key`.
#[derive(Clone)]
pub struct FakeTool {
    name: &'static str,
    effect: Effect,
    takes: Duration,
    panics: bool,
    ends_call: bool,
    transfers_call: bool,
    after: Option<&'static str>,
    fields: Vec<(String, String)>,
    calls: Arc<Mutex<Vec<String>>>,
}

impl FakeTool {
    /// A tool that succeeds at once with its arguments as result.
    #[must_use]
    pub fn new(name: &'static str, effect: Effect) -> Self {
        Self {
            name,
            effect,
            takes: Duration::ZERO,
            panics: false,
            ends_call: false,
            transfers_call: false,
            after: None,
            fields: Vec::new(),
            calls: Arc::default(),
        }
    }

    /// Running and committing takes this long.
    #[must_use]
    pub const fn taking(mut self, takes: Duration) -> Self {
        self.takes = takes;
        self
    }

    /// Running panics.
    #[must_use]
    pub const fn panicking(mut self) -> Self {
        self.panics = true;
        self
    }

    /// Its success ends the call.
    #[must_use]
    pub const fn ending_the_call(mut self) -> Self {
        self.ends_call = true;
        self
    }

    /// Its success transfers the call.
    #[must_use]
    pub const fn transferring_the_call(mut self) -> Self {
        self.transfers_call = true;
        self
    }

    /// It is available only once this tool has done its work.
    #[must_use]
    pub const fn after(mut self, tool: &'static str) -> Self {
        self.after = Some(tool);
        self
    }

    /// It collects a field.
    #[must_use]
    pub fn collecting(mut self, field: &str, value: &str) -> Self {
        self.fields.push((field.into(), value.into()));
        self
    }

    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, phase: &str, key: &str) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{phase} {key}"));
    }
}

#[async_trait]
impl Tool for FakeTool {
    fn name(&self) -> &'static str {
        self.name
    }

    fn description(&self) -> String {
        "for tests".into()
    }

    fn parameters(&self) -> Value {
        json!({ "type": "object" })
    }

    fn effect(&self) -> Effect {
        self.effect
    }

    fn ends_call(&self) -> bool {
        self.ends_call
    }

    fn transfers_call(&self) -> bool {
        self.transfers_call
    }

    fn is_available(&self, so_far: &CallSoFar<'_>) -> bool {
        self.after.is_none_or(|tool| so_far.has_done(tool))
    }

    fn fields(&self, _arguments: &Value) -> Vec<(String, String)> {
        self.fields.clone()
    }

    async fn run(&self, context: &ToolContext, arguments: Value) -> Result<Value, ToolError> {
        self.note("run", &context.tool_call_id);
        assert!(!self.panics, "scripted");
        sleep(self.takes).await;
        self.note("ran", &context.tool_call_id);
        Ok(arguments)
    }

    async fn prepare(&self, context: &ToolContext, arguments: Value) -> Result<Prepared, ToolError> {
        self.note("prepare", &context.tool_call_id);
        Ok(Prepared { arguments, read_back: "Shall I book it?".into() })
    }

    async fn commit(&self, _context: &ToolContext, confirmation: &str, arguments: Value) -> CommitOutcome {
        self.note("commit", confirmation);
        assert!(!self.panics, "scripted");
        sleep(self.takes).await;
        self.note("committed", confirmation);
        CommitOutcome::Done(arguments)
    }
}
