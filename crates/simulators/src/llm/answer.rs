//! An answer and the pieces in which it is streamed.

use std::time::Duration;

use serde_json::Value;

use super::LlmOptions;

/// What the service answers: text, tool calls, or both.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// What is said; may be empty.
    pub text: String,
    /// Tool calls, in order.
    pub calls: Vec<Call>,
}

/// A tool call of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The tool.
    pub name: String,
    /// Its arguments, an object.
    pub arguments: Value,
}

impl Answer {
    /// An answer of text alone.
    pub fn say(text: impl Into<String>) -> Self {
        Self { text: text.into(), calls: Vec::new() }
    }

    /// One tool call after some text, which may be empty.
    pub fn call(text: impl Into<String>, name: impl Into<String>, arguments: Value) -> Self {
        Self { text: text.into(), calls: vec![Call { name: name.into(), arguments }] }
    }
}

/// A piece of a streamed answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A word with the blank that separates it from the next.
    Text(String),
    /// A tool call begins.
    CallBegins {
        /// Its place among the calls.
        index: usize,
        /// The tool.
        name: String,
    },
    /// A fragment of a tool call's arguments; put together they are JSON.
    Arguments {
        /// Whose arguments.
        index: usize,
        /// The fragment.
        fragment: String,
    },
    /// The answer ends.
    Finish(Finish),
}

/// Why an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// All was said.
    Stop,
    /// Tools are to be run.
    ToolCalls,
    /// As many tokens were given as had been allowed.
    Length,
}

impl Finish {
    /// `finish_reason` on the wire.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::ToolCalls => "tool_calls",
            Self::Length => "length",
        }
    }
}

/// Cuts an answer into pieces of one token each. `max_tokens` cuts it off.
#[must_use]
pub fn pieces(answer: &Answer, max_tokens: Option<u32>) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = answer.text.split_inclusive(' ').map(|word| Piece::Text(word.into())).collect();
    for (index, call) in answer.calls.iter().enumerate() {
        pieces.push(Piece::CallBegins { index, name: call.name.clone() });
        let arguments = call.arguments.to_string();
        // After each comma, so that most fragments are no JSON by themselves.
        pieces.extend(arguments.split_inclusive(',').map(|fragment| Piece::Arguments { index, fragment: fragment.into() }));
    }
    let limit = max_tokens.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let finish = match (pieces.len() > limit, answer.calls.is_empty()) {
        (true, _) => Finish::Length,
        (false, true) => Finish::Stop,
        (false, false) => Finish::ToolCalls,
    };
    pieces.truncate(limit);
    pieces.push(Piece::Finish(finish));
    pieces
}

/// When each piece is due, counted from the request: the first after `first_token`, each further one `word` later; the end comes
/// along with the last.
pub fn schedule(pieces: Vec<Piece>, options: &LlmOptions) -> impl Iterator<Item = (Duration, Piece)> + use<> {
    let (first, word) = (options.first_token, options.word);
    let last = u32::try_from(pieces.len()).unwrap_or(u32::MAX).saturating_sub(2);
    (0..).zip(pieces).map(move |(number, piece)| (first + word * u32::min(number, last), piece))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_is_streamed_word_by_word() {
        let answer = Answer::call("One moment.", "find", json!({"from": "Monday", "to": "Friday"}));
        let all = pieces(&answer, None);
        let fragment = |fragment: &str| Piece::Arguments { index: 0, fragment: fragment.into() };
        assert_eq!(
            all,
            [
                Piece::Text("One ".into()),
                Piece::Text("moment.".into()),
                Piece::CallBegins { index: 0, name: "find".into() },
                fragment(r#"{"from":"Monday","#),
                fragment(r#""to":"Friday"}"#),
                Piece::Finish(Finish::ToolCalls),
            ]
        );
        let due: Vec<u128> = schedule(all, &LlmOptions::default()).map(|(due, _)| due.as_millis()).collect();
        assert_eq!(due, [200, 220, 240, 260, 280, 280]);
    }

    #[test]
    fn answers_end_with_their_reason() {
        let end = |answer: &Answer, limit| pieces(answer, limit).last().cloned();
        let text = Answer::say("Good day to you.");
        assert_eq!(end(&text, None), Some(Piece::Finish(Finish::Stop)));
        assert_eq!(end(&text, Some(4)), Some(Piece::Finish(Finish::Stop)));
        assert_eq!(end(&text, Some(3)), Some(Piece::Finish(Finish::Length)));
        assert_eq!(pieces(&text, Some(3)).len(), 4);
        assert_eq!(pieces(&Answer::default(), None), [Piece::Finish(Finish::Stop)]);
        let due: Vec<_> = schedule(pieces(&Answer::default(), None), &LlmOptions::default()).collect();
        assert_eq!(due[0].0, Duration::from_millis(200));
    }
}
