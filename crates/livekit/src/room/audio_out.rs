//! The local audio track: PCM in, paced RTP out.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use frontdesk_audio::opus::{Encoder, OpusError};
use frontdesk_audio::{FRAME_MS, SampleRate};
use rtc::rtp::header::Header;
use rtc::rtp::packet::Packet;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

use super::depacketizer::FRAME_TICKS;
use super::error::RoomClosed;

/// Payload type of Opus in our offers.
pub(super) const OPUS_PAYLOAD_TYPE: u8 = 111;
/// Packets that may wait for the WebRTC driver: 160 ms, more than it ever takes.
const PENDING_PACKETS: usize = 8;
/// A writer who paused longer than this starts a new talk spurt: the timestamps follow the clock (RFC 3550 section 5.1).
const TALK_SPURT_GAP: Duration = Duration::from_millis(100);

/// Digital silence that is still sent after a sound, in frames: 500 ms, so that decoders fade out, and a listener who waits for the
/// end of speech hears it as it comes.
const SILENT_FRAMES_SENT: u32 = 25;
/// Of the silence after that, one frame in so many is sent: one in 400 ms, as libopus does (RFC 6716 section 2.1.9).
const SILENT_FRAMES_SKIPPED: u32 = 20;

/// Why a frame was not sent. The next may be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A frame has 20 ms at the publisher's rate.
    #[error(transparent)]
    Encode(#[from] OpusError),
    /// The frame was dropped: the WebRTC stack does not keep up, or the caller writes faster than time passes.
    #[error("the audio queue is full")]
    Full,
    /// The room has ended.
    #[error(transparent)]
    Closed(#[from] RoomClosed),
}

/// The sending end of our track. The caller paces: one frame of 20 ms every 20 ms.
pub struct AudioPublisher {
    encoder: Encoder,
    packets: mpsc::Sender<Packet>,
    rate: SampleRate,
    track_sid: String,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    written: Option<Instant>,
    /// When the first frame was written, and its timestamp.
    zero: Option<(Instant, u32)>,
    silence: Silence,
    dropped: Arc<AtomicU64>,
}

impl AudioPublisher {
    /// Encodes one frame of 20 ms and hands it to the connection. Never waits.
    ///
    /// Where nothing is said (every sample is 0), little is sent after a while: listeners see the timestamps go on and the
    /// sequence numbers not (RFC 7587 section 3.1.3).
    ///
    /// # Errors
    /// [`WriteError`]; a dropped frame is a lost packet for listeners, and is counted.
    pub fn write(&mut self, frame: &[i16]) -> Result<(), WriteError> {
        if frame.len() == self.rate.samples_in_ms(FRAME_MS) && self.silence.is_skipped(frame) {
            let now = Instant::now();
            self.written = Some(now);
            self.follow_the_clock(now);
            self.timestamp = self.timestamp.wrapping_add(FRAME_TICKS);
            return if self.packets.is_closed() { Err(RoomClosed.into()) } else { Ok(()) };
        }
        let payload = self.encoder.encode(frame)?;
        self.send(payload.into())
    }

    /// Hands over one Opus packet of 20 ms that was encoded before. Never waits.
    ///
    /// # Errors
    /// As [`Self::write`], but that nothing is encoded.
    pub fn write_encoded(&mut self, packet: Bytes) -> Result<(), WriteError> {
        self.send(packet)
    }

    fn send(&mut self, payload: Bytes) -> Result<(), WriteError> {
        let now = Instant::now();
        // Both must be asked: each keeps count.
        let marker = self.start_talk_spurt(now) | self.silence.ended();
        let header = Header {
            version: 2,
            marker,
            payload_type: OPUS_PAYLOAD_TYPE,
            sequence_number: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            ..Header::default()
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(FRAME_TICKS);
        self.packets.try_send(Packet { header, payload }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                WriteError::Full
            }
            mpsc::error::TrySendError::Closed(_) => WriteError::Closed(RoomClosed),
        })
    }

    /// Rate of the PCM that [`Self::write`] takes.
    #[must_use]
    pub const fn rate(&self) -> SampleRate {
        self.rate
    }

    /// The server's id of our track.
    #[must_use]
    pub fn track_sid(&self) -> &str {
        &self.track_sid
    }

    /// Frames that were dropped.
    #[must_use]
    pub fn dropped_frames(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Whether this frame starts a talk spurt; moves the timestamp over the pause.
    fn start_talk_spurt(&mut self, now: Instant) -> bool {
        let frame = Duration::from_millis(u64::from(FRAME_MS));
        let Some(written) = self.written.replace(now) else {
            self.zero = Some((now, self.timestamp));
            return true;
        };
        let starts = now.duration_since(written) >= frame + TALK_SPURT_GAP;
        if starts {
            self.follow_the_clock(now);
        }
        starts
    }

    /// Where nothing is said, the timestamp makes up for frames that were not written in time, so that what is said next is not late
    /// for ever after.
    fn follow_the_clock(&mut self, now: Instant) {
        let (since, ticks) = *self.zero.get_or_insert((now, self.timestamp));
        let frames = u32::try_from(now.duration_since(since).as_millis() / u128::from(FRAME_MS)).unwrap_or(0);
        let due = ticks.wrapping_add(frames.wrapping_mul(FRAME_TICKS));
        // As a signed step: a writer may be ahead of the clock.
        if due.wrapping_sub(self.timestamp).cast_signed() > 0 {
            self.timestamp = due;
        }
    }
}

/// How long nothing has been said.
#[derive(Debug, Default)]
struct Silence {
    /// Silent frames in a row.
    frames: u32,
    /// Whether frames were left out since the last that was sent.
    has_skipped: bool,
}

impl Silence {
    /// Counts a frame; whether it need not be sent.
    fn is_skipped(&mut self, frame: &[i16]) -> bool {
        if frame.iter().any(|&sample| sample != 0) {
            self.frames = 0;
            return false;
        }
        let before = self.frames;
        self.frames = before.saturating_add(1);
        let is_skipped = before >= SILENT_FRAMES_SENT && !(before - SILENT_FRAMES_SENT + 1).is_multiple_of(SILENT_FRAMES_SKIPPED);
        self.has_skipped |= is_skipped;
        is_skipped
    }

    /// Whether the frame that is sent now is the first after some that were not.
    const fn ended(&mut self) -> bool {
        std::mem::replace(&mut self.has_skipped, false)
    }
}

impl fmt::Debug for AudioPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AudioPublisher").field("track_sid", &self.track_sid).field("rate", &self.rate).finish_non_exhaustive()
    }
}

/// Makes the publisher and the task that feeds its packets to the connection.
pub(super) fn publisher(
    encoder: Encoder,
    rate: SampleRate,
    track_sid: String,
    ssrc: u32,
    track: Arc<TrackLocalStaticRTP>,
    cancel: CancellationToken,
) -> (AudioPublisher, impl Future<Output = ()> + Send + 'static) {
    let (packets, receiver) = mpsc::channel(PENDING_PACKETS);
    let dropped = Arc::new(AtomicU64::new(0));
    let publisher = AudioPublisher {
        encoder,
        packets,
        rate,
        track_sid,
        ssrc,
        sequence: rand::random(),
        timestamp: rand::random(),
        written: None,
        zero: None,
        silence: Silence::default(),
        dropped: dropped.clone(),
    };
    (publisher, send(track, receiver, dropped, cancel))
}

async fn send(track: Arc<TrackLocalStaticRTP>, mut packets: mpsc::Receiver<Packet>, dropped: Arc<AtomicU64>, cancel: CancellationToken) {
    loop {
        let packet = tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            packet = packets.recv() => match packet { Some(packet) => packet, None => break },
        };
        let sent = tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            sent = track.write_rtp(packet) => sent,
        };
        if let Err(error) = sent {
            let count = dropped.fetch_add(1, Ordering::Relaxed) + 1;
            if count.is_power_of_two() {
                tracing::warn!(%error, count, "local audio cannot be sent");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publisher_into(packets: mpsc::Sender<Packet>) -> AudioPublisher {
        AudioPublisher {
            encoder: Encoder::new(SampleRate::HZ_24000).unwrap(),
            packets,
            rate: SampleRate::HZ_24000,
            track_sid: "TR".into(),
            ssrc: 1,
            sequence: 7,
            timestamp: 0,
            written: None,
            zero: None,
            silence: Silence::default(),
            dropped: Arc::default(),
        }
    }

    #[test]
    fn of_a_long_silence_little_is_sent_and_speech_goes_out_at_once() {
        let mut silence = Silence::default();
        let sent: Vec<usize> = (0..100).filter(|_| !silence.is_skipped(&[0; 480])).collect();
        let expected: Vec<usize> = (0..25).chain([44, 64, 84]).collect();
        assert_eq!(sent, expected);
        assert!(!silence.is_skipped(&[0, 1, 0]), "a sound");
        assert!(silence.ended(), "a talk spurt");
        assert!(!silence.ended());
        assert!((0..25).all(|_| !silence.is_skipped(&[0; 480])), "the next silence begins anew");
        assert!(silence.is_skipped(&[0; 480]));
    }

    #[tokio::test(start_paused = true)]
    async fn frames_that_were_not_written_in_time_are_made_up_for_where_nothing_is_said() {
        let (packets, mut receiver) = mpsc::channel(100);
        let mut publisher = AudioPublisher { timestamp: u32::MAX - 5 * FRAME_TICKS, ..publisher_into(packets) };
        let mut last = |publisher: &mut AudioPublisher, value: i16| {
            publisher.write(&[value; 480]).unwrap();
            let mut sent = None;
            while let Ok(packet) = receiver.try_recv() {
                sent = Some(packet.header.timestamp);
            }
            sent
        };
        let first = last(&mut publisher, 900).unwrap();
        let mut late = 0;
        for frame in 1..=40_u32 {
            // One frame of the speech is missed, and two of the silence after it, of which some is left out.
            let missed = match frame {
                5 => 1,
                35 => 2,
                _ => 0,
            };
            late += missed;
            tokio::time::advance(Duration::from_millis(20) * (1 + missed)).await;
            let sent = last(&mut publisher, if frame < 8 { 900 } else { 0 });
            if frame < 8 {
                assert_eq!(sent, Some(first.wrapping_add(frame * FRAME_TICKS)), "speech has no holes");
            }
        }
        tokio::time::advance(Duration::from_millis(20)).await;
        let spoken = last(&mut publisher, 900).unwrap();
        assert_eq!(spoken.wrapping_sub(first) / FRAME_TICKS, 41 + late, "as late as the clock says");
    }

    #[tokio::test(start_paused = true)]
    async fn timestamps_go_on_through_silence_and_sequence_numbers_do_not() {
        let (packets, mut receiver) = mpsc::channel(100);
        let mut publisher = publisher_into(packets);
        let mut sent = Vec::new();
        for n in 0..60_u32 {
            let value = if (1..50).contains(&n) { 0 } else { 900 };
            publisher.write(&[value; 480]).unwrap();
            while let Ok(packet) = receiver.try_recv() {
                sent.push((packet.header.timestamp / FRAME_TICKS, packet.header.marker));
                assert_eq!(usize::from(packet.header.sequence_number), 6 + sent.len());
            }
            tokio::time::advance(Duration::from_millis(20)).await;
        }
        let expected: Vec<(u32, bool)> = (0..=25).chain([45]).chain(50..60).map(|n| (n, [0, 45, 50].contains(&n))).collect();
        assert_eq!(sent, expected);
        drop(receiver);
        assert!(matches!(publisher.write(&[900; 480]), Err(WriteError::Closed(_))));
    }
}
