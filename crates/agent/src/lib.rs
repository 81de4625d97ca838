//! The async shell: drives one conversation over one transport with one set of providers.
//!
//! The traits that transports, providers, tools and stores implement live here, so that a developer can replace any of them.

#![forbid(unsafe_code)]

pub mod agent;
pub mod arguments;
pub mod background;
mod control;
pub mod email;
pub mod error;
mod fn_tool;
mod hearing;
mod helpers;
mod incidents;
mod line;
pub mod llm;
mod model;
pub mod numbers;
pub mod observe;
pub mod phone;
pub mod pii;
pub mod playout;
pub mod record;
pub mod recording;
pub mod resilience;
pub mod session;
mod speech;
pub mod spoken;
mod storage;
pub mod store;
pub mod stt;
pub mod tasks;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod text;
pub mod tool;
mod tools;
pub mod transport;
pub mod tts;
pub mod turn;
pub mod usage;
pub mod vad;

pub use agent::Agent;
pub use background::Background;
pub use control::CallControl;
pub use email::EmailAddress;
pub use error::ProviderError;
pub use fn_tool::FnTool;
pub use llm::{LanguageModel, Message, ModelEvent, ModelRequest, ModelStream, ToolCall, ToolSchema};
pub use numbers::{LatencyTargets, Stage};
pub use observe::{Observation, Observer, SessionEvent, ToolPhase};
pub use pii::Pii;
pub use record::CallRecord;
pub use recording::{Consent, RecordingConsent, RecordingOptions, RecordingVault};
pub use resilience::{FallbackLlm, FallbackOptions, FallbackStt, FallbackTts, ProviderHealth};
pub use session::{Describe, Fallback, Providers, Session, SessionLimits, SessionOptions};
pub use speech::Greetings;
pub use store::{CallStore, StoreError};
pub use stt::{SpeechToText, SttEvent, SttOptions, SttStream};
pub use tool::{CallSoFar, Tool, ToolContext, ToolSet};
pub use transport::{AudioSink, CallInfo, Transport, TransportError, TransportEvent};
pub use tts::{SpeechEvent, SpeechStream, TextToSpeech, TtsOptions};
pub use turn::{SmartTurn, TurnDetector};
pub use usage::{Price, PriceTable, ServiceKind, TokenUsage};
pub use vad::{VoiceActivity, VoiceActivityDetector, VoiceEvent};
