//! `take_message`: something for the clinic to read.

use async_trait::async_trait;
use frontdesk_agent::{Pii, Tool, ToolContext};
use frontdesk_conversation::{Effect, ToolError};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::book::collected;
use super::{Desk, arguments, errors, result};
use crate::messages::CallerMessage;

/// Its name.
pub(crate) const MESSAGE_TOOL: &str = "take_message";

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct MessageArguments {
    /// What shall be told, in full sentences.
    #[schemars(example = &"Please call back about the lab results.")]
    #[garde(length(chars, min = 1, max = 2000))]
    message: String,
    /// Who leaves the message.
    #[schemars(example = &"Jane Miller")]
    #[garde(length(chars, max = 100))]
    caller_name: Option<String>,
    /// Where to call back, with area code. The number that the caller calls from, if left out.
    #[schemars(example = &"202 555 0143")]
    #[garde(length(chars, max = 120))]
    phone: Option<String>,
    /// For whom, if for somebody in particular.
    #[garde(length(chars, max = 100))]
    recipient: Option<String>,
    /// Whether it cannot wait until the next working day.
    #[garde(skip)]
    urgent: Option<bool>,
}

#[derive(Debug, Serialize, Validate)]
struct MessageResult {
    #[garde(skip)]
    taken: bool,
}

pub(super) struct TakeMessage(pub(super) Desk);

#[async_trait]
impl Tool for TakeMessage {
    fn name(&self) -> &'static str {
        MESSAGE_TOOL
    }

    fn description(&self) -> String {
        "Leaves a message for the clinic's staff. Read the message back to the caller before.".into()
    }

    fn parameters(&self) -> Value {
        arguments::schema::<MessageArguments>()
    }

    fn effect(&self) -> Effect {
        Effect::Record
    }

    fn fields(&self, arguments: &Value) -> Vec<(String, String)> {
        collected(arguments, &["caller_name", "phone"])
    }

    async fn run(&self, context: &ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let given: MessageArguments = arguments::read(arguments)?;
        let phone = match given.phone.as_deref().filter(|phone| !phone.trim().is_empty()) {
            Some(phone) => Some(self.0.phone::<MessageArguments>(phone)?),
            // A withheld or malformed number of the trunk is no reason to refuse the message.
            None => self.0.caller_number(context),
        };
        let message = CallerMessage {
            text: given.message.into(),
            recipient: given.recipient.filter(|recipient| !recipient.trim().is_empty()),
            caller_name: given.caller_name.filter(|name| !name.trim().is_empty()).map(Pii::new),
            phone,
        };
        let is_urgent = given.urgent.unwrap_or_default();
        let taken = self.0.store.take_message(&context.call_id, &context.tool_call_id, &message, is_urgent).await;
        taken.map_err(|error| errors::database(self.name(), &error))?;
        result::write(self.name(), &MessageResult { taken: true })
    }
}
