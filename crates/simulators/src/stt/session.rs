//! The service's behaviour without sockets: audio and requests in, results with the time at which they are due out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::Inventory;
use super::energy::Energy;
use super::language::language_of;
use super::recogniser::{Hypothesis, Recogniser};
use crate::features::{RATE_HZ, STEP_MS, STEP_SAMPLES};

/// How often words are reported while speech goes on.
const INTERIM_EVERY_STEPS: usize = 240 / STEP_MS;
/// Speech before the first interim result of a segment.
const INTERIM_AFTER_STEPS: usize = 320 / STEP_MS;
/// Results that may wait for their time.
const MAX_WAITING: usize = 256;
/// Confidence of scripted words.
const SCRIPTED_CONFIDENCE: f32 = 0.99;

/// What the service does with audio.
#[derive(Debug, Clone)]
pub enum SttMode {
    /// It recognises the utterances of an inventory.
    Listen(Arc<Inventory>),
    /// It does not listen: each stretch of speech is answered by the next text, from the begin again after the last.
    Scripted(Arc<Vec<String>>),
}

/// How one stream behaves.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// What it does with audio.
    pub mode: SttMode,
    /// Silence after which a segment is finalised, in milliseconds; `None` for only when asked.
    pub endpointing_ms: Option<u32>,
    /// Whether words are reported while speech goes on.
    pub interim_results: bool,
    /// Whether words keep capital letters and punctuation.
    pub punctuate: bool,
    /// From a request to finalise, or the end of a segment, to its result.
    pub final_ms: u32,
    /// From audio to an interim result.
    pub interim_ms: u32,
    /// Whether a request to finalise is answered even if nothing was said since the last final result. Deepgram promises no answer.
    pub answers_empty_finalize: bool,
    /// Whether it is told in which language the words are (Deepgram does with `language=multi`).
    pub detects_language: bool,
    /// Silence of the client, with neither audio nor a `KeepAlive`, after which its connection is closed.
    pub idle: Duration,
}

impl SessionOptions {
    /// A listener with the delays that the demo states.
    #[must_use]
    pub const fn new(mode: SttMode) -> Self {
        Self {
            mode,
            endpointing_ms: Some(150),
            interim_results: true,
            punctuate: true,
            final_ms: 150,
            interim_ms: 80,
            answers_empty_finalize: true,
            detects_language: false,
            idle: Duration::from_secs(10),
        }
    }
}

/// A result; times from the first sample of the stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// The words in a line.
    pub text: String,
    /// The words with their times.
    pub words: Vec<HeardWord>,
    /// Whether the words will not change any more.
    pub is_final: bool,
    /// Whether silence ended the segment.
    pub speech_final: bool,
    /// Whether it answers a request to finalise.
    pub from_finalize: bool,
    /// Its primary language tag, if that is told.
    pub language: Option<&'static str>,
    /// Begin of the audio that the result covers.
    pub start: Duration,
    /// Length of that audio.
    pub duration: Duration,
}

/// A recognised word.
#[derive(Debug, Clone, PartialEq)]
pub struct HeardWord {
    /// As written in the line.
    pub text: String,
    /// Its begin.
    pub start: Duration,
    /// Its end.
    pub end: Duration,
    /// 0 to 1, from how well the audio fits.
    pub confidence: f32,
}

/// One stream of the service.
#[derive(Debug)]
pub struct Session {
    options: SessionOptions,
    ear: Ear,
    /// Samples taken in.
    heard_samples: u64,
    /// Samples that earlier final results cover.
    settled_samples: u64,
    /// Steps of the segment at which the next interim result is due.
    next_interim: usize,
    last_interim: String,
    waiting: VecDeque<(Duration, Heard)>,
}

#[derive(Debug)]
enum Ear {
    Listening(Box<Recogniser>, Arc<Inventory>),
    Scripted(Script),
}

/// Speech by energy alone.
#[derive(Debug)]
struct Script {
    texts: Arc<Vec<String>>,
    next: usize,
    energy: Energy,
    pending: Vec<i16>,
    /// Steps of the current segment; 0 between segments.
    steps: usize,
    silence: usize,
    position: u64,
    begin: u64,
}

impl Session {
    /// A stream that has heard nothing yet.
    #[must_use]
    pub fn new(options: SessionOptions) -> Self {
        let ear = match &options.mode {
            SttMode::Listen(inventory) => Ear::Listening(Box::default(), Arc::clone(inventory)),
            SttMode::Scripted(texts) => Ear::Scripted(Script::new(Arc::clone(texts))),
        };
        Self {
            options,
            ear,
            heard_samples: 0,
            settled_samples: 0,
            next_interim: INTERIM_AFTER_STEPS,
            last_interim: String::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Takes audio at 16 kHz.
    pub fn on_audio(&mut self, now: Duration, samples: &[i16]) {
        for step in samples.chunks(STEP_SAMPLES) {
            self.heard_samples += step.len() as u64;
            self.ear.push(step);
            let (in_speech, steps, silence) = self.ear.progress();
            if !in_speech {
                continue;
            }
            let endpoint = self.options.endpointing_ms.is_some_and(|ms| silence * STEP_MS >= (ms as usize).max(STEP_MS));
            if endpoint {
                let hypothesis = self.ear.finalise();
                self.settle(now, hypothesis, true, false);
            } else if self.options.interim_results && silence == 0 && steps >= self.next_interim {
                self.next_interim = steps + INTERIM_EVERY_STEPS;
                self.report(now);
            }
        }
    }

    /// Is asked for the final words of all audio so far.
    pub fn on_finalize(&mut self, now: Duration) {
        let pending = self.ear.progress().0;
        let hypothesis = self.ear.finalise();
        if pending || self.options.answers_empty_finalize {
            self.settle(now, hypothesis, false, true);
        }
    }

    /// Is told that no more audio comes.
    pub fn on_close(&mut self, now: Duration) {
        if self.ear.progress().0 {
            let hypothesis = self.ear.finalise();
            self.settle(now, hypothesis, false, false);
        }
    }

    /// The next result whose time has come.
    pub fn poll(&mut self, now: Duration) -> Option<Heard> {
        self.waiting.pop_front_if(|(due, _)| *due <= now).map(|(_, heard)| heard)
    }

    /// When the next result is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.waiting.front().map(|(due, _)| *due)
    }

    /// Length of the audio so far.
    #[must_use]
    pub fn heard(&self) -> Duration {
        time(self.heard_samples)
    }

    fn report(&mut self, now: Duration) {
        let hypothesis = self.ear.interim();
        let heard = self.write(hypothesis, false, false);
        if !heard.text.is_empty() && heard.text != self.last_interim {
            self.last_interim.clone_from(&heard.text);
            self.enqueue(now, self.options.interim_ms, heard);
        }
    }

    fn settle(&mut self, now: Duration, hypothesis: Hypothesis, speech_final: bool, from_finalize: bool) {
        let mut heard = self.write(hypothesis, speech_final, from_finalize);
        heard.is_final = true;
        self.settled_samples = self.heard_samples;
        self.next_interim = INTERIM_AFTER_STEPS;
        self.last_interim.clear();
        self.enqueue(now, self.options.final_ms, heard);
    }

    fn write(&self, hypothesis: Hypothesis, speech_final: bool, from_finalize: bool) -> Heard {
        let punctuate = self.options.punctuate;
        let words: Vec<HeardWord> = hypothesis
            .words
            .into_iter()
            .map(|word| HeardWord {
                text: if punctuate { word.text } else { plain(&word.text) },
                start: time(word.start),
                end: time(word.end),
                confidence: word.confidence,
            })
            .collect();
        let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        Heard {
            language: (self.options.detects_language && !text.is_empty()).then(|| language_of(&text)),
            text,
            words,
            is_final: false,
            speech_final,
            from_finalize,
            start: time(self.settled_samples),
            duration: time(self.heard_samples - self.settled_samples),
        }
    }

    /// Results never overtake each other.
    fn enqueue(&mut self, now: Duration, delay_ms: u32, heard: Heard) {
        let due = now + Duration::from_millis(delay_ms.into());
        let due = self.waiting.back().map_or(due, |(last, _)| due.max(*last));
        if self.waiting.len() >= MAX_WAITING {
            // Whoever does not fetch results does not want the oldest.
            self.waiting.pop_front();
        }
        self.waiting.push_back((due, heard));
    }
}

impl Ear {
    fn push(&mut self, samples: &[i16]) {
        match self {
            Self::Listening(recogniser, inventory) => recogniser.push(samples, || inventory.templates()),
            Self::Scripted(script) => script.push(samples),
        }
    }

    /// Whether a segment is open, its length so far and the silence at its end, in steps.
    fn progress(&self) -> (bool, usize, usize) {
        match self {
            Self::Listening(recogniser, _) => (recogniser.in_speech(), recogniser.segment_steps(), recogniser.silent_steps()),
            Self::Scripted(script) => (script.steps > 0, script.steps, script.silence),
        }
    }

    fn interim(&self) -> Hypothesis {
        match self {
            Self::Listening(recogniser, _) => recogniser.interim(),
            Self::Scripted(script) => script.read(true),
        }
    }

    fn finalise(&mut self) -> Hypothesis {
        match self {
            Self::Listening(recogniser, _) => recogniser.finalise(),
            Self::Scripted(script) => script.finalise(),
        }
    }
}

impl Script {
    fn new(texts: Arc<Vec<String>>) -> Self {
        Self { texts, next: 0, energy: Energy::default(), pending: Vec::new(), steps: 0, silence: 0, position: 0, begin: 0 }
    }

    fn push(&mut self, samples: &[i16]) {
        self.pending.extend_from_slice(samples);
        while self.pending.len() >= STEP_SAMPLES {
            let speech = self.energy.is_speech(&self.pending[..STEP_SAMPLES]);
            self.pending.drain(..STEP_SAMPLES);
            if speech {
                if self.steps == 0 {
                    self.begin = self.position;
                }
                self.steps += 1 + self.silence;
                self.silence = 0;
            } else if self.steps > 0 {
                self.silence += 1;
            }
            self.position += STEP_SAMPLES as u64;
        }
    }

    /// The current text; as an interim result only its first half.
    fn read(&self, half: bool) -> Hypothesis {
        let text = self.texts.get(self.next % self.texts.len().max(1)).map(String::as_str).unwrap_or_default();
        let all: Vec<&str> = text.split_whitespace().collect();
        let count = if half { all.len().div_ceil(2) } else { all.len() };
        let each = (self.steps * STEP_SAMPLES / all.len().max(1)) as u64;
        let word = |(n, text): (usize, &&str)| super::recogniser::Word {
            text: (*text).to_owned(),
            start: self.begin + n as u64 * each,
            end: self.begin + (n as u64 + 1) * each,
            confidence: SCRIPTED_CONFIDENCE,
        };
        Hypothesis { words: all.iter().take(count).enumerate().map(word).collect() }
    }

    fn finalise(&mut self) -> Hypothesis {
        if self.steps == 0 {
            return Hypothesis::default();
        }
        let hypothesis = self.read(false);
        self.next += 1;
        self.steps = 0;
        self.silence = 0;
        hypothesis
    }
}

/// A word without capitals and punctuation.
pub(super) fn plain(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
}

fn time(samples: u64) -> Duration {
    Duration::from_micros(samples * 1_000_000 / u64::from(RATE_HZ))
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
