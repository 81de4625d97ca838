//! When a practice is open.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Utc, Weekday};

use super::{Hours, Tenant};
use crate::local_time;

/// How many days ahead the next opening is looked for.
const NEXT_DAYS: usize = 60;

/// Whether a practice is open, in its own local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// It is, until then.
    Until(NaiveTime),
    /// It is not, but will be then.
    From(NaiveDateTime),
    /// It is not, and not for two months either.
    No,
}

impl Tenant {
    /// When the practice is open on a day of the week: stretches in order, without overlaps.
    #[must_use]
    pub fn open_on(&self, day: Weekday) -> Vec<(NaiveTime, NaiveTime)> {
        let of = |hours: &Hours| hours.days.contains(&day).then_some((hours.opens, hours.closes));
        if self.opening_hours.is_empty() {
            joined(self.practitioners.iter().flat_map(|one| &one.hours).filter_map(of).collect())
        } else {
            joined(self.opening_hours.iter().filter_map(of).collect())
        }
    }

    /// Whether the practice is open at a moment; on closed days it is not.
    #[must_use]
    pub fn open_at(&self, now: DateTime<Utc>) -> Open {
        let local = local_time::local(now, self.zone);
        let of_day = |day: NaiveDate| if self.closed_days.contains(&day) { Vec::new() } else { self.open_on(day.weekday()) };
        let today = of_day(local.date());
        if let Some((_, closes)) = today.iter().find(|(opens, closes)| *opens <= local.time() && local.time() < *closes) {
            return Open::Until(*closes);
        }
        let days = local.date().iter_days().take(NEXT_DAYS);
        let openings = days.flat_map(|day| of_day(day).into_iter().map(move |(opens, _)| day.and_time(opens)));
        openings.into_iter().find(|opening| *opening > local).map_or(Open::No, Open::From)
    }
}

/// Periods as stretches in which there is at least one.
fn joined(mut periods: Vec<(NaiveTime, NaiveTime)>) -> Vec<(NaiveTime, NaiveTime)> {
    periods.sort_unstable();
    let mut spans: Vec<(NaiveTime, NaiveTime)> = Vec::new();
    for (opens, closes) in periods {
        match spans.last_mut().filter(|(_, end)| opens <= *end) {
            Some((_, end)) => *end = closes.max(*end),
            None => spans.push((opens, closes)),
        }
    }
    spans
}
