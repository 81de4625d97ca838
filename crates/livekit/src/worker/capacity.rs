//! How many jobs a process takes on. Shared by its workers, if it registers with more than one server.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::gauge;
use tokio::sync::watch;
use tokio::time::Instant;

use super::load::{Average, JobsAlone, LoadSample, LoadSource, MachineLoad};

/// How often the machine is looked at.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);
/// How long it takes until a started job shows in the average.
const SETTLES_AFTER: Duration = Duration::from_millis(2500);
/// Memory in use at which no job is taken any more, as a part of all.
const MEMORY_MAX: f32 = 0.9;

/// Gauge: the load that LiveKit is told, 0 to 1.
pub const LOAD: &str = "frontdesk.worker.load";
/// Gauge: jobs that run.
pub const JOBS: &str = "frontdesk.worker.jobs";
/// Gauge: jobs that were accepted and are not assigned yet.
pub const JOBS_WAITING: &str = "frontdesk.worker.jobs_waiting";
/// Gauge: jobs at once, at most.
pub const JOBS_MAX: &str = "frontdesk.worker.jobs_max";

/// How much is taken on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Jobs that are accepted or run.
    pub active_jobs: u32,
    /// Those of them that are not assigned yet.
    pub waiting_jobs: u32,
    /// 0 to 1: the moving average of the processors' time, what the jobs that do not show there yet will add, memory, and the
    /// number of jobs, whichever is most; 1 while the process is blocked.
    pub load: f32,
    /// Whether no further job is taken.
    pub is_full: bool,
}

/// The places for jobs that a process has. Clones share them.
#[derive(Clone)]
pub struct Capacity(Arc<Shared>);

struct Shared {
    jobs_max: u32,
    load_threshold: f32,
    places: Mutex<Places>,
    full: watch::Sender<bool>,
}

struct Places {
    source: Box<dyn LoadSource>,
    average: Average,
    sampled_at: Option<Instant>,
    next_id: u64,
    taken: HashMap<u64, Taken>,
}

#[derive(Clone, Copy)]
enum Taken {
    /// Offered and accepted: not assigned yet.
    Accepted,
    /// In the average from this moment on.
    Started { settles_at: Instant },
}

impl Capacity {
    /// `jobs_max` jobs at once, as long as the load that `source` measures stays below `load_threshold` (above 0, up to 1).
    #[must_use]
    pub fn new(jobs_max: u32, load_threshold: f32, source: impl LoadSource) -> Self {
        let source: Box<dyn LoadSource> = Box::new(source);
        let places = Places { source, average: Average::default(), sampled_at: None, next_id: 0, taken: HashMap::new() };
        let (jobs_max, places) = (jobs_max.max(1), Mutex::new(places));
        Self(Arc::new(Shared { jobs_max, load_threshold, places, full: watch::Sender::default() }))
    }

    /// What this machine bears.
    #[must_use]
    pub fn of_machine(jobs_max: u32, load_threshold: f32) -> Self {
        Self::new(jobs_max, load_threshold, MachineLoad::start())
    }

    /// Whatever the machine says.
    #[must_use]
    pub fn of_jobs(jobs_max: u32, load_threshold: f32) -> Self {
        Self::new(jobs_max, load_threshold, JobsAlone)
    }

    /// How much is taken on now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.0.standing(&self.0.lock(), Instant::now())
    }

    /// Whether no further job is taken, now and in future.
    #[must_use]
    pub fn full(&self) -> watch::Receiver<bool> {
        self.0.full.subscribe()
    }

    /// Measures, if it is time to.
    pub(super) fn sample(&self, now: Instant) {
        let mut places = self.0.lock();
        if places.sampled_at.is_none_or(|at| now >= at + SAMPLE_INTERVAL) {
            places.sampled_at = Some(now);
            let sample = places.source.sample();
            places.average.add(sample);
        }
        self.0.tell(&places, now);
    }

    /// Keeps a place for a job that is offered; `None` if there is none. Two offers can never have the same place, however close
    /// they come.
    pub(super) fn take(&self, now: Instant) -> Option<Place> {
        let mut places = self.0.lock();
        if self.0.standing(&places, now).is_full {
            return None;
        }
        Some(self.insert(&mut places, now))
    }

    /// A place for a job that is assigned although none was kept for it.
    pub(super) fn take_regardless(&self, now: Instant) -> Place {
        let mut places = self.0.lock();
        self.insert(&mut places, now)
    }

    fn insert(&self, places: &mut Places, now: Instant) -> Place {
        let id = places.next_id;
        places.next_id += 1;
        places.taken.insert(id, Taken::Accepted);
        self.0.tell(places, now);
        Place { id, capacity: self.clone() }
    }
}

impl fmt::Debug for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capacity").field("jobs_max", &self.0.jobs_max).field("standing", &self.standing()).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Places> {
        // Consistent after every single operation, so a poisoned lock is as good as a sound one.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing(&self, places: &Places, now: Instant) -> Standing {
        let count = |of: fn(&Taken, Instant) -> bool| -> u32 {
            u32::try_from(places.taken.values().filter(|taken| of(taken, now)).count()).unwrap_or(u32::MAX)
        };
        let active_jobs = count(|_, _| true);
        let waiting_jobs = count(|taken, _| matches!(taken, Taken::Accepted));
        let unsettled = count(|taken, now| match taken {
            Taken::Accepted => true,
            Taken::Started { settles_at } => *settles_at > now,
        });
        let measured = places.average.get();
        let load = if measured.is_blocked { 1.0 } else { self.load(measured, active_jobs, unsettled) };
        Standing { active_jobs, waiting_jobs, load, is_full: active_jobs >= self.jobs_max || load >= self.load_threshold }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of jobs are far below 2^24")]
    fn load(&self, measured: LoadSample, active: u32, unsettled: u32) -> f32 {
        let share = self.load_threshold / self.jobs_max as f32;
        // What one more job will cost is what those that run have cost so far, and at least its share.
        let settled = active.saturating_sub(unsettled);
        let job = if settled == 0 { share } else { (measured.own_cpu / settled as f32).max(share) };
        let soon = measured.cpu + unsettled as f32 * job;
        let memory = measured.memory / MEMORY_MAX * self.load_threshold;
        let by_number = active as f32 * share;
        soon.max(memory).max(by_number).min(1.0)
    }

    /// Tells whoever wants to know.
    fn tell(&self, places: &Places, now: Instant) {
        let standing = self.standing(places, now);
        self.full.send_if_modified(|full| std::mem::replace(full, standing.is_full) != standing.is_full);
        gauge!(JOBS_MAX).set(f64::from(self.jobs_max));
        gauge!(LOAD).set(f64::from(standing.load));
        gauge!(JOBS).set(f64::from(standing.active_jobs - standing.waiting_jobs));
        gauge!(JOBS_WAITING).set(f64::from(standing.waiting_jobs));
    }
}

/// A place that is taken; dropped, it is free again.
pub(super) struct Place {
    id: u64,
    capacity: Capacity,
}

impl Place {
    /// The job is assigned and runs.
    pub(super) fn started(&self, now: Instant) {
        let mut places = self.capacity.0.lock();
        places.taken.insert(self.id, Taken::Started { settles_at: now + SETTLES_AFTER });
        self.capacity.0.tell(&places, now);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.capacity.0.lock();
        places.taken.remove(&self.id);
        self.capacity.0.tell(&places, Instant::now());
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Says what it is told to.
    #[derive(Debug, Clone, Default)]
    struct Told(Arc<Mutex<LoadSample>>);

    impl Told {
        fn set(&self, cpu: f32, own_cpu: f32, memory: f32) {
            *self.0.lock().unwrap() = LoadSample { cpu, own_cpu, memory, is_blocked: false };
        }
    }

    impl LoadSource for Told {
        fn sample(&mut self) -> LoadSample {
            *self.0.lock().unwrap()
        }
    }

    fn settle(capacity: &Capacity, now: &mut Instant) {
        for _ in 0..6 {
            *now += SAMPLE_INTERVAL;
            capacity.sample(*now);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn offers_within_one_sample_cannot_both_have_the_last_place() {
        let (told, mut now) = (Told::default(), Instant::now());
        let capacity = Capacity::new(100, 0.7, told.clone());
        let started: Vec<Place> = (0..4).map(|_| capacity.take(now).expect("idle")).collect();
        started.iter().for_each(|place| place.started(now));
        // Four calls cost 0.4: a fifth and a sixth fit, a seventh reaches the threshold. All is decided on one sample.
        told.set(0.45, 0.4, 0.2);
        settle(&capacity, &mut now);
        let kept: Vec<Place> = std::iter::from_fn(|| capacity.take(now)).collect();
        assert_eq!(kept.len(), 3, "{:?}", capacity.standing());
        // An assignment that does not come frees its place at once.
        drop(kept);
        assert!(!*capacity.full().borrow());
        assert!(capacity.take(now).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn load_is_an_average_and_crossings_are_told_at_once() {
        let (told, mut now) = (Told::default(), Instant::now());
        let capacity = Capacity::new(10, 0.7, told.clone());
        let mut full = capacity.full();
        capacity.sample(now);
        told.set(1.0, 0.0, 0.1);
        now += SAMPLE_INTERVAL;
        capacity.sample(now);
        assert!(!*full.borrow_and_update(), "one busy half-second of two is no reason to refuse");
        settle(&capacity, &mut now);
        assert!(full.has_changed().unwrap() && *full.borrow_and_update());
        assert!(capacity.take(now).is_none());
        told.set(0.1, 0.0, 0.1);
        settle(&capacity, &mut now);
        assert!(full.has_changed().unwrap() && !*full.borrow_and_update());
        told.set(0.1, 0.0, 0.95);
        settle(&capacity, &mut now);
        assert!(capacity.standing().is_full, "memory counts as well");
    }

    #[test]
    fn a_process_that_is_blocked_takes_nothing_until_it_is_not() {
        let told = Told::default();
        let capacity = Capacity::new(10, 0.7, told.clone());
        let mut now = Instant::now();
        told.0.lock().unwrap().is_blocked = true;
        now += SAMPLE_INTERVAL;
        capacity.sample(now);
        assert!(capacity.take(now).is_none() && *capacity.full().borrow());
        assert_eq!((capacity.standing().load, capacity.standing().active_jobs), (1.0, 0));
        told.0.lock().unwrap().is_blocked = false;
        now += SAMPLE_INTERVAL;
        capacity.sample(now);
        assert!(capacity.take(now).is_some() && !*capacity.full().borrow());
    }

    proptest! {
        /// However offers, assignments, ends and samples come: nothing is taken beyond the limits, places are never lost, and the
        /// load stays below the threshold while there is room.
        #[test]
        fn never_over_accepts(steps in prop::collection::vec((0u8..5, 0usize..8, 0u64..900, 0.0f32..1.0), 0..200)) {
            let (told, mut now) = (Told::default(), Instant::now());
            let capacity = Capacity::new(3, 0.7, told.clone());
            let mut places = Vec::new();
            for (step, which, wait, cpu) in steps {
                now += Duration::from_millis(wait);
                let before = capacity.0.standing(&capacity.0.lock(), now);
                match step {
                    0 | 1 => {
                        let place = capacity.take(now);
                        prop_assert_eq!(place.is_none(), before.is_full);
                        places.extend(place);
                    }
                    2 if which < places.len() => { let _: Place = places.remove(which); }
                    3 if which < places.len() => { let place: &Place = &places[which]; place.started(now); }
                    _ => { told.set(cpu, cpu / 2.0, cpu / 3.0); capacity.sample(now); }
                }
                let after = capacity.0.standing(&capacity.0.lock(), now);
                prop_assert_eq!(after.active_jobs as usize, places.len());
                prop_assert!(after.active_jobs <= 3 && (after.is_full || after.load < 0.7));
            }
        }
    }
}
