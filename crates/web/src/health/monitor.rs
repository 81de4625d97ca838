//! Looks at what a worker depends on, at its own pace.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, join_all};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;

/// How long one look may take.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// What one look found: nothing wrong, or what is, in words without secrets and personal data.
pub type Finding = Result<(), String>;

/// One way to look.
pub type Look = Box<dyn Fn() -> BoxFuture<'static, Finding> + Send + Sync>;

/// Something that a worker depends on.
pub struct Probe {
    name: &'static str,
    look: Look,
}

impl Probe {
    /// Looks at `name` with `look`, which is bounded to 5 s.
    pub fn new<Fut>(name: &'static str, look: impl Fn() -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Finding> + Send + 'static,
    {
        Self { name, look: Box::new(move || Box::pin(look())) }
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Whether a component works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ComponentState {
    /// It was not looked at yet.
    Unknown,
    /// It works.
    Ok,
    /// It does not.
    Failed,
}

/// What was seen of a component.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Component {
    /// Its name.
    pub name: &'static str,
    /// Whether it works.
    pub state: ComponentState,
    /// How long the look took.
    pub latency_ms: Option<u64>,
    /// What is wrong.
    pub error: Option<String>,
    /// When it was looked at.
    pub checked_at: Option<DateTime<Utc>>,
}

/// See the module's documentation. Clones show the same.
#[derive(Debug, Clone)]
pub struct Monitor {
    probes: Arc<[Probe]>,
    seen: Arc<RwLock<Vec<Component>>>,
}

impl Monitor {
    /// Of these, of which nothing is known yet.
    #[must_use]
    pub fn new(probes: Vec<Probe>) -> Self {
        let unknown =
            |probe: &Probe| Component { name: probe.name, state: ComponentState::Unknown, latency_ms: None, error: None, checked_at: None };
        let seen = Arc::new(RwLock::new(probes.iter().map(unknown).collect()));
        Self { probes: probes.into(), seen }
    }

    /// What was seen last, in the order of the probes.
    #[must_use]
    pub fn components(&self) -> Vec<Component> {
        self.seen.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks now and then every `interval`, until told to stop.
    pub async fn run(&self, interval: Duration, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(100)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let looking = async {
            loop {
                ticks.tick().await;
                self.look().await;
            }
        };
        let _ = stop.run_until_cancelled(looking).await;
    }

    async fn look(&self) {
        let components = join_all(self.probes.iter().map(look_at)).await;
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        for (before, now) in seen.iter().zip(&components) {
            match (before.state, now.state) {
                (ComponentState::Failed, ComponentState::Ok) => tracing::info!(component = now.name, "it works again"),
                (ComponentState::Ok | ComponentState::Unknown, ComponentState::Failed) => {
                    tracing::warn!(component = now.name, error = now.error, "it does not work");
                }
                _ => {}
            }
        }
        *seen = components;
    }
}

async fn look_at(probe: &Probe) -> Component {
    let since = Instant::now();
    let found = timeout(LOOK_MAX, (probe.look)()).await;
    let found = found.unwrap_or_else(|_| Err(format!("no answer within {} s", LOOK_MAX.as_secs())));
    Component {
        name: probe.name,
        state: if found.is_ok() { ComponentState::Ok } else { ComponentState::Failed },
        latency_ms: Some(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)),
        error: found.err(),
        checked_at: Some(Utc::now()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn looks_at_its_own_pace_and_bounds_each() {
        let looks = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&looks);
        let monitor = Monitor::new(vec![
            Probe::new("quick", move || {
                counted.fetch_add(1, Ordering::SeqCst);
                async { Ok(()) }
            }),
            Probe::new("dead", std::future::pending::<Finding>),
        ]);
        assert!(monitor.components().iter().all(|component| component.state == ComponentState::Unknown));
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let (monitor, stop) = (monitor.clone(), stop.clone());
            async move { monitor.run(Duration::from_secs(10), stop).await }
        });
        tokio::time::sleep(Duration::from_secs(8)).await;
        let components = monitor.components();
        assert_eq!((components[0].state, components[1].state), (ComponentState::Ok, ComponentState::Failed));
        assert_eq!((components[0].latency_ms, components[1].latency_ms), (Some(0), Some(5000)));
        assert!(components[1].error.as_deref().is_some_and(|error| error.contains("5 s")));
        // Pages are read as often as one likes.
        (0..100).for_each(|_| drop(monitor.components()));
        assert_eq!(looks.load(Ordering::SeqCst), 1);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(looks.load(Ordering::SeqCst), 2);
        stop.cancel();
        running.await.unwrap();
    }
}
