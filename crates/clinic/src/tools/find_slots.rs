//! `find_slots`: free times in a window, or whether one exact time is free.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use frontdesk_agent::{Tool, ToolContext};
use frontdesk_conversation::{Effect, ToolError};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arguments::{self, fault};
use super::resolve::wording;
use super::result::{self, SlotResult};
use super::{Desk, errors};
use crate::local_time::{self, LocalTimeError};
use crate::schedule::when::{Phrase, WhenError};
use crate::slots::{FindError, FoundSlots, SlotQuery, When};
use crate::wording::Wording;

pub(super) const MOMENT: &str = "a local date and time, YYYY-MM-DDTHH:MM";

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct FindSlotsArguments {
    /// The caller's own words about day and time, English or Spanish; the clinic's calendar makes sense of them. Nothing else, and
    /// neither exact_start nor window_start nor window_end beside it.
    #[schemars(example = &"next Tuesday morning")]
    #[garde(length(chars, max = 120))]
    when: Option<String>,
    /// One exact local date and time to check, YYYY-MM-DDTHH:MM. Leave it out to search a window.
    #[schemars(example = &"2026-12-01T09:00")]
    #[garde(length(max = 40))]
    exact_start: Option<String>,
    /// Beginning of the window to search: local date, or date and time. Now, if left out.
    #[schemars(example = &"2026-12-01")]
    #[garde(length(max = 40))]
    window_start: Option<String>,
    /// End of the window: local date (that day included), or date and time. Two weeks after its beginning, if left out.
    #[schemars(example = &"2026-12-04T12:00")]
    #[garde(length(max = 40))]
    window_end: Option<String>,
    /// Length in minutes, 5 to 480. The service's length, or 30, if left out.
    #[schemars(example = 30, range(min = 5, max = 480))]
    #[garde(range(min = 5, max = 480))]
    duration_minutes: Option<u32>,
    /// With whom, by name. Anybody, if left out.
    #[garde(length(max = 100))]
    practitioner: Option<String>,
    /// What for, by name or code.
    #[garde(length(max = 100))]
    service: Option<String>,
    /// At which of the clinic's places, by name. Anywhere, if left out.
    #[garde(length(max = 100))]
    location: Option<String>,
    /// In which department, by name. Any, if left out.
    #[garde(length(max = 100))]
    department: Option<String>,
}

#[derive(Debug, Serialize, Validate)]
struct FindSlotsResult {
    /// For an exact time: whether it is free.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(skip)]
    available: Option<bool>,
    /// Free slots, ordered by time; for an exact time that is not free, alternatives near it.
    #[garde(dive, length(max = 6))]
    slots: Vec<SlotResult>,
    /// The days and times of day that the caller's words were taken for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(skip)]
    understood: Option<String>,
    /// What to make of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(skip)]
    note: Option<String>,
}

pub(super) struct FindSlots(pub(super) Desk);

#[async_trait]
impl Tool for FindSlots {
    fn name(&self) -> &'static str {
        "find_slots"
    }

    fn description(&self) -> String {
        "Finds free appointment times: for the caller's own words about when, in a window, or whether one exact time is free (with \
         alternatives if it is not). Call it before offering any time."
            .into()
    }

    fn parameters(&self) -> Value {
        self.0.schema::<FindSlotsArguments>()
    }

    fn effect(&self) -> Effect {
        Effect::Read
    }

    async fn run(&self, context: &ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let arguments: FindSlotsArguments = arguments::read(arguments)?;
        let query = self.query(&arguments)?;
        let found = self.0.store.find_slots(&context.call_id, &query).await;
        let found = found.map_err(|error| match error {
            FindError::When(error) => said(&error, arguments.when.as_deref().unwrap_or_default()),
            FindError::Database(error) => errors::database(self.name(), &error),
        })?;
        result::write(self.name(), &describe(&found, wording(context)))
    }
}

impl FindSlots {
    fn query(&self, arguments: &FindSlotsArguments) -> Result<SlotQuery, ToolError> {
        let zone = self.0.tenant.zone;
        let others = [&arguments.exact_start, &arguments.window_start, &arguments.window_end];
        let when = if let Some(text) = given(arguments.when.as_deref()) {
            if others.into_iter().any(|other| given(other.as_deref()).is_some()) {
                return Err(
                    fault::<FindSlotsArguments>("when", text, "the caller's words alone, or exact_start or a window instead").into()
                );
            }
            When::Said(Phrase::read(text).map_err(|error| said(&error, text))?)
        } else if let Some(text) = given(arguments.exact_start.as_deref()) {
            When::Exact(moment::<FindSlotsArguments>("exact_start", text, local_time::parse(text, zone))?)
        } else {
            let edge = |field, text: Option<&str>, is_end| {
                given(text).map(|text| moment::<FindSlotsArguments>(field, text, local_time::parse_edge(text, zone, is_end))).transpose()
            };
            let from = edge("window_start", arguments.window_start.as_deref(), false)?;
            let to = edge("window_end", arguments.window_end.as_deref(), true)?;
            if from.zip(to).is_some_and(|(from, to)| to <= from) {
                let text = arguments.window_end.as_deref().unwrap_or_default();
                return Err(fault::<FindSlotsArguments>("window_end", text, "a time after window_start").into());
            }
            When::Window(from, to)
        };
        let service = self.0.service(arguments.service.as_deref())?;
        Ok(SlotQuery {
            when,
            duration_minutes: Desk::duration(arguments.duration_minutes, service),
            practitioner: self.0.practitioner(arguments.practitioner.as_deref())?,
            service: service.map(|service| service.code.clone()),
            location: self.0.location(arguments.location.as_deref())?,
            department: self.0.department(arguments.department.as_deref())?,
        })
    }
}

/// A local time, or the error that names its argument.
pub(super) fn moment<T: JsonSchema>(
    field: &str,
    text: &str,
    parsed: Result<DateTime<Utc>, LocalTimeError>,
) -> Result<DateTime<Utc>, ToolError> {
    parsed.map_err(|error| fault::<T>(field, text, &format!("{MOMENT}; this {error}")).into())
}

/// What is wrong with the caller's words, for the model to repair or to ask about.
fn said(error: &WhenError, text: &str) -> ToolError {
    fault::<FindSlotsArguments>("when", text, &format!("words about a day or time to come; {error}")).into()
}

fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.trim().is_empty())
}

fn describe(found: &FoundSlots, wording: &dyn Wording) -> FindSlotsResult {
    let available = found.exact.map(|exact| exact == Ok(true));
    let note = match (found.exact, found.slots.is_empty()) {
        (Some(Ok(true)), _) | (None, false) => None,
        (Some(Err(reason)), false) => Some(format!("{reason}; these are near it")),
        (Some(Err(reason)), true) => Some(format!("{reason}, and nothing near it is free; try a window")),
        (Some(Ok(false)), false) => Some("that time is taken; these are near it".into()),
        (Some(Ok(false)), true) => Some("that time is taken, and nothing near it is free; try a window".into()),
        (None, true) => Some("nothing is free in that window; try another one".into()),
    };
    FindSlotsResult { available, slots: result::slots(&found.slots, (found.zone, wording)), understood: found.understood.clone(), note }
}
