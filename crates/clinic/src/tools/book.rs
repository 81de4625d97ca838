//! `book_appointment`: hold, read back, and book once the caller has said yes.

use std::time::Duration;

use async_trait::async_trait;
use frontdesk_agent::{CallSoFar, Tool, ToolContext};
use frontdesk_conversation::{CommitOutcome, Effect, Prepared, ToolError};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::commit::{self, COMMIT_TIMEOUT, canonical};
use super::find_slots::moment;
use super::resolve::wording;
use super::result::Said;
use super::{Desk, arguments, errors, is_identified, result};
use crate::booking::{BOOK_TOOL, Booked, Booking, BookingWish};
use crate::ids::CommitKey;
use crate::local_time;

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct BookArguments {
    /// Local date and time, YYYY-MM-DDTHH:MM, of a slot that find_slots gave.
    #[schemars(example = &"2026-12-01T09:00")]
    #[garde(length(max = 40))]
    start: String,
    /// The patient's full name.
    #[schemars(example = &"Jane Miller")]
    #[garde(length(chars, min = 2, max = 100), custom(has_a_letter))]
    patient_name: String,
    /// The patient's telephone number, with area code.
    #[schemars(example = &"202 555 0143")]
    #[garde(length(chars, min = 1, max = 120))]
    phone: String,
    /// With whom, by name. Whoever is free, if left out.
    #[garde(length(max = 100))]
    practitioner: Option<String>,
    /// What for, by name or code.
    #[garde(length(max = 100))]
    service: Option<String>,
    /// At which of the clinic's places, by name. Anywhere, if left out.
    #[garde(length(max = 100))]
    location: Option<String>,
    /// In which department, by name. Any, if left out.
    #[garde(length(max = 100))]
    department: Option<String>,
    /// Length in minutes, 5 to 480. The service's length, or 30, if left out.
    #[schemars(example = 30, range(min = 5, max = 480))]
    #[garde(range(min = 5, max = 480))]
    duration_minutes: Option<u32>,
}

pub(super) fn has_a_letter(name: &str, _: &()) -> garde::Result {
    if name.chars().any(char::is_alphabetic) { Ok(()) } else { Err(garde::Error::new("has no letter")) }
}

#[derive(Debug, Serialize, Validate)]
struct BookResult {
    #[garde(skip)]
    booked: bool,
    #[garde(length(min = 6, max = 6))]
    confirmation_code: String,
    #[garde(length(min = 6))]
    confirmation_code_spoken: String,
    #[garde(length(min = 16, max = 25))]
    start: String,
    #[garde(length(min = 1))]
    spoken: String,
    #[garde(length(min = 1))]
    practitioner: String,
    #[garde(range(min = 5, max = 480))]
    duration_minutes: u32,
}

pub(super) struct BookAppointment(pub(super) Desk);

#[async_trait]
impl Tool for BookAppointment {
    fn name(&self) -> &'static str {
        BOOK_TOOL
    }

    fn description(&self) -> String {
        "Prepares a booking: holds the slot for two minutes and answers with a sentence to read back. It books nothing before the \
         caller has said yes and you have confirmed. Needs the patient's name and telephone number."
            .into()
    }

    fn parameters(&self) -> Value {
        self.0.schema::<BookArguments>()
    }

    fn effect(&self) -> Effect {
        Effect::Commit
    }

    fn timeout(&self) -> Duration {
        COMMIT_TIMEOUT
    }

    fn is_available(&self, so_far: &CallSoFar<'_>) -> bool {
        !self.0.tenant.require_identification || is_identified(so_far)
    }

    fn fields(&self, arguments: &Value) -> Vec<(String, String)> {
        collected(arguments, &["patient_name", "phone"])
    }

    async fn prepare(&self, context: &ToolContext, arguments: Value) -> Result<Prepared, ToolError> {
        let given: BookArguments = arguments::read(arguments)?;
        let wish = self.wish(given)?;
        self.0.demand_identification(self.name(), &context.call_id, &wish.patient_name).await?;
        let prepared = self.0.store.prepare_booking(&context.call_id, &wish).await;
        let prepared = prepared.map_err(|error| errors::prepare(self.name(), &error, self.0.said(context)))?;
        let arguments = serde_json::to_value(&prepared.booking).unwrap_or_default();
        Ok(Prepared { arguments, read_back: wording(context).booking(&prepared, &self.0.tenant.country_calling_code) })
    }

    async fn commit(&self, context: &ToolContext, confirmation: &str, arguments: Value) -> CommitOutcome {
        let booking: Booking = match canonical(arguments) {
            Ok(booking) => booking,
            Err(error) => return CommitOutcome::Refused(error),
        };
        let key = CommitKey { call_id: context.call_id.clone(), confirmation_id: confirmation.into() };
        let settled = commit::settle(self.name(), || self.0.store.commit_booking(&key, &booking)).await;
        let said = self.0.said(context);
        commit::outcome(self.name(), settled, said, |booked| self.describe(&booked, said))
    }
}

impl BookAppointment {
    fn wish(&self, given: BookArguments) -> Result<BookingWish, ToolError> {
        let start = moment::<BookArguments>("start", &given.start, local_time::parse(&given.start, self.0.tenant.zone))?;
        let service = self.0.service(given.service.as_deref())?;
        Ok(BookingWish {
            start,
            duration_minutes: Desk::duration(given.duration_minutes, service),
            practitioner: self.0.practitioner(given.practitioner.as_deref())?,
            service: service.map(|service| service.code.clone()),
            location: self.0.location(given.location.as_deref())?,
            department: self.0.department(given.department.as_deref())?,
            phone: self.0.phone::<BookArguments>(&given.phone)?,
            patient_name: given.patient_name.trim().to_string().into(),
        })
    }

    fn describe(&self, booked: &Booked, said: Said<'_>) -> Result<Value, ToolError> {
        let (zone, wording) = said;
        let described = BookResult {
            booked: true,
            confirmation_code: booked.confirmation_code.clone(),
            confirmation_code_spoken: wording.code(&booked.confirmation_code),
            start: result::start(booked.start, booked.place.as_ref(), zone),
            spoken: result::spoken(booked.start, booked.place.as_ref(), said),
            practitioner: booked.practitioner_name.clone(),
            duration_minutes: booked.duration_minutes,
        };
        result::write(self.name(), &described)
    }
}

/// The named arguments that are non-empty texts.
pub(super) fn collected(arguments: &Value, names: &[&str]) -> Vec<(String, String)> {
    let text = |name: &&str| {
        let value = arguments.get(name)?.as_str()?.trim();
        (!value.is_empty()).then(|| ((*name).to_string(), value.to_string()))
    };
    names.iter().filter_map(text).collect()
}
