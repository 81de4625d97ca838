//! A circuit breaker: a provider that keeps failing is left alone for a while, then tried by one request at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::numbers;
use crate::error::ProviderError;

/// When a breaker opens and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerOptions {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open the first time; doubled with each probe that fails.
    pub open_for: Duration,
    /// It never stays open longer.
    pub open_max: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self { failures: 3, open_for: Duration::from_secs(5), open_max: Duration::from_secs(60) }
    }
}

/// What a breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circuit {
    /// Everything.
    Closed,
    /// Nothing.
    Open,
    /// One request at a time, to see whether the provider is back.
    HalfOpen,
}

impl Circuit {
    /// The word in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// What a provider is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProviderKind {
    /// Speech-to-text.
    Stt,
    /// The language model.
    Llm,
    /// Text-to-speech.
    Tts,
    /// A service that knows what insurance covers.
    Eligibility,
}

impl ProviderKind {
    /// The word in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stt => "stt",
            Self::Llm => "llm",
            Self::Tts => "tts",
            Self::Eligibility => "eligibility",
        }
    }
}

#[derive(Debug)]
enum State {
    Closed,
    Open { until: Instant, length: Duration },
    HalfOpen { probing: bool, length: Duration },
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// In a row.
    failures: u32,
    failed_at: Option<Instant>,
}

/// The breaker of one provider, shared by all calls of a process.
#[derive(Debug)]
pub struct Breaker {
    kind: ProviderKind,
    provider: &'static str,
    /// Place in its chain, 0 for the primary; two links of a chain may be of the same provider.
    place: usize,
    options: BreakerOptions,
    inner: Mutex<Inner>,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(kind: ProviderKind, provider: &'static str, place: usize, options: BreakerOptions) -> Arc<Self> {
        let inner = Mutex::new(Inner { state: State::Closed, failures: 0, failed_at: None });
        let breaker = Arc::new(Self { kind, provider, place, options, inner });
        numbers::circuit(&breaker, Circuit::Closed);
        breaker
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the provider is for.
    #[must_use]
    pub const fn kind(&self) -> ProviderKind {
        self.kind
    }

    /// The provider's name.
    #[must_use]
    pub const fn provider(&self) -> &'static str {
        self.provider
    }

    /// Its place in the chain, 0 for the primary.
    #[must_use]
    pub const fn place(&self) -> usize {
        self.place
    }

    /// What it lets through now.
    #[must_use]
    pub fn circuit(&self) -> Circuit {
        match self.inner().state {
            State::Closed => Circuit::Closed,
            State::Open { until, .. } if Instant::now() < until => Circuit::Open,
            State::Open { .. } | State::HalfOpen { .. } => Circuit::HalfOpen,
        }
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.inner().failures
    }

    /// Whether it failed so lately that another is to be preferred, though the breaker has not opened.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        let inner = self.inner();
        inner.failures > 0 && inner.failed_at.is_some_and(|at| at.elapsed() < self.options.open_for)
    }

    /// Leave to try the provider, if it is given. Half open it is given to one at a time.
    #[must_use]
    pub fn permit(self: &Arc<Self>) -> Option<Permit> {
        let mut inner = self.inner();
        let probe = match &mut inner.state {
            State::Closed => false,
            State::Open { until, .. } if Instant::now() < *until => return None,
            State::Open { length, .. } => {
                let length = *length;
                inner.state = State::HalfOpen { probing: true, length };
                true
            }
            State::HalfOpen { probing: true, .. } => return None,
            State::HalfOpen { probing, .. } => {
                *probing = true;
                true
            }
        };
        drop(inner);
        if probe {
            self.tell(Circuit::HalfOpen);
        }
        Some(Permit { breaker: Arc::clone(self), probe, settled: false })
    }

    /// Leave in any state, for when there is no other provider to turn to.
    #[must_use]
    pub fn last_resort(self: &Arc<Self>) -> Permit {
        self.permit().unwrap_or_else(|| Permit { breaker: Arc::clone(self), probe: false, settled: false })
    }

    /// The provider did what was asked.
    pub fn succeeded(&self) {
        let mut inner = self.inner();
        inner.failures = 0;
        let was_closed = matches!(inner.state, State::Closed);
        inner.state = State::Closed;
        drop(inner);
        if !was_closed {
            self.tell(Circuit::Closed);
        }
    }

    /// The provider failed. A request that it rejected says nothing of its health; a key that it refused stays refused, so that
    /// opens the breaker at once.
    pub fn failed(&self, error: &ProviderError) {
        numbers::failure(self, error.kind());
        if matches!(error, ProviderError::Rejected { .. }) {
            self.abandoned();
            return;
        }
        let now = Instant::now();
        let mut inner = self.inner();
        inner.failures = inner.failures.saturating_add(1);
        inner.failed_at = Some(now);
        let enough = inner.failures >= self.options.failures || matches!(error, ProviderError::Unauthorized { .. });
        let length = match inner.state {
            State::Closed if enough => self.options.open_for,
            State::HalfOpen { length, .. } => (length * 2).min(self.options.open_max),
            State::Closed | State::Open { .. } => return,
        };
        inner.state = State::Open { until: now + length, length };
        drop(inner);
        self.tell(Circuit::Open);
    }

    /// A probe ended without a verdict: the next one may try.
    fn abandoned(&self) {
        if let State::HalfOpen { probing, .. } = &mut self.inner().state {
            *probing = false;
        }
    }

    fn tell(&self, circuit: Circuit) {
        let (kind, provider, place) = (self.kind.as_str(), self.provider, self.place);
        tracing::warn!(kind, provider, place, circuit = circuit.as_str(), "the circuit of a provider has changed");
        numbers::circuit(self, circuit);
    }
}

/// Leave to try a provider once. Dropped unsettled, it says nothing of the provider's health.
#[derive(Debug)]
pub struct Permit {
    breaker: Arc<Breaker>,
    probe: bool,
    settled: bool,
}

impl Permit {
    /// Whose attempt it is.
    #[must_use]
    pub fn breaker(&self) -> Arc<Breaker> {
        Arc::clone(&self.breaker)
    }

    /// Settles the attempt: it succeeded.
    pub fn succeeded(mut self) {
        self.settled = true;
        self.breaker.succeeded();
    }

    /// Settles the attempt: it failed.
    pub fn failed(mut self, error: &ProviderError) {
        self.settled = true;
        self.breaker.failed(error);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.probe && !self.settled {
            self.breaker.abandoned();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::testing::{broken, unauthorized};

    fn breaker() -> Arc<Breaker> {
        Breaker::new(ProviderKind::Llm, "fake", 0, BreakerOptions::default())
    }

    fn fail(breaker: &Arc<Breaker>) {
        breaker.permit().expect("leave").failed(&broken("fake"));
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_half_opens_and_closes() {
        let breaker = breaker();
        fail(&breaker);
        fail(&breaker);
        assert_eq!(breaker.circuit(), Circuit::Closed);
        fail(&breaker);
        assert_eq!(breaker.circuit(), Circuit::Open);
        assert!(breaker.permit().is_none());
        advance(Duration::from_secs(5)).await;
        assert_eq!(breaker.circuit(), Circuit::HalfOpen);
        let probe = breaker.permit().expect("one probe");
        assert!(breaker.permit().is_none(), "one at a time");
        probe.succeeded();
        assert_eq!((breaker.circuit(), breaker.failures()), (Circuit::Closed, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn each_probe_that_fails_doubles_the_wait_up_to_a_bound() {
        let breaker = breaker();
        (0..3).for_each(|_| fail(&breaker));
        for wait in [5, 10, 20, 40, 60, 60] {
            advance(Duration::from_secs(wait) - Duration::from_millis(1)).await;
            assert!(breaker.permit().is_none(), "{wait} s");
            advance(Duration::from_millis(1)).await;
            fail(&breaker);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_nobody_waits_for_makes_room_for_the_next() {
        let breaker = breaker();
        (0..3).for_each(|_| fail(&breaker));
        advance(Duration::from_secs(5)).await;
        drop(breaker.permit().expect("a probe"));
        assert!(breaker.permit().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_key_opens_at_once_and_a_rejected_request_does_not_count() {
        let refused = breaker();
        refused.permit().expect("leave").failed(&unauthorized("fake"));
        assert_eq!(refused.circuit(), Circuit::Open);
        let rejected = breaker();
        for _ in 0..9 {
            rejected.failed(&ProviderError::Rejected { provider: "fake", reason: "too long".into() });
        }
        assert_eq!(rejected.circuit(), Circuit::Closed);
    }
}
