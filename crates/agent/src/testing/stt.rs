//! A recogniser that knows phrases by their number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::broken;
use crate::error::ProviderError;
use crate::stt::{SpeechToText, SttEvent, SttOptions, SttStream, SttWord};

/// Audio of a phrase after which an interim result comes: 200 ms.
const INTERIM_AFTER: u64 = 3_200;

#[derive(Default)]
struct Script {
    phrases: HashMap<i16, String>,
    languages: HashMap<i16, String>,
    opened: u32,
    open_delay: Duration,
    open_errors: Vec<ProviderError>,
    break_after: Option<u64>,
    final_delay: Duration,
    /// Connections opened before that many hear nothing any more.
    deaf: usize,
    /// Samples that each connection got.
    heard: Vec<Vec<i16>>,
    /// The model that each connection asked for.
    models: Vec<Option<String>>,
    closed: u32,
}

/// A recogniser for tests. Words are spread evenly over the audio of their phrase; confidence is 0.9.
#[derive(Clone, Default)]
pub struct FakeStt {
    script: Arc<Mutex<Script>>,
}

impl FakeStt {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Teaches a phrase.
    #[must_use]
    pub fn knowing(self, number: i16, text: &str) -> Self {
        self.script().phrases.insert(number, text.into());
        self
    }

    /// A phrase is in this language; else it is English.
    #[must_use]
    pub fn in_language(self, number: i16, tag: &str) -> Self {
        self.script().languages.insert(number, tag.into());
        self
    }

    /// Opening takes this long.
    pub fn set_open_delay(&self, delay: Duration) {
        self.script().open_delay = delay;
    }

    /// The next attempts to open fail so, the last one first.
    pub fn fail_to_open(&self, errors: Vec<ProviderError>) {
        self.script().open_errors = errors;
    }

    /// Final words come this long after they were asked for.
    pub fn set_final_delay(&self, delay: Duration) {
        self.script().final_delay = delay;
    }

    /// The connection breaks after that many further samples, once.
    pub fn break_after(&self, samples: u64) {
        self.script().break_after = Some(samples);
    }

    /// The connections that are open take audio and say nothing any more, as if half open.
    pub fn go_deaf(&self) {
        let mut script = self.script();
        script.deaf = script.heard.len();
    }

    /// Samples that each connection got.
    #[must_use]
    pub fn heard(&self) -> Vec<Vec<i16>> {
        self.script().heard.clone()
    }

    /// The model that each connection asked for.
    #[must_use]
    pub fn models(&self) -> Vec<Option<String>> {
        self.script().models.clone()
    }

    /// (opened, closed politely) connections.
    #[must_use]
    pub fn connections(&self) -> (u32, u32) {
        let script = self.script();
        (script.opened, script.closed)
    }
}

#[async_trait]
impl SpeechToText for FakeStt {
    async fn open(&self, options: SttOptions) -> Result<Box<dyn SttStream>, ProviderError> {
        let delay = self.script().open_delay;
        sleep(delay).await;
        let mut script = self.script();
        if let Some(error) = script.open_errors.pop() {
            return Err(error);
        }
        script.opened += 1;
        script.heard.push(Vec::new());
        script.models.push(options.model);
        let (results, queue) = mpsc::unbounded_channel();
        let connection = script.heard.len() - 1;
        Ok(Box::new(Stream { stt: self.clone(), connection, at: 0, phrase: None, results, queue, next: None, over: false }))
    }

    fn name(&self) -> &'static str {
        "fake-stt"
    }
}

/// A phrase being heard.
#[derive(Clone, Copy)]
struct Hearing {
    number: i16,
    first: u64,
    samples: u64,
    told: bool,
}

/// A result and when it comes.
type Due = (Instant, Result<SttEvent, ProviderError>);

struct Stream {
    stt: FakeStt,
    connection: usize,
    at: u64,
    phrase: Option<Hearing>,
    results: mpsc::UnboundedSender<Due>,
    queue: mpsc::UnboundedReceiver<Due>,
    /// The next result, while its time has not come.
    next: Option<Due>,
    over: bool,
}

impl Stream {
    fn is_deaf(&self) -> bool {
        self.connection < self.stt.script().deaf
    }

    fn result(&self, phrase: Hearing, is_final: bool) -> SttEvent {
        let text = self.stt.script().phrases.get(&phrase.number).cloned().unwrap_or_default();
        let language = self.stt.script().languages.get(&phrase.number).cloned().unwrap_or_else(|| "en".into());
        let count = text.split_whitespace().count().max(1) as u64;
        let place = |n: u64| Duration::from_micros((phrase.first + phrase.samples * n / count) * 1_000_000 / 16_000);
        let words = text.split_whitespace().zip(0_u64..).map(|(word, n)| SttWord {
            text: word.to_string().into(),
            start: place(n),
            end: place(n + 1),
            confidence: 0.9,
        });
        let words = words.collect();
        SttEvent { text: text.into(), is_final, from_finalize: is_final, ends_turn: is_final, words, language: Some(language) }
    }
}

#[async_trait]
impl SttStream for Stream {
    async fn send_audio(&mut self, samples: &[i16]) -> Result<(), ProviderError> {
        let breaks = {
            let mut script = self.stt.script();
            script.heard[self.connection].extend(samples);
            match script.break_after.as_mut() {
                Some(left) => {
                    *left = left.saturating_sub(samples.len() as u64);
                    *left == 0
                }
                None => false,
            }
        };
        if breaks {
            self.stt.script().break_after = None;
            self.over = true;
            let _ = self.results.send((Instant::now(), Err(broken("fake-stt"))));
        }
        if self.over || self.is_deaf() {
            return Ok(());
        }
        for &sample in samples {
            if sample != 0 {
                let first = self.at;
                let phrase = self.phrase.get_or_insert(Hearing { number: sample, first, samples: 0, told: false });
                phrase.samples += 1;
                if phrase.samples >= INTERIM_AFTER && !phrase.told {
                    phrase.told = true;
                    let phrase = *phrase;
                    let _ = self.results.send((Instant::now(), Ok(self.result(phrase, false))));
                }
            }
            self.at += 1;
        }
        Ok(())
    }

    async fn finalize(&mut self) -> Result<(), ProviderError> {
        if self.is_deaf() {
            return Ok(());
        }
        if let Some(phrase) = self.phrase.take() {
            let due = Instant::now() + self.stt.script().final_delay;
            let _ = self.results.send((due, Ok(self.result(phrase, true))));
        }
        Ok(())
    }

    async fn next_event(&mut self) -> Result<Option<SttEvent>, ProviderError> {
        if self.next.is_none() {
            self.next = self.queue.recv().await;
        }
        if let Some((due, _)) = &self.next {
            sleep_until(*due).await;
        }
        self.next.take().map(|(_, result)| result).transpose()
    }

    async fn close(&mut self) {
        self.stt.script().closed += 1;
    }
}
