//! Of many free slots, the few that a caller is offered.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Timelike, Utc};
use chrono_tz::Tz;

use super::Slot;
use crate::local_time;

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

/// Whether no later slot could change what [`varied`] gives: there are several days to choose from, and enough of them.
#[must_use]
pub fn is_choice(slots: &[Slot], zone: Tz, limit: usize) -> bool {
    let day = |slot: &Slot| local_time::local(slot.start, zone).date();
    let is_several_days = slots.first().zip(slots.last()).is_some_and(|(first, last)| day(first) != day(last));
    is_several_days && varied(slots.to_vec(), zone, limit).len() >= limit
}
