//! What orchestrators, balancers and people ask a worker: whether it is alive, whether it takes calls, what is wrong, and its numbers.
//!
//! | path | answer |
//! |---|---|
//! | `/` | 200 `OK`, or 503 with the reason: as livekit/agents answers, for probes of liveness |
//! | `/worker` | JSON with `agent_name`, `worker_type`, `worker_load`, `active_jobs`, `sdk_version`, …, as livekit/agents |
//! | `/ready` | 200 while new calls are taken, 503 with the reason otherwise |
//! | `/health` | `{"status": "ok"}`, `degraded` (a component fails), or 503 `down` |
//! | `/health/detailed` | every component with its state, latency in milliseconds, and the moment it was looked at |
//! | `/metrics` | the numbers, as Prometheus reads them |
//!
//! Nothing is looked at because somebody asks: a [`Monitor`] looks at its own pace, and the pages show what it saw last.

mod monitor;
mod pages;

use std::fmt;
use std::sync::Arc;

pub use monitor::{Component, ComponentState, Finding, Look, Monitor, Probe};
pub use pages::router;

/// How a worker is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WorkerState {
    /// Whether it is registered with a LiveKit server.
    pub registered: bool,
    /// Whether it cannot be reached by calls for so long that a new start may help.
    pub lost: bool,
    /// Whether it takes no calls because it goes down.
    pub draining: bool,
    /// Whether it takes no more calls for the time being.
    pub full: bool,
    /// Calls.
    pub active_jobs: u32,
    /// 0 to 1.
    pub load: f32,
}

/// What the pages say of the worker besides.
#[derive(Debug, Clone)]
pub struct WorkerInfo {
    /// The name under which it registers.
    pub agent_name: String,
    /// `JT_ROOM` or another of LiveKit's words.
    pub worker_type: &'static str,
    /// This program's version.
    pub version: String,
}

/// What the pages are made of.
#[derive(Clone)]
pub struct Health {
    /// What does not change.
    pub info: WorkerInfo,
    /// How the worker is at this moment. Must not block.
    pub worker: Arc<dyn Fn() -> WorkerState + Send + Sync>,
    /// What was seen last.
    pub monitor: Monitor,
    /// The numbers in Prometheus's text format. Must not block.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("info", &self.info).finish_non_exhaustive()
    }
}
