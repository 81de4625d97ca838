//! A remote audio track: RTP in, PCM frames out.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use frontdesk_audio::opus::{Decoder, OpusError};
use frontdesk_audio::{Frame, SampleRate};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

use super::depacketizer::{Depacketizer, RTP_CLOCK_HZ, Step};
use super::queue::Queue;

/// The decoded audio of one remote track. Dropping it lets frames pass by unheard; the track stays subscribed.
pub struct RemoteAudio {
    identity: String,
    track_sid: String,
    rate: SampleRate,
    queue: Arc<Queue<Frame>>,
}

impl RemoteAudio {
    pub(super) fn new(identity: String, track_sid: String, rate: SampleRate, queue: Arc<Queue<Frame>>) -> Self {
        Self { identity, track_sid, rate, queue }
    }

    /// Identity of the participant who is heard.
    #[must_use]
    pub fn participant_identity(&self) -> &str {
        &self.identity
    }

    /// The server's id of the track.
    #[must_use]
    pub fn track_sid(&self) -> &str {
        &self.track_sid
    }

    /// Rate of the frames.
    #[must_use]
    pub const fn rate(&self) -> SampleRate {
        self.rate
    }

    /// The next frame, of any length, or `None` once the track has ended. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Frame> {
        self.queue.pop().await
    }

    /// The next frame if one waits.
    pub fn try_recv(&mut self) -> Option<Frame> {
        self.queue.lock().items.pop_front()
    }

    /// Frames that were dropped because nobody took them in time.
    #[must_use]
    pub fn dropped_frames(&self) -> u64 {
        self.queue.dropped.load(Ordering::Relaxed)
    }

    /// Packets that never came.
    #[must_use]
    pub fn lost_packets(&self) -> u64 {
        self.queue.lost.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for RemoteAudio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteAudio").field("track_sid", &self.track_sid).field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl Drop for RemoteAudio {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

/// Decodes a stream's steps at the application's rate.
pub(super) struct StreamDecoder {
    decoder: Decoder,
    rate: SampleRate,
    failures: u64,
}

impl StreamDecoder {
    pub(super) fn new(rate: SampleRate) -> Result<Self, OpusError> {
        Ok(Self { decoder: Decoder::new(rate)?, rate, failures: 0 })
    }

    fn samples(&self, ticks: u32) -> usize {
        usize::try_from(u64::from(ticks) * u64::from(self.rate.hz()) / u64::from(RTP_CLOCK_HZ)).unwrap_or(0)
    }

    /// PCM of one step. What is malformed is concealed: the caller's clock must not lose time.
    fn run(&mut self, step: &Step) -> Frame {
        let result = match step {
            Step::Decode(payload) => self.decoder.decode(payload),
            Step::Recover { next, ticks } => self.decoder.recover(next, self.samples(*ticks)),
            Step::Conceal { ticks } => self.decoder.conceal(self.samples(*ticks)),
            Step::Silence { ticks } => Ok(vec![0; self.samples(*ticks)]),
        };
        let samples = result.unwrap_or_else(|error| {
            self.failures += 1;
            if self.failures.is_power_of_two() {
                tracing::warn!(%error, failures = self.failures, "remote audio cannot be decoded");
            }
            vec![0; self.rate.samples_in_ms(20)]
        });
        Frame { rate: self.rate, samples }
    }
}

/// Reads one track until it ends or `cancel` fires. Run as a task of the room.
pub(super) async fn receive(
    track: Arc<dyn TrackRemote>,
    mut decoder: StreamDecoder,
    fill_after: Option<Duration>,
    queue: Arc<Queue<Frame>>,
    cancel: CancellationToken,
) {
    let start = Instant::now();
    let mut depacketizer = Depacketizer::new(fill_after);
    let mut source = None;
    let mut steps = Vec::new();
    loop {
        let deadline = depacketizer.deadline().map(|deadline| start + deadline);
        let sleep = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            event = track.poll() => match event {
                Some(TrackRemoteEvent::OnRtpPacket(packet)) => {
                    let header = packet.header;
                    if source.is_some_and(|source| source != header.ssrc) {
                        depacketizer = Depacketizer::new(fill_after);
                    }
                    source = Some(header.ssrc);
                    depacketizer.push(start.elapsed(), header.sequence_number, header.timestamp, packet.payload, &mut steps);
                }
                Some(TrackRemoteEvent::OnEnded) | None => break,
                Some(_) => {}
            },
            () = sleep => depacketizer.tick(start.elapsed(), &mut steps),
        }
        for step in steps.drain(..).filter(|_| !queue.is_abandoned()) {
            let frame = decoder.run(&step);
            if !frame.samples.is_empty() {
                queue.push(frame);
            }
        }
        queue.lost.store(depacketizer.counts().lost, Ordering::Relaxed);
    }
    queue.end();
    tracing::debug!(counts = ?depacketizer.counts(), dropped = queue.dropped.load(Ordering::Relaxed), "remote audio ended");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(value: i16) -> Frame {
        Frame { rate: SampleRate::HZ_16000, samples: vec![value; 4] }
    }

    #[tokio::test]
    async fn the_oldest_frame_gives_way_and_the_end_is_told() {
        let queue = Queue::new(2);
        let mut audio = RemoteAudio::new("me".into(), "TR".into(), SampleRate::HZ_16000, queue.clone());
        for value in 1..=3 {
            queue.push(frame(value));
        }
        queue.end();
        assert_eq!(audio.recv().await.map(|f| f.samples[0]), Some(2));
        assert_eq!(audio.recv().await.map(|f| f.samples[0]), Some(3));
        assert!(audio.recv().await.is_none());
        assert_eq!(audio.dropped_frames(), 1);
    }

    #[test]
    fn nobody_listens_nothing_piles_up() {
        let queue = Queue::new(2);
        drop(RemoteAudio::new("me".into(), "TR".into(), SampleRate::HZ_16000, queue.clone()));
        queue.push(frame(1));
        assert!(queue.lock().items.is_empty());
    }

    #[test]
    fn malformed_packets_keep_the_clock_going() {
        let mut decoder = StreamDecoder::new(SampleRate::HZ_8000).unwrap();
        assert_eq!(decoder.run(&Step::Decode(bytes::Bytes::from_static(&[0xff; 3]))).samples.len(), 160);
        assert_eq!(decoder.run(&Step::Conceal { ticks: 960 }).samples.len(), 160);
        assert_eq!(decoder.run(&Step::Silence { ticks: 1920 }).samples, [0; 320]);
    }
}

#[cfg(test)]
#[path = "lossy_tests.rs"]
mod lossy_tests;
