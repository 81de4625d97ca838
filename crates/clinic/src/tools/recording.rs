//! `recording_consent`: whether the caller lets the call be recorded.

use std::sync::Arc;

use async_trait::async_trait;
use frontdesk_agent::{Consent, RecordingConsent, Tool, ToolContext};
use frontdesk_conversation::{Effect, ToolError};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{arguments, errors, result};
use crate::store::ClinicStore;

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct ConsentArguments {
    /// What the caller said: true if he agrees to being recorded, false if he does not.
    #[garde(skip)]
    agrees: bool,
}

#[derive(Debug, Serialize, Validate)]
struct ConsentResult {
    #[garde(skip)]
    recording: bool,
}

/// Offered in calls that are, or may be, recorded.
pub(super) struct GiveConsent {
    pub(super) store: ClinicStore,
    pub(super) consent: RecordingConsent,
    /// Whether nothing is recorded before the caller's yes; else until his no.
    pub(super) asks_first: bool,
}

/// The tool of a call whose consent this is.
#[must_use]
pub fn recording_tool(store: &ClinicStore, consent: &RecordingConsent) -> Arc<dyn Tool> {
    Arc::new(GiveConsent { store: store.clone(), consent: consent.clone(), asks_first: consent.now() == Consent::Awaited })
}

#[async_trait]
impl Tool for GiveConsent {
    fn name(&self) -> &'static str {
        "recording_consent"
    }

    fn description(&self) -> String {
        let begin = if self.asks_first {
            "The caller was asked whether the call may be recorded, and nothing is recorded before he agrees. Call this when he answers."
        } else {
            "The caller was told that the call is recorded. Call this with false when he objects; what was recorded is then deleted."
        };
        format!("{begin} Never press him, and go on with his request whatever he says. A refusal stays for the rest of the call.")
    }

    fn parameters(&self) -> Value {
        arguments::schema::<ConsentArguments>()
    }

    fn effect(&self) -> Effect {
        Effect::Record
    }

    async fn run(&self, context: &ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let ConsentArguments { agrees } = arguments::read(arguments)?;
        if !agrees {
            // At once, and whether or not it can be noted.
            self.consent.refuse();
        }
        // A yes counts once it is in the log, so that there is no recording of which nobody can tell why.
        let noted = self.store.note_recording_consent(&context.call_id, agrees).await;
        noted.map_err(|error| errors::database(self.name(), &error))?;
        result::write(self.name(), &ConsentResult { recording: agrees && self.consent.give() })
    }
}
