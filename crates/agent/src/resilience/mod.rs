//! Providers that stand in for one another: a primary, a secondary, and a circuit breaker for each.
//!
//! [`FallbackStt`], [`FallbackLlm`] and [`FallbackTts`] implement the provider traits over a chain of others. Make one of each for a
//! process: all of its calls then share the breakers, and learn from one another's failures.
//!
//! A stream that breaks in the middle of a call is opened anew by the session, as always; a provider that failed in the last seconds
//! comes last in its chain, so that the stream comes from the next one. A model's answer that has not begun is asked for elsewhere
//! within the same request.

mod breaker;
mod chain;
mod llm;
pub mod numbers;
mod stt;
mod tts;

pub use breaker::{Breaker, BreakerOptions, Circuit, Permit, ProviderKind};
pub use chain::{FallbackOptions, ProviderHealth};
pub use llm::FallbackLlm;
pub use stt::FallbackStt;
pub use tts::FallbackTts;

#[cfg(test)]
mod tests;
