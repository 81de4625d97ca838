//! Messages of Deepgram's streaming interfaces, as far as this client needs them; unknown types and fields are passed over.
//!
//! Source: developers.deepgram.com, "Live Audio" and "Text to Speech Streaming" (reference), "Finalize", "Audio Keep Alive",
//! "Close Stream", "Flush", "Clear".

use frontdesk_agent::Pii;
use frontdesk_agent::stt::{SttEvent, SttWord};
use serde::Deserialize;
use std::time::Duration;

pub(super) const FINALIZE: &str = r#"{"type":"Finalize"}"#;
pub(super) const KEEP_ALIVE: &str = r#"{"type":"KeepAlive"}"#;
pub(super) const CLOSE_STREAM: &str = r#"{"type":"CloseStream"}"#;
pub(super) const FLUSH: &str = r#"{"type":"Flush"}"#;
pub(super) const CLEAR: &str = r#"{"type":"Clear"}"#;
pub(super) const CLOSE: &str = r#"{"type":"Close"}"#;

/// `Speak` with its text.
pub(super) fn speak(text: &str) -> String {
    serde_json::json!({ "type": "Speak", "text": text }).to_string()
}

/// What `/v1/listen` sends.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub(super) enum ListenMessage {
    Results(Results),
    Error(ServiceError),
    /// `Metadata`, `SpeechStarted`, `UtteranceEnd` and whatever comes later.
    #[serde(other)]
    Other,
}

/// What `/v1/speak` sends as text.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub(super) enum SpeakMessage {
    Flushed,
    Cleared,
    Warning(ServiceWarning),
    Error(ServiceError),
    /// `Metadata` and whatever comes later.
    #[serde(other)]
    Other,
}

/// Seen as `description` and `code` in the reference, as `warn_msg` and `warn_code` in older servers.
#[derive(Debug, Deserialize)]
pub(super) struct ServiceWarning {
    #[serde(default, alias = "warn_msg")]
    pub(super) description: String,
    #[serde(default, alias = "warn_code")]
    pub(super) code: String,
}

impl ServiceWarning {
    /// Whether a `Flush` was refused because more than 20 came within a minute.
    pub(super) fn refuses_flush(&self) -> bool {
        let text = format!("{} {}", self.code, self.description).to_lowercase();
        text.contains("flush")
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct ServiceError {
    #[serde(default, alias = "err_code", alias = "variant")]
    pub(super) code: String,
}

/// One result of recognition; times in seconds from the first sample of the connection.
#[derive(Debug, Deserialize)]
pub(super) struct Results {
    #[serde(default)]
    is_final: bool,
    #[serde(default)]
    from_finalize: bool,
    #[serde(default)]
    speech_final: bool,
    channel: Channel,
}

#[derive(Debug, Deserialize)]
struct Channel {
    alternatives: Vec<Alternative>,
}

#[derive(Debug, Deserialize)]
struct Alternative {
    transcript: String,
    #[serde(default)]
    words: Vec<Word>,
    #[serde(default)]
    languages: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Word {
    word: String,
    punctuated_word: Option<String>,
    start: f64,
    end: f64,
    #[serde(default)]
    confidence: f32,
}

impl Results {
    /// The event for the agent; `None` for an interim result without words, which only says that the service is alive.
    pub(super) fn into_event(self) -> Option<SttEvent> {
        let alternative = self.channel.alternatives.into_iter().next();
        let (text, words, language) = match alternative {
            Some(best) => (best.transcript, best.words, best.languages.into_iter().next()),
            None => (String::new(), Vec::new(), None),
        };
        if text.is_empty() && !self.is_final {
            return None;
        }
        let words = words.into_iter().map(Word::into_event).collect();
        Some(SttEvent {
            text: Pii::new(text),
            is_final: self.is_final,
            from_finalize: self.from_finalize,
            ends_turn: self.speech_final,
            words,
            language,
        })
    }
}

impl Word {
    fn into_event(self) -> SttWord {
        SttWord {
            text: Pii::new(self.punctuated_word.unwrap_or(self.word)),
            start: seconds(self.start),
            end: seconds(self.end),
            confidence: if self.confidence.is_finite() { self.confidence.clamp(0.0, 1.0) } else { 0.0 },
        }
    }
}

/// A time that a faulty service made negative or absurd becomes zero.
fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(json: &str) -> Option<SttEvent> {
        match serde_json::from_str(json).expect("valid JSON") {
            ListenMessage::Results(results) => results.into_event(),
            other => panic!("not Results: {other:?}"),
        }
    }

    #[test]
    fn results_keep_words_times_and_flags() {
        let event = results(
            r#"{"type":"Results","channel_index":[0,1],"duration":1.5,"start":0.0,"is_final":true,"speech_final":true,"from_finalize":true,
                "channel":{"alternatives":[{"transcript":"Hello there.","confidence":0.98,"words":[
                {"word":"hello","start":0.25,"end":0.5,"confidence":0.99,"punctuated_word":"Hello"},
                {"word":"there","start":0.5,"end":-1.0,"confidence":7.0}]}]},"metadata":{"request_id":"x"},"unknown":{}}"#,
        )
        .expect("words");
        assert!(event.is_final && event.from_finalize && event.ends_turn);
        assert_eq!(event.text.expose(), "Hello there.");
        assert_eq!(event.words[0].text.expose(), "Hello");
        assert_eq!(event.words[0].start, Duration::from_millis(250));
        assert_eq!((event.words[1].text.expose().as_str(), event.words[1].end, event.words[1].confidence), ("there", Duration::ZERO, 1.0));
    }

    #[test]
    fn an_empty_interim_is_no_event_but_an_empty_final_is() {
        let json = |is_final: bool| {
            format!(r#"{{"type":"Results","is_final":{is_final},"channel":{{"alternatives":[{{"transcript":"","words":[]}}]}}}}"#)
        };
        assert_eq!(results(&json(false)), None);
        assert!(results(&json(true)).expect("a final").text.expose().is_empty());
    }

    #[test]
    fn unknown_types_are_passed_over_and_warnings_told_apart() {
        assert!(matches!(serde_json::from_str(r#"{"type":"SpeechStarted","channel":[0],"timestamp":1}"#), Ok(ListenMessage::Other)));
        assert!(matches!(serde_json::from_str(r#"{"type":"Metadata","request_id":"x"}"#), Ok(SpeakMessage::Other)));
        let warning = |json| match serde_json::from_str(json) {
            Ok(SpeakMessage::Warning(warning)) => warning.refuses_flush(),
            other => panic!("not a warning: {other:?}"),
        };
        assert!(warning(r#"{"type":"Warning","warn_code":"EXCESSIVE_FLUSH","warn_msg":"…"}"#));
        assert!(warning(r#"{"type":"Warning","code":"RATE","description":"cannot process any more flush messages"}"#));
        assert!(!warning(r#"{"type":"Warning","code":"UNUSUAL","description":"text ignored"}"#));
    }
}
