//! Metrics of providers. Labels are the kind, the provider's name and its place in the chain: a handful of values.

use metrics::{counter, gauge};

use super::breaker::{Breaker, Circuit};

/// 0 closed, 0.5 half open, 1 open.
pub const CIRCUIT: &str = "frontdesk.provider.circuit";
/// Attempts that failed, by kind of error.
pub const FAILURES: &str = "frontdesk.provider.failures";
/// Requests that one provider served in the place of the one before it.
pub const FALLBACKS: &str = "frontdesk.provider.fallbacks";

fn labels(breaker: &Breaker) -> [(&'static str, String); 3] {
    [("kind", breaker.kind().as_str().into()), ("provider", breaker.provider().into()), ("place", breaker.place().to_string())]
}

pub(super) fn circuit(breaker: &Breaker, circuit: Circuit) {
    let value = match circuit {
        Circuit::Closed => 0.0,
        Circuit::HalfOpen => 0.5,
        Circuit::Open => 1.0,
    };
    gauge!(CIRCUIT, &labels(breaker)).set(value);
}

pub(super) fn failure(breaker: &Breaker, error: &'static str) {
    let [kind, provider, place] = labels(breaker);
    counter!(FAILURES, &[kind, provider, place, ("error.type", error.into())]).increment(1);
}

pub(super) fn fallback(breaker: &Breaker) {
    counter!(FALLBACKS, &labels(breaker)).increment(1);
}
