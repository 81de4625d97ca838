//! Plays many scenarios, several at once.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::EvalError;
use super::clinic::Clinics;
use super::judge::judge;
use super::scenario::{Depth, Scenario};
use super::stage::Kit;
use super::trace::Trace;

/// Stack of a thread that plays; futures of debug builds are large.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// How a scenario went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As expected.
    Passed,
    /// As was known: it fails, and the file says so.
    KnownFailure {
        /// What the file says.
        reason: String,
        /// What failed.
        faults: Vec<String>,
    },
    /// Not as expected.
    Failed(Vec<String>),
}

/// A scenario that was played at one depth.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The scenario.
    pub scenario: Scenario,
    /// The depth.
    pub depth: Depth,
    /// How it went.
    pub verdict: Verdict,
    /// What happened; `None` if it could not be played.
    pub trace: Option<Trace>,
    /// How long it took, in real time.
    pub took: Duration,
}

impl Outcome {
    /// Whether the run may go on to succeed.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        !matches!(self.verdict, Verdict::Failed(_))
    }
}

/// Plays scenarios.
pub struct Rehearsal {
    kit: Kit,
    _real: Runtime,
}

impl Rehearsal {
    /// With the clinics of a folder (`agent-config`). Needs the project's Postgres cluster (`scripts/postgres start`).
    ///
    /// # Errors
    /// [`EvalError::Machine`] when no thread can be had.
    pub fn new(tenants: &Path) -> Result<Self, EvalError> {
        let real = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let real = real.map_err(|error| EvalError::Machine(error.to_string()))?;
        Ok(Self { kit: Kit::new(Clinics::new(tenants), real.handle().clone()), _real: real })
    }

    /// Plays one. Blocks; not to be called within a runtime.
    #[must_use]
    pub fn play(&self, scenario: &Scenario, depth: Depth) -> Outcome {
        let began = Instant::now();
        let played = self.kit.play(scenario, depth);
        let (faults, trace) = match played {
            Ok(trace) => (judge(scenario, &trace), Some(trace)),
            Err(error) => (vec![error.to_string()], None),
        };
        let known = scenario.known_failure(depth);
        let verdict = match (faults.is_empty(), known) {
            (true, None) => Verdict::Passed,
            (true, Some(reason)) => {
                Verdict::Failed(vec![format!("it passes, but the file calls it a known failure ({reason}): take known_failure out")])
            }
            (false, Some(reason)) if trace.is_some() => Verdict::KnownFailure { reason: reason.to_owned(), faults },
            (false, _) => Verdict::Failed(faults),
        };
        Outcome { scenario: scenario.clone(), depth, verdict, trace, took: began.elapsed() }
    }

    /// Plays all, `at_once` at a time, and tells of each as it ends. The result has their order. Blocks.
    #[must_use]
    pub fn play_all(&self, plays: &[(Scenario, Depth)], at_once: usize, mut told: impl FnMut(&Outcome)) -> Vec<Outcome> {
        let queue = Mutex::new((0..plays.len()).collect::<VecDeque<_>>());
        let (sender, ended) = mpsc::channel();
        let mut outcomes: Vec<Option<Outcome>> = vec![None; plays.len()];
        std::thread::scope(|scope| {
            for worker in 0..at_once.clamp(1, plays.len().max(1)) {
                let (queue, sender) = (&queue, sender.clone());
                let work = move || {
                    while let Some(number) = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() {
                        let (scenario, depth) = &plays[number];
                        if sender.send((number, self.play(scenario, *depth))).is_err() {
                            return;
                        }
                    }
                };
                let spawned = std::thread::Builder::new().name(format!("stage-{worker}")).stack_size(STACK_BYTES).spawn_scoped(scope, work);
                if let Err(error) = spawned {
                    tracing::error!(%error, "no thread to play on");
                }
            }
            drop(sender);
            for (number, outcome) in ended {
                told(&outcome);
                outcomes[number] = Some(outcome);
            }
        });
        outcomes.into_iter().flatten().collect()
    }
}
