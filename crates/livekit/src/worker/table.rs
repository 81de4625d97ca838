//! Which jobs a worker has. Sans-I/O.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::capacity::{Capacity, Place};

/// An accepted job keeps its place this long without an assignment; the server gives up on it after 10 s.
const ASSIGNMENT_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug)]
enum State {
    /// Accepted, not assigned yet. Has its place already, so that two offers within one report do not both get the last one.
    Accepted {
        until: Instant,
        place: Place,
    },
    Running {
        stop: CancellationToken,
        abort_at: Option<Instant>,
        _place: Place,
    },
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct JobTable {
    capacity: Capacity,
    jobs: HashMap<String, State>,
}

impl JobTable {
    pub(super) fn new(capacity: Capacity) -> Self {
        Self { capacity, jobs: HashMap::new() }
    }

    /// Jobs that are accepted or running.
    pub(super) fn active(&self) -> u32 {
        u32::try_from(self.jobs.len()).unwrap_or(u32::MAX)
    }

    /// The jobs that run, in no order.
    pub(super) fn running(&self) -> Vec<String> {
        let running = self.jobs.iter().filter(|(_, state)| matches!(state, State::Running { .. }));
        running.map(|(id, _)| id.clone()).collect()
    }

    /// Keeps a place for an offered job; false if there is none. Asking twice for the same job is one place.
    pub(super) fn accept(&mut self, now: Instant, job_id: &str) -> bool {
        match self.jobs.get(job_id) {
            Some(State::Accepted { .. }) => return true,
            Some(State::Running { .. }) => return false,
            None => {}
        }
        let Some(place) = self.capacity.take(now) else { return false };
        self.jobs.insert(job_id.to_owned(), State::Accepted { until: now + ASSIGNMENT_TIMEOUT, place });
        true
    }

    /// The job is not wanted after all.
    pub(super) fn give_back(&mut self, job_id: &str) {
        if matches!(self.jobs.get(job_id), Some(State::Accepted { .. })) {
            self.jobs.remove(job_id);
        }
    }

    /// The job is assigned; its stop token, or `None` if it runs already. One that was never accepted, or whose place
    /// has expired, is taken all the same: the server offers it to nobody else.
    pub(super) fn start(&mut self, now: Instant, job_id: &str) -> Option<CancellationToken> {
        let place = match self.jobs.remove(job_id) {
            Some(running @ State::Running { .. }) => {
                self.jobs.insert(job_id.to_owned(), running);
                return None;
            }
            Some(State::Accepted { place, .. }) => place,
            None => self.capacity.take_regardless(now),
        };
        place.started(now);
        let stop = CancellationToken::new();
        self.jobs.insert(job_id.to_owned(), State::Running { stop: stop.clone(), abort_at: None, _place: place });
        Some(stop)
    }

    /// Tells a job to stop; from then on it has `grace`. Idempotent: the first call counts.
    pub(super) fn stop(&mut self, now: Instant, job_id: &str, grace: Duration) {
        match self.jobs.get_mut(job_id) {
            Some(State::Running { stop, abort_at, .. }) => {
                stop.cancel();
                abort_at.get_or_insert(now + grace);
            }
            Some(State::Accepted { .. }) => {
                self.jobs.remove(job_id);
            }
            None => {}
        }
    }

    pub(super) fn stop_all(&mut self, now: Instant, grace: Duration) {
        let ids: Vec<String> = self.jobs.keys().cloned().collect();
        for id in ids {
            self.stop(now, &id, grace);
        }
    }

    /// The job's task has ended.
    pub(super) fn finish(&mut self, job_id: &str) {
        self.jobs.remove(job_id);
    }

    /// Frees the places of jobs that were never assigned, and names the jobs that must be aborted.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<String> {
        self.jobs.retain(|id, state| {
            let kept = !matches!(state, State::Accepted { until, .. } if *until <= now);
            if !kept {
                tracing::warn!(job_id = %id, "the assignment of an accepted job did not come; its place is free again");
            }
            kept
        });
        self.jobs
            .iter()
            .filter(|(_, state)| matches!(state, State::Running { abort_at: Some(at), .. } if *at <= now))
            .map(|(id, _)| id.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn accepted_jobs_are_load_until_their_time_is_over() {
        let now = Instant::now();
        let capacity = Capacity::of_jobs(2, 0.7);
        let mut table = JobTable::new(capacity.clone());
        assert!(table.accept(now, "a") && table.accept(now, "b") && table.accept(now, "b") && !table.accept(now, "c"));
        let standing = capacity.standing();
        assert!((standing.load - 0.7).abs() < 1e-6 && standing.is_full && standing.waiting_jobs == 2);
        assert!(table.start(now, "a").is_some());
        assert!(table.overdue(now + ASSIGNMENT_TIMEOUT).is_empty());
        assert_eq!((table.active(), table.running()), (1, vec!["a".to_owned()]));
        assert!(table.accept(now, "c"));
        table.give_back("c");
        table.give_back("a");
        assert_eq!(table.active(), 1, "what runs is not given back");
        assert!(table.accept(now, "d"));
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_is_idempotent_and_ends_in_an_abort() {
        let now = Instant::now();
        let mut table = JobTable::new(Capacity::of_jobs(2, 0.7));
        let stop = table.start(now, "a").unwrap();
        assert!(table.start(now, "a").is_none(), "assigned twice is started once");
        table.stop(now, "a", GRACE);
        table.stop(now + GRACE, "a", GRACE);
        assert!(stop.is_cancelled());
        assert_eq!(table.overdue(now + GRACE), ["a"]);
        table.finish("a");
        table.stop(now, "a", GRACE);
        assert_eq!(table.active(), 0);
    }

    proptest! {
        /// However offers, assignments, ends and terminations come to two workers of one process: each job has one place, and
        /// accepting never exceeds the limit of both together.
        #[test]
        fn never_over_accepts(steps in prop::collection::vec((0u8..5, 0u8..8, 0u64..10), 0..200)) {
            let mut now = Instant::now();
            let capacity = Capacity::of_jobs(3, 0.7);
            let mut tables = [JobTable::new(capacity.clone()), JobTable::new(capacity.clone())];
            for (step, job, wait) in steps {
                now += Duration::from_secs(wait);
                let table = &mut tables[usize::from(job % 2)];
                let (job, before, was_full) = (job.to_string(), table.active(), capacity.standing().is_full);
                match step {
                    0 => {
                        if table.accept(now, &job) {
                            prop_assert!(table.active() == before || !was_full);
                        }
                    }
                    1 => drop(table.start(now, &job)),
                    2 => table.finish(&job),
                    3 => table.stop(now, &job, GRACE),
                    _ => for id in table.overdue(now) { table.finish(&id) },
                }
                prop_assert_eq!(tables[0].active() + tables[1].active(), capacity.standing().active_jobs);
            }
        }
    }
}
