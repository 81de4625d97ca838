//! What insurance covers: from the tenant's own table, or from an eligibility service ([`service`]).

pub mod service;

use crate::db::{DbError, bounded};
use crate::store::ClinicStore;

/// How many names are listed when the one asked for is unknown.
const KNOWN_MAX: i64 = 10;

/// What the table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coverage {
    /// There is a row.
    Listed {
        /// Whether it is covered.
        covered: bool,
        /// What the patient pays, in hundredths of the currency.
        copay_cents: Option<u32>,
        /// ISO 4217.
        currency: String,
        /// The clinic's remark, may be empty.
        notes: String,
    },
    /// There is none; the names that would have been known at the first level that did not match.
    Unknown {
        /// `payer`, `plan` or `procedure_code`.
        field: &'static str,
        /// What is known there, at most ten.
        known: Vec<String>,
    },
}

impl ClinicStore {
    /// Looks up a procedure under a payer's plan, without regard to case.
    pub async fn check_insurance_coverage(&self, payer: &str, plan: &str, procedure_code: &str) -> Result<Coverage, DbError> {
        bounded(async {
            let (mut transaction, _) = self.begin().await?;
            let row = sqlx::query!(
                "SELECT c.covered, c.copay_cents, c.notes, t.currency
                 FROM insurance_coverage c JOIN tenants t USING (tenant_id)
                 WHERE lower(c.payer) = lower($1) AND lower(c.plan) = lower($2) AND lower(c.procedure_code) = lower($3)",
                payer.trim(),
                plan.trim(),
                procedure_code.trim()
            )
            .fetch_optional(&mut *transaction)
            .await?;
            if let Some(row) = row {
                let copay_cents = row.copay_cents.map(i32::unsigned_abs);
                return Ok(Coverage::Listed { covered: row.covered, copay_cents, currency: row.currency, notes: row.notes });
            }
            let plans = sqlx::query_scalar!(
                "SELECT DISTINCT plan FROM insurance_coverage WHERE lower(payer) = lower($1) ORDER BY plan LIMIT $2",
                payer.trim(),
                KNOWN_MAX
            )
            .fetch_all(&mut *transaction)
            .await?;
            if plans.is_empty() {
                let payers = sqlx::query_scalar!("SELECT DISTINCT payer FROM insurance_coverage ORDER BY payer LIMIT $1", KNOWN_MAX)
                    .fetch_all(&mut *transaction)
                    .await?;
                return Ok(Coverage::Unknown { field: "payer", known: payers });
            }
            let codes = sqlx::query_scalar!(
                "SELECT procedure_code FROM insurance_coverage
                 WHERE lower(payer) = lower($1) AND lower(plan) = lower($2) ORDER BY procedure_code LIMIT $3",
                payer.trim(),
                plan.trim(),
                KNOWN_MAX
            )
            .fetch_all(&mut *transaction)
            .await?;
            if codes.is_empty() {
                return Ok(Coverage::Unknown { field: "plan", known: plans });
            }
            Ok(Coverage::Unknown { field: "procedure_code", known: codes })
        })
        .await
    }
}
