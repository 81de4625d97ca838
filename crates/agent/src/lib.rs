//! The async shell: drives one conversation over one transport with one set of providers.
//!
//! The traits that transports, providers, tools and stores implement live here, so that a developer can replace any of them.

#![forbid(unsafe_code)]

pub mod error;
pub mod llm;
pub mod pii;
pub mod record;
pub mod store;
pub mod stt;
pub mod tool;
pub mod transport;
pub mod tts;

pub use error::ProviderError;
pub use llm::{LanguageModel, ModelEvent, ModelRequest, ModelStream, ToolSchema};
pub use pii::Pii;
pub use record::CallRecord;
pub use store::{CallStore, StoreError};
pub use stt::{SpeechToText, SttEvent, SttOptions, SttStream};
pub use tool::{Tool, ToolContext, ToolSet};
pub use transport::{AudioSink, CallInfo, Transport, TransportError, TransportEvent};
pub use tts::{SpeechEvent, SpeechStream, TextToSpeech, TtsOptions};
