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
use crate::spoken::listen::{Piece, read, tokens};

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

/// A date as a caller says it: "the third of May nineteen eighty-four", "May 3rd, 1984", "1984-05-03".
///
/// # Errors
/// What is missing or unclear, worded as what is expected.
pub fn date_of_birth(text: &str) -> Result<NaiveDate, &'static str> {
    if let Ok(date) = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d") {
        return Ok(date);
    }
    let (numbers, month) = pieces(text)?;
    let (year, month, day) = match month {
        Some((0, month)) => {
            let (day, year) = numbers.split_first().ok_or("the day, too")?;
            (year.concat(), month, day.clone())
        }
        Some((before, month)) => (numbers[before..].concat(), month, numbers[..before].concat()),
        None => numeric(&numbers)?,
    };
    if year.is_empty() {
        return Err("the year, too");
    }
    if year.len() != 4 {
        return Err("the year with all four digits");
    }
    let date = year.parse().ok().zip(day.parse().ok()).and_then(|(year, day)| NaiveDate::from_ymd_opt(year, month, day));
    date.ok_or("a day that the month has")
}

/// The numbers, and the month with how many of them stand before it.
type Pieces = (Vec<String>, Option<(usize, u32)>);

fn pieces(text: &str) -> Result<Pieces, &'static str> {
    let tokens = tokens(text);
    let (mut numbers, mut month): (Vec<String>, Option<(usize, u32)>) = (Vec::new(), None);
    let mut thousands = false;
    let mut rest = tokens.as_slice();
    while let Some(first) = rest.first() {
        let (piece, taken) = read(first, rest.get(1).map(String::as_str));
        match piece {
            // "two thousand five": the last number takes it in.
            Piece::Digits(digits) if thousands => {
                let whole = numbers.last().and_then(|last| last.parse::<u32>().ok()).zip(digits.parse::<u32>().ok());
                if let (Some((base, more)), Some(last)) = (whole, numbers.last_mut()) {
                    *last = base.saturating_add(more).to_string();
                }
                thousands = false;
            }
            Piece::Digits(digits) => numbers.push(digits),
            Piece::Word(word) if word == "thousand" || word == "mil" => {
                thousands = true;
                if let Some(last) = numbers.last_mut() {
                    last.push_str("000");
                }
            }
            Piece::Word(word) => match month_of(&word) {
                Some(number) if month.is_none() => month = Some((numbers.len(), number)),
                Some(_) => return Err("one date only"),
                None => {}
            },
        }
        rest = &rest[taken..];
    }
    Ok((numbers, month))
}

fn month_of(word: &str) -> Option<u32> {
    let names = |(english, spanish): &(&str, &str)| *spanish == word || (word.len() >= 3 && english.starts_with(word));
    let at = MONTHS.iter().position(names)?;
    u32::try_from(at + 1).ok()
}

/// Three numbers without the name of a month: clear only if one of them can be nothing but the day, or they are the same.
fn numeric(numbers: &[String]) -> Result<(String, u32, String), &'static str> {
    let [first, second, third] = numbers else { return Err("day, month and year, with the month by its name") };
    if first.len() == 4 {
        return Ok((first.clone(), second.parse().unwrap_or(0), third.clone()));
    }
    let value = |text: &String| text.parse::<u32>().unwrap_or(0);
    match (value(first), value(second)) {
        (day @ 13.., month) | (month, day @ 13..) => Ok((third.clone(), month, day.to_string())),
        (day, month) if day == month => Ok((third.clone(), month, day.to_string())),
        _ => Err("the month by its name: it is not clear which number is the day"),
    }
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
