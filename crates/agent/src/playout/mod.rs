//! Playout: what was synthesised leaves in frames of 20 ms, paced by our own clock, exact to the sample.
//!
//! A queue decides what is in each frame and knows nothing of time; [`Playout`] shares it between the session
//! (which queues, pauses and flushes), the synthesis task (which fills it) and the pacer (which empties it). Pause and flush take
//! effect under one lock, so no sample of a flushed reply can be taken after [`Playout::flush`] returned.

mod queue;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use frontdesk_audio::pace::Ticker;
use frontdesk_audio::{FRAME_MS, SampleRate};
use frontdesk_conversation::{PlayedPos, ReplyId, UtteranceId};
use metrics::counter;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use queue::Queue;
pub use queue::{PlayoutEvent, PlayoutLimits};

use crate::numbers::FRAMES_LATE;
use crate::transport::AudioSink;

/// The handle to one call's playout; clones share it.
#[derive(Clone)]
pub struct Playout {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    events: Notify,
    room: Notify,
    rate: SampleRate,
}

/// Gets a copy of every frame that left, silence included; used for the recording.
pub trait FrameTap: Send {
    /// `frame` left now; `missed` frame times before it passed without one, because the process was stalled.
    fn frame(&mut self, frame: &[i16], missed: u32);
}

impl Playout {
    /// An empty playout of PCM at `rate`.
    #[must_use]
    pub fn new(rate: SampleRate, limits: PlayoutLimits) -> Self {
        let queue = Mutex::new(Queue::new(rate, limits));
        Self { shared: Arc::new(Shared { queue, events: Notify::new(), room: Notify::new(), rate }) }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // The queue stays consistent between its methods, so a panic elsewhere while the lock was held harms nothing.
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an utterance whose PCM will follow.
    pub fn enqueue(&self, utterance: UtteranceId, reply: ReplyId) {
        self.queue().enqueue(utterance, reply);
    }

    /// Adds PCM to an utterance; `false` when it is unknown (flushed). The bound of [`PlayoutLimits::buffer`] is kept by whoever
    /// pushes, who waits for [`Playout::room`] first; nothing that was pushed is dropped.
    pub fn push(&self, utterance: UtteranceId, samples: &[i16]) -> bool {
        self.queue().push(utterance, samples)
    }

    /// Says that an utterance is complete; its length, or `None` when it is unknown (flushed).
    pub fn complete(&self, utterance: UtteranceId) -> Option<Duration> {
        let length = self.queue().complete(utterance);
        self.shared.events.notify_one();
        length
    }

    /// Drops the PCM of an utterance so that it can be synthesised anew; `false` (and no change) once a sample of it has left.
    pub fn restart(&self, utterance: UtteranceId) -> bool {
        let done = self.queue().restart(utterance);
        self.shared.room.notify_one();
        done
    }

    /// Removes an utterance of which nothing came, so that the ones behind it can play.
    pub fn discard(&self, utterance: UtteranceId) {
        self.queue().discard(utterance);
        self.shared.room.notify_one();
    }

    /// Holds playback at the exact sample.
    pub fn pause(&self) {
        self.queue().pause();
    }

    /// Plays on from the sample after the last one that left.
    pub fn resume(&self) {
        self.queue().resume();
    }

    /// Drops all utterances of `reply` and earlier ones and ends a pause; says which one was cut and what was played of it.
    pub fn flush(&self, reply: ReplyId) -> Option<(UtteranceId, PlayedPos)> {
        let cut = self.queue().flush(reply);
        self.shared.room.notify_one();
        cut
    }

    /// Whether the bound of buffered PCM leaves room for more.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.queue().has_room()
    }

    /// How long what was pushed and has not left yet lasts.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.queue().left()
    }

    /// Waits until [`Playout::has_room`]. Cancel-safe; for one waiter.
    pub async fn room(&self) {
        while !self.has_room() {
            self.shared.room.notified().await;
        }
    }

    /// The next event. Cancel-safe; for one reader. Waits for ever when nothing plays.
    pub async fn next_event(&self) -> PlayoutEvent {
        loop {
            if let Some(event) = self.queue().next_event() {
                return event;
            }
            self.shared.events.notified().await;
        }
    }

    /// How often an utterance ran dry because its synthesis was slower than speech.
    #[must_use]
    pub fn underruns(&self) -> u32 {
        self.queue().underruns()
    }

    /// Writes a frame every 20 ms until `stop`: speech while there is some, else silence, so that the outgoing stream never breaks
    /// off (a transport with discontinuous transmission drops the silence itself).
    pub async fn run(self, mut sink: Box<dyn AudioSink>, mut tap: Option<Box<dyn FrameTap>>, stop: CancellationToken) {
        let mut frame = vec![0_i16; self.shared.rate.samples_in_ms(FRAME_MS)];
        let mut ticker = Ticker::starting_at(sink.starts_at());
        loop {
            let missed = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                missed = ticker.tick() => missed,
            };
            let (events, room) = {
                let mut queue = self.queue();
                queue.set_latency(sink.latency());
                let taken = queue.fill(&mut frame);
                // Within the lock: a flush that comes after must find the frame already on its way.
                sink.write(&frame);
                (queue.has_events(), taken && queue.has_room())
            };
            if missed > 0 {
                counter!(FRAMES_LATE).increment(missed.into());
            }
            if let Some(tap) = tap.as_mut() {
                tap.frame(&frame, missed);
            }
            if events {
                self.shared.events.notify_one();
            }
            if room {
                self.shared.room.notify_one();
            }
        }
    }
}
