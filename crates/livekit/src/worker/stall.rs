//! Offers while the runtime that runs the jobs is stalled: something blocks its threads, or the machine starves them.
//!
//! LiveKit notices nothing of it, goes on offering, and an offer that nobody answers within 3 s is lost: it asks another worker only
//! when one refuses. So the link has a thread of its own, sees that the runner has ceased to beat, refuses in its place, and says that
//! the worker is full until the runner is back. A process that is stopped as a whole cannot do so.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use metrics::counter;
use proto::worker_message::Message as ToServer;

use super::runner::REFUSED;

/// Without a beat for so long the runner is stalled. It beats four times as often; LiveKit waits three times as long.
const STALL: Duration = Duration::from_secs(1);
/// How often the link looks.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Shows that the runner comes round. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Beat {
    since: Instant,
    /// The last beat, in milliseconds since then.
    last_ms: Arc<AtomicU64>,
}

impl Beat {
    pub(super) fn start(now: Instant) -> Self {
        Self { since: now, last_ms: Arc::default() }
    }

    pub(super) fn beat(&self, now: Instant) {
        let ms = now.saturating_duration_since(self.since).as_millis();
        self.last_ms.store(u64::try_from(ms).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn has_stopped(&self, now: Instant) -> bool {
        let last = self.since + Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        now.saturating_duration_since(last) > STALL
    }
}

/// Answers in the place of a runner that is stalled.
#[derive(Debug)]
pub(super) struct Deputy {
    beat: Beat,
    is_stalled: bool,
    /// Offers that the runner has been told of and has not answered.
    open: HashSet<String>,
    /// What the runner said of itself last.
    status: Option<proto::UpdateWorkerStatus>,
}

impl Deputy {
    pub(super) fn new(beat: Beat) -> Self {
        Self { beat, is_stalled: false, open: HashSet::new(), status: None }
    }

    /// The connection is new: what was offered over the old one is forgotten.
    pub(super) fn begin(&mut self) {
        self.open.clear();
        self.status = None;
    }

    /// The refusal of an offer; `None` if the runner is to be asked.
    pub(super) fn offered(&mut self, job_id: &str, now: Instant) -> Option<ToServer> {
        if self.beat.has_stopped(now) {
            return Some(refusal(job_id.to_owned()));
        }
        self.open.insert(job_id.to_owned());
        None
    }

    /// Whether what the runner says goes to the server: no answer to an offer that was answered in its place.
    pub(super) fn passes(&mut self, message: &ToServer) -> bool {
        match message {
            ToServer::Availability(answer) => self.open.remove(&answer.job_id),
            ToServer::UpdateWorker(status) => {
                self.status = Some(*status);
                true
            }
            _ => true,
        }
    }

    /// What is to be said now.
    pub(super) fn look(&mut self, now: Instant) -> Vec<ToServer> {
        let was_stalled = std::mem::replace(&mut self.is_stalled, self.beat.has_stopped(now));
        match (was_stalled, self.is_stalled) {
            (false, false) => Vec::new(),
            (true, false) => {
                tracing::warn!("the worker's tasks come round again");
                self.status.map(ToServer::UpdateWorker).into_iter().collect()
            }
            (was_stalled, true) => {
                let mut said: Vec<ToServer> = self.open.drain().map(refusal).collect();
                if !was_stalled {
                    tracing::error!("the worker's tasks do not come round: something blocks them; offers are refused meanwhile");
                    let status = self.status.unwrap_or_default();
                    let full = proto::UpdateWorkerStatus { status: Some(proto::WorkerStatus::WsFull as i32), load: 1.0, ..status };
                    said.push(ToServer::UpdateWorker(full));
                }
                said
            }
        }
    }
}

fn refusal(job_id: String) -> ToServer {
    counter!(REFUSED, "reason" => "stalled").increment(1);
    ToServer::Availability(proto::AvailabilityResponse { job_id, ..Default::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn available(load: f32) -> ToServer {
        let status = Some(proto::WorkerStatus::WsAvailable as i32);
        ToServer::UpdateWorker(proto::UpdateWorkerStatus { status, load, job_count: 3, ..Default::default() })
    }

    fn acceptance(job_id: &str) -> ToServer {
        ToServer::Availability(proto::AvailabilityResponse { job_id: job_id.into(), available: true, ..Default::default() })
    }

    #[test]
    fn a_runner_that_beats_answers_for_itself() {
        let start = Instant::now();
        let beat = Beat::start(start);
        let mut deputy = Deputy::new(beat.clone());
        assert!(deputy.passes(&available(0.1)) && deputy.offered("a", start + s(0.9)).is_none());
        beat.beat(start + s(1.0));
        assert!(deputy.look(start + s(1.9)).is_empty() && deputy.passes(&acceptance("a")));
        assert!(!deputy.passes(&acceptance("a")), "answered already");
    }

    #[test]
    fn for_one_that_is_stalled_offers_are_refused_and_the_worker_is_full_until_it_is_back() {
        let start = Instant::now();
        let beat = Beat::start(start);
        let mut deputy = Deputy::new(beat.clone());
        assert!(deputy.passes(&available(0.1)) && deputy.offered("a", start).is_none());
        let said = deputy.look(start + s(1.1));
        let [ToServer::Availability(refused), ToServer::UpdateWorker(full)] = said.as_slice() else { panic!("{said:?}") };
        assert_eq!((refused.job_id.as_str(), refused.available), ("a", false));
        assert_eq!((full.status, full.job_count), (Some(proto::WorkerStatus::WsFull as i32), 3));
        assert!(matches!(deputy.offered("b", start + s(1.2)), Some(ToServer::Availability(refused)) if !refused.available));
        assert!(deputy.look(start + s(1.3)).is_empty(), "said once");
        // It comes to its senses, and answers what was answered for it.
        beat.beat(start + s(4.0));
        assert!(!deputy.passes(&acceptance("a")));
        assert_eq!(deputy.look(start + s(4.1)), [available(0.1)]);
        assert!(deputy.look(start + s(4.2)).is_empty() && deputy.offered("c", start + s(4.2)).is_none());
    }

    #[test]
    fn a_new_connection_knows_no_offers_of_the_old_one() {
        let start = Instant::now();
        let mut deputy = Deputy::new(Beat::start(start));
        assert!(deputy.offered("a", start).is_none() && deputy.passes(&available(0.1)));
        deputy.begin();
        assert!(!deputy.passes(&acceptance("a")));
        assert_eq!(deputy.look(start + s(2.0)).len(), 1, "full, and no refusal");
    }
}
