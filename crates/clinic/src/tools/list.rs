//! `list_appointments`: the caller's own appointments to come, after two things that match.

use async_trait::async_trait;
use frontdesk_agent::{CallSoFar, Tool, ToolContext};
use frontdesk_conversation::{Effect, ToolError};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arguments::{self, fault};
use super::book::collected;
use super::result::Said;
use super::{Desk, errors, guesses_on, result};
use crate::booking::{SecondFactor, Upcoming};

/// Its name.
pub(super) const LIST_TOOL: &str = "list_appointments";

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct ListArguments {
    /// The telephone number given at booking, with area code.
    #[schemars(example = &"202 555 0143")]
    #[garde(length(chars, min = 1, max = 120))]
    phone: String,
    /// The patient's full name. Needed unless there is a confirmation code.
    #[schemars(example = &"Jane Miller")]
    #[garde(length(chars, max = 100))]
    patient_name: Option<String>,
    /// The confirmation code of one of the patient's appointments, six letters and digits. Needed unless there is a name.
    #[schemars(example = &"K7M2X9")]
    #[garde(length(chars, max = 80))]
    confirmation_code: Option<String>,
}

#[derive(Debug, Serialize, Validate)]
struct ListResult {
    /// By time; none, if there is nothing to come.
    #[garde(dive, length(max = 10))]
    appointments: Vec<ListedAppointment>,
}

#[derive(Debug, Serialize, Validate)]
struct ListedAppointment {
    /// Local time.
    #[garde(length(min = 16, max = 25))]
    start: String,
    /// How to say it.
    #[garde(length(min = 1))]
    spoken: String,
    #[garde(range(min = 1))]
    duration_minutes: i64,
    #[garde(length(min = 1))]
    practitioner: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(skip)]
    location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(skip)]
    service: Option<String>,
}

pub(super) struct ListAppointments(pub(super) Desk);

#[async_trait]
impl Tool for ListAppointments {
    fn name(&self) -> &'static str {
        LIST_TOOL
    }

    fn description(&self) -> String {
        "Tells the caller's own appointments to come. Needs the telephone number given at booking and, besides it, the patient's full \
         name or a confirmation code; both have to match. It does not tell confirmation codes."
            .into()
    }

    fn parameters(&self) -> Value {
        arguments::schema::<ListArguments>()
    }

    fn effect(&self) -> Effect {
        Effect::Read
    }

    fn is_available(&self, so_far: &CallSoFar<'_>) -> bool {
        !guesses_on(so_far)
    }

    fn fields(&self, arguments: &Value) -> Vec<(String, String)> {
        collected(arguments, &["patient_name", "confirmation_code", "phone"])
    }

    async fn run(&self, context: &ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let given: ListArguments = arguments::read(arguments)?;
        let phone = self.0.phone::<ListArguments>(&given.phone)?;
        let second = second_factor::<ListArguments>(given.confirmation_code.as_deref(), given.patient_name.as_deref())?;
        let found = self.0.store.upcoming_appointments(&context.call_id, &phone, &second).await;
        let found = found.map_err(|error| errors::prepare(self.name(), &error, self.0.said(context)))?;
        let said = self.0.said(context);
        result::write(self.name(), &ListResult { appointments: found.iter().map(|one| listed(one, said)).collect() })
    }
}

/// What is known besides the number: the code, if there is one, else the name.
pub(super) fn second_factor<T: JsonSchema>(code: Option<&str>, name: Option<&str>) -> Result<SecondFactor, ToolError> {
    let text = |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(String::from);
    match (text(code), text(name)) {
        (Some(code), _) => Ok(SecondFactor::Code(code)),
        (None, Some(name)) => Ok(SecondFactor::Name(name.into())),
        (None, None) => Err(fault::<T>("patient_name", "", "the patient's full name, or a confirmation_code").into()),
    }
}

fn listed(one: &Upcoming, said: Said<'_>) -> ListedAppointment {
    ListedAppointment {
        start: result::start(one.start, one.place.as_ref(), said.0),
        spoken: result::spoken(one.start, one.place.as_ref(), said),
        location: one.place.as_ref().map(|place| place.name.clone()),
        duration_minutes: (one.end - one.start).num_minutes(),
        practitioner: one.practitioner_name.clone(),
        service: one.service_name.clone(),
    }
}
