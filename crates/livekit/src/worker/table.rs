//! Which jobs there are, and the load that they are. Sans-I/O.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// An accepted job counts this long without an assignment; the server gives up on it after 10 s.
const ASSIGNMENT_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug)]
enum State {
    /// Accepted, not assigned yet. Counts as load, so that two offers within one report do not both get the last place.
    Accepted {
        until: Instant,
    },
    Running {
        stop: CancellationToken,
        abort_at: Option<Instant>,
    },
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct JobTable {
    max_jobs: u32,
    load_threshold: f32,
    jobs: HashMap<String, State>,
}

impl JobTable {
    pub(super) fn new(max_jobs: u32, load_threshold: f32) -> Self {
        Self { max_jobs: max_jobs.max(1), load_threshold, jobs: HashMap::new() }
    }

    /// Jobs that are accepted or running.
    pub(super) fn active(&self) -> u32 {
        u32::try_from(self.jobs.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn is_full(&self) -> bool {
        self.active() >= self.max_jobs
    }

    /// What to report: `load_threshold` at `max_jobs`.
    #[expect(clippy::cast_precision_loss, reason = "counts of jobs are far below 2^24")]
    pub(super) fn load(&self) -> f32 {
        self.active() as f32 / self.max_jobs as f32 * self.load_threshold
    }

    /// Keeps a place for an offered job; false if there is none. Asking twice for the same job is one place.
    pub(super) fn accept(&mut self, now: Instant, job_id: &str) -> bool {
        if self.jobs.contains_key(job_id) {
            return matches!(self.jobs[job_id], State::Accepted { .. });
        }
        if self.is_full() {
            return false;
        }
        self.jobs.insert(job_id.to_owned(), State::Accepted { until: now + ASSIGNMENT_TIMEOUT });
        true
    }

    /// The job is assigned; its stop token, or `None` if it runs already. One that was never accepted, or whose place
    /// has expired, is taken all the same: the server offers it to nobody else.
    pub(super) fn start(&mut self, job_id: &str) -> Option<CancellationToken> {
        if matches!(self.jobs.get(job_id), Some(State::Running { .. })) {
            return None;
        }
        let stop = CancellationToken::new();
        self.jobs.insert(job_id.to_owned(), State::Running { stop: stop.clone(), abort_at: None });
        Some(stop)
    }

    /// Tells a job to stop; from then on it has `grace`. Idempotent: the first call counts.
    pub(super) fn stop(&mut self, now: Instant, job_id: &str, grace: Duration) {
        match self.jobs.get_mut(job_id) {
            Some(State::Running { stop, abort_at }) => {
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
        self.jobs.retain(|_, state| !matches!(state, State::Accepted { until } if *until <= now));
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
        let mut table = JobTable::new(2, 0.7);
        assert!(table.accept(now, "a") && table.accept(now, "b") && !table.accept(now, "c"));
        assert!((table.load() - 0.7).abs() < 1e-6 && table.is_full());
        assert!(table.start("a").is_some());
        assert!(table.overdue(now + ASSIGNMENT_TIMEOUT).is_empty());
        assert_eq!(table.active(), 1);
        assert!(table.accept(now, "c"));
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_is_idempotent_and_ends_in_an_abort() {
        let now = Instant::now();
        let mut table = JobTable::new(2, 0.7);
        let stop = table.start("a").unwrap();
        assert!(table.start("a").is_none(), "assigned twice is started once");
        table.stop(now, "a", GRACE);
        table.stop(now + GRACE, "a", GRACE);
        assert!(stop.is_cancelled());
        assert_eq!(table.overdue(now + GRACE), ["a"]);
        table.finish("a");
        table.stop(now, "a", GRACE);
        assert_eq!(table.active(), 0);
    }

    proptest! {
        /// However offers, assignments, ends and terminations come: accepting never exceeds the limit, and the load
        /// stays below the threshold while there is room.
        #[test]
        fn never_over_accepts(steps in prop::collection::vec((0u8..5, 0u8..8, 0u64..10), 0..200)) {
            let mut now = Instant::now();
            let mut table = JobTable::new(3, 0.7);
            for (step, job, wait) in steps {
                now += Duration::from_secs(wait);
                let (job, before) = (job.to_string(), table.active());
                match step {
                    0 => {
                        let full = table.is_full();
                        if table.accept(now, &job) {
                            prop_assert!(table.active() == before || !full);
                        }
                    }
                    1 => drop(table.start(&job)),
                    2 => table.finish(&job),
                    3 => table.stop(now, &job, GRACE),
                    _ => for id in table.overdue(now) { table.finish(&id) },
                }
                prop_assert!(table.is_full() || table.load() < 0.7);
            }
        }
    }
}
