//! `check_insurance_coverage`: what the clinic's own table says.

use async_trait::async_trait;
use frontdesk_agent::{Tool, ToolContext};
use frontdesk_conversation::{Effect, ToolError};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::book::collected;
use super::{Desk, arguments, errors, result};
use crate::insurance::Coverage;
use crate::spoken;

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
}

#[derive(Debug, Clone, Copy, Serialize)]
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
    known: Vec<String>,
}

pub(super) struct CheckInsuranceCoverage(pub(super) Desk);

#[async_trait]
impl Tool for CheckInsuranceCoverage {
    fn name(&self) -> &'static str {
        "check_insurance_coverage"
    }

    fn description(&self) -> String {
        "Looks up whether a procedure is covered by an insurer's plan, and the co-payment. Status `unknown` means that the table does \
         not say; it does not mean that it is not covered."
            .into()
    }

    fn parameters(&self) -> Value {
        arguments::schema::<CoverageArguments>()
    }

    fn effect(&self) -> Effect {
        Effect::Read
    }

    fn fields(&self, arguments: &Value) -> Vec<(String, String)> {
        collected(arguments, &["payer", "plan", "procedure_code"])
    }

    async fn run(&self, _context: &ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let CoverageArguments { payer, plan, procedure_code } = arguments::read(arguments)?;
        let coverage = self.0.store.check_insurance_coverage(&payer, &plan, &procedure_code).await;
        let coverage = coverage.map_err(|error| errors::database(self.name(), &error))?;
        result::write(self.name(), &describe(coverage))
    }
}

fn describe(coverage: Coverage) -> CoverageResult {
    match coverage {
        Coverage::Listed { covered, copay_cents, currency, notes } => CoverageResult {
            status: if covered { Status::Covered } else { Status::NotCovered },
            copay_spoken: copay_cents.map(|cents| spoken::money(cents, &currency)),
            notes,
            unknown: None,
            known: Vec::new(),
        },
        Coverage::Unknown { field, known } => {
            CoverageResult { status: Status::Unknown, copay_spoken: None, notes: String::new(), unknown: Some(field), known }
        }
    }
}
