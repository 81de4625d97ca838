//! One stream of the recogniser, with what is needed to place its words in the call.

use std::time::Duration;

use super::clock::HEARING_RATE;
use crate::error::ProviderError;
use crate::pii::Pii;
use crate::stt::{SttEvent, SttStream};

/// A result of recognition, placed in the call.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct HeardSegment {
    /// The segment's text.
    pub text: Pii<String>,
    /// Whether it will not change any more.
    pub is_final: bool,
    /// Whether it answers a request for final words.
    pub from_finalize: bool,
    /// Whether the service takes the turn for over.
    pub ends_turn: bool,
    /// Its words.
    pub words: Vec<PlacedWord>,
    /// Detected language.
    pub language: Option<String>,
}

/// A word with its place in the call's audio.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PlacedWord {
    /// The word.
    pub text: Pii<String>,
    /// Index of its first sample in the call.
    pub start: u64,
    /// Index after its last sample.
    pub end: u64,
    /// 0 to 1.
    pub confidence: f32,
}

/// A stream and the places of what was sent on it.
pub(super) struct Connection {
    pub(super) stream: Box<dyn SttStream>,
    sent: u64,
    /// (samples sent before, index in the call) wherever the two counts begin to run apart; the first entry is the start.
    breaks: Vec<(u64, u64)>,
}

/// Breaks that are remembered; each is a stretch of audio that the session could not hand over.
const BREAKS_MAX: usize = 64;

impl Connection {
    pub(super) const fn new(stream: Box<dyn SttStream>) -> Self {
        Self { stream, sent: 0, breaks: Vec::new() }
    }

    pub(super) async fn send(&mut self, first: u64, samples: &[i16]) -> Result<(), ProviderError> {
        let expected = self.breaks.last().map(|(sent, index)| index + (self.sent - sent));
        if expected != Some(first) {
            if self.breaks.len() == BREAKS_MAX {
                self.breaks.remove(0);
            }
            self.breaks.push((self.sent, first));
        }
        self.sent += samples.len() as u64;
        self.stream.send_audio(samples).await
    }

    fn index_of(&self, offset: Duration) -> u64 {
        let offset = HEARING_RATE.samples_in(offset) as u64;
        let place = self.breaks.iter().rev().find(|(sent, _)| *sent <= offset).or_else(|| self.breaks.first());
        place.map_or(offset, |(sent, index)| index + offset.saturating_sub(*sent))
    }

    pub(super) fn place(&self, event: SttEvent) -> HeardSegment {
        let words = event.words.into_iter().map(|word| PlacedWord {
            start: self.index_of(word.start),
            end: self.index_of(word.end),
            text: word.text,
            confidence: word.confidence,
        });
        HeardSegment {
            text: event.text,
            is_final: event.is_final,
            from_finalize: event.from_finalize,
            ends_turn: event.ends_turn,
            words: words.collect(),
            language: event.language,
        }
    }
}
