//! From a Rust value to the model's JSON, validated on the way out.

use chrono_tz::Tz;
use frontdesk_conversation::ToolError;
use garde::Validate;
use serde::Serialize;
use serde_json::Value;

use crate::schedule::Slot;
use crate::{local_time, spoken};

/// Writes a result. One that does not validate is a fault of the program: the model is told so rather than misled.
pub(super) fn write<T: Serialize + Validate<Context = ()>>(tool: &'static str, result: &T) -> Result<Value, ToolError> {
    let fault = |reason: String| {
        tracing::error!(tool, reason, "a tool's result does not validate");
        let message = "the tool's own answer was malformed; do not rely on it. Offer to take a message".into();
        ToolError { code: "internal".into(), message, details: None, retryable: false }
    };
    if let Err(report) = result.validate() {
        // Paths and rules only: the values may be personal.
        let paths: Vec<String> = report.iter().map(|(path, _)| path.to_string()).collect();
        return Err(fault(paths.join(", ")));
    }
    serde_json::to_value(result).map_err(|error| fault(error.to_string()))
}

/// A slot as the model sees it.
#[derive(Debug, Serialize, Validate)]
pub(super) struct SlotResult {
    /// Local time.
    #[garde(length(min = 16, max = 25))]
    start: String,
    #[garde(range(min = 5, max = 480))]
    duration_minutes: u32,
    #[garde(length(min = 1))]
    practitioner: String,
    /// How to say it.
    #[garde(length(min = 1))]
    spoken: String,
}

/// Slots in the zone of the clinic.
pub(super) fn slots(slots: &[Slot], zone: Tz) -> Vec<SlotResult> {
    let result = |slot: &Slot| SlotResult {
        start: local_time::format(slot.start, zone),
        duration_minutes: slot.duration_minutes,
        practitioner: slot.practitioner_name.clone(),
        spoken: spoken::moment(local_time::local(slot.start, zone)),
    };
    slots.iter().map(result).collect()
}
