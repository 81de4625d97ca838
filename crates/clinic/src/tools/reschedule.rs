//! `reschedule_appointment`: find by code and number, hold the new time, read back, and move once the caller has said yes.

use std::time::Duration;

use async_trait::async_trait;
use frontdesk_agent::{CallSoFar, Tool, ToolContext};
use frontdesk_conversation::{CommitOutcome, Effect, Prepared, ToolError};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::book::collected;
use super::commit::{self, COMMIT_TIMEOUT, canonical};
use super::find_slots::moment;
use super::resolve::wording;
use super::result::Said;
use super::{Desk, arguments, errors, guesses_on, result};
use crate::booking::{RESCHEDULE_TOOL, Reschedule, RescheduleWish, Rescheduled};
use crate::ids::CommitKey;
use crate::local_time;

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct RescheduleArguments {
    /// The confirmation code given at booking, six letters and digits.
    #[schemars(example = &"K7M2X9")]
    #[garde(length(chars, min = 1, max = 80))]
    confirmation_code: String,
    /// The telephone number given at booking, with area code.
    #[schemars(example = &"202 555 0143")]
    #[garde(length(chars, min = 1, max = 120))]
    phone: String,
    /// The new local date and time, YYYY-MM-DDTHH:MM, of a slot that find_slots gave.
    #[schemars(example = &"2026-12-01T09:00")]
    #[garde(length(max = 40))]
    start: String,
    /// With whom, by name. If left out: with the same practitioner as before, or with whoever is free if that one is not.
    #[garde(length(max = 100))]
    practitioner: Option<String>,
}

#[derive(Debug, Serialize, Validate)]
struct RescheduleResult {
    #[garde(skip)]
    moved: bool,
    /// The same as before.
    #[garde(length(min = 6, max = 6))]
    confirmation_code: String,
    #[garde(length(min = 6))]
    confirmation_code_spoken: String,
    #[garde(length(min = 16, max = 25))]
    start: String,
    #[garde(length(min = 1))]
    spoken: String,
    #[garde(length(min = 1))]
    spoken_before: String,
    #[garde(length(min = 1))]
    practitioner: String,
    #[garde(range(min = 5, max = 480))]
    duration_minutes: u32,
}

pub(super) struct RescheduleAppointment(pub(super) Desk);

#[async_trait]
impl Tool for RescheduleAppointment {
    fn name(&self) -> &'static str {
        RESCHEDULE_TOOL
    }

    fn description(&self) -> String {
        "Prepares to move an appointment to another time: holds the new time for two minutes and answers with a sentence to read back. \
         It moves nothing before the caller has said yes and you have confirmed; the old time is kept until then. Needs the \
         confirmation code and the telephone number given at booking; the code stays the same."
            .into()
    }

    fn parameters(&self) -> Value {
        arguments::schema::<RescheduleArguments>()
    }

    fn effect(&self) -> Effect {
        Effect::Commit
    }

    fn timeout(&self) -> Duration {
        COMMIT_TIMEOUT
    }

    fn is_available(&self, so_far: &CallSoFar<'_>) -> bool {
        !guesses_on(so_far)
    }

    fn fields(&self, arguments: &Value) -> Vec<(String, String)> {
        collected(arguments, &["confirmation_code", "phone"])
    }

    async fn prepare(&self, context: &ToolContext, arguments: Value) -> Result<Prepared, ToolError> {
        let given: RescheduleArguments = arguments::read(arguments)?;
        let start = local_time::parse(&given.start, self.0.tenant.zone);
        let wish = RescheduleWish {
            start: moment::<RescheduleArguments>("start", &given.start, start)?,
            phone: self.0.phone::<RescheduleArguments>(&given.phone)?,
            practitioner: self.0.practitioner(given.practitioner.as_deref())?,
            confirmation_code: given.confirmation_code,
        };
        let prepared = self.0.store.prepare_reschedule(&context.call_id, &wish).await;
        let prepared = prepared.map_err(|error| errors::prepare(self.name(), &error, self.0.said(context)))?;
        let arguments = serde_json::to_value(&prepared.reschedule).unwrap_or_default();
        Ok(Prepared { arguments, read_back: wording(context).reschedule(&prepared) })
    }

    async fn commit(&self, context: &ToolContext, confirmation: &str, arguments: Value) -> CommitOutcome {
        let reschedule: Reschedule = match canonical(arguments) {
            Ok(reschedule) => reschedule,
            Err(error) => return CommitOutcome::Refused(error),
        };
        let key = CommitKey { call_id: context.call_id.clone(), confirmation_id: confirmation.into() };
        let settled = commit::settle(self.name(), || self.0.store.commit_reschedule(&key, &reschedule)).await;
        let said = self.0.said(context);
        commit::outcome(self.name(), settled, said, |moved| self.describe(&moved, said))
    }
}

impl RescheduleAppointment {
    fn describe(&self, moved: &Rescheduled, said: Said<'_>) -> Result<Value, ToolError> {
        let (zone, wording) = said;
        let described = RescheduleResult {
            moved: true,
            confirmation_code: moved.confirmation_code.clone(),
            confirmation_code_spoken: wording.code(&moved.confirmation_code),
            start: result::start(moved.start, moved.place.as_ref(), zone),
            spoken: result::spoken(moved.start, moved.place.as_ref(), said),
            spoken_before: wording.moment(local_time::local(moved.from, zone)),
            practitioner: moved.practitioner_name.clone(),
            duration_minutes: moved.duration_minutes,
        };
        result::write(self.name(), &described)
    }
}
