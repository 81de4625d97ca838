//! `end_call`: hang up once everything was said.

use async_trait::async_trait;
use frontdesk_agent::{Tool, ToolContext};
use frontdesk_conversation::{Effect, ToolError};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{arguments, result};

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct EndCallArguments {
    /// Why, in a few words.
    #[schemars(example = &"the appointment is booked")]
    #[garde(length(chars, max = 200))]
    reason: Option<String>,
}

#[derive(Debug, Serialize, Validate)]
struct EndCallResult {
    #[garde(skip)]
    ending: bool,
}

pub(super) struct EndCall;

#[async_trait]
impl Tool for EndCall {
    fn name(&self) -> &'static str {
        "end_call"
    }

    fn description(&self) -> String {
        "Ends the call after what you are saying has been heard. Say goodbye in the same answer.".into()
    }

    fn parameters(&self) -> Value {
        arguments::schema::<EndCallArguments>()
    }

    fn effect(&self) -> Effect {
        Effect::Record
    }

    fn ends_call(&self) -> bool {
        true
    }

    async fn run(&self, _context: &ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let _: EndCallArguments = arguments::read(arguments)?;
        result::write(self.name(), &EndCallResult { ending: true })
    }
}
