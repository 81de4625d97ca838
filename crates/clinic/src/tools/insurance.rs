//! `check_insurance_coverage`: what an eligibility service says, if there is one, else what the clinic's own table says.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use frontdesk_agent::{CallSoFar, Tool, ToolContext};
use frontdesk_conversation::{Effect, ToolError};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::book::collected;
use super::resolve::wording;
use super::{Desk, arguments, errors, result, text};
use crate::insurance::Coverage;
use crate::insurance::service::{Eligibility, EligibilityCheck, Inquiry};
use crate::wording::Wording;

/// An insurer takes some seconds, and then the table is looked up.
const TIMEOUT: Duration = Duration::from_secs(8);

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct CoverageArguments {
    /// The insurer's name.
    #[schemars(example = &"Northwind Health")]
    #[garde(length(min = 1, max = 100))]
    payer: String,
    /// The name of the plan.
    #[schemars(example = &"Gold")]
    #[garde(length(min = 1, max = 100))]
    plan: String,
    /// The code of the procedure.
    #[schemars(example = &"99213")]
    #[garde(length(min = 1, max = 40))]
    procedure_code: String,
    /// The number on the patient's insurance card. With it the insurer is asked, where the clinic can.
    #[schemars(example = &"W123456789")]
    #[garde(length(chars, max = 40))]
    member_id: Option<String>,
    /// The patient's full name; insurers want it beside the number.
    #[garde(length(chars, max = 100))]
    patient_name: Option<String>,
    /// The patient's date of birth, as the caller says it or as YYYY-MM-DD.
    #[garde(length(chars, max = 80))]
    date_of_birth: Option<String>,
}

/// Who knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Known {
    /// The insurer, just now.
    Service,
    /// The clinic's table.
    Table,
    /// Nobody.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Covered,
    NotCovered,
    Unknown,
}

#[derive(Debug, Serialize, Validate)]
struct CoverageResult {
    #[garde(skip)]
    status: Status,
    /// Who says so.
    #[garde(skip)]
    known: Known,
    /// Whether the insurance is in force, if the insurer says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(skip)]
    active: Option<bool>,
    /// What is not known, and what to say about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(skip)]
    not_known: Option<&'static str>,
    /// What the patient pays, as it is spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(length(min = 1))]
    copay_spoken: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    #[garde(skip)]
    notes: String,
    /// Which argument is not in the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(skip)]
    unknown: Option<&'static str>,
    /// What the table has in its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[garde(length(max = 10))]
    listed: Vec<String>,
}

impl CoverageResult {
    const NOTHING: Self = Self {
        status: Status::Unknown,
        known: Known::Unknown,
        active: None,
        not_known: None,
        copay_spoken: None,
        notes: String::new(),
        unknown: None,
        listed: Vec::new(),
    };
}

/// Whom to ask, and what.
type Question<'a> = (&'a Arc<dyn EligibilityCheck>, Inquiry);

pub(super) struct CheckInsuranceCoverage {
    pub(super) desk: Desk,
    /// Asked first, if there is one and the member's number is given.
    pub(super) service: Option<Arc<dyn EligibilityCheck>>,
}

#[async_trait]
impl Tool for CheckInsuranceCoverage {
    fn name(&self) -> &'static str {
        "check_insurance_coverage"
    }

    fn description(&self) -> String {
        let service = if self.service.is_some() {
            " With the number on the insurance card the insurer itself is asked; ask the caller for it."
        } else {
            ""
        };
        format!(
            "Looks up whether a procedure is covered by an insurer's plan, and the co-payment. `known` tells who says so: the insurer's \
             `service`, the clinic's `table`, or `unknown`. Status `unknown` means that nobody says it; it does not mean that it is not \
             covered. Say what is known and what is not, and that it is no guarantee.{service}"
        )
    }

    fn parameters(&self) -> Value {
        arguments::schema::<CoverageArguments>()
    }

    fn effect(&self) -> Effect {
        Effect::Read
    }

    fn timeout(&self) -> Duration {
        TIMEOUT
    }

    fn is_available(&self, _so_far: &CallSoFar<'_>) -> bool {
        self.service.is_some() || !self.desk.tenant.insurance.is_empty()
    }

    fn fields(&self, arguments: &Value) -> Vec<(String, String)> {
        collected(arguments, &["payer", "plan", "procedure_code", "member_id"])
    }

    async fn run(&self, context: &ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let given: CoverageArguments = arguments::read(arguments)?;
        let wording = wording(context);
        let asked = match self.inquiry(&given)? {
            Some((service, inquiry)) => Some(service.check(&inquiry).await),
            None => None,
        };
        // What the insurer says of this procedure stands; else the table may know.
        if let Some(Ok(said)) = &asked
            && (said.covered.is_some() || said.active == Some(false))
        {
            return result::write(self.name(), &self.insurer_says(*said, wording));
        }
        let coverage = self.desk.store.check_insurance_coverage(&given.payer, &given.plan, &given.procedure_code).await;
        let coverage = coverage.map_err(|error| errors::database(self.name(), &error))?;
        let mut described = describe(coverage, wording);
        match asked {
            None => {}
            Some(Ok(said)) => {
                described.active = said.active;
                described.not_known = Some(if said.is_member {
                    "the insurer does not say whether this procedure is covered"
                } else {
                    "the insurer knows nobody by that number; it may have been misheard"
                });
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "the eligibility service gave no answer");
                described.not_known = Some("the insurer cannot be asked at the moment; whether the insurance is in force is not known");
            }
        }
        result::write(self.name(), &described)
    }
}

impl CheckInsuranceCoverage {
    /// What the service is to be asked, if there is one and the caller gave his number.
    fn inquiry(&self, given: &CoverageArguments) -> Result<Option<Question<'_>>, ToolError> {
        let Some((service, member_id)) = self.service.as_ref().zip(text(given.member_id.as_deref())) else { return Ok(None) };
        let born = text(given.date_of_birth.as_deref()).map(|born| self.desk.birth::<CoverageArguments>(&born)).transpose()?;
        let inquiry = Inquiry {
            clinic: self.desk.tenant.name.clone(),
            payer: given.payer.trim().into(),
            procedure_code: given.procedure_code.trim().into(),
            member_id: member_id.split_whitespace().collect::<String>().into(),
            patient_name: text(given.patient_name.as_deref()).map(Into::into),
            born,
        };
        Ok(Some((service, inquiry)))
    }

    fn insurer_says(&self, said: Eligibility, wording: &dyn Wording) -> CoverageResult {
        let currency = &self.desk.tenant.currency;
        let not_known = match (said.active, said.covered, said.copay_cents) {
            (Some(false), ..) => Some("the insurance is not in force, says the insurer"),
            (_, Some(true), None) => Some("what the patient has to pay"),
            _ => None,
        };
        let status = match said.covered {
            Some(true) => Status::Covered,
            Some(false) => Status::NotCovered,
            None => Status::Unknown,
        };
        CoverageResult {
            status,
            known: Known::Service,
            active: said.active,
            not_known,
            copay_spoken: said.copay_cents.map(|cents| wording.money(cents, currency)),
            ..CoverageResult::NOTHING
        }
    }
}

fn describe(coverage: Coverage, wording: &dyn Wording) -> CoverageResult {
    match coverage {
        Coverage::Listed { covered, copay_cents, currency, notes } => CoverageResult {
            status: if covered { Status::Covered } else { Status::NotCovered },
            known: Known::Table,
            copay_spoken: copay_cents.map(|cents| wording.money(cents, &currency)),
            notes,
            ..CoverageResult::NOTHING
        },
        Coverage::Unknown { field, known } => CoverageResult { unknown: Some(field), listed: known, ..CoverageResult::NOTHING },
    }
}
