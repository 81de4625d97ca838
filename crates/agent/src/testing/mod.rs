//! Scripted fakes of every trait, for tests in virtual time (`tokio::test(start_paused = true)`).
//!
//! The caller's speech is a run of samples that all have the same value: the number of a phrase. [`FakeStt`] looks the phrase up,
//! so that lost or displaced audio gives a wrong or shorter transcript, and [`FakeVad`] takes whatever is not zero for voice. The
//! agent's speech is a ramp that names every sample ([`FakeTts`]), so that a test can tell exactly what was played.

mod llm;
mod store;
mod stt;
mod tools;
mod transport;
mod tts;
mod turn;
mod vad;

use std::sync::Arc;

pub use llm::{Answer, FAKE_USAGE, FakeLlm};
pub use store::FakeStore;
pub use stt::FakeStt;
pub use tools::FakeTool;
pub use transport::{Caller, FakeTransport};
pub use tts::FakeTts;
pub use turn::FakeTurn;
pub use vad::FakeVad;

use crate::error::ProviderError;
use crate::session::Providers;
use crate::speech::Greetings;

/// One set of fakes.
#[derive(Clone, Default)]
pub struct Fakes {
    /// Speech-to-text.
    pub stt: FakeStt,
    /// The language model.
    pub llm: FakeLlm,
    /// Text-to-speech.
    pub tts: FakeTts,
    /// Greetings that it has spoken.
    pub greetings: Greetings,
    /// The turn model, if there is one.
    pub turn: Option<FakeTurn>,
    /// The store.
    pub store: FakeStore,
}

impl Fakes {
    /// The set as a session takes it.
    #[must_use]
    pub fn providers(&self) -> Providers {
        Providers {
            stt: Arc::new(self.stt.clone()),
            llm: Arc::new(self.llm.clone()),
            tts: Arc::new(self.tts.clone()),
            greetings: self.greetings.clone(),
            vad: Arc::new(FakeVad),
            turn: self.turn.clone().map(|turn| Arc::new(turn) as _),
            store: Some(Arc::new(self.store.clone())),
        }
    }
}

/// A failure that may be tried again.
#[must_use]
pub fn broken(provider: &'static str) -> ProviderError {
    ProviderError::Broken { provider, reason: "scripted".into() }
}

/// A failure that may not.
#[must_use]
pub const fn unauthorized(provider: &'static str) -> ProviderError {
    ProviderError::Unauthorized { provider }
}
