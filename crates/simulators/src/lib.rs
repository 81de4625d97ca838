//! Providers, callers and servers for tests, benches and the demo.

#![forbid(unsafe_code)]

pub mod caller;
pub mod eligibility;
pub mod features;
pub mod llm;
pub mod network;
pub mod providers;
pub mod receivers;
pub mod stack;
pub mod stt;
pub mod tts;
pub mod voice;
mod wire;
