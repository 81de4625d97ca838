//! `cancel_appointment`: find by code and number, read back, and cancel once the caller has said yes.

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
use super::resolve::wording;
use super::{Desk, arguments, errors, guesses_on, result};
use crate::booking::{CANCEL_TOOL, Cancellation, Cancelled};
use crate::ids::CommitKey;
use crate::local_time;

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct CancelArguments {
    /// The confirmation code given at booking, six letters and digits.
    #[schemars(example = &"K7M2X9")]
    #[garde(length(chars, min = 1, max = 80))]
    confirmation_code: String,
    /// The telephone number given at booking, with area code.
    #[schemars(example = &"202 555 0143")]
    #[garde(length(chars, min = 1, max = 120))]
    phone: String,
}

#[derive(Debug, Serialize, Validate)]
struct CancelResult {
    #[garde(skip)]
    cancelled: bool,
    #[garde(length(min = 16, max = 25))]
    start: String,
    #[garde(length(min = 1))]
    spoken: String,
}

pub(super) struct CancelAppointment(pub(super) Desk);

#[async_trait]
impl Tool for CancelAppointment {
    fn name(&self) -> &'static str {
        CANCEL_TOOL
    }

    fn description(&self) -> String {
        "Prepares a cancellation and answers with a sentence to read back. It cancels nothing before the caller has said yes and you \
         have confirmed. Needs the confirmation code and the telephone number given at booking."
            .into()
    }

    fn parameters(&self) -> Value {
        arguments::schema::<CancelArguments>()
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
        let given: CancelArguments = arguments::read(arguments)?;
        let phone = self.0.phone::<CancelArguments>(&given.phone)?;
        let prepared = self.0.store.prepare_cancellation(&context.call_id, &given.confirmation_code, &phone).await;
        let prepared = prepared.map_err(|error| errors::prepare(self.name(), &error, self.0.said(context)))?;
        let arguments = serde_json::to_value(&prepared.cancellation).unwrap_or_default();
        Ok(Prepared { arguments, read_back: wording(context).cancellation(&prepared) })
    }

    async fn commit(&self, context: &ToolContext, confirmation: &str, arguments: Value) -> CommitOutcome {
        let cancellation: Cancellation = match canonical(arguments) {
            Ok(cancellation) => cancellation,
            Err(error) => return CommitOutcome::Refused(error),
        };
        let key = CommitKey { call_id: context.call_id.clone(), confirmation_id: confirmation.into() };
        let settled = commit::settle(self.name(), || self.0.store.commit_cancellation(&key, &cancellation)).await;
        let (zone, wording) = self.0.said(context);
        commit::outcome(self.name(), settled, (zone, wording), |cancelled: Cancelled| {
            let start = local_time::format(cancelled.start, zone);
            let spoken = wording.moment(local_time::local(cancelled.start, zone));
            result::write(self.name(), &CancelResult { cancelled: true, start, spoken })
        })
    }
}
