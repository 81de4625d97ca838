//! Working hours and what is left of them: pure computation, no database and no clock.

pub mod when;

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::ids::PractitionerId;
use crate::local_time;

/// How many slots are looked at before a search gives up; a year of a large clinic stays below.
const CANDIDATES_MAX: usize = 200_000;

/// When a clinic can be visited.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The zone in which times are spoken and days are closed.
    pub zone: Tz,
    /// Slots begin every so many minutes from the opening of a working period.
    pub slot_minutes: u32,
    /// Nothing can be booked sooner than this after now.
    pub lead: TimeDelta,
    /// Nothing can be booked later than this after now.
    pub horizon: TimeDelta,
    /// Days on which nobody works.
    pub closed_days: HashSet<NaiveDate>,
    /// Those who work here, in a stable order.
    pub practitioners: Vec<Practitioner>,
}

/// One who can be visited.
#[derive(Debug, Clone)]
pub struct Practitioner {
    /// The id.
    pub id: PractitionerId,
    /// As it is spoken.
    pub name: String,
    /// In which the hours count.
    pub zone: Tz,
    /// Working periods; those of one weekday do not overlap.
    pub hours: Vec<WorkingPeriod>,
}

/// A working period of a week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkingPeriod {
    /// ISO 8601: 1 is Monday.
    pub weekday: u32,
    /// Local time.
    pub opens: NaiveTime,
    /// Local time, later than `opens`.
    pub closes: NaiveTime,
}

/// A bookable time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// When it begins.
    pub start: DateTime<Utc>,
    /// How long it lasts.
    pub duration_minutes: u32,
    /// With whom.
    pub practitioner: PractitionerId,
    /// As it is spoken.
    pub practitioner_name: String,
}

/// A half-open span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first moment.
    pub start: DateTime<Utc>,
    /// The first moment after it.
    pub end: DateTime<Utc>,
}

impl Span {
    /// From `start`, for that long.
    #[must_use]
    pub fn lasting(start: DateTime<Utc>, minutes: u32) -> Self {
        Self { start, end: start + TimeDelta::minutes(i64::from(minutes)) }
    }

    fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

/// When each practitioner is taken.
pub type Busy = HashMap<PractitionerId, Vec<Span>>;

/// Why a time cannot be booked at all, by anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum NotBookable {
    /// It is past, or nearer than the clinic's lead time.
    #[error("that time is past or too soon")]
    TooSoon,
    /// It lies beyond the clinic's horizon.
    #[error("that time is too far ahead")]
    TooFar,
    /// Nobody works that day.
    #[error("the clinic is closed on that day")]
    ClosedDay,
    /// Nobody asked for works then.
    #[error("that time is outside of working hours")]
    OutsideHours,
    /// Not on a five-minute mark.
    #[error("appointments begin on a five-minute mark")]
    OddMinute,
}

impl Schedule {
    /// Whether a time could be booked if nothing else were; says why not.
    pub fn allows(&self, span: Span, practitioner: Option<&PractitionerId>, now: DateTime<Utc>) -> Result<(), NotBookable> {
        if span.start < now + self.lead {
            return Err(NotBookable::TooSoon);
        }
        if span.start > now + self.horizon {
            return Err(NotBookable::TooFar);
        }
        if !span.start.minute().is_multiple_of(5) || span.start.second() != 0 || span.start.nanosecond() != 0 {
            return Err(NotBookable::OddMinute);
        }
        if self.is_closed(span) {
            return Err(NotBookable::ClosedDay);
        }
        if self.asked(practitioner).any(|practitioner| self.works(practitioner, span)) { Ok(()) } else { Err(NotBookable::OutsideHours) }
    }

    /// Who of those asked for works all of the span and is not taken; the first in the schedule's order.
    #[must_use]
    pub fn free_at(&self, span: Span, practitioner: Option<&PractitionerId>, busy: &Busy) -> Option<&Practitioner> {
        self.asked(practitioner)
            .find(|practitioner: &&Practitioner| self.works(practitioner, span) && is_free(busy, &practitioner.id, span))
    }

    /// All free slots that lie within the window and the clinic's limits, ordered by time. Of several practitioners who are
    /// free at the same time the first is named: a caller wants times to choose from, not combinations.
    #[must_use]
    pub fn free_slots(
        &self,
        window: Span,
        duration_minutes: u32,
        practitioner: Option<&PractitionerId>,
        now: DateTime<Utc>,
        busy: &Busy,
    ) -> Vec<Slot> {
        let window = Span { start: window.start.max(now + self.lead), end: window.end.min(now + self.horizon) };
        let mut slots: Vec<Slot> = self
            .asked(practitioner)
            .flat_map(|practitioner| self.grid(practitioner, window).map(move |start| (practitioner, start)))
            .take(CANDIDATES_MAX)
            .filter_map(|(practitioner, start)| {
                let span = Span::lasting(start, duration_minutes);
                let free = span.end <= window.end && self.works(practitioner, span) && is_free(busy, &practitioner.id, span);
                free.then(|| slot(practitioner, start, duration_minutes))
            })
            .collect();
        // Stable, so the schedule's order decides between practitioners.
        slots.sort_by_key(|slot| slot.start);
        slots.dedup_by_key(|slot| slot.start);
        slots
    }

    fn asked<'a, 'b>(&'a self, practitioner: Option<&'b PractitionerId>) -> impl Iterator<Item = &'a Practitioner> + use<'a, 'b> {
        self.practitioners.iter().filter(move |candidate| practitioner.is_none_or(|asked| *asked == candidate.id))
    }

    /// The starts of slots within the window: steps from each opening, in real time, so that a shift of the clocks within a
    /// working period neither skips nor doubles a slot.
    fn grid<'a>(&'a self, practitioner: &'a Practitioner, window: Span) -> impl Iterator<Item = DateTime<Utc>> + 'a {
        let step = TimeDelta::minutes(i64::from(self.slot_minutes.max(1)));
        self.periods(practitioner, window).flat_map(move |period| {
            let steps_before = ((window.start - period.start).num_seconds().max(0) + step.num_seconds() - 1) / step.num_seconds();
            let first = period.start + step * i32::try_from(steps_before).unwrap_or(i32::MAX);
            std::iter::successors(Some(first), move |start| Some(*start + step))
                .take_while(move |start| *start < period.end && *start < window.end)
        })
    }

    /// The practitioner's working periods that touch the window.
    fn periods<'a>(&'a self, practitioner: &'a Practitioner, window: Span) -> impl Iterator<Item = Span> + 'a {
        let first = local_time::local(window.start, practitioner.zone).date();
        let last = local_time::local(window.end.max(window.start), practitioner.zone).date();
        first.iter_days().take_while(move |day| *day <= last).flat_map(move |day| {
            let weekday = day.weekday().number_from_monday();
            practitioner.hours.iter().filter(move |period| period.weekday == weekday).filter_map(move |period| {
                let at = |time| local_time::resolve(day.and_time(time), practitioner.zone);
                let span = Span { start: at(period.opens), end: at(period.closes) };
                (span.start < span.end && span.overlaps(window)).then_some(span)
            })
        })
    }

    fn works(&self, practitioner: &Practitioner, span: Span) -> bool {
        !self.is_closed(span) && self.periods(practitioner, span).any(|period| period.contains(span))
    }

    /// Whether any of the span lies on a closed day: working hours of another zone may run over midnight here.
    fn is_closed(&self, span: Span) -> bool {
        let last = span.end - TimeDelta::seconds(1);
        [span.start, last].into_iter().any(|moment| self.closed_days.contains(&local_time::local(moment, self.zone).date()))
    }
}

fn is_free(busy: &Busy, practitioner: &PractitionerId, span: Span) -> bool {
    busy.get(practitioner).is_none_or(|taken| !taken.iter().any(|other| other.overlaps(span)))
}

fn slot(practitioner: &Practitioner, start: DateTime<Utc>, duration_minutes: u32) -> Slot {
    Slot { start, duration_minutes, practitioner: practitioner.id.clone(), practitioner_name: practitioner.name.clone() }
}

/// The slots nearest to a wish, in order of time.
#[must_use]
pub fn nearest(mut slots: Vec<Slot>, wish: DateTime<Utc>, limit: usize) -> Vec<Slot> {
    slots.sort_by_key(|slot| (slot.start - wish).abs());
    slots.truncate(limit);
    slots.sort_by_key(|slot| slot.start);
    slots
}

/// A few slots that give a real choice: within one day the earliest, over several days no more than two of a morning or an
/// afternoon, until the limit is reached.
#[must_use]
pub fn varied(slots: Vec<Slot>, zone: Tz, limit: usize) -> Vec<Slot> {
    let half_day = |slot: &Slot| {
        let local = local_time::local(slot.start, zone);
        (local.date(), local.hour() >= 12)
    };
    let is_one_day = slots.first().zip(slots.last()).is_none_or(|(first, last)| half_day(first).0 == half_day(last).0);
    let mut given: HashMap<(NaiveDate, bool), u32> = HashMap::new();
    let mut take = |slot: &Slot| {
        let count = given.entry(half_day(slot)).or_default();
        *count += 1;
        is_one_day || *count <= 2
    };
    slots.into_iter().filter(|slot| take(slot)).take(limit).collect()
}

#[cfg(test)]
mod tests;
