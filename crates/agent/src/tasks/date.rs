//! A date of birth.

use chrono::{Datelike, Months, NaiveDate, Utc};
use frontdesk_conversation::fields::MONTHS;
use frontdesk_conversation::{FieldKind, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::collect::{Collect, Field};
use crate::arguments::fault;
use crate::spoken;

/// Nobody is older.
const YEARS_MAX: u32 = 125;

/// Collects a date of birth.
pub type CollectDateOfBirth = Collect<DateOfBirth>;

/// A date of birth.
#[derive(Debug, Clone, Copy, Default)]
pub struct DateOfBirth {
    today: Option<NaiveDate>,
}

impl DateOfBirth {
    /// The date must lie before `today`, in the zone of whoever asks.
    #[must_use]
    pub const fn before(today: NaiveDate) -> Self {
        Self { today: Some(today) }
    }
}

impl CollectDateOfBirth {
    /// The date must lie before today (UTC).
    #[must_use]
    pub const fn new() -> Self {
        Self::of(DateOfBirth { today: None })
    }

    /// The date must lie before `today`, in the zone of whoever asks.
    #[must_use]
    pub const fn before(today: NaiveDate) -> Self {
        Self::of(DateOfBirth::before(today))
    }
}

impl Default for CollectDateOfBirth {
    fn default() -> Self {
        Self::new()
    }
}

/// What the model gives.
#[derive(Deserialize, JsonSchema, garde::Validate)]
#[serde(deny_unknown_fields)]
pub struct DateArguments {
    /// The date as YYYY-MM-DD, or as the caller said it.
    #[garde(length(chars, min = 1, max = 80))]
    #[schemars(extend("examples" = ["1984-05-03"]))]
    date_of_birth: String,
}

/// A date as a caller says it, with nothing left open: see [`spoken::date_of_birth`].
///
/// # Errors
/// What is missing or unclear, worded as what is expected.
pub fn date_of_birth(text: &str) -> Result<NaiveDate, &'static str> {
    spoken::date_of_birth(text, None)
}

impl Field for DateOfBirth {
    type Arguments = DateArguments;
    type Value = NaiveDate;

    fn task(&self) -> &'static str {
        "collect_date_of_birth"
    }

    fn tool(&self) -> &'static str {
        "give_date_of_birth"
    }

    fn what(&self) -> String {
        "the caller's date of birth".into()
    }

    fn guidance(&self) -> String {
        "Day, month and year are needed; never guess the century.".into()
    }

    fn expects(&self) -> Option<FieldKind> {
        Some(FieldKind::DateOfBirth)
    }

    fn check(&self, DateArguments { date_of_birth: given }: DateArguments) -> Result<NaiveDate, ToolError> {
        let refuse = |expected: &str| ToolError::from(fault::<DateArguments>("date_of_birth", &given, expected));
        let date = date_of_birth(&given).map_err(refuse)?;
        let today = self.today.unwrap_or_else(|| Utc::now().date_naive());
        if date > today {
            return Err(refuse("a day that has been"));
        }
        if today.checked_sub_months(Months::new(12 * YEARS_MAX)).is_some_and(|oldest| date < oldest) {
            return Err(refuse("a year of this or the last century"));
        }
        Ok(date)
    }

    fn read_back(&self, value: &NaiveDate) -> Option<String> {
        let month = MONTHS.get(value.month0() as usize).map_or("", |(english, _)| english);
        let month = month.chars().take(1).flat_map(char::to_uppercase).chain(month.chars().skip(1)).collect::<String>();
        Some(format!("You were born on {month} {}, {}. Is that right?", spoken::ordinal(value.day()), value.year()))
    }

    fn recorded(&self, arguments: &Value) -> Vec<(String, String)> {
        let date = arguments.get("date_of_birth").and_then(Value::as_str);
        date.map(|date| ("date_of_birth".into(), date.into())).into_iter().collect()
    }
}
