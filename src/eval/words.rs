//! Words without sound, for depth text: the caller's "audio" names its words sample by sample, and detector and recogniser read them.
//!
//! Times, order and loss are those of real audio: what is not sent is not heard, and what comes late is heard late.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use frontdesk_agent::stt::SttWord;
use frontdesk_agent::{Pii, ProviderError, SpeechToText, SttEvent, SttOptions, SttStream};
use frontdesk_audio::SampleRate;
use frontdesk_simulators::stt::{MULTILINGUAL, language_of};
use tokio::time::Instant;

const RATE: SampleRate = SampleRate::HZ_16000;
/// The sample that is noise: voice to the detector, nothing to the recogniser.
pub(super) const NOISE: i16 = i16::MAX;
/// Words of one call at most.
const WORDS_MAX: usize = 30_000;
/// Silence of this length ends a segment of the recogniser, in samples: 300 ms.
const SEGMENT_SILENCE: u64 = 4_800;
/// From the last word to an interim result, and from the end of a segment or a request to its final one.
const INTERIM: Duration = Duration::from_millis(80);
const FINAL: Duration = Duration::from_millis(150);
const CONFIDENCE: f32 = 0.97;

/// The words of one call; each occurrence has a number of its own.
#[derive(Debug, Clone, Default)]
pub(super) struct Vocabulary {
    words: Arc<Mutex<Vec<String>>>,
}

impl Vocabulary {
    /// The "audio" of a text at 16 kHz.
    pub(super) fn speak(&self, text: &str) -> Vec<i16> {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let mut samples = Vec::new();
        for word in text.split_whitespace() {
            if words.len() >= WORDS_MAX {
                break;
            }
            words.push(word.to_owned());
            let number = i16::try_from(words.len()).expect("the bound is below i16::MAX");
            let letters = u32::try_from(word.chars().count()).unwrap_or(20).min(20);
            samples.extend(std::iter::repeat_n(number, RATE.samples_in_ms(120 + 40 * letters)));
        }
        samples
    }

    fn word(&self, number: i16) -> Option<String> {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        words.get(usize::try_from(number).ok()?.checked_sub(1)?).cloned()
    }
}

/// Reads the words of a vocabulary.
pub(super) struct WordsStt(pub(super) Vocabulary);

#[async_trait]
impl SpeechToText for WordsStt {
    async fn open(&self, options: SttOptions) -> Result<Box<dyn SttStream>, ProviderError> {
        let detects_language = options.language.as_deref() == Some(MULTILINGUAL);
        Ok(Box::new(Reader { vocabulary: self.0.clone(), detects_language, ..Reader::new() }))
    }

    fn name(&self) -> &'static str {
        "words"
    }
}

/// One stream.
struct Reader {
    vocabulary: Vocabulary,
    detects_language: bool,
    at: u64,
    current: i16,
    last_voice: u64,
    segment: Vec<SttWord>,
    due: VecDeque<(Instant, SttEvent)>,
    closed: bool,
}

impl Reader {
    fn new() -> Self {
        Self {
            vocabulary: Vocabulary::default(),
            detects_language: false,
            at: 0,
            current: 0,
            last_voice: 0,
            segment: Vec::new(),
            due: VecDeque::new(),
            closed: false,
        }
    }

    fn event(&self, is_final: bool, from_finalize: bool) -> SttEvent {
        let text: Vec<&str> = self.segment.iter().map(|word| word.text.expose().as_str()).collect();
        let text = text.join(" ");
        SttEvent {
            language: (self.detects_language && !text.is_empty()).then(|| language_of(&text).to_owned()),
            text: Pii::new(text),
            is_final,
            from_finalize,
            ends_turn: is_final,
            words: self.segment.clone(),
        }
    }

    fn report(&mut self, delay: Duration, event: SttEvent) {
        let due = Instant::now() + delay;
        let due = self.due.back().map_or(due, |(last, _)| due.max(*last));
        self.due.push_back((due, event));
    }

    fn settle(&mut self, from_finalize: bool) {
        let event = self.event(true, from_finalize);
        self.segment.clear();
        self.report(FINAL, event);
    }
}

#[async_trait]
impl SttStream for Reader {
    async fn send_audio(&mut self, samples: &[i16]) -> Result<(), ProviderError> {
        for &sample in samples {
            let at = RATE.duration(usize::try_from(self.at).unwrap_or(usize::MAX));
            self.at += 1;
            if sample != self.current {
                let ended = self.current != 0 && self.current != NOISE;
                self.current = sample;
                if let Some(text) = self.vocabulary.word(sample) {
                    self.segment.push(SttWord { text: Pii::new(text), start: at, end: at, confidence: CONFIDENCE });
                }
                if ended && !self.segment.is_empty() {
                    let event = self.event(false, false);
                    self.report(INTERIM, event);
                }
            }
            if sample != 0 && sample != NOISE {
                self.last_voice = self.at;
                if let Some(word) = self.segment.last_mut() {
                    word.end = at;
                }
            } else if !self.segment.is_empty() && self.at - self.last_voice == SEGMENT_SILENCE {
                self.settle(false);
            }
        }
        Ok(())
    }

    async fn finalize(&mut self) -> Result<(), ProviderError> {
        self.settle(true);
        Ok(())
    }

    async fn next_event(&mut self) -> Result<Option<SttEvent>, ProviderError> {
        match self.due.front() {
            Some((due, _)) => {
                tokio::time::sleep_until(*due).await;
                Ok(self.due.pop_front().map(|(_, event)| event))
            }
            None if self.closed => Ok(None),
            None => std::future::pending().await,
        }
    }

    async fn close(&mut self) {
        self.closed = true;
    }
}
