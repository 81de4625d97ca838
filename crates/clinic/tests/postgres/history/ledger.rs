//! What all tasks together know, and what contradicts it.
//!
//! A logical clock ticks at each question and each answer. "Taken" is a true answer if somebody may have had the slot at some moment
//! between the two, "free" is a false one if somebody certainly had it all the time.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Half an hour of one practitioner's. Both work on Wednesday, 2 December, and Lovelace on Thursday as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SlotId {
    pub(super) practitioner: &'static str,
    pub(super) start: &'static str,
}

pub(super) fn slots() -> Vec<SlotId> {
    let wednesday =
        ["2026-12-02T09:00", "2026-12-02T09:30", "2026-12-02T10:00", "2026-12-02T10:30", "2026-12-02T11:00", "2026-12-02T11:30"];
    let thursday = ["2026-12-03T09:00", "2026-12-03T09:30", "2026-12-03T10:00", "2026-12-03T13:30", "2026-12-03T14:00", "2026-12-03T14:30"];
    let of = |practitioner, starts: [&'static str; 6]| starts.map(|start| SlotId { practitioner, start });
    [of("dr-lovelace", wednesday), of("dr-okafor", wednesday), of("dr-lovelace", thursday)].concat()
}

/// An answer, or something in the database, that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Violation {
    /// Somebody was told that a slot is taken, which nobody can have had; or that his patient is elsewhere, who is not.
    FalseRefusal(String),
    /// Somebody was told that a slot is free, which another certainly had.
    FalseFree(SlotId),
    /// Two people have acknowledged appointments, or one has two, at the same time.
    Overlap(String),
    /// What was acknowledged is not there.
    Lost(String),
    /// What is there was acknowledged to nobody.
    Unacknowledged(String),
    /// Commits under way, though nobody is at work any more.
    Pending(i64),
}

/// That a slot may have been, or certainly was, somebody's.
#[derive(Debug, Clone, Copy)]
struct Tenure {
    task: usize,
    from: u64,
    until: Option<u64>,
}

/// What is known of all slots, by all tasks.
#[derive(Default)]
pub(super) struct Ledger {
    clock: AtomicU64,
    possible: Mutex<HashMap<SlotId, Vec<Tenure>>>,
    certain: Mutex<HashMap<SlotId, Vec<Tenure>>>,
    violations: Mutex<Vec<Violation>>,
}

impl Ledger {
    /// The next moment.
    pub(super) fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// From now on, a task may have the slot.
    pub(super) fn may_have(&self, slot: SlotId, task: usize, from: u64) {
        begin(&self.possible, slot, task, from);
    }

    /// It has it no more.
    pub(super) fn has_not(&self, slot: SlotId, task: usize, until: u64) {
        end(&self.possible, slot, task, until);
    }

    /// From now on, a task certainly has the slot.
    pub(super) fn has(&self, slot: SlotId, task: usize, from: u64) {
        begin(&self.certain, slot, task, from);
    }

    /// From now on, it may have lost it.
    pub(super) fn may_lose(&self, slot: SlotId, task: usize, until: u64) {
        end(&self.certain, slot, task, until);
    }

    /// Notes what cannot be.
    pub(super) fn violated(&self, violation: Violation) {
        self.violations.lock().unwrap().push(violation);
    }

    /// What could not be.
    pub(super) fn violations(&self) -> Vec<Violation> {
        self.violations.lock().unwrap().clone()
    }

    /// Whether anybody else, or the task's own appointment, may have had the slot between two moments.
    pub(super) fn may_be_taken(&self, slot: SlotId, except: Option<usize>, from: u64, to: u64) -> bool {
        let possible = self.possible.lock().unwrap();
        possible.get(&slot).is_some_and(|tenures| {
            tenures.iter().any(|one| Some(one.task) != except && one.from <= to && one.until.is_none_or(|until| until >= from))
        })
    }

    /// Whether somebody certainly had the slot all the time between two moments.
    pub(super) fn is_certainly_taken(&self, slot: SlotId, from: u64, to: u64) -> bool {
        let certain = self.certain.lock().unwrap();
        certain.get(&slot).is_some_and(|tenures| tenures.iter().any(|one| one.from < from && one.until.is_none_or(|until| until > to)))
    }
}

type Tenures = Mutex<HashMap<SlotId, Vec<Tenure>>>;

fn begin(tenures: &Tenures, slot: SlotId, task: usize, from: u64) {
    tenures.lock().unwrap().entry(slot).or_default().push(Tenure { task, from, until: None });
}

fn end(tenures: &Tenures, slot: SlotId, task: usize, until: u64) {
    for tenure in tenures.lock().unwrap().entry(slot).or_default().iter_mut().filter(|tenure| tenure.task == task) {
        tenure.until.get_or_insert(until);
    }
}

#[test]
fn a_refusal_is_true_if_somebody_may_have_had_the_slot_meanwhile() {
    let (ledger, slot) = (Ledger::default(), slots()[0]);
    ledger.may_have(slot, 1, 10);
    ledger.has_not(slot, 1, 20);
    for (except, from, to, expected) in [
        (None, 0, 9, false),
        (None, 5, 10, true),
        (None, 12, 15, true),
        (None, 20, 30, true),
        (None, 21, 30, false),
        (Some(1), 12, 15, false),
    ] {
        assert_eq!(ledger.may_be_taken(slot, except, from, to), expected, "{except:?} from {from} to {to}");
    }
    assert!(!ledger.may_be_taken(slots()[1], None, 0, 100));
}

#[test]
fn a_slot_is_certainly_taken_if_it_was_so_all_the_time() {
    let (ledger, slot) = (Ledger::default(), slots()[0]);
    ledger.has(slot, 1, 10);
    ledger.may_lose(slot, 1, 20);
    for (from, to, expected) in [(11, 19, true), (10, 15, false), (15, 20, false), (5, 30, false)] {
        assert_eq!(ledger.is_certainly_taken(slot, from, to), expected, "from {from} to {to}");
    }
}
