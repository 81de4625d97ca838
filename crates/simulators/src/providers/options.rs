//! How the simulators behave.

use std::time::Duration;

use tokio::sync::mpsc;

use super::Faults;
use crate::llm::Answer;

/// What the simulators know and how fast they are. The default knows no utterance, so it understands nobody.
#[derive(Debug, Clone, Default)]
pub struct SimulatorOptions {
    /// What callers may say; the recogniser understands nothing else.
    pub utterances: Vec<String>,
    /// Delays of the services.
    pub latency: Latency,
    /// Whether they do their work or only pretend.
    pub mode: SimulatorMode,
    /// What goes wrong. Keep a clone, or use [`super::ProviderSimulators::faults`], to change it while they run.
    pub faults: Faults,
    /// See [`crate::llm::LlmOptions::caller_lines`].
    pub caller_lines: Option<mpsc::Sender<Vec<String>>>,
}

/// Delays of the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// From the end of a segment, or a request to finalise, to the final words.
    pub stt_final: Duration,
    /// From a request to the first piece of the answer.
    pub llm_first_token: Duration,
    /// From one word of the answer to the next.
    pub llm_word: Duration,
    /// From a flush to the first audio.
    pub tts_first_byte: Duration,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            stt_final: Duration::from_millis(150),
            llm_first_token: Duration::from_millis(200),
            llm_word: Duration::from_millis(20),
            tts_first_byte: Duration::from_millis(150),
        }
    }
}

/// Whether the simulators do their work.
#[derive(Debug, Clone, Default)]
pub enum SimulatorMode {
    /// They listen, follow rules and speak.
    #[default]
    Faithful,
    /// They listen and speak, but the language model gives these answers in turn, whatever is said.
    Reciting(Vec<Answer>),
    /// They pretend, and cost next to nothing.
    Cheap(CheapAnswers),
}

/// What services that only pretend give.
#[derive(Debug, Clone)]
pub struct CheapAnswers {
    /// What each stretch of speech is taken to say, in turn.
    pub heard: Vec<String>,
    /// The language model's answers, in turn.
    pub answers: Vec<Answer>,
    /// The voice; 0 is silence.
    pub tone_hz: u32,
    /// How long a character takes to say.
    pub ms_per_char: u32,
}

impl Default for CheapAnswers {
    fn default() -> Self {
        Self { heard: vec!["Hello.".into()], answers: Vec::new(), tone_hz: 440, ms_per_char: 60 }
    }
}
