//! Clients of cloud speech-to-text, language-model and text-to-speech services.
//!
//! Each client implements a trait of `frontdesk-agent`:
//!
//! | client | trait | wire |
//! |---|---|---|
//! | [`DeepgramStt`] | `SpeechToText` | Deepgram `/v1/listen`, WebSocket |
//! | [`DeepgramTts`] | `TextToSpeech` | Deepgram `/v1/speak`, WebSocket |
//! | [`OpenAiLlm`] | `LanguageModel` | `/chat/completions`, server-sent events |
//!
//! What holds for all: every wait has a time-out ([`Timeouts`]), every queue a bound, every error is a typed `ProviderError`,
//! a request is tried a second time only while nothing of the answer has come, and neither keys nor anything that was said reach a log.
//!
//! Panic policy: a panic here is a bug; each `expect` states why it cannot fail.

#![forbid(unsafe_code)]

mod connect;
pub mod deepgram;
pub mod openai;
mod secret;
mod timeouts;

pub use deepgram::{DeepgramOptions, DeepgramStt, DeepgramTts, ListenSettings, SpeakSettings};
pub use openai::{OpenAiLlm, OpenAiOptions};
pub use secret::Secret;
pub use timeouts::Timeouts;
