//! The caller's words of one turn, with what is known of when they were spoken.

use serde::{Deserialize, Serialize};

use crate::input::HeardWord;
use crate::time::CallTime;

/// A turn longer than this is cut; nobody says 4,000 characters in one breath.
const TURN_CHARS_MAX: usize = 4000;

/// The words of a turn, taken at its end.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Heard {
    /// Words that are final.
    pub(crate) finals: String,
    /// Words that were still interim when they were taken.
    pub(crate) interim: String,
    /// Words with times.
    pub(crate) words: Vec<HeardWord>,
    /// First sample of speech.
    pub(crate) started: Option<CallTime>,
    /// Last sample of speech.
    pub(crate) last_speech: Option<CallTime>,
    /// When the detector reported the end.
    pub(crate) ended_at: Option<CallTime>,
    /// When the last final transcript came.
    pub(crate) transcript_final: Option<CallTime>,
}

impl Heard {
    /// Everything that was recognised.
    pub(crate) fn text(&self) -> String {
        join(&self.finals, &self.interim)
    }
}

/// Joins two texts with a space, if both are there.
#[must_use]
pub(crate) fn join(first: &str, second: &str) -> String {
    match (first.is_empty(), second.is_empty()) {
        (true, _) => second.to_string(),
        (_, true) => first.to_string(),
        _ => format!("{first} {second}"),
    }
}

/// A text of bounded length.
pub(crate) fn clipped(text: &str) -> String {
    text.chars().take(TURN_CHARS_MAX).collect()
}
