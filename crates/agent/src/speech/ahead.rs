//! Speech that is synthesised before it is certain that it will be said.

use frontdesk_conversation::SpokenWord;
use tokio::time::Instant;

use super::{Pending, STALL_MAX, Speech, bounded};
use crate::tts::SpeechEvent;

/// What is kept of one piece; a first clause is a few seconds long.
const AHEAD_SECONDS_MAX: usize = 30;

/// A piece of speech that nobody has asked for yet.
pub(super) struct Ahead {
    text: String,
    samples: Vec<i16>,
    /// Its words, once it is complete.
    finished: Option<Vec<SpokenWord>>,
}

impl Speech {
    /// Speaks a text and keeps it aside, unless the connection is needed for something else.
    pub(super) async fn speak_ahead(&mut self, text: String) {
        self.drop_ahead().await;
        let is_free = self.pending.is_empty() && self.next_voice.is_none();
        let Some(stream) = self.stream.as_mut().filter(|stream| is_free && stream.may_speak_ahead()) else { return };
        if let Err(error) = bounded(self.service.name(), stream.speak(&text)).await {
            self.lost(error).await;
            return;
        }
        self.ahead = Some(Ahead { text, samples: Vec::new(), finished: None });
    }

    /// Forgets what was spoken ahead.
    pub(super) async fn drop_ahead(&mut self) {
        let Some(ahead) = self.ahead.take() else { return };
        let Some(stream) = self.stream.as_mut() else { return };
        if ahead.finished.is_some() {
            // Nobody will hear it: what is asked for next need not wait for its end.
            stream.cut_off();
            return;
        }
        if let Err(error) = bounded(self.service.name(), stream.clear()).await {
            self.lost(error).await;
        }
    }

    /// What was spoken ahead, if it is what is wanted now; anything else is dropped.
    pub(super) async fn take_ahead(&mut self, wanted: &Pending) -> Option<Ahead> {
        if self.ahead.as_ref().is_some_and(|ahead| ahead.text == wanted.text && self.pending.is_empty()) {
            return self.ahead.take();
        }
        self.drop_ahead().await;
        None
    }

    /// Goes on with an utterance as if it had been asked for when it was spoken ahead.
    pub(super) async fn adopt(&mut self, pending: Pending, ahead: Ahead) {
        self.pending.push_back(pending);
        self.stalls_at = Instant::now() + STALL_MAX;
        if !ahead.samples.is_empty() {
            self.take(SpeechEvent::Audio(ahead.samples)).await;
        }
        if let Some(words) = ahead.finished {
            self.take(SpeechEvent::Finished { words }).await;
        }
    }

    /// Keeps an event that belongs to what is spoken ahead; gives back any other.
    pub(super) async fn keep_ahead(&mut self, event: SpeechEvent) -> Option<SpeechEvent> {
        let Some(ahead) = self.ahead.as_mut().filter(|ahead| ahead.finished.is_none()) else { return Some(event) };
        match event {
            SpeechEvent::Audio(samples) => {
                ahead.samples.extend(samples);
                if ahead.samples.len() > AHEAD_SECONDS_MAX * self.options.rate.hz() as usize {
                    self.drop_ahead().await;
                }
            }
            SpeechEvent::Finished { words } => ahead.finished = Some(words),
        }
        None
    }
}
