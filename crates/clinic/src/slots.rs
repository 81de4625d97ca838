//! Finding free times.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::db::{DbError, bounded};
use crate::elsewhere::Age;
use crate::ids::{DepartmentId, LocationId, PractitionerId, ServiceCode};
use crate::local_time;
use crate::schedule::when::{Phrase, WhenError, Wish};
use crate::schedule::{Asked, Busy, NotBookable, Schedule, Slot, Span, is_choice, nearest, varied};
use crate::store::{ClinicStore, load_busy, load_schedule, merge};

/// How many slots are offered at most: more than a caller can keep in mind.
pub const SLOTS_MAX: usize = 6;
/// How many alternatives go with a refusal.
pub const ALTERNATIVES_MAX: usize = 3;
/// Alternatives are sought from a day before the wish…
const ALTERNATIVES_BEFORE: TimeDelta = TimeDelta::days(1);
/// …to ten days after it.
const ALTERNATIVES_AFTER: TimeDelta = TimeDelta::days(10);
/// How far ahead is looked when the caller names no window.
const DEFAULT_WINDOW: TimeDelta = TimeDelta::days(14);
/// A window is never longer.
const WINDOW_MAX: TimeDelta = TimeDelta::days(366);
/// A window is searched in parts, until there is enough to choose from; the first is so long…
const FIRST_PART: TimeDelta = TimeDelta::days(7);
/// …and each twice as long as the one before, up to this.
const PART_MAX: TimeDelta = TimeDelta::days(56);
/// What may reach into a part from outside of it: longer than any visit with its buffers.
const REACH: TimeDelta = TimeDelta::days(1);

/// What the caller has in mind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// One exact time.
    Exact(DateTime<Utc>),
    /// Any time from the first to the second moment; now, and two weeks later, where not given.
    Window(Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    /// What the caller said, to be placed on the clinic's calendar.
    Said(Phrase),
}

/// Why a search failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// What the caller said names no time that can be searched.
    #[error(transparent)]
    When(#[from] WhenError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// What is searched, on the calendar.
struct Search {
    window: Span,
    exact: Option<DateTime<Utc>>,
    /// Of what is free in the window, only what suits it.
    wish: Option<Wish>,
}

/// A search for free times.
#[derive(Debug, Clone)]
pub struct SlotQuery {
    /// When.
    pub when: When,
    /// For how long.
    pub duration_minutes: u32,
    /// With whom; anybody if not given.
    pub practitioner: Option<PractitionerId>,
    /// For what; anything that takes so long if not given.
    pub service: Option<ServiceCode>,
    /// Where; anywhere if not given.
    pub location: Option<LocationId>,
    /// In which department; any if not given.
    pub department: Option<DepartmentId>,
}

impl SlotQuery {
    fn asked(&self) -> Asked<'_> {
        Asked {
            practitioner: self.practitioner.as_ref(),
            service: self.service.as_ref(),
            location: self.location.as_ref(),
            department: self.department.as_ref(),
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSlots {
    /// For an exact time: whether it is free; why not, if it never could be.
    pub exact: Option<Result<bool, NotBookable>>,
    /// At most [`SLOTS_MAX`] free slots, ordered by time: the exact one alone if it is free, else alternatives near it.
    pub slots: Vec<Slot>,
    /// The clinic's zone.
    pub zone: Tz,
    /// How the caller's words were understood.
    pub understood: Option<String>,
}

impl ClinicStore {
    /// Finds free times. `call_id` is the asking call, whose own hold does not count as taken.
    pub async fn find_slots(&self, call_id: &str, query: &SlotQuery) -> Result<FoundSlots, FindError> {
        Ok(bounded(self.search(call_id, query)).await??)
    }

    async fn search(&self, call_id: &str, query: &SlotQuery) -> Result<Result<FoundSlots, WhenError>, DbError> {
        let (mut transaction, now) = self.begin().await?;
        let schedule = load_schedule(&mut transaction).await?;
        let search = match search(query.when, now, &schedule) {
            Ok(search) => search,
            Err(error) => return Ok(Err(error)),
        };
        // Somebody else's server is not asked within a transaction.
        let elsewhere = if self.heeds_elsewhere() {
            transaction.commit().await?;
            let elsewhere = self.busy_elsewhere(search.window, Age::Minutes).await;
            (transaction, _) = self.begin().await?;
            elsewhere
        } else {
            Busy::new()
        };
        let asked = query.asked();
        let zone = schedule.zone;
        let understood = search.wish.map(|wish| wish.describe());
        let Some(wish) = search.exact else {
            let mut slots = Vec::new();
            for part in parts(Span { end: search.window.end.min(now + schedule.horizon), ..search.window }) {
                let near = Span { start: part.start - REACH, end: part.end + REACH };
                let mut busy = load_busy(&mut transaction, near, call_id, query.practitioner.as_ref()).await?;
                merge(&mut busy, elsewhere.clone());
                let free = schedule.free_slots_from(part, search.window.end, query.duration_minutes, asked, now, &busy);
                slots.extend(
                    free.into_iter().filter(|slot| search.wish.is_none_or(|wish| wish.admits(local_time::local(slot.start, zone)))),
                );
                if is_choice(&slots, zone, SLOTS_MAX) {
                    break;
                }
            }
            transaction.commit().await?;
            return Ok(Ok(FoundSlots { exact: None, slots: varied(slots, zone, SLOTS_MAX), zone, understood }));
        };
        let mut busy = load_busy(&mut transaction, search.window, call_id, query.practitioner.as_ref()).await?;
        merge(&mut busy, elsewhere);
        transaction.commit().await?;
        let span = Span::lasting(wish, query.duration_minutes);
        let exact = schedule.allows(span, asked, now);
        let found = exact.is_ok().then(|| schedule.free_at(span, asked, &busy)).flatten();
        let slots = match found {
            Some(who) => vec![schedule.slot(who, wish, query.duration_minutes)],
            None => {
                let free = schedule.free_slots(search.window, query.duration_minutes, asked, now, &busy);
                nearest(free, wish, ALTERNATIVES_MAX)
            }
        };
        Ok(Ok(FoundSlots { exact: Some(exact.map(|()| found.is_some())), slots, zone, understood }))
    }
}

fn search(when: When, now: DateTime<Utc>, schedule: &Schedule) -> Result<Search, WhenError> {
    Ok(match when {
        When::Exact(wish) => Search { window: around(wish), exact: Some(wish), wish: None },
        When::Window(from, to) => Search { window: window(from, to, now), exact: None, wish: None },
        When::Said(phrase) => {
            let wish = phrase.on(local_time::local(now, schedule.zone), schedule.horizon)?;
            let exact = wish.exact(schedule.zone)?;
            let span = wish.window(schedule.zone);
            let window = exact.map_or_else(|| window(Some(span.start), Some(span.end), now), around);
            Search { window, exact, wish: Some(wish) }
        }
    })
}

/// A window in parts, in order: together they are the window.
fn parts(window: Span) -> impl Iterator<Item = Span> {
    let mut length = FIRST_PART;
    let mut start = window.start;
    std::iter::from_fn(move || {
        (start < window.end).then(|| {
            let part = Span { start, end: window.end.min(start + length) };
            length = (length * 2).min(PART_MAX);
            start = part.end;
            part
        })
    })
}

/// The window in which alternatives to a wish are sought.
pub(crate) fn around(wish: DateTime<Utc>) -> Span {
    Span { start: wish - ALTERNATIVES_BEFORE, end: wish + ALTERNATIVES_AFTER }
}

/// Alternatives near a wish.
pub(crate) fn alternatives(
    schedule: &Schedule,
    wish: Span,
    asked: Asked<'_>,
    now: DateTime<Utc>,
    busy: &crate::schedule::Busy,
) -> Vec<Slot> {
    let minutes = u32::try_from((wish.end - wish.start).num_minutes()).unwrap_or_default();
    nearest(schedule.free_slots(around(wish.start), minutes, asked, now, busy), wish.start, ALTERNATIVES_MAX)
}

/// The same, with a colleague if the practitioner who was asked for has nothing: that is better than nothing.
pub(crate) fn alternatives_with_a_colleague<'a>(
    schedule: &'a Schedule,
    wish: Span,
    asked: Asked<'a>,
    now: DateTime<Utc>,
    busy: &crate::schedule::Busy,
) -> Vec<Slot> {
    let same = alternatives(schedule, wish, asked, now, busy);
    if same.is_empty() { alternatives(schedule, wish, schedule.or_a_colleague(asked), now, busy) } else { same }
}

fn window(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Span {
    let start = from.unwrap_or(now).max(now);
    let end = to.unwrap_or(start + DEFAULT_WINDOW);
    Span { start, end: end.min(start + WINDOW_MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_window_are_the_window() {
        let start: DateTime<Utc> = "2026-11-30T12:00:00Z".parse().unwrap();
        for days in [0, 1, 7, 8, 92, 366] {
            let window = Span { start, end: start + TimeDelta::days(days) };
            let parts: Vec<Span> = parts(window).collect();
            assert!(parts.iter().all(|part| part.start < part.end && part.end - part.start <= PART_MAX));
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert_eq!(parts.first().map(|part| part.start), (days > 0).then_some(window.start));
            assert_eq!(parts.last().map(|part| part.end), (days > 0).then_some(window.end));
        }
    }
}
