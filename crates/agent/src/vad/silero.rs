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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use frontdesk_audio::wav;
    use frontdesk_inference::runtime;
    use frontdesk_inference::vad::InlineVad;
    use tokio::time::timeout;

    use super::*;

    /// A sentence between two silences.
    fn audio() -> Vec<i16> {
        let speech = wav::parse_mono(&include_bytes!("../../../inference/tests/data/speech.wav")[..]).expect("the sentence is there");
        [vec![0; 16_000], speech.samples, vec![0; 16_000]].concat()
    }

    /// The edges that the detector finds without any adapter.
    fn expected() -> Vec<VoiceEvent> {
        let mut vad = InlineVad::new(VadOptions::default()).expect("the model loads");
        vad.push(&audio()).expect("the model judges").iter().filter_map(edge).collect()
    }

    /// The edges found when each wait for one is given up after `patience`.
    async fn found(engine: VadEngine, patience: Duration) -> Vec<VoiceEvent> {
        let mut vad = SileroVad::new(engine, VadOptions::default()).expect("the defaults are valid").open();
        let mut events = Vec::new();
        for chunk in audio().chunks(320) {
            vad.push(chunk);
            while let Ok(event) = timeout(patience, vad.next_event()).await {
                events.push(event);
            }
        }
        while let Ok(event) = timeout(Duration::from_secs(1), vad.next_event()).await {
            events.push(event);
        }
        events
    }

    #[tokio::test]
    async fn edges_are_those_of_the_model_however_often_the_wait_is_given_up() {
        runtime::init(None).expect("ONNX Runtime is installed by scripts/setup");
        let expected = expected();
        assert!(expected.len() >= 2, "{expected:?}");
        let threaded = VadEngine::start().expect("the engine starts");
        assert_eq!(found(threaded, Duration::from_micros(20)).await, expected);
        assert_eq!(found(VadEngine::inline().expect("the model loads"), Duration::ZERO).await, expected);
    }

    #[test]
    fn options_are_checked_once() {
        runtime::init(None).expect("ONNX Runtime is installed by scripts/setup");
        let options = VadOptions { activation_threshold: 2.0, ..VadOptions::default() };
        let engine = VadEngine::inline().expect("the model loads");
        assert!(SileroVad::new(engine, options).is_err());
    }
}
