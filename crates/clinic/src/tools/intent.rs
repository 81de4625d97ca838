//! `note_intent`: what the caller wants, from a closed list.

use async_trait::async_trait;
use frontdesk_agent::{Tool, ToolContext};
use frontdesk_conversation::{Effect, ToolError};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Desk, arguments, errors, result};
use crate::messages::Intent;

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct IntentArguments {
    /// What the caller wants.
    #[schemars(example = &"book")]
    #[garde(skip)]
    intent: Intent,
    /// A few words about it.
    #[garde(length(chars, max = 300))]
    note: Option<String>,
    /// With whom, by name, if the caller names somebody.
    #[garde(length(chars, max = 100))]
    practitioner: Option<String>,
    /// In which department, by name, if the caller names one.
    #[garde(length(chars, max = 100))]
    department: Option<String>,
}

#[derive(Debug, Serialize, Validate)]
struct IntentResult {
    #[garde(skip)]
    noted: bool,
}

pub(super) struct NoteIntent(pub(super) Desk);

#[async_trait]
impl Tool for NoteIntent {
    fn name(&self) -> &'static str {
        "note_intent"
    }

    fn description(&self) -> String {
        "Notes what the caller wants. Call it as soon as you know, and again when it changes. Say nothing about it.".into()
    }

    fn parameters(&self) -> Value {
        self.0.schema::<IntentArguments>()
    }

    fn effect(&self) -> Effect {
        Effect::Record
    }

    async fn run(&self, context: &ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let given: IntentArguments = arguments::read(arguments)?;
        match self.0.store.note_intent(&context.call_id, &context.tool_call_id, given.intent).await {
            Ok(()) => {}
            // The call record has it from the arguments. To bother the caller with a lost statistic would help nobody.
            Err(error) if error.is_retryable() => tracing::warn!(%error, "an intent was noted in the call record only"),
            Err(error) => return Err(errors::database(self.name(), &error)),
        }
        result::write(self.name(), &IntentResult { noted: true })
    }
}
