//! What a scripted model, caller and tool say.

use std::time::Duration;

use frontdesk_conversation::{CallTime, Config, Effect, HeardWord, Input, ToolCall, ToolError, ToolSpec, Transcript};
use serde_json::Value;

/// A piece of a model's scripted answer.
#[derive(Debug, Clone)]
pub(crate) enum Bit {
    Say(String),
    Call(String, Value),
}

/// A model's scripted answer.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// The bits, 20 ms apart, after the world's model latency.
    Bits(Vec<Bit>),
    /// A failure after the first bits.
    Fail(Vec<Bit>, bool),
    /// Nothing ever.
    Silent,
}

pub(crate) fn say(text: &str) -> Bit {
    Bit::Say(text.into())
}

pub(crate) fn call(name: &str, arguments: Value) -> Bit {
    Bit::Call(name.into(), arguments)
}

pub(crate) fn bits(bits: impl Into<Vec<Bit>>) -> Answer {
    Answer::Bits(bits.into())
}

pub(crate) fn spec(name: &str, effect: Effect) -> ToolSpec {
    ToolSpec {
        name: name.into(),
        effect,
        timeout: Duration::from_secs(5),
        ends_call: name == "end_call",
        transfers_call: name == "transfer_call",
    }
}

pub(crate) fn config() -> Config {
    Config {
        // Scripted models count their questions; the property tests and tests/drafts.rs switch it on.
        preemptive_generation: false,
        instructions: "You are the receptionist.".into(),
        greeting: "Hello, this is the practice. How can I help?".into(),
        tools: vec![
            spec("find_slots", Effect::Read),
            spec("note_intent", Effect::Record),
            spec("book", Effect::Commit),
            spec("cancel", Effect::Commit),
            spec("end_call", Effect::Record),
            spec("transfer_call", Effect::Record),
        ],
        ..Config::default()
    }
}

pub(crate) fn interim(text: &str) -> Input {
    Input::Transcript(Transcript { text: text.into(), ..Transcript::default() })
}

pub(crate) fn final_words(text: &str, start: CallTime) -> Input {
    let words = text.split_whitespace().zip(0..);
    let words = words.map(|(word, n)| HeardWord {
        text: word.into(),
        start: start + Duration::from_millis(n * 300),
        end: start + Duration::from_millis(n * 300 + 250),
        confidence: 0.9,
    });
    Input::Transcript(Transcript { text: text.into(), is_final: true, words: words.collect(), ..Transcript::default() })
}

/// The read-back that the world's tools give.
pub(crate) fn read_back(call: &ToolCall) -> String {
    format!("Shall I {} it for {}?", call.name, call.arguments)
}

pub(crate) fn tool_error(code: &str) -> ToolError {
    ToolError { code: code.into(), message: "it did not work".into(), details: None, retryable: false }
}
