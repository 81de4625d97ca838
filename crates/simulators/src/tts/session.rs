//! The service's behaviour without sockets: texts and requests in, audio and confirmations with the time at which they are due out.

use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::sync::Arc;
use std::time::Duration;

use frontdesk_audio::SampleRate;

use super::limits::{FlushCount, Limits};
use crate::voice::{Speaker, VoiceError};
use crate::wire::{DATA_0001, NET_0000, NET_0001};

/// Length of one piece of audio.
const CHUNK_MS: u32 = 100;
/// Amplitude of the tone, full scale being 32,767.
const TONE_AMPLITUDE: f64 = 6_000.0;
/// The code of the warning that a flush was not carried out.
const EXCESSIVE_FLUSH: &str = "EXCESSIVE_FLUSH";

/// Where the sound comes from.
#[derive(Debug, Clone)]
pub enum TtsMode {
    /// espeak-ng speaks.
    Speak(Arc<Speaker>),
    /// A tone, which costs next to nothing; 0 Hz is silence.
    Tone {
        /// Its frequency.
        hz: u32,
        /// How long it lasts for each character of the text.
        ms_per_char: u32,
    },
}

/// How one connection behaves.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Where the sound comes from.
    pub mode: TtsMode,
    /// Rate of the samples.
    pub rate: SampleRate,
    /// From a flush to the first audio of its text; later only if the machine cannot render so fast.
    pub first_byte: Duration,
    /// How many times faster than it plays the audio comes.
    pub speed: u32,
    /// What is refused.
    pub limits: Limits,
}

impl SessionOptions {
    /// 24 kHz, with the delay that the demo states and the limits of the real service.
    #[must_use]
    pub fn new(mode: TtsMode) -> Self {
        Self { mode, rate: SampleRate::HZ_24000, first_byte: Duration::from_millis(150), speed: 8, limits: Limits::default() }
    }
}

/// What the service says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A piece of speech.
    Audio(Vec<i16>),
    /// All audio of the text before a flush was sent.
    Flushed {
        /// Number of the flush, from 0.
        sequence_id: u64,
    },
    /// What waited was dropped.
    Cleared {
        /// Number of the request, from 0.
        sequence_id: u64,
    },
    /// A request was not carried out.
    Warning {
        /// What kind.
        code: &'static str,
        /// In words.
        description: String,
    },
    /// A request was faulty; the end follows.
    Error {
        /// What kind.
        code: &'static str,
        /// In words.
        description: String,
    },
    /// The connection is over, with a code of RFC 6455 section 7.4.
    End {
        /// 1000 if the client wished it.
        code: u16,
        /// The service's name for the reason.
        reason: &'static str,
    },
}

/// A text to be rendered elsewhere; give the result to [`Session::on_rendered`].
#[derive(Debug)]
pub struct Job {
    /// Names the job.
    pub ticket: u64,
    /// What to say.
    pub text: String,
    /// Who says it.
    pub speaker: Arc<Speaker>,
}

/// One connection of the service. Times count from its begin.
#[derive(Debug)]
pub struct Session {
    options: SessionOptions,
    /// Text that waits for a flush.
    text: String,
    count: FlushCount,
    queue: VecDeque<Utterance>,
    jobs: VecDeque<Job>,
    /// What is due at once.
    replies: VecDeque<Reply>,
    tickets: u64,
    flushes: u64,
    clears: u64,
    /// When the next piece may follow the last one.
    next_piece: Duration,
    last_frame: Duration,
    closing: bool,
    ended: bool,
}

/// The text of one flush.
#[derive(Debug)]
struct Utterance {
    ticket: u64,
    /// `None` for what is left when the client closes.
    sequence_id: Option<u64>,
    /// When its audio is due at the earliest.
    due: Duration,
    audio: Option<Arc<Vec<i16>>>,
    sent: usize,
}

impl Session {
    /// A fresh connection.
    #[must_use]
    pub fn new(options: SessionOptions) -> Self {
        Self {
            options,
            text: String::new(),
            count: FlushCount::default(),
            queue: VecDeque::new(),
            jobs: VecDeque::new(),
            replies: VecDeque::new(),
            tickets: 0,
            flushes: 0,
            clears: 0,
            next_piece: Duration::ZERO,
            last_frame: Duration::ZERO,
            closing: false,
            ended: false,
        }
    }

    /// Anything came from the client, be it a ping.
    pub const fn on_frame(&mut self, now: Duration) {
        self.last_frame = now;
    }

    /// Takes text; it is spoken when it is flushed.
    pub fn on_speak(&mut self, text: &str) {
        let limits = &self.options.limits;
        let length = text.chars().count();
        let excess = if length > limits.speak_chars {
            Some(format!("the text of a Speak message is longer than {} characters", limits.speak_chars))
        } else if self.text.chars().count() + length > limits.buffered_chars {
            Some(format!("more than {} characters wait for a flush", limits.buffered_chars))
        } else {
            None
        };
        if let Some(description) = excess {
            self.fail(DATA_0001, description, 1008);
        } else if !self.closing {
            self.text.push_str(text);
        }
    }

    /// Is asked to speak what waits.
    pub fn on_flush(&mut self, now: Duration) {
        if self.closing {
            return;
        }
        let limits = &self.options.limits;
        if !self.count.take(now, limits) {
            let description =
                format!("more than {} flushes within {} s; this one was not carried out", limits.flushes, limits.flush_window.as_secs());
            self.replies.push_back(Reply::Warning { code: EXCESSIVE_FLUSH, description });
            return;
        }
        let sequence_id = self.flushes;
        self.flushes += 1;
        self.enqueue(now, Some(sequence_id));
    }

    /// Is asked to forget what waits and what is being spoken.
    pub fn on_clear(&mut self, now: Duration) {
        self.text.clear();
        self.queue.clear();
        self.jobs.clear();
        self.next_piece = now;
        self.replies.push_back(Reply::Cleared { sequence_id: self.clears });
        self.clears += 1;
    }

    /// Is told that no more text comes; it speaks what waits, then ends.
    pub fn on_close(&mut self, now: Duration) {
        if !self.text.is_empty() {
            self.enqueue(now, None);
        }
        self.closing = true;
    }

    /// Is told something that it does not understand.
    pub fn on_garbage(&mut self, description: &str) {
        self.fail(crate::wire::DATA_0000, description.to_owned(), 1008);
    }

    /// The next text to render.
    pub fn take_job(&mut self) -> Option<Job> {
        self.jobs.pop_front()
    }

    /// Takes a rendered text; one that was cleared meanwhile is dropped.
    pub fn on_rendered(&mut self, ticket: u64, result: Result<Arc<Vec<i16>>, VoiceError>) {
        let Some(utterance) = self.queue.iter_mut().find(|utterance| utterance.ticket == ticket) else { return };
        match result {
            Ok(audio) => utterance.audio = Some(audio),
            Err(error) => self.fail(NET_0000, error.to_string(), 1011),
        }
    }

    /// The next reply whose time has come; [`Reply::End`] is the last.
    pub fn poll(&mut self, now: Duration) -> Option<Reply> {
        if self.ended {
            return None;
        }
        let reply = self.replies.pop_front().or_else(|| self.expire(now)).or_else(|| self.speak(now)).or_else(|| self.finish());
        self.ended = matches!(reply, Some(Reply::End { .. }));
        reply
    }

    /// When [`Self::poll`] has something next, if nothing happens until then.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        if self.ended {
            return None;
        }
        if !self.replies.is_empty() || (self.closing && self.queue.is_empty()) {
            return Some(Duration::ZERO);
        }
        let piece = self.queue.front().and_then(|utterance| utterance.audio.as_ref().map(|_| utterance.due.max(self.next_piece)));
        Some(piece.unwrap_or(Duration::MAX).min(self.expiry()))
    }

    /// Whether [`Reply::End`] was given.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.ended
    }

    fn enqueue(&mut self, now: Duration, sequence_id: Option<u64>) {
        let text = std::mem::take(&mut self.text);
        let ticket = self.tickets;
        self.tickets += 1;
        let (audio, due) =
            if text.trim().is_empty() { (Some(Arc::default()), now) } else { (self.render(ticket, text), now + self.options.first_byte) };
        self.queue.push_back(Utterance { ticket, sequence_id, due, audio, sent: 0 });
    }

    /// The audio itself where it is cheap, else a job.
    fn render(&mut self, ticket: u64, text: String) -> Option<Arc<Vec<i16>>> {
        match &self.options.mode {
            TtsMode::Speak(speaker) => {
                self.jobs.push_back(Job { ticket, text, speaker: Arc::clone(speaker) });
                None
            }
            TtsMode::Tone { hz, ms_per_char } => Some(Arc::new(tone(&text, *hz, *ms_per_char, self.options.rate))),
        }
    }

    /// When the connection ends for want of life, or for its age.
    fn expiry(&self) -> Duration {
        let limits = &self.options.limits;
        self.last_frame.saturating_add(limits.idle).min(limits.connection)
    }

    fn expire(&self, now: Duration) -> Option<Reply> {
        (now >= self.expiry()).then_some(Reply::End { code: 1011, reason: NET_0001 })
    }

    fn speak(&mut self, now: Duration) -> Option<Reply> {
        let utterance = self.queue.front_mut()?;
        let audio = utterance.audio.as_ref()?;
        if utterance.sent < audio.len() {
            let due = utterance.due.max(self.next_piece);
            if now < due {
                return None;
            }
            let rest = &audio[utterance.sent..];
            let piece = &rest[..rest.len().min(self.options.rate.samples_in_ms(CHUNK_MS))];
            utterance.sent += piece.len();
            // A late piece does not delay those after it, unless rendering was what took so long.
            let begin = if utterance.sent == piece.len() { now } else { due };
            self.next_piece = begin + self.options.rate.duration(piece.len()) / self.options.speed.max(1);
            return Some(Reply::Audio(piece.to_vec()));
        }
        if now < utterance.due {
            return None;
        }
        let done = self.queue.pop_front()?;
        match done.sequence_id {
            Some(sequence_id) => Some(Reply::Flushed { sequence_id }),
            None => self.finish(),
        }
    }

    fn finish(&self) -> Option<Reply> {
        (self.closing && self.queue.is_empty()).then_some(Reply::End { code: 1000, reason: "" })
    }

    /// Ends with an error; nothing else is said any more.
    fn fail(&mut self, code: &'static str, description: String, close: u16) {
        self.queue.clear();
        self.jobs.clear();
        self.replies.push_back(Reply::Error { code, description });
        self.replies.push_back(Reply::End { code: close, reason: code });
    }
}

/// A tone as long as its text, and a short silence.
fn tone(text: &str, hz: u32, ms_per_char: u32, rate: SampleRate) -> Vec<i16> {
    let chars = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    let samples = rate.samples_in_ms(chars.saturating_mul(ms_per_char));
    if hz == 0 {
        return vec![0; samples];
    }
    let step = TAU * f64::from(hz) / f64::from(rate.hz());
    (0..samples).map(|n| (TONE_AMPLITUDE * (step * n as f64).sin()) as i16).collect()
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
