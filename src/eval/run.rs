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
use super::wire::Wire;

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
    /// Not played: it cannot be, at this depth, because of this.
    Unfit(String),
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
    wire: Wire,
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
        let kit = Kit::new(Clinics::new(tenants), real.handle().clone());
        Ok(Self { kit, wire: Wire::new(tenants), _real: real })
    }

    /// The same with so many calls at once at depth call, each with a worker of its own; two if it is not said.
    #[must_use]
    pub fn with_calls_at_once(mut self, calls: usize) -> Self {
        self.wire.set_calls_at_once(calls);
        self
    }

    /// The same with another program than our own for the bridge and the workers of depth call.
    #[must_use]
    pub fn with_program(mut self, program: impl Into<std::path::PathBuf>) -> Self {
        self.wire.set_program(program.into());
        self
    }

    /// Ends what was started for depth call. Blocks; without it, dropping ends it roughly.
    pub fn close(self) {
        let Self { kit, wire, .. } = &self;
        kit.real.block_on(wire.stop());
    }

    /// Plays one. Blocks; not to be called within a runtime.
    #[must_use]
    pub fn play(&self, scenario: &Scenario, depth: Depth) -> Outcome {
        let began = Instant::now();
        if let Some(reason) = scenario.unfit_for(depth) {
            let verdict = Verdict::Unfit(reason.to_owned());
            return Outcome { scenario: scenario.clone(), depth, verdict, trace: None, took: Duration::ZERO };
        }
        let played = match depth {
            Depth::Text | Depth::Audio => self.kit.play(scenario, depth),
            Depth::Call => self.kit.real.block_on(self.wire.play(&self.kit.clinics, scenario)),
        };
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
                    loop {
                        // A statement of its own: the next one takes its turn while this one plays.
                        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                        let Some(number) = next else { return };
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
