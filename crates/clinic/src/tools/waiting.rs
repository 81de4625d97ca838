//! `join_waiting_list` and `leave_waiting_list`: for callers for whom nothing suitable is free.

use std::time::Duration;

use async_trait::async_trait;
use frontdesk_agent::{CallSoFar, Tool, ToolContext};
use frontdesk_conversation::{CommitOutcome, Effect, Prepared, ToolError};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arguments::{self, fault};
use super::book::{collected, has_a_letter};
use super::commit::{self, COMMIT_TIMEOUT, canonical};
use super::resolve::wording;
use super::{Desk, errors, guesses_on, is_identified, result, text};
use crate::ids::CommitKey;
use crate::phone::PhoneNumber;
use crate::schedule::when::{Phrase, WhenError};
use crate::waiting::{JOIN_TOOL, Joined, LEAVE_TOOL, Leaving, Left, Waiting, WaitingError, WaitingWish};

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct JoinArguments {
    /// The patient's full name.
    #[schemars(example = &"Jane Miller")]
    #[garde(length(chars, min = 2, max = 100), custom(has_a_letter))]
    patient_name: String,
    /// The patient's telephone number, with area code. The number that the caller calls from, if left out.
    #[schemars(example = &"202 555 0143")]
    #[garde(length(chars, max = 120))]
    phone: Option<String>,
    /// The caller's own words about day and time, English or Spanish.
    #[schemars(example = &"next week in the morning")]
    #[garde(length(chars, min = 1, max = 120))]
    when: String,
    /// With whom, by name. Anybody, if left out.
    #[garde(length(max = 100))]
    practitioner: Option<String>,
    /// What for, by name or code.
    #[garde(length(max = 100))]
    service: Option<String>,
    /// In which department, by name. Any, if left out.
    #[garde(length(max = 100))]
    department: Option<String>,
}

#[derive(Debug, Serialize, Validate)]
struct JoinResult {
    #[garde(skip)]
    on_the_list: bool,
    /// What to promise, and what not.
    #[garde(length(min = 1))]
    note: &'static str,
}

pub(super) struct JoinWaitingList(pub(super) Desk);

#[async_trait]
impl Tool for JoinWaitingList {
    fn name(&self) -> &'static str {
        JOIN_TOOL
    }

    fn description(&self) -> String {
        "Prepares to put the patient on the waiting list for days and times at which nothing is free, and answers with a sentence to read \
         back. It enters nothing before the caller has said yes and you have confirmed. Offer it when find_slots finds nothing that suits. \
         Needs the patient's name, telephone number and the caller's own words about when."
            .into()
    }

    fn parameters(&self) -> Value {
        self.0.schema::<JoinArguments>()
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
        let given: JoinArguments = arguments::read(arguments)?;
        let patient_name = given.patient_name.trim().to_string().into();
        self.0.demand_identification(self.name(), &context.call_id, &patient_name).await?;
        let service = self.0.service(given.service.as_deref())?;
        let when = Phrase::read(&given.when).map_err(|error| said(&error, &given.when))?;
        let wish = WaitingWish {
            patient_name,
            phone: reachable::<JoinArguments>(&self.0, context, given.phone.as_deref())?,
            practitioner: self.0.practitioner(given.practitioner.as_deref())?,
            service: service.map(|service| service.code.clone()),
            department: self.0.department(given.department.as_deref())?,
            duration_minutes: Desk::duration(None, service),
            when,
        };
        let mut prepared = self.0.store.prepare_waiting(&wish).await.map_err(|error| match error {
            WaitingError::When(error) => said(&error, &given.when),
            WaitingError::NotOffered(reason) => ToolError {
                code: "not_bookable".into(),
                message: format!("nobody can be waited for then: {reason}; ask for other days or times"),
                details: None,
                retryable: false,
            },
            WaitingError::Database(error) => errors::database(self.name(), &error),
        })?;
        let department = wish.department.as_ref().and_then(|id| self.0.tenant.department(id));
        prepared.whom = prepared.whom.or_else(|| Some(department?.name.clone()));
        let arguments = serde_json::to_value(&prepared.waiting).unwrap_or_default();
        Ok(Prepared { arguments, read_back: wording(context).joining(&prepared, &self.0.tenant.country_calling_code) })
    }

    async fn commit(&self, context: &ToolContext, confirmation: &str, arguments: Value) -> CommitOutcome {
        let waiting: Waiting = match canonical(arguments) {
            Ok(waiting) => waiting,
            Err(error) => return CommitOutcome::Refused(error),
        };
        let key = CommitKey { call_id: context.call_id.clone(), confirmation_id: confirmation.into() };
        let settled = commit::settle(self.name(), || self.0.store.commit_waiting(&key, &waiting)).await;
        let note = "the clinic calls if a time becomes free; promise neither a time nor a call";
        let describe = |_: Joined| result::write(self.name(), &JoinResult { on_the_list: true, note });
        commit::outcome(self.name(), settled, self.0.said(context), describe)
    }
}

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct LeaveArguments {
    /// The patient's full name.
    #[schemars(example = &"Jane Miller")]
    #[garde(length(chars, min = 2, max = 100), custom(has_a_letter))]
    patient_name: String,
    /// The telephone number that was left, with area code. The number that the caller calls from, if left out.
    #[schemars(example = &"202 555 0143")]
    #[garde(length(chars, max = 120))]
    phone: Option<String>,
}

#[derive(Debug, Serialize, Validate)]
struct LeaveResult {
    #[garde(skip)]
    on_the_list: bool,
}

pub(super) struct LeaveWaitingList(pub(super) Desk);

#[async_trait]
impl Tool for LeaveWaitingList {
    fn name(&self) -> &'static str {
        LEAVE_TOOL
    }

    fn description(&self) -> String {
        "Prepares to take the patient off the waiting list and answers with a sentence to read back. It changes nothing before the caller \
         has said yes and you have confirmed. Needs the patient's full name and the telephone number that was left; both have to match."
            .into()
    }

    fn parameters(&self) -> Value {
        arguments::schema::<LeaveArguments>()
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
        collected(arguments, &["patient_name", "phone"])
    }

    async fn prepare(&self, context: &ToolContext, arguments: Value) -> Result<Prepared, ToolError> {
        let given: LeaveArguments = arguments::read(arguments)?;
        let phone = reachable::<LeaveArguments>(&self.0, context, given.phone.as_deref())?;
        let leaving = Leaving { patient_name: given.patient_name.trim().to_string().into(), phone };
        let prepared = self.0.store.prepare_leaving(&context.call_id, &leaving).await;
        let prepared = prepared.map_err(|error| errors::prepare(self.name(), &error, self.0.said(context)))?;
        let arguments = serde_json::to_value(&prepared.leaving).unwrap_or_default();
        Ok(Prepared { arguments, read_back: wording(context).leaving(&prepared) })
    }

    async fn commit(&self, context: &ToolContext, confirmation: &str, arguments: Value) -> CommitOutcome {
        let leaving: Leaving = match canonical(arguments) {
            Ok(leaving) => leaving,
            Err(error) => return CommitOutcome::Refused(error),
        };
        let key = CommitKey { call_id: context.call_id.clone(), confirmation_id: confirmation.into() };
        let settled = commit::settle(self.name(), || self.0.store.commit_leaving(&key, &leaving)).await;
        let describe = |_: Left| result::write(self.name(), &LeaveResult { on_the_list: false });
        commit::outcome(self.name(), settled, self.0.said(context), describe)
    }
}

/// The number that was given, or the one that the caller calls from.
fn reachable<T: JsonSchema>(desk: &Desk, context: &ToolContext, given: Option<&str>) -> Result<PhoneNumber, ToolError> {
    match text(given) {
        Some(phone) => desk.phone::<T>(&phone),
        None => {
            let unknown = || fault::<T>("phone", "", "a telephone number; the caller's own is not known");
            Ok(desk.caller_number(context).ok_or_else(unknown)?)
        }
    }
}

fn said(error: &WhenError, text: &str) -> ToolError {
    fault::<JoinArguments>("when", text, &format!("words about a day or time to come; {error}")).into()
}
