//! `resend_confirmation`: the text message with the confirmation once more.

use async_trait::async_trait;
use frontdesk_agent::{Tool, ToolContext};
use frontdesk_conversation::{Effect, ToolError};
use frontdesk_notify::{ChannelKind, Event};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::book::collected;
use super::resolve::wording;
use super::{Desk, arguments, errors, result};
use crate::local_time;
use crate::outbox::NoticeStatus;

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct ResendArguments {
    /// The telephone number given at booking, with area code. The message goes to this number and no other.
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
    /// Offered only by a clinic that sends text messages.
    pub(super) fn of(desk: &Desk) -> Option<Self> {
        let sends = desk.tenant.notifications.of(Event::AppointmentBooked).any(|(kind, _)| kind == ChannelKind::Sms);
        sends.then(|| Self(desk.clone()))
    }
}

#[async_trait]
impl Tool for ResendConfirmation {
    fn name(&self) -> &'static str {
        "resend_confirmation"
    }

    fn description(&self) -> String {
        "Sends the confirmation of an appointment to come as a text message once more, to the telephone number given at booking. Needs that \
         number and, besides it, the patient's full name or the confirmation code; both have to match. Afterwards say that the message \
         is on its way; never say that it was sent or has arrived."
            .into()
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
        let resent = self.0.store.resend_confirmation(&context.call_id, &context.tool_call_id, &phone, &second).await;
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
