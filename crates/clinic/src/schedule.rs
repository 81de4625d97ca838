//! Working hours and what is left of them: pure computation, no database and no clock.

mod choice;
pub mod when;

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::ids::{DepartmentId, LocationId, PractitionerId, ServiceCode};
use crate::local_time;

pub use choice::{is_choice, nearest, varied};

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
    /// Where they work; none, if the clinic has but one place.
    pub locations: Vec<Location>,
    /// The minutes before and after each service that has any.
    pub buffers: HashMap<ServiceCode, Buffer>,
}

/// A place of the clinic's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The id.
    pub id: LocationId,
    /// As it is spoken.
    pub name: String,
    /// In which its hours count.
    pub zone: Tz,
}

/// Time around a visit in which the practitioner sees nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Buffer {
    /// Before it begins.
    pub before: TimeDelta,
    /// After it ended.
    pub after: TimeDelta,
}

/// Where a visit is, if the clinic tells places apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// As it is spoken.
    pub name: String,
    /// IANA zone in which its times are spoken.
    pub zone: String,
}

impl Place {
    /// Its zone; the clinic's if the stored name is none.
    #[must_use]
    pub fn zone(place: Option<&Self>, clinic: Tz) -> Tz {
        place.and_then(|place| place.zone.parse().ok()).unwrap_or(clinic)
    }
}

/// With whom, for what, where and in which department; anybody, anything and anywhere if not given.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// With whom.
    pub practitioner: Option<&'a PractitionerId>,
    /// For what.
    pub service: Option<&'a ServiceCode>,
    /// Where.
    pub location: Option<&'a LocationId>,
    /// In which department.
    pub department: Option<&'a DepartmentId>,
}

/// One who can be visited.
#[derive(Debug, Clone)]
pub struct Practitioner {
    /// The id.
    pub id: PractitionerId,
    /// As it is spoken.
    pub name: String,
    /// In which the hours count that have no location.
    pub zone: Tz,
    /// The department, if he belongs to one.
    pub department: Option<DepartmentId>,
    /// Working periods; those of one weekday do not overlap.
    pub hours: Vec<WorkingPeriod>,
    /// What is offered; everything if not given.
    pub services: Option<HashSet<ServiceCode>>,
    /// Absences.
    pub time_off: Vec<Span>,
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
    /// Where, as an index into the schedule's locations.
    pub location: Option<usize>,
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
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
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

    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    pub(crate) fn contains(self, other: Self) -> bool {
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
    /// Who is asked for is away.
    #[error("whoever is asked for is away at that time")]
    Away,
    /// Nobody asked for offers the service (there).
    #[error("that service is not offered by whoever is asked for")]
    NotOffered,
    /// Not on a five-minute mark.
    #[error("appointments begin on a five-minute mark")]
    OddMinute,
}

impl Schedule {
    /// Whether a time could be booked if nothing else were; says why not.
    pub fn allows(&self, span: Span, asked: Asked<'_>, now: DateTime<Utc>) -> Result<(), NotBookable> {
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
        if self.candidates(asked).next().is_none() {
            return Err(NotBookable::NotOffered);
        }
        if self.candidates(asked).any(|practitioner| self.works(practitioner, span, asked.location)) {
            return Ok(());
        }
        let would_work = |practitioner: &Practitioner| self.period_of(practitioner, span, asked.location).is_some();
        Err(if self.candidates(asked).any(would_work) { NotBookable::Away } else { NotBookable::OutsideHours })
    }

    /// Who of those asked for works all of the span and is not taken; the first in the schedule's order.
    #[must_use]
    pub fn free_at(&self, span: Span, asked: Asked<'_>, busy: &Busy) -> Option<&Practitioner> {
        let occupied = self.occupied(span, asked.service);
        let is_free =
            |practitioner: &&Practitioner| self.works(practitioner, span, asked.location) && is_free(busy, &practitioner.id, occupied);
        self.candidates(asked).find(is_free)
    }

    /// All free slots that lie within the window and the clinic's limits, ordered by time. Of several practitioners who are
    /// free at the same time the first is named: a caller wants times to choose from, not combinations.
    #[must_use]
    pub fn free_slots(&self, window: Span, duration_minutes: u32, asked: Asked<'_>, now: DateTime<Utc>, busy: &Busy) -> Vec<Slot> {
        self.free_slots_from(window, window.end, duration_minutes, asked, now, busy)
    }

    /// The same for a part of a window: the slots that begin within `starts` and end by `end`.
    #[must_use]
    pub fn free_slots_from(
        &self,
        starts: Span,
        end: DateTime<Utc>,
        duration_minutes: u32,
        asked: Asked<'_>,
        now: DateTime<Utc>,
        busy: &Busy,
    ) -> Vec<Slot> {
        let end = end.min(now + self.horizon);
        let starts = Span { start: starts.start.max(now + self.lead), end: starts.end.min(end) };
        let mut free: Vec<(DateTime<Utc>, &Practitioner)> = Vec::new();
        let mut candidates = 0;
        for practitioner in self.candidates(asked) {
            let taken = Taken::of(busy, &practitioner.id);
            for (period, hours) in self.periods(practitioner, starts) {
                if !self.is_at(period, asked.location) {
                    continue;
                }
                let fits = |span: Span| {
                    span.end <= end.min(hours.end)
                        && !practitioner.time_off.iter().any(|away| away.overlaps(span))
                        && taken.leaves(self.occupied(span, asked.service))
                        && !self.is_closed(span)
                };
                for start in self.grid(hours, starts) {
                    if fits(Span::lasting(start, duration_minutes)) {
                        free.push((start, practitioner));
                    }
                    candidates += 1;
                }
            }
            if candidates > CANDIDATES_MAX {
                break;
            }
        }
        // Stable, so the schedule's order decides between practitioners.
        free.sort_by_key(|(start, _)| *start);
        free.dedup_by_key(|(start, _)| *start);
        free.into_iter().map(|(start, practitioner)| self.slot(practitioner, start, duration_minutes)).collect()
    }

    /// What a visit takes of the practitioner's time: itself and its buffers. They may reach beyond the working hours and into an
    /// absence, but not into another visit or its buffers.
    #[must_use]
    pub fn occupied(&self, span: Span, service: Option<&ServiceCode>) -> Span {
        let buffer = service.and_then(|service| self.buffers.get(service)).copied().unwrap_or_default();
        Span { start: span.start - buffer.before, end: span.end + buffer.after }
    }

    /// Where a practitioner is during a visit, if the clinic tells places apart.
    #[must_use]
    pub fn place(&self, practitioner: &PractitionerId, span: Span) -> Option<Place> {
        let who = self.practitioners.iter().find(|one| one.id == *practitioner)?;
        let location = self.locations.get(self.period_of(who, span, None)?.location?)?;
        Some(Place { name: location.name.clone(), zone: location.zone.name().into() })
    }

    /// A slot of somebody's.
    #[must_use]
    pub fn slot(&self, practitioner: &Practitioner, start: DateTime<Utc>, duration_minutes: u32) -> Slot {
        Slot {
            start,
            duration_minutes,
            practitioner: practitioner.id.clone(),
            practitioner_name: practitioner.name.clone(),
            place: self.place(&practitioner.id, Span::lasting(start, duration_minutes)),
        }
    }

    /// The same, but for whoever is in the same department as the practitioner who is asked for, himself included.
    #[must_use]
    pub fn or_a_colleague<'a>(&'a self, asked: Asked<'a>) -> Asked<'a> {
        let named = asked.practitioner.and_then(|id| self.practitioners.iter().find(|one| one.id == *id));
        let department = asked.department.or_else(|| named.and_then(|one| one.department.as_ref()));
        Asked { practitioner: None, department, ..asked }
    }

    /// Those who are asked for and offer what is asked for.
    fn candidates<'a, 'b>(&'a self, asked: Asked<'b>) -> impl Iterator<Item = &'a Practitioner> + use<'a, 'b> {
        self.practitioners.iter().filter(move |one| {
            let offers = match (&one.services, asked.service) {
                (Some(offered), Some(service)) => offered.contains(service),
                _ => true,
            };
            let is_of = asked.department.is_none_or(|asked| one.department.as_ref() == Some(asked));
            offers && is_of && asked.practitioner.is_none_or(|asked| *asked == one.id)
        })
    }

    /// The starts of slots of a working period that lie within the window: steps from its opening, in real time, so that a shift
    /// of the clocks within the period neither skips nor doubles a slot.
    fn grid(&self, hours: Span, window: Span) -> impl Iterator<Item = DateTime<Utc>> + use<> {
        let step = TimeDelta::minutes(i64::from(self.slot_minutes.max(1)));
        let steps_before = ((window.start - hours.start).num_seconds().max(0) + step.num_seconds() - 1) / step.num_seconds();
        let first = hours.start + step * i32::try_from(steps_before).unwrap_or(i32::MAX);
        std::iter::successors(Some(first), move |start| Some(*start + step))
            .take_while(move |start| *start < hours.end && *start < window.end)
    }

    /// The practitioner's working periods that touch the window, absences not considered.
    fn periods<'a>(&'a self, practitioner: &'a Practitioner, window: Span) -> impl Iterator<Item = (&'a WorkingPeriod, Span)> + 'a {
        // A day more at both ends: the locations' zones may have another date than the practitioner's.
        let first = local_time::local(window.start, practitioner.zone).date();
        let last = local_time::local(window.end.max(window.start), practitioner.zone).date();
        let first = first.pred_opt().unwrap_or(first);
        let last = last.succ_opt().unwrap_or(last);
        first.iter_days().take_while(move |day| *day <= last).flat_map(move |day| {
            let weekday = day.weekday().number_from_monday();
            practitioner.hours.iter().filter(move |period| period.weekday == weekday).filter_map(move |period| {
                let zone = period.location.and_then(|at| self.locations.get(at)).map_or(practitioner.zone, |location| location.zone);
                let at = |time| local_time::resolve(day.and_time(time), zone);
                let span = Span { start: at(period.opens), end: at(period.closes) };
                (span.start < span.end && span.overlaps(window)).then_some((period, span))
            })
        })
    }

    /// The working period in which all of the span lies.
    fn period_of<'a>(&'a self, practitioner: &'a Practitioner, span: Span, location: Option<&LocationId>) -> Option<&'a WorkingPeriod> {
        let is_it = |(period, hours): &(&WorkingPeriod, Span)| hours.contains(span) && self.is_at(period, location);
        self.periods(practitioner, span).find(is_it).map(|(period, _)| period)
    }

    /// Whether a working period is spent where it is asked for.
    fn is_at(&self, period: &WorkingPeriod, asked: Option<&LocationId>) -> bool {
        let there = period.location.and_then(|at| self.locations.get(at)).map(|location| &location.id);
        asked.is_none() || asked == there
    }

    fn works(&self, practitioner: &Practitioner, span: Span, location: Option<&LocationId>) -> bool {
        !self.is_closed(span)
            && !practitioner.time_off.iter().any(|away| away.overlaps(span))
            && self.period_of(practitioner, span, location).is_some()
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

/// When one practitioner is taken, for many questions: in order, and without overlaps.
struct Taken(Vec<Span>);

impl Taken {
    fn of(busy: &Busy, practitioner: &PractitionerId) -> Self {
        let mut spans = busy.get(practitioner).cloned().unwrap_or_default();
        spans.sort_unstable_by_key(|span| (span.start, span.end));
        let mut whole: Vec<Span> = Vec::with_capacity(spans.len());
        for span in spans {
            match whole.last_mut() {
                Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
                _ => whole.push(span),
            }
        }
        Self(whole)
    }

    fn leaves(&self, span: Span) -> bool {
        let next = self.0.partition_point(|taken| taken.end <= span.start);
        self.0.get(next).is_none_or(|taken| !taken.overlaps(span))
    }
}

#[cfg(test)]
mod tests;
