//! One thread that judges the clips of all calls, one after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::model::{Known, Model, SmartTurn, find_turn_model};
use super::{TURN_SAMPLES, TurnError};
use crate::backend::{Backend, ModelThread};

/// Bounds of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnEngineOptions {
    /// Most clips that wait for the thread (256 kB each). A clip that finds the queue full is not judged.
    pub queue: usize,
    /// How long an answer is waited for; a clip that is older when its turn comes is not judged.
    pub patience: Duration,
}

impl Default for TurnEngineOptions {
    /// 16 clips, 600 ms: as many as can be judged in that time at 43 ms each. An answer is of use up to the conversation's
    /// longest delay (2.5 s after the last sound), but each that comes so late has kept a caller waiting.
    fn default() -> Self {
        Self { queue: 16, patience: Duration::from_millis(600) }
    }
}

/// What became of the clips since the engine was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TurnStats {
    /// Clips that were brought.
    pub asked: u64,
    /// Judged, whether or not somebody still waited.
    pub judged: u64,
    /// Turned away because the queue was full.
    pub refused: u64,
    /// Left out because they had waited too long or nobody waited for them any more.
    pub skipped: u64,
    /// The model failed on them.
    pub failed: u64,
}

/// What the thread is asked for.
enum Order {
    /// To have the model in memory.
    Prepare,
    Judge(Job),
}

/// A clip that waits.
struct Job {
    samples: Vec<i16>,
    asked_at: Instant,
    reply: oneshot::Sender<f32>,
}

/// The turn model of the process. Cheap to clone; its thread ends when the last clone is gone.
#[derive(Debug, Clone)]
pub struct TurnEngine {
    shared: Arc<Shared>,
    patience: Duration,
}

#[derive(Debug)]
struct Shared {
    backend: Backend<Order, dyn Model>,
    counters: Arc<Counters>,
    /// Whether the model was asked for.
    is_wanted: AtomicBool,
}

#[derive(Debug, Default)]
struct Counters {
    asked: AtomicU64,
    judged: AtomicU64,
    refused: AtomicU64,
    skipped: AtomicU64,
    failed: AtomicU64,
}

impl TurnEngine {
    /// Finds the model (`named`, or where [`super::find_turn_model`] finds it) and starts the engine's thread with the default
    /// bounds. The file whose checksum is [`super::TURN_MODEL_SHA256`] is loaded when [`Self::prepare`] is first called; any other
    /// at once, so that an unusable one shows here.
    ///
    /// # Errors
    /// [`TurnError`], each with its remedy.
    pub fn start(named: Option<&Path>) -> Result<Self, TurnError> {
        let path = find_turn_model(named)?;
        match Known::find(&path)? {
            Some(known) => Self::with_model(known, TurnEngineOptions::default()),
            None => Self::with_options(Some(&path), TurnEngineOptions::default()),
        }
    }

    /// As [`Self::start`], with bounds of the caller's choice, and the model in memory at once; a queue of zero counts as one.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn with_options(named: Option<&Path>, options: TurnEngineOptions) -> Result<Self, TurnError> {
        Self::with_model(SmartTurn::load(named)?, options)
    }

    /// An engine without a thread that judges while it is asked, and so never late. For tests on tokio's paused clock, which
    /// would run ahead of a thread's answer.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn inline(named: Option<&Path>) -> Result<Self, TurnError> {
        let model: Box<dyn Model> = Box::new(SmartTurn::load(named)?);
        let backend = Backend::Inline(Mutex::new(model));
        Ok(Self { shared: Shared::new(backend, Arc::default()), patience: TurnEngineOptions::default().patience })
    }

    pub(super) fn with_model(model: impl Model, options: TurnEngineOptions) -> Result<Self, TurnError> {
        let counters = Arc::new(Counters::default());
        let worker = Worker { model, patience: options.patience, counters: Arc::clone(&counters) };
        // Nobody waits for the clips that are still queued when it ends: they are skipped.
        let thread = ModelThread::start("turn", options.queue, move |queue| worker.serve(queue)).map_err(TurnError::Thread)?;
        let backend = Backend::Thread(thread);
        Ok(Self { shared: Shared::new(backend, counters), patience: options.patience })
    }

    /// Has the model loaded, in the engine's thread, unless it was. Returns at once; to be called when a call begins whose clips
    /// will be brought. A clip that comes before the model is there waits for it, within its patience.
    pub fn prepare(&self) {
        if !self.shared.is_wanted.swap(true, Ordering::Relaxed)
            && let Backend::Thread(thread) = &self.shared.backend
        {
            // A full queue holds clips, and the first of them has the model loaded.
            let _ = thread.submit(Order::Prepare);
        }
    }

    /// The probability (0 to 1) that the speaker of this clip has finished: 16 kHz mono, of which the last 8 s count. It should
    /// end with the silence at which the question arose, a few tenths of a second, as in the model's training.
    ///
    /// The clip is handed over at once, whenever the answer is awaited; dropping the future withdraws it. `None` when there is
    /// no answer in time, for whatever reason: the queue is full, the model is too slow, or it failed.
    pub fn ask(&self, mut samples: Vec<i16>) -> impl Future<Output = Option<f32>> + Send + use<> {
        samples.drain(..samples.len().saturating_sub(TURN_SAMPLES));
        let (reply, answer) = oneshot::channel();
        self.shared.submit(Job { samples, asked_at: Instant::now(), reply });
        let patience = self.patience;
        async move { tokio::time::timeout(patience, answer).await.ok()?.ok() }
    }

    /// What the engine has done so far.
    #[must_use]
    pub fn stats(&self) -> TurnStats {
        let counters = &self.shared.counters;
        TurnStats {
            asked: counters.asked.load(Ordering::Relaxed),
            judged: counters.judged.load(Ordering::Relaxed),
            refused: counters.refused.load(Ordering::Relaxed),
            skipped: counters.skipped.load(Ordering::Relaxed),
            failed: counters.failed.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    fn new(backend: Backend<Order, dyn Model>, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self { backend, counters, is_wanted: AtomicBool::new(false) })
    }

    fn submit(&self, job: Job) {
        self.counters.asked.fetch_add(1, Ordering::Relaxed);
        match &self.backend {
            Backend::Thread(thread) => {
                if thread.submit(Order::Judge(job)).is_err() {
                    self.counters.refused.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!("the turn model has too much to do");
                }
            }
            Backend::Inline(model) => {
                // A panicking model leaves nothing half done: its buffers are filled anew for each clip.
                let mut model = model.lock().unwrap_or_else(PoisonError::into_inner);
                answer(&mut **model, job, &self.counters);
            }
        }
    }
}

/// What the engine's thread owns.
struct Worker<M> {
    model: M,
    patience: Duration,
    counters: Arc<Counters>,
}

impl<M: Model> Worker<M> {
    fn serve(mut self, queue: &Receiver<Order>) {
        while let Ok(order) = queue.recv() {
            // The model says itself what is wrong, and is asked again with each clip.
            let Order::Judge(job) = order else {
                let _ = catch_unwind(AssertUnwindSafe(|| self.model.prepare()));
                continue;
            };
            if job.reply.is_closed() || job.asked_at.elapsed() > self.patience {
                self.counters.skipped.fetch_add(1, Ordering::Relaxed);
            } else {
                answer(&mut self.model, job, &self.counters);
            }
        }
    }
}

fn answer<M: Model + ?Sized>(model: &mut M, job: Job, counters: &Counters) {
    let outcome = catch_unwind(AssertUnwindSafe(|| model.judge(&job.samples))).unwrap_or_else(|_| Err("the model panicked".to_owned()));
    match outcome {
        Ok(probability) => {
            counters.judged.fetch_add(1, Ordering::Relaxed);
            // Who asked may have gone meanwhile, which is no fault.
            let _ = job.reply.send(probability);
        }
        Err(error) => {
            counters.failed.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(error, "the turn model failed");
        }
    }
}
