//! `resend_confirmation`: the text message or e-mail with the confirmation once more.

use async_trait::async_trait;
use frontdesk_agent::{Tool, ToolContext};
use frontdesk_conversation::{Effect, ToolError};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::book::collected;
use super::resolve::wording;
use super::{Desk, arguments, errors, result};
use crate::booking::ResendBy;
use crate::local_time;
use crate::outbox::NoticeStatus;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum By {
    Text,
    Email,
}

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct ResendArguments {
    /// The telephone number given at booking, with area code. A text message goes to this number and no other.
    #[schemars(example = &"202 555 0143")]
    #[garde(length(chars, min = 1, max = 120))]
    phone: String,
    /// The patient's full name. Needed unless there is a confirmation code.
    #[schemars(example = &"Jane Miller")]
    #[garde(length(chars, max = 100))]
    patient_name: Option<String>,
    /// The confirmation code of the appointment, six letters and digits. Needed unless there is a name.
    #[schemars(example = &"K7M2X9")]
    #[garde(length(chars, max = 80))]
    confirmation_code: Option<String>,
    /// A text message, or an e-mail to the address that the patient left. What the clinic sends, if left out.
    #[serde(default)]
    #[schemars(with = "By", example = &"text")]
    #[garde(skip)]
    by: Option<By>,
}

#[derive(Debug, Serialize, Validate)]
struct ResendResult {
    /// It will be sent; whether it arrives, nobody knows yet.
    #[garde(length(min = 1))]
    state: &'static str,
    /// The appointment that it is about, as it is spoken.
    #[garde(length(min = 1))]
    appointment: String,
    /// What became of the message before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(skip)]
    earlier_message: Option<&'static str>,
    /// How to say it.
    #[garde(length(min = 1))]
    say: &'static str,
}

pub(super) struct ResendConfirmation(Desk);

impl ResendConfirmation {
    /// Offered only by a clinic that sends confirmations to patients.
    pub(super) fn of(desk: &Desk) -> Option<Self> {
        Self::ways(desk).next().is_some().then(|| Self(desk.clone()))
    }

    fn ways(desk: &Desk) -> impl Iterator<Item = ResendBy> {
        ResendBy::ALL.into_iter().filter(|by| by.is_sent_by(&desk.tenant))
    }
}

#[async_trait]
impl Tool for ResendConfirmation {
    fn name(&self) -> &'static str {
        "resend_confirmation"
    }

    fn description(&self) -> String {
        let ways: Vec<&str> = Self::ways(&self.0)
            .map(|by| match by {
                ResendBy::Text => "as a text message to the telephone number given at booking",
                ResendBy::Email => "as an e-mail to the address that the patient left",
            })
            .collect();
        format!(
            "Sends the confirmation of an appointment to come once more, {}. Needs that telephone number and, besides it, the patient's \
             full name or the confirmation code; both have to match. It goes to no other number or address. Afterwards say that the \
             message is on its way; never say that it was sent or has arrived.",
            ways.join(", or ")
        )
    }

    fn parameters(&self) -> Value {
        arguments::schema::<ResendArguments>()
    }

    fn effect(&self) -> Effect {
        Effect::Record
    }

    fn fields(&self, arguments: &Value) -> Vec<(String, String)> {
        collected(arguments, &["patient_name", "confirmation_code", "phone"])
    }

    async fn run(&self, context: &ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let given: ResendArguments = arguments::read(arguments)?;
        let phone = self.0.phone::<ResendArguments>(&given.phone)?;
        let second = super::list::second_factor::<ResendArguments>(given.confirmation_code.as_deref(), given.patient_name.as_deref())?;
        let by = match given.by {
            Some(By::Text) => ResendBy::Text,
            Some(By::Email) => ResendBy::Email,
            None => Self::ways(&self.0).next().unwrap_or(ResendBy::Text),
        };
        let resent = self.0.store.resend_confirmation(&context.call_id, &context.tool_call_id, &phone, &second, by).await;
        let resent = resent.map_err(|error| errors::prepare(self.name(), &error, self.0.said(context)))?;
        let earlier_message = resent.earlier.map(|status| match status {
            NoticeStatus::Pending | NoticeStatus::Sending => "not sent yet",
            NoticeStatus::Sent => "on its way, no receipt",
            NoticeStatus::Delivered => "delivered",
            NoticeStatus::Failed | NoticeStatus::Dead => "could not be delivered",
        });
        let result = ResendResult {
            state: "on_its_way",
            appointment: wording(context).moment(local_time::local(resent.start, resent.zone)),
            earlier_message,
            say: wording(context).on_its_way(),
        };
        result::write(self.name(), &result)
    }
}
