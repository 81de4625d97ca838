//! Providers in the order in which they are turned to.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::breaker::{Breaker, BreakerOptions, Circuit, Permit, ProviderKind};
use super::numbers;
use crate::error::ProviderError;

/// The bound of a provider that has no other to make way for: the shell and the clients give up sooner.
const ALONE_MAX: Duration = Duration::from_secs(60);

/// Bounds of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FallbackOptions {
    /// A provider that has not opened a stream after this long is passed over. The shell gives a lost connection 2 s to come
    /// back, so two attempts must fit into that.
    pub attempt: Duration,
    /// A provider that owes an answer or speech and sends nothing for this long is taken for dead. The conversation gives the
    /// model 8 s, so two attempts must fit into that.
    pub silence: Duration,
    /// The breakers.
    pub breaker: BreakerOptions,
}

impl Default for FallbackOptions {
    fn default() -> Self {
        Self { attempt: Duration::from_millis(900), silence: Duration::from_millis(2500), breaker: BreakerOptions::default() }
    }
}

/// How a provider of a chain is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProviderHealth {
    /// What it is for.
    pub kind: ProviderKind,
    /// Its name.
    pub provider: &'static str,
    /// Its place in the chain, 0 for the primary.
    pub place: usize,
    /// What its breaker lets through.
    pub circuit: Circuit,
    /// Failures in a row.
    pub failures: u32,
}

pub(super) struct Link<T: ?Sized> {
    pub(super) service: Arc<T>,
    pub(super) breaker: Arc<Breaker>,
}

impl<T: ?Sized> Clone for Link<T> {
    fn clone(&self) -> Self {
        Self { service: Arc::clone(&self.service), breaker: Arc::clone(&self.breaker) }
    }
}

/// Providers of one kind, the primary first.
pub(super) struct Chain<T: ?Sized> {
    links: Vec<Link<T>>,
    pub(super) options: FallbackOptions,
}

impl<T: ?Sized> Clone for Chain<T> {
    fn clone(&self) -> Self {
        Self { links: self.links.clone(), options: self.options }
    }
}

impl<T: ?Sized> Chain<T> {
    pub(super) fn new(
        kind: ProviderKind,
        services: impl IntoIterator<Item = Arc<T>>,
        name: impl Fn(&T) -> &'static str,
        options: FallbackOptions,
    ) -> Self {
        let link = |(place, service): (usize, Arc<T>)| {
            let breaker = Breaker::new(kind, name(&service), place, options.breaker);
            Link { service, breaker }
        };
        let links: Vec<_> = services.into_iter().enumerate().map(link).collect();
        Self { links, options }
    }

    pub(super) fn health(&self) -> Vec<ProviderHealth> {
        let health = |link: &Link<T>| ProviderHealth {
            kind: link.breaker.kind(),
            provider: link.breaker.provider(),
            place: link.breaker.place(),
            circuit: link.breaker.circuit(),
            failures: link.breaker.failures(),
        };
        self.links.iter().map(health).collect()
    }

    pub(super) fn primary(&self) -> Option<&Link<T>> {
        self.links.first()
    }

    /// Whether it is the primary: names of models and voices are its own.
    pub(super) fn is_primary(&self, service: &Arc<T>) -> bool {
        self.primary().is_some_and(|link| Arc::ptr_eq(&link.service, service))
    }

    /// The links in the order in which they are to be tried: those in good health, then those that failed lately, each in their
    /// own order. A call whose provider has just died so goes to the other at once, before any breaker has opened.
    pub(super) fn order(&self) -> Vec<Link<T>> {
        let mut order = self.links.clone();
        // A provider that may be back is probed in its own turn, or it would never be seen to be back.
        order.sort_by_key(|link| match link.breaker.circuit() {
            Circuit::Open => 2,
            Circuit::Closed if link.breaker.is_suspect() => 1,
            Circuit::Closed | Circuit::HalfOpen => 0,
        });
        order
    }

    /// A bound that makes way for the next provider; without one the shell's own bounds decide alone.
    pub(super) const fn bound(&self, limit: Duration) -> Duration {
        if self.links.len() > 1 { limit } else { ALONE_MAX }
    }

    /// Tries `attempt` with each provider in turn, each within `limit`, until one succeeds; fails with the last one's error. The
    /// attempt that succeeded is settled by whoever uses what it made.
    ///
    /// When every breaker is open the first is tried all the same: there is nobody else to turn to.
    pub(super) async fn first<R, F>(&self, limit: Duration, attempt: impl Fn(Arc<T>) -> F) -> Result<(R, Permit), ProviderError>
    where
        F: Future<Output = Result<R, ProviderError>>,
    {
        let (order, limit) = (self.order(), self.bound(limit));
        let mut last = None;
        for link in &order {
            let Some(permit) = link.breaker.permit() else { continue };
            match link.attempt(limit, permit, attempt(Arc::clone(&link.service))).await {
                Ok(made) => return Ok(made),
                Err(error) => last = Some(error),
            }
        }
        if let Some(error) = last {
            return Err(error);
        }
        let Some(link) = order.first() else {
            return Err(ProviderError::Rejected { provider: "none", reason: "no provider is configured".into() });
        };
        link.attempt(limit, link.breaker.last_resort(), attempt(Arc::clone(&link.service))).await
    }
}

impl<T: ?Sized> Link<T> {
    async fn attempt<R>(
        &self,
        limit: Duration,
        permit: Permit,
        attempt: impl Future<Output = Result<R, ProviderError>>,
    ) -> Result<(R, Permit), ProviderError> {
        let breaker = &self.breaker;
        let made = timeout(limit, attempt).await.unwrap_or_else(|_| Err(late(breaker.provider(), "connection", limit)));
        match made {
            Ok(made) => {
                if breaker.place() > 0 {
                    numbers::fallback(breaker);
                }
                Ok((made, permit))
            }
            Err(error) => {
                tracing::warn!(kind = breaker.kind().as_str(), place = breaker.place(), %error, "a provider is passed over");
                permit.failed(&error);
                Err(error)
            }
        }
    }
}

pub(super) fn late(provider: &'static str, stage: &'static str, limit: Duration) -> ProviderError {
    ProviderError::Timeout { provider, stage, limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX) }
}
