//! Silero VAD of `frontdesk-inference` as a session's detector.

use std::collections::VecDeque;

use async_trait::async_trait;
use frontdesk_inference::vad::{VadEngine, VadError, VadEvent, VadOptions, VadOptionsError, VadStream};

use super::{VoiceActivity, VoiceActivityDetector, VoiceEvent};

/// The process's engine with the options of its calls.
pub struct SileroVad {
    engine: VadEngine,
    options: VadOptions,
}

impl SileroVad {
    /// A detector whose calls share `engine`.
    ///
    /// # Errors
    /// Options that make no sense together.
    pub fn new(engine: VadEngine, options: VadOptions) -> Result<Self, VadOptionsError> {
        options.validate()?;
        Ok(Self { engine, options })
    }
}

impl VoiceActivityDetector for SileroVad {
    fn open(&self) -> Box<dyn VoiceActivity> {
        let stream = self.engine.stream(self.options);
        if let Err(error) = &stream {
            tracing::error!(%error, "voice activity detection cannot be had");
        }
        Box::new(SileroStream { stream: stream.ok(), waiting: Vec::new(), pushing: false, events: VecDeque::new(), told: false })
    }
}

struct SileroStream {
    /// `None` once it failed for good.
    stream: Option<VadStream>,
    waiting: Vec<i16>,
    /// A push was begun and may have been cancelled: its events come with the next one.
    pushing: bool,
    events: VecDeque<VoiceEvent>,
    /// Whether the final failure was reported.
    told: bool,
}

#[async_trait]
impl VoiceActivity for SileroStream {
    fn push(&mut self, samples: &[i16]) {
        // Bounded by the stream: a push takes all of it, and waits for the engine no longer than its answer time-out.
        self.waiting.extend(samples);
    }

    async fn next_event(&mut self) -> VoiceEvent {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            let Some(stream) = self.stream.as_mut() else {
                self.waiting.clear();
                if !std::mem::replace(&mut self.told, true) {
                    return VoiceEvent::Failed { retryable: false };
                }
                return std::future::pending().await;
            };
            if self.waiting.is_empty() && !self.pushing {
                return std::future::pending().await;
            }
            self.pushing = true;
            // The stream takes the samples before it first waits, so a cancelled push loses none and repeats none.
            let samples = std::mem::take(&mut self.waiting);
            let pushed = stream.push(&samples).await;
            self.pushing = false;
            match pushed {
                Ok(found) => self.events.extend(found.iter().filter_map(edge)),
                Err(error) => self.failed(&error),
            }
        }
    }
}

impl SileroStream {
    fn failed(&mut self, error: &VadError) {
        tracing::warn!(%error, "voice activity detection failed");
        if error.is_retryable() {
            self.events.push_back(VoiceEvent::Failed { retryable: true });
        } else {
            self.stream = None;
        }
    }
}

fn edge(event: &VadEvent) -> Option<VoiceEvent> {
    match *event {
        VadEvent::Probability { .. } => None,
        VadEvent::SpeechStarted { start_sample, .. } => Some(VoiceEvent::Started { at: start_sample }),
        VadEvent::SpeechEnded { last_speech_sample, .. } => Some(VoiceEvent::Ended { last_speech: last_speech_sample }),
    }
}
