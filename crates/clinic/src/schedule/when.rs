//! What callers say about when, in English and Spanish: "next Tuesday morning", "after five", "pasado mañana a las diez".
//!
//! The words are read without a clock ([`Phrase::read`]) and then placed on the calendar ([`Phrase::on`]), so that the language
//! model need not count days. What is past, may mean two days, or holds a word that is not understood is an error that says so:
//! a guess would book the wrong day.
//!
//! A week begins on Monday. A bare weekday, or "this" one, is the next of its name after today. "Next" Friday is the one of next
//! week; said early in a week, when people mean either, it is ambiguous, unless it were tomorrow's.

mod clock;
mod grammar;
mod words;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::Span;
use crate::local_time::{self, LocalTimeError};

/// How many days are searched if none are named.
const DEFAULT_DAYS: u64 = 14;
/// And if days of the week are ("on Tuesdays").
const REPEATED_DAYS: u64 = 28;

/// Why a phrase names no time; each says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WhenError {
    /// A word that no rule knows.
    #[error("\"{word}\" is not understood; give only the words about day and time, or use exact_start or window_start and window_end")]
    NotUnderstood {
        /// The word.
        word: String,
    },
    /// Nothing about a day or a time.
    #[error("it says nothing about a day or a time")]
    Empty,
    /// It may mean either day.
    #[error("it may mean {one} ({}) or {other} ({}); ask the caller which", .one.weekday(), .other.weekday())]
    Ambiguous {
        /// The earlier.
        one: NaiveDate,
        /// The later.
        other: NaiveDate,
    },
    /// "4/5" is the fourth of May here and the fifth of April there.
    #[error("day and month cannot be told apart; name the month")]
    DayOrMonth,
    /// It is past.
    #[error("that time is past; ask for a time to come")]
    Past,
    /// It lies beyond the clinic's horizon.
    #[error("{first} is further ahead than the clinic books")]
    TooFar {
        /// The first day that is meant.
        first: NaiveDate,
    },
    /// No such day in the calendar.
    #[error("there is no such day in the calendar")]
    NoSuchDay,
    /// The day of the week is another one.
    #[error("{date} is a {}; ask the caller which is right", .date.weekday())]
    OtherWeekday {
        /// The date that was named.
        date: NaiveDate,
    },
    /// Its parts exclude each other.
    #[error("its parts contradict each other; ask the caller for one day and time")]
    Contradiction,
    /// The clocks skip it.
    #[error("that time {0}")]
    NoSuchTime(#[from] LocalTimeError),
}

/// A part of a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Third {
    First,
    Middle,
    Last,
}

/// Which of several days of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// The nearest.
    Coming,
    /// That of next week.
    Next,
}

/// A day or days, relative to the day of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Day {
    /// So many days from today.
    Ahead(i64),
    /// The week, so many from this one.
    Week(i64),
    Weekend(Which),
    /// The month, so many from this one.
    Month(u32),
    /// The week of the day so many months from today.
    InMonths(i64),
    /// The next month of that number, or a part of it.
    InMonth {
        month: u32,
        third: Option<Third>,
    },
    ThirdOfNextMonth(Third),
    /// The next such date, unless the year is named.
    Date {
        month: u32,
        day: u32,
        year: Option<i32>,
    },
    /// The next day of that number.
    OfMonth(u32),
    On(NaiveDate),
}

/// What was said, not yet placed on the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phrase {
    day: Option<Day>,
    /// Bits, Monday lowest; none set: any.
    weekdays: u8,
    /// "On Tuesdays", "any Tuesday": not one of them but each.
    repeats: bool,
    which: Option<Which>,
    /// "A week from Tuesday".
    later_days: i64,
    from: Option<NaiveTime>,
    to: Option<NaiveTime>,
    exact: Option<NaiveTime>,
}

/// Days and times of day that are asked for, in local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    first: NaiveDate,
    /// That day included.
    last: NaiveDate,
    weekdays: u8,
    from: Option<NaiveTime>,
    to: Option<NaiveTime>,
    exact: Option<NaiveTime>,
}

impl Phrase {
    /// Reads a phrase.
    pub fn read(text: &str) -> Result<Self, WhenError> {
        grammar::read(text)
    }

    fn not_before(&mut self, time: NaiveTime) {
        self.from = Some(self.from.map_or(time, |from| from.max(time)));
    }

    fn not_after(&mut self, time: NaiveTime) {
        self.to = Some(self.to.map_or(time, |to| to.min(time)));
    }

    /// Places it on the calendar of a clinic that books up to `horizon` ahead. `now` is the clinic's local time.
    pub fn on(&self, now: NaiveDateTime, horizon: TimeDelta) -> Result<Wish, WhenError> {
        let today = now.date();
        let (first, last, weekdays) = self.days(today)?;
        let shift = TimeDelta::days(self.later_days);
        let (first, last) = (add(first, shift)?, add(last, shift)?);
        if last < today {
            return Err(WhenError::Past);
        }
        let wish = Wish { first: first.max(today), last, weekdays, from: self.from, to: self.to, exact: self.exact };
        // The last moment at which something could begin; the end of a part of the day does not belong to it.
        let latest = match (self.exact, self.to) {
            (Some(exact), _) => exact > now.time(),
            (None, Some(to)) => to > now.time(),
            (None, None) => true,
        };
        if wish.last == today && !latest {
            return Err(WhenError::Past);
        }
        let limit = now + horizon;
        if wish.first > limit.date() {
            return Err(WhenError::TooFar { first: wish.first });
        }
        Ok(Wish { last: wish.last.min(limit.date()), ..wish })
    }

    /// First and last day, and the days of the week that count among them.
    fn days(&self, today: NaiveDate) -> Result<(NaiveDate, NaiveDate, u8), WhenError> {
        let one = |date: NaiveDate| Ok((date, date, 0));
        let weekday = (self.weekdays.count_ones() == 1).then(|| self.weekdays.trailing_zeros());
        let Some(day) = self.day else {
            return match weekday.filter(|_| !self.repeats) {
                Some(weekday) => one(self.weekday(today, i64::from(weekday))?),
                None if self.weekdays != 0 => Ok((today, later(today, REPEATED_DAYS)?, self.weekdays)),
                None => Ok((today, later(today, DEFAULT_DAYS - 1)?, 0)),
            };
        };
        let monday = add(today, -TimeDelta::days(i64::from(today.weekday().num_days_from_monday())))?;
        let week = |monday: NaiveDate| -> Result<_, WhenError> { Ok((monday, later(monday, 6)?, self.weekdays)) };
        match day {
            Day::Ahead(days) => self.checked(add(today, TimeDelta::days(days))?),
            Day::On(date) => self.checked(date),
            Day::Week(weeks) => {
                let (first, last, weekdays) = week(add(monday, TimeDelta::days(7 * weeks))?)?;
                match weekday.filter(|_| !self.repeats) {
                    // "Tuesday of this week".
                    Some(weekday) => one(later(first, weekday.into())?),
                    None => Ok((first, last, weekdays)),
                }
            }
            Day::Weekend(which) => weekend(today, monday, which),
            Day::Month(months) => {
                let first = first_of_month(today, months)?;
                Ok((first, last_of_month(first)?, self.weekdays))
            }
            Day::InMonths(months) => {
                let months = u32::try_from(months).map_err(|_| WhenError::NoSuchDay)?;
                let date = today.checked_add_months(Months::new(months)).ok_or(WhenError::NoSuchDay)?;
                week(add(date, -TimeDelta::days(i64::from(date.weekday().num_days_from_monday())))?)
            }
            Day::InMonth { month, third } => {
                let months = (month + 12 - today.month()) % 12;
                part_of_month(first_of_month(today, months)?, third, self.weekdays)
            }
            Day::ThirdOfNextMonth(third) => part_of_month(first_of_month(today, 1)?, Some(third), self.weekdays),
            Day::Date { month, day, year: Some(year) } => {
                self.checked(NaiveDate::from_ymd_opt(year, month, day).ok_or(WhenError::NoSuchDay)?)
            }
            Day::Date { month, day, year: None } => {
                // The twenty-ninth of February may be eight years off.
                let dates = (0..=8).filter_map(|years| NaiveDate::from_ymd_opt(today.year() + years, month, day));
                self.checked(dates.filter(|date| *date >= today).min().ok_or(WhenError::NoSuchDay)?)
            }
            Day::OfMonth(day) => self.of_month(today, day),
        }
    }

    /// One date, if the day of the week that was named is its.
    fn checked(&self, date: NaiveDate) -> Result<(NaiveDate, NaiveDate, u8), WhenError> {
        let is_so = self.weekdays == 0 || self.weekdays & bit(date) != 0;
        if is_so { Ok((date, date, 0)) } else { Err(WhenError::OtherWeekday { date }) }
    }

    /// "The twenty-fourth"; "Tuesday the first" is the next first that is a Tuesday, within a year.
    fn of_month(&self, today: NaiveDate, day: u32) -> Result<(NaiveDate, NaiveDate, u8), WhenError> {
        let candidates = || today.iter_days().take(366).filter(|date| date.day() == day);
        let next = candidates().next().ok_or(WhenError::NoSuchDay)?;
        let fitting = candidates().find(|date| self.weekdays == 0 || self.weekdays & bit(*date) != 0);
        // A weekday that only fits months away is more likely a slip of the tongue.
        match fitting.filter(|date| *date - next <= TimeDelta::days(62)) {
            Some(date) => Ok((date, date, 0)),
            None => Err(WhenError::OtherWeekday { date: next }),
        }
    }

    fn weekday(&self, today: NaiveDate, weekday: i64) -> Result<NaiveDate, WhenError> {
        let today_is = i64::from(today.weekday().num_days_from_monday());
        // Today's own name means the next one: today is called today.
        let ahead = (weekday - today_is - 1).rem_euclid(7) + 1;
        let nearest = add(today, TimeDelta::days(ahead))?;
        if self.which != Some(Which::Next) {
            return Ok(nearest);
        }
        let next_week = add(today, TimeDelta::days(7 - today_is + weekday))?;
        if nearest == next_week || ahead == 1 {
            return Ok(next_week);
        }
        Err(WhenError::Ambiguous { one: nearest, other: next_week })
    }
}

impl Wish {
    /// All that lies within its days.
    #[must_use]
    pub fn window(&self, zone: Tz) -> Span {
        let end = self.last.succ_opt().unwrap_or(self.last);
        let at = |day: NaiveDate| local_time::resolve(day.and_time(NaiveTime::MIN), zone);
        Span { start: at(self.first), end: at(end) }
    }

    /// The one moment that is meant, if it is one.
    pub fn exact(&self, zone: Tz) -> Result<Option<DateTime<Utc>>, WhenError> {
        let Some(time) = self.exact.filter(|_| self.first == self.last) else { return Ok(None) };
        Ok(Some(local_time::parse(&self.first.and_time(time).format("%Y-%m-%dT%H:%M").to_string(), zone)?))
    }

    /// Whether something may begin at this local time.
    #[must_use]
    pub fn admits(&self, local: NaiveDateTime) -> bool {
        let (day, time) = (local.date(), local.time());
        (self.first..=self.last).contains(&day)
            && (self.weekdays == 0 || self.weekdays & bit(day) != 0)
            && self.from.is_none_or(|from| from <= time)
            && self.to.is_none_or(|to| time < to)
            && self.exact.is_none_or(|exact| exact == time)
    }

    /// The first day and the last.
    pub(crate) const fn days(&self) -> (NaiveDate, NaiveDate) {
        (self.first, self.last)
    }

    /// The days of the week, where not all of them will do.
    pub(crate) fn weekdays(&self) -> impl Iterator<Item = Weekday> {
        let weekdays = self.weekdays;
        (0..7_u8).filter(move |day| weekdays & (1 << day) != 0).filter_map(|day| Weekday::try_from(day).ok())
    }

    /// The one time of day that is meant; else the first that will do, and the first that will not any more.
    pub(crate) const fn times(&self) -> (Option<NaiveTime>, Option<NaiveTime>, Option<NaiveTime>) {
        (self.exact, self.from, self.to)
    }

    /// How it was understood, for the model to see.
    #[must_use]
    pub fn describe(&self) -> String {
        let days =
            if self.first == self.last { self.first.format("%A %Y-%m-%d").to_string() } else { format!("{} to {}", self.first, self.last) };
        let names: Vec<String> = self.weekdays().map(|day| day.to_string()).collect();
        let on = if names.is_empty() { String::new() } else { format!(", {}", names.join(", ")) };
        let time = |time: NaiveTime| time.format("%H:%M").to_string();
        let times = match (self.exact, self.from, self.to) {
            (Some(exact), ..) => format!(", at {}", time(exact)),
            (None, Some(from), Some(to)) => format!(", beginning from {} to before {}", time(from), time(to)),
            (None, Some(from), None) => format!(", beginning from {} on", time(from)),
            (None, None, Some(to)) => format!(", beginning before {}", time(to)),
            (None, None, None) => String::new(),
        };
        format!("{days}{on}{times}")
    }
}

fn bit(date: NaiveDate) -> u8 {
    1 << date.weekday().num_days_from_monday()
}

fn add(date: NaiveDate, by: TimeDelta) -> Result<NaiveDate, WhenError> {
    date.checked_add_signed(by).ok_or(WhenError::NoSuchDay)
}

fn later(date: NaiveDate, days: u64) -> Result<NaiveDate, WhenError> {
    date.checked_add_days(Days::new(days)).ok_or(WhenError::NoSuchDay)
}

fn first_of_month(today: NaiveDate, months: u32) -> Result<NaiveDate, WhenError> {
    today.with_day(1).and_then(|first| first.checked_add_months(Months::new(months))).ok_or(WhenError::NoSuchDay)
}

fn last_of_month(first: NaiveDate) -> Result<NaiveDate, WhenError> {
    first.checked_add_months(Months::new(1)).and_then(|next| next.pred_opt()).ok_or(WhenError::NoSuchDay)
}

fn part_of_month(first: NaiveDate, third: Option<Third>, weekdays: u8) -> Result<(NaiveDate, NaiveDate, u8), WhenError> {
    let last = last_of_month(first)?;
    Ok(match third {
        None => (first, last, weekdays),
        Some(Third::First) => (first, later(first, 9)?, weekdays),
        Some(Third::Middle) => (later(first, 10)?, later(first, 19)?, weekdays),
        Some(Third::Last) => (later(first, 20)?, last, weekdays),
    })
}

fn weekend(today: NaiveDate, monday: NaiveDate, which: Which) -> Result<(NaiveDate, NaiveDate, u8), WhenError> {
    let (saturday, next) = (later(monday, 5)?, later(monday, 12)?);
    match which {
        Which::Coming => Ok((saturday, later(saturday, 1)?, 0)),
        Which::Next if today >= saturday => Ok((next, later(next, 1)?, 0)),
        Which::Next => Err(WhenError::Ambiguous { one: saturday, other: next }),
    }
}

#[cfg(test)]
mod tests;
