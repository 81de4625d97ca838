//! `register_patient`: what a patient tells of himself, read back, and kept once the caller has said yes.

use std::time::Duration;

use async_trait::async_trait;
use frontdesk_agent::{EmailAddress, Tool, ToolContext};
use frontdesk_conversation::{CommitOutcome, Effect, Prepared, ToolError};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arguments::{self, fault};
use super::book::{collected, has_a_letter};
use super::commit::{self, COMMIT_TIMEOUT, canonical};
use super::resolve::wording;
use super::{Desk, errors, result, text};
use crate::ids::CommitKey;
use crate::patients::{Intake, REGISTER_TOOL, Registered, Registration, Standing};
use crate::wording::Spanish;

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct RegisterArguments {
    /// The patient's full name.
    #[schemars(example = &"Jane Miller")]
    #[garde(length(chars, min = 2, max = 100), custom(has_a_letter))]
    patient_name: String,
    /// The date of birth, as the caller says it or as YYYY-MM-DD.
    #[schemars(example = &"the third of May 1981")]
    #[garde(length(chars, min = 1, max = 80))]
    date_of_birth: String,
    /// The patient's telephone number, with area code. The number that the caller calls from, if left out.
    #[schemars(example = &"202 555 0143")]
    #[garde(length(chars, max = 120))]
    phone: Option<String>,
    /// The e-mail address, as it is written or as the caller says it.
    #[schemars(example = &"jane dot miller at example dot com")]
    #[garde(length(chars, max = 300))]
    email: Option<String>,
    /// Why the patient wants to come.
    #[garde(length(chars, max = 500))]
    reason: Option<String>,
    /// What the patient is allergic to; "none" if he says so.
    #[garde(length(chars, max = 500))]
    allergies: Option<String>,
    /// Medicines that the patient takes.
    #[garde(length(chars, max = 500))]
    prescriptions: Option<String>,
    /// Illnesses that the patient has or had.
    #[garde(length(chars, max = 500))]
    conditions: Option<String>,
    /// When the patient saw a doctor last.
    #[garde(length(chars, max = 100))]
    last_visit: Option<String>,
    /// Whom the patient wants to see, by name.
    #[garde(length(chars, max = 100))]
    preferred_practitioner: Option<String>,
    /// Which department the patient wants.
    #[garde(length(chars, max = 100))]
    department: Option<String>,
    /// The language that the patient speaks best.
    #[schemars(example = &"Spanish")]
    #[garde(length(chars, max = 40))]
    language: Option<String>,
    /// Anything else that the clinic shall know.
    #[garde(length(chars, max = 1000))]
    notes: Option<String>,
}

#[derive(Debug, Serialize, Validate)]
struct RegisterResult {
    #[garde(skip)]
    registered: bool,
    /// The patient had registered before; what is kept was not changed.
    #[garde(skip)]
    already_registered: bool,
}

pub(super) struct RegisterPatient(pub(super) Desk);

#[async_trait]
impl Tool for RegisterPatient {
    fn name(&self) -> &'static str {
        REGISTER_TOOL
    }

    fn description(&self) -> String {
        "Prepares the registration of a patient who is new to the clinic, and answers with a sentence to read back. It keeps nothing \
         before the caller has said yes and you have confirmed. Needs full name, date of birth and telephone number; ask for allergies, \
         medicines and the reason as well, and give the caller's own words. Never ask for a social security number."
            .into()
    }

    fn parameters(&self) -> Value {
        arguments::schema::<RegisterArguments>()
    }

    fn effect(&self) -> Effect {
        Effect::Commit
    }

    fn timeout(&self) -> Duration {
        COMMIT_TIMEOUT
    }

    fn fields(&self, arguments: &Value) -> Vec<(String, String)> {
        collected(arguments, &["patient_name", "date_of_birth", "phone", "email"])
    }

    async fn prepare(&self, context: &ToolContext, arguments: Value) -> Result<Prepared, ToolError> {
        let given: RegisterArguments = arguments::read(arguments)?;
        let wish = self.wish(context, given)?;
        let prepared = self.0.store.prepare_registration(&context.call_id, &wish).await;
        let prepared = prepared.map_err(|error| errors::prepare(self.name(), &error, self.0.said(context)))?;
        let arguments = serde_json::to_value(&prepared.registration).unwrap_or_default();
        let wording = if prepared.prefers_spanish() { &Spanish } else { wording(context) };
        Ok(Prepared { arguments, read_back: wording.registration(&prepared, &self.0.tenant.country_calling_code) })
    }

    async fn commit(&self, context: &ToolContext, confirmation: &str, arguments: Value) -> CommitOutcome {
        let registration: Registration = match canonical(arguments) {
            Ok(registration) => registration,
            Err(error) => return CommitOutcome::Refused(error),
        };
        let key = CommitKey { call_id: context.call_id.clone(), confirmation_id: confirmation.into() };
        let settled = commit::settle(self.name(), || self.0.store.commit_registration(&key, &registration)).await;
        let describe = |done: Registered| {
            let described = RegisterResult { registered: true, already_registered: done.standing == Standing::Known };
            result::write(self.name(), &described)
        };
        commit::outcome(self.name(), settled, self.0.said(context), describe)
    }
}

impl RegisterPatient {
    fn wish(&self, context: &ToolContext, given: RegisterArguments) -> Result<Registration, ToolError> {
        let phone = match text(given.phone.as_deref()) {
            Some(phone) => self.0.phone::<RegisterArguments>(&phone)?,
            None => {
                let unknown = || fault::<RegisterArguments>("phone", "", "a telephone number; the caller's own is not known");
                self.0.caller_number(context).ok_or_else(unknown)?
            }
        };
        let email = text(given.email.as_deref()).map(|email| {
            EmailAddress::parse(&email)
                .map_err(|error| fault::<RegisterArguments>("email", &email, &format!("an e-mail address; this one {error}")))
        });
        let practitioner = text(given.preferred_practitioner.as_deref());
        let practitioner = match self.0.practitioner(practitioner.as_deref()) {
            Ok(Some(id)) => self.0.tenant.practitioners.iter().find(|one| one.id == id).map(|one| one.name.clone()),
            Ok(None) => None,
            Err(error) => return Err(error),
        };
        let department = match self.0.department(given.department.as_deref())? {
            Some(id) => self.0.tenant.department(&id).map(|one| one.name.clone()),
            // A practice that tells none apart may want to know all the same.
            None => given.department.filter(|_| self.0.tenant.departments.is_empty()),
        };
        let intake = Intake {
            date_of_birth: self.0.birth::<RegisterArguments>(&given.date_of_birth)?,
            email: email.transpose()?,
            reason: given.reason,
            allergies: given.allergies,
            prescriptions: given.prescriptions,
            conditions: given.conditions,
            last_visit: given.last_visit,
            preferred_practitioner: practitioner,
            department,
            language: given.language,
            notes: given.notes,
        };
        Ok(Registration { patient_name: given.patient_name.into(), phone, intake: intake.into() })
    }
}
