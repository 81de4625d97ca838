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
    dropped: Arc<AtomicU64>,
}

impl AudioPublisher {
    /// Encodes one frame of 20 ms and hands it to the connection. Never waits.
    ///
    /// # Errors
    /// [`WriteError`]; a dropped frame is a lost packet for listeners, and is counted.
    pub fn write(&mut self, frame: &[i16]) -> Result<(), WriteError> {
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
        let marker = self.start_talk_spurt(now);
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
        let Some(written) = self.written.replace(now) else { return true };
        let idle = now.duration_since(written).saturating_sub(frame);
        if idle < TALK_SPURT_GAP {
            return false;
        }
        let frames = u32::try_from(idle.as_millis() / u128::from(FRAME_MS)).unwrap_or(0);
        self.timestamp = self.timestamp.wrapping_add(frames.wrapping_mul(FRAME_TICKS));
        true
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
