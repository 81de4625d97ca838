//! From a Rust value to the model's JSON, validated on the way out.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use frontdesk_conversation::ToolError;
use garde::Validate;
use serde::Serialize;
use serde_json::Value;

use crate::local_time;
use crate::schedule::{Place, Slot};
use crate::wording::Wording;

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

/// In which zone moments are said, and how.
pub(super) type Said<'a> = (Tz, &'a dyn Wording);

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
    /// Where, if the clinic has several places.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(skip)]
    location: Option<String>,
    /// How to say it.
    #[garde(length(min = 1))]
    spoken: String,
}

/// A beginning as it is written: in the clinic's time or, at a place in another zone, in that one's with its offset, so that it
/// means the same when it comes back.
pub(super) fn start(moment: DateTime<Utc>, place: Option<&Place>, clinic: Tz) -> String {
    let zone = Place::zone(place, clinic);
    if zone == clinic { local_time::format(moment, clinic) } else { moment.with_timezone(&zone).format("%Y-%m-%dT%H:%M%:z").to_string() }
}

/// A beginning as it is spoken at its place.
pub(super) fn spoken(moment: DateTime<Utc>, place: Option<&Place>, (clinic, wording): Said<'_>) -> String {
    wording.moment(local_time::local(moment, Place::zone(place, clinic)))
}

/// Slots in the zone of the clinic.
pub(super) fn slots(slots: &[Slot], (zone, wording): Said<'_>) -> Vec<SlotResult> {
    let result = |slot: &Slot| SlotResult {
        start: start(slot.start, slot.place.as_ref(), zone),
        duration_minutes: slot.duration_minutes,
        practitioner: slot.practitioner_name.clone(),
        location: slot.place.as_ref().map(|place| place.name.clone()),
        spoken: spoken(slot.start, slot.place.as_ref(), (zone, wording)),
    };
    slots.iter().map(result).collect()
}
