//! What a call used of its providers, and what that costs by the clinic's own price list.
//!
//! Counted is what was handed over (audio, characters) and what the language model's service reports (tokens), under the name of
//! the provider that served it, a secondary's included. No price is built in: what a clinic does not say has none.

mod metered;
mod prices;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::counter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use metered::metered;
pub use prices::{Price, PriceTable};

/// Counter: audio recognised, in milliseconds.
pub const AUDIO_MS: &str = "frontdesk.usage.audio_ms";
/// Counter: characters synthesised.
pub const CHARACTERS: &str = "frontdesk.usage.characters";
/// Counter: tokens of language models, by `gen_ai.token.type`.
pub const TOKENS: &str = "frontdesk.usage.tokens";

/// What a provider does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceKind {
    /// Speech-to-text.
    Stt,
    /// The language model.
    Llm,
    /// Text-to-speech.
    Tts,
}

impl ServiceKind {
    /// The word in records, files and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stt => "stt",
            Self::Llm => "llm",
            Self::Tts => "tts",
        }
    }
}

/// What an answer of a language model took, as its service counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenUsage {
    /// Of the question.
    pub input: u64,
    /// Of the answer.
    pub output: u64,
}

/// What a call used of one provider; zero where it does not apply.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Used {
    /// Audio sent to the recogniser, in milliseconds; what was sent again over a new connection counts again.
    pub audio_ms: u64,
    /// Characters sent to the synthesiser, also those of speech that was dropped.
    pub characters: u64,
    /// Requests to the language model.
    pub requests: u64,
    /// Of those, how many the service has counted: one that is cancelled under way reports nothing.
    pub requests_counted: u64,
    /// Tokens of the questions, as reported.
    pub tokens_in: u64,
    /// Tokens of the answers, as reported.
    pub tokens_out: u64,
}

/// An entry of the call record: what was used of one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordUsage {
    /// What it does.
    pub service: ServiceKind,
    /// Its name.
    pub provider: String,
    /// How much.
    #[serde(flatten)]
    pub used: Used,
}

/// What a call costs by the clinic's prices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordCost {
    /// ISO 4217.
    pub currency: String,
    /// In millionths of the currency's unit.
    pub micros: u64,
    /// What was used and has no price, as `service/provider`: the sum lacks it.
    pub unpriced: Vec<String>,
}

/// Counts what one call uses. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter(Arc<Mutex<BTreeMap<(ServiceKind, &'static str), Tally>>>);

/// What was used; samples besides, so that frames of any length add up.
#[derive(Debug, Clone, Default)]
struct Tally {
    samples: u64,
    used: Used,
}

impl Meter {
    fn tallies(&self) -> MutexGuard<'_, BTreeMap<(ServiceKind, &'static str), Tally>> {
        // Only additions happen under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self, provider: &'static str, samples: usize) {
        let mut tallies = self.tallies();
        let tally = tallies.entry((ServiceKind::Stt, provider)).or_default();
        tally.samples += samples as u64;
        let before = std::mem::replace(&mut tally.used.audio_ms, audio_ms(tally.samples));
        counter!(AUDIO_MS, "provider" => provider).increment(tally.used.audio_ms - before);
    }

    fn spoke(&self, provider: &'static str, text: &str) {
        let characters = text.chars().count() as u64;
        self.tallies().entry((ServiceKind::Tts, provider)).or_default().used.characters += characters;
        counter!(CHARACTERS, "provider" => provider).increment(characters);
    }

    fn asked(&self, provider: &'static str) {
        self.tallies().entry((ServiceKind::Llm, provider)).or_default().used.requests += 1;
    }

    fn answered(&self, provider: &'static str, tokens: TokenUsage) {
        let mut tallies = self.tallies();
        let used = &mut tallies.entry((ServiceKind::Llm, provider)).or_default().used;
        used.requests_counted += 1;
        used.tokens_in += tokens.input;
        used.tokens_out += tokens.output;
        for (kind, count) in [("input", tokens.input), ("output", tokens.output)] {
            counter!(TOKENS, "provider" => provider, "gen_ai.token.type" => kind).increment(count);
        }
    }

    /// What was used so far, by service and provider.
    pub(crate) fn list(&self) -> Vec<RecordUsage> {
        let entry = |(&(service, provider), tally): (&(ServiceKind, &'static str), &Tally)| RecordUsage {
            service,
            provider: provider.into(),
            used: tally.used.clone(),
        };
        self.tallies().iter().map(entry).collect()
    }
}

const fn audio_ms(samples: u64) -> u64 {
    samples * 1000 / crate::hearing::clock::HEARING_RATE.hz() as u64
}
