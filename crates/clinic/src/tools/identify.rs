//! `identify_patient`: who calls, by two things that match.

use async_trait::async_trait;
use frontdesk_agent::{CallSoFar, Tool, ToolContext};
use frontdesk_conversation::{Effect, ToolError};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arguments::{self, fault};
use super::book::collected;
use super::{Desk, errors, guesses_on, result, text};
use crate::patients::{CallerKind, Factors};

/// Its name; other tools are offered once it has succeeded.
pub(super) const IDENTIFY_TOOL: &str = "identify_patient";

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct IdentifyArguments {
    /// The patient's full name.
    #[schemars(example = &"Jane Miller")]
    #[garde(length(chars, max = 100))]
    patient_name: Option<String>,
    /// The date of birth, as the caller says it or as YYYY-MM-DD.
    #[schemars(example = &"the third of May 1981")]
    #[garde(length(chars, max = 80))]
    date_of_birth: Option<String>,
    /// The telephone number that the clinic has, with area code. The number that the caller calls from, if left out.
    #[schemars(example = &"202 555 0143")]
    #[garde(length(chars, max = 120))]
    phone: Option<String>,
    /// The confirmation code of one of the patient's appointments.
    #[schemars(example = &"K7M2X9")]
    #[garde(length(max = 40))]
    confirmation_code: Option<String>,
}

#[derive(Debug, Serialize, Validate)]
struct IdentifyResult {
    #[garde(skip)]
    identified: bool,
    /// Whether the number that he calls from was known before.
    #[garde(length(min = 1))]
    caller: &'static str,
}

pub(super) struct IdentifyPatient(pub(super) Desk);

#[async_trait]
impl Tool for IdentifyPatient {
    fn name(&self) -> &'static str {
        IDENTIFY_TOOL
    }

    fn description(&self) -> String {
        "Finds out whether the caller is a patient of the clinic. Needs two of: full name, date of birth, telephone number, confirmation \
         code; the number that the caller calls from counts if no other is given. All that is given has to match. It tells nothing \
         about the patient. Whoever is new to the clinic is registered with register_patient instead."
            .into()
    }

    fn parameters(&self) -> Value {
        arguments::schema::<IdentifyArguments>()
    }

    fn effect(&self) -> Effect {
        Effect::Record
    }

    fn is_available(&self, so_far: &CallSoFar<'_>) -> bool {
        !guesses_on(so_far)
    }

    fn fields(&self, arguments: &Value) -> Vec<(String, String)> {
        collected(arguments, &["patient_name", "date_of_birth", "phone", "confirmation_code"])
    }

    async fn run(&self, context: &ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let given: IdentifyArguments = arguments::read(arguments)?;
        let born = text(given.date_of_birth.as_deref()).map(|born| self.0.birth::<IdentifyArguments>(&born)).transpose()?;
        let mut factors = Factors {
            phone: text(given.phone.as_deref()).map(|phone| self.0.phone::<IdentifyArguments>(&phone)).transpose()?,
            name: text(given.patient_name.as_deref()).map(Into::into),
            born,
            code: text(given.confirmation_code.as_deref()),
        };
        let caller = self.0.caller_number(context);
        if factors.count() < 2 && factors.phone.is_none() {
            factors.phone.clone_from(&caller);
        }
        if factors.count() < 2 {
            let expected = "two of patient_name, date_of_birth, phone and confirmation_code";
            return Err(fault::<IdentifyArguments>("patient_name", given.patient_name.as_deref().unwrap_or_default(), expected).into());
        }
        let kind =
            self.0.store.recognise(&context.call_id, caller.as_ref()).await.map_err(|error| errors::database(self.name(), &error))?;
        let found = self.0.store.identify_patient(&context.call_id, &factors).await;
        found.map_err(|error| errors::prepare(self.name(), &error, self.0.said(context)))?;
        let caller = match kind {
            CallerKind::Session => "identified in this call before",
            CallerKind::Returning => "calls from a known number",
            CallerKind::New => "calls from a number that is not known",
        };
        result::write(self.name(), &IdentifyResult { identified: true, caller })
    }
}
