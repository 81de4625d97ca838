//! A remote audio track as it comes: Opus packets, not decoded. For whoever relays or measures.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

use super::queue::Queue;

/// One RTP packet of Opus (RFC 7587).
#[derive(Clone, PartialEq, Eq)]
pub struct EncodedPacket {
    /// The Opus packet; empty is padding.
    pub payload: Bytes,
    /// RTP sequence number.
    pub sequence: u16,
    /// RTP timestamp, 48,000 a second.
    pub timestamp: u32,
    /// When it arrived.
    pub arrived: Instant,
}

impl fmt::Debug for EncodedPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { payload, sequence, timestamp, .. } = self;
        write!(f, "EncodedPacket(sequence {sequence}, timestamp {timestamp}, {} bytes)", payload.len())
    }
}

/// The packets of one remote track, in order of arrival: neither lost nor late ones are mended.
pub struct RemotePackets {
    identity: String,
    track_sid: String,
    queue: Arc<Queue<EncodedPacket>>,
}

impl RemotePackets {
    pub(super) fn new(identity: String, track_sid: String, queue: Arc<Queue<EncodedPacket>>) -> Self {
        Self { identity, track_sid, queue }
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

    /// The next packet, or `None` once the track has ended. Cancel-safe.
    pub async fn recv(&mut self) -> Option<EncodedPacket> {
        self.queue.pop().await
    }

    /// Packets that were dropped because nobody took them in time.
    #[must_use]
    pub fn dropped_packets(&self) -> u64 {
        self.queue.dropped.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for RemotePackets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemotePackets").field("track_sid", &self.track_sid).finish_non_exhaustive()
    }
}

impl Drop for RemotePackets {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

/// Reads one track until it ends or `cancel` fires. Run as a task of the room.
pub(super) async fn receive(track: Arc<dyn TrackRemote>, queue: Arc<Queue<EncodedPacket>>, cancel: CancellationToken) {
    loop {
        let event = tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            event = track.poll() => event,
        };
        match event {
            Some(TrackRemoteEvent::OnRtpPacket(packet)) => queue.push(EncodedPacket {
                payload: packet.payload,
                sequence: packet.header.sequence_number,
                timestamp: packet.header.timestamp,
                arrived: Instant::now(),
            }),
            Some(TrackRemoteEvent::OnEnded) | None => break,
            Some(_) => {}
        }
    }
    queue.end();
}
