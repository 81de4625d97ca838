//! Whatever is not zero is voice.

use std::collections::VecDeque;

use async_trait::async_trait;

use crate::vad::{VoiceActivity, VoiceActivityDetector, VoiceEvent};

/// Voice of this length is speech: 50 ms.
const SPEECH_MIN: u64 = 800;
/// Silence of this length ends speech: 250 ms.
const SILENCE_MIN: u64 = 4_000;

/// A detector for tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct FakeVad;

impl VoiceActivityDetector for FakeVad {
    fn open(&self) -> Box<dyn VoiceActivity> {
        Box::new(Stream::default())
    }
}

#[derive(Default)]
struct Stream {
    at: u64,
    began: Option<u64>,
    last_voice: u64,
    speaking: bool,
    events: VecDeque<VoiceEvent>,
}

#[async_trait]
impl VoiceActivity for Stream {
    fn push(&mut self, samples: &[i16]) {
        for &sample in samples {
            self.at += 1;
            if sample != 0 {
                self.last_voice = self.at;
                let began = *self.began.get_or_insert(self.at - 1);
                if !self.speaking && self.at - began >= SPEECH_MIN {
                    self.speaking = true;
                    self.events.push_back(VoiceEvent::Started { at: began });
                }
            } else if self.began.is_some() && self.at - self.last_voice >= SILENCE_MIN {
                self.began = None;
                if std::mem::take(&mut self.speaking) {
                    self.events.push_back(VoiceEvent::Ended { last_speech: self.last_voice });
                }
            }
        }
    }

    async fn next_event(&mut self) -> VoiceEvent {
        match self.events.pop_front() {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}
