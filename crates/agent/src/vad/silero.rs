//! Silero VAD of `frontdesk-inference` as a session's detector.

use std::collections::VecDeque;

use async_trait::async_trait;
use frontdesk_inference::vad::{VadEvent, VadModel, VadOptions, VadOptionsError, VadStream};

use super::{VoiceActivity, VoiceActivityDetector, VoiceEvent};

/// The process's model with the options of its calls.
pub struct SileroVad {
    model: VadModel,
    options: VadOptions,
}

impl SileroVad {
    /// A detector whose calls share `model`.
    ///
    /// # Errors
    /// Options that make no sense together.
    pub fn new(model: VadModel, options: VadOptions) -> Result<Self, VadOptionsError> {
        options.validate()?;
        Ok(Self { model, options })
    }
}

impl VoiceActivityDetector for SileroVad {
    fn open(&self) -> Box<dyn VoiceActivity> {
        let stream = self.model.stream(self.options).expect("the options were checked");
        Box::new(SileroStream { stream, events: VecDeque::new() })
    }
}

struct SileroStream {
    stream: VadStream,
    events: VecDeque<VoiceEvent>,
}

#[async_trait]
impl VoiceActivity for SileroStream {
    fn push(&mut self, samples: &[i16]) {
        self.events.extend(self.stream.push(samples).iter().filter_map(edge));
    }

    async fn next_event(&mut self) -> VoiceEvent {
        match self.events.pop_front() {
            Some(event) => event,
            None => std::future::pending().await,
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
    use frontdesk_audio::wav;
    use futures_util::FutureExt as _;

    use super::*;

    /// A sentence between two silences.
    fn audio() -> Vec<i16> {
        let speech = wav::parse_mono(&include_bytes!("../../../inference/tests/data/speech.wav")[..]).expect("the sentence is there");
        [vec![0; 16_000], speech.samples, vec![0; 16_000]].concat()
    }

    #[test]
    fn edges_are_those_of_the_model() {
        let model = VadModel::load().expect("the model is sound");
        let mut stream = model.stream(VadOptions::default()).expect("the defaults are valid");
        let expected: Vec<_> = stream.push(&audio()).iter().filter_map(edge).collect();
        assert!(matches!(expected[..], [VoiceEvent::Started { .. }, VoiceEvent::Ended { .. }, ..]), "{expected:?}");
        let mut vad = SileroVad::new(model, VadOptions::default()).expect("the defaults are valid").open();
        let mut found = Vec::new();
        for chunk in audio().chunks(320) {
            vad.push(chunk);
            while let Some(event) = vad.next_event().now_or_never() {
                found.push(event);
            }
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn options_are_checked_once() {
        let options = VadOptions { activation_threshold: 2.0, ..VadOptions::default() };
        assert!(SileroVad::new(VadModel::load().expect("the model is sound"), options).is_err());
    }
}
