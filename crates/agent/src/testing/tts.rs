//! A synthesiser whose every sample can be told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use frontdesk_audio::SampleRate;
use tokio::time::{Instant, sleep_until};

use super::broken;
use crate::error::ProviderError;
use crate::tts::{SpeechEvent, SpeechStream, TextToSpeech, TtsOptions};

/// Length of one character.
const CHARACTER_MS: u32 = 50;
/// Length of one chunk of audio, which comes four times faster than it plays.
const CHUNK_MS: u32 = 100;
/// Values of the ramp: 1 to this.
const RAMP: usize = 30_000;

struct Script {
    open_delay: Duration,
    open_errors: Vec<ProviderError>,
    first_byte: Duration,
    break_after: Option<usize>,
    spoken: Vec<String>,
    /// With which voice each text was to be spoken.
    voices: Vec<Option<String>>,
    given: Vec<i16>,
    next: usize,
    opened: u32,
    closed: u32,
    cleared: u32,
    cut_off: u32,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            open_delay: Duration::ZERO,
            open_errors: Vec::new(),
            first_byte: Duration::from_millis(150),
            break_after: None,
            spoken: Vec::new(),
            voices: Vec::new(),
            given: Vec::new(),
            next: 0,
            opened: 0,
            closed: 0,
            cleared: 0,
            cut_off: 0,
        }
    }
}

/// A synthesiser for tests: a character lasts 50 ms, and samples count up from 1 to 30,000 and round again over all utterances.
#[derive(Clone, Default)]
pub struct FakeTts {
    script: Arc<Mutex<Script>>,
}

impl FakeTts {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opening takes this long.
    pub fn set_open_delay(&self, delay: Duration) {
        self.script().open_delay = delay;
    }

    /// Time to the first byte of an utterance.
    pub fn set_first_byte(&self, delay: Duration) {
        self.script().first_byte = delay;
    }

    /// The next attempts to open fail so, the last one first.
    pub fn fail_to_open(&self, errors: Vec<ProviderError>) {
        self.script().open_errors = errors;
    }

    /// The connection breaks once after that many further samples were given.
    pub fn break_after(&self, samples: usize) {
        self.script().break_after = Some(samples);
    }

    /// Every text that was to be spoken.
    #[must_use]
    pub fn spoken(&self) -> Vec<String> {
        self.script().spoken.clone()
    }

    /// With which voice each of them was to be spoken.
    #[must_use]
    pub fn voices(&self) -> Vec<Option<String>> {
        self.script().voices.clone()
    }

    /// Every sample that was given.
    #[must_use]
    pub fn given(&self) -> Vec<i16> {
        self.script().given.clone()
    }

    /// How often speech was cleared.
    #[must_use]
    pub fn cleared(&self) -> u32 {
        self.script().cleared
    }

    /// How often the listener was said not to hear the rest.
    #[must_use]
    pub fn cut_off(&self) -> u32 {
        self.script().cut_off
    }

    /// (opened, closed politely) connections.
    #[must_use]
    pub fn connections(&self) -> (u32, u32) {
        let script = self.script();
        (script.opened, script.closed)
    }

    /// How long a text is when spoken.
    #[must_use]
    pub fn length(text: &str) -> Duration {
        Duration::from_millis(u64::from(CHARACTER_MS) * text.chars().count() as u64)
    }
}

#[async_trait]
impl TextToSpeech for FakeTts {
    async fn open(&self, options: TtsOptions) -> Result<Box<dyn SpeechStream>, ProviderError> {
        let delay = self.script().open_delay;
        tokio::time::sleep(delay).await;
        let mut script = self.script();
        if let Some(error) = script.open_errors.pop() {
            return Err(error);
        }
        script.opened += 1;
        Ok(Box::new(Stream { tts: self.clone(), rate: options.rate, voice: options.voice, queue: VecDeque::new(), due: Instant::now() }))
    }

    fn name(&self) -> &'static str {
        "fake-tts"
    }
}

struct Stream {
    tts: FakeTts,
    rate: SampleRate,
    voice: Option<String>,
    /// Samples left of each utterance.
    queue: VecDeque<usize>,
    due: Instant,
}

#[async_trait]
impl SpeechStream for Stream {
    async fn speak(&mut self, text: &str) -> Result<(), ProviderError> {
        let mut script = self.tts.script();
        script.spoken.push(text.into());
        script.voices.push(self.voice.clone());
        if self.queue.is_empty() {
            self.due = Instant::now() + script.first_byte;
        }
        self.queue.push_back(self.rate.samples_in_ms(CHARACTER_MS) * text.chars().count());
        Ok(())
    }

    async fn clear(&mut self) -> Result<(), ProviderError> {
        self.queue.clear();
        self.tts.script().cleared += 1;
        Ok(())
    }

    fn cut_off(&mut self) {
        self.tts.script().cut_off += 1;
    }

    async fn next_event(&mut self) -> Result<Option<SpeechEvent>, ProviderError> {
        if self.queue.is_empty() {
            return std::future::pending().await;
        }
        sleep_until(self.due).await;
        let Some(left) = self.queue.front_mut() else { return std::future::pending().await };
        if *left == 0 {
            self.queue.pop_front();
            return Ok(Some(SpeechEvent::Finished { words: Vec::new() }));
        }
        let count = self.rate.samples_in_ms(CHUNK_MS).min(*left);
        let mut script = self.tts.script();
        if let Some(rest) = script.break_after.as_mut() {
            *rest = rest.saturating_sub(count);
            if *rest == 0 {
                script.break_after = None;
                return Err(broken("fake-tts"));
            }
        }
        *left -= count;
        self.due += Duration::from_millis(u64::from(CHUNK_MS) / 4);
        let next = script.next;
        let samples: Vec<i16> = (next..next + count).map(|n| (n % RAMP) as i16 + 1).collect();
        script.next += count;
        script.given.extend(&samples);
        Ok(Some(SpeechEvent::Audio(samples)))
    }

    async fn close(&mut self) {
        self.tts.script().closed += 1;
    }
}
