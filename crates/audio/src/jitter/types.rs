//! Configuration, packets, answers and counters of the jitter buffer.

use std::time::Duration;

use crate::FRAME_MS;

/// Bounds and clock of a [`super::JitterBuffer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JitterConfig {
    /// RTP clock of the payload type, in Hz: 8000 for G.711, 48000 for Opus at whatever audio rate (RFC 7587).
    pub clock_hz: u32,
    /// Length of a frame, in milliseconds; the unit of [`Playout::Missing`].
    pub frame_ms: u32,
    /// Depth before anything is known of the line, in milliseconds.
    pub initial_ms: u32,
    /// Least target depth, in milliseconds.
    pub min_ms: u32,
    /// Greatest target depth, in milliseconds.
    pub max_ms: u32,
    /// Most audio that is held after a burst, in milliseconds; beyond it the oldest is dropped down to the target depth.
    pub limit_ms: u32,
}

impl JitterConfig {
    /// 20 ms frames; depth 40 ms at first, then 20 to 200 ms; at most 400 ms held.
    #[must_use]
    pub const fn new(clock_hz: u32) -> Self {
        Self { clock_hz, frame_ms: FRAME_MS, initial_ms: 40, min_ms: 20, max_ms: 200, limit_ms: 400 }
    }

    /// For PCMU and PCMA (RTP clock 8 kHz).
    #[must_use]
    pub const fn g711() -> Self {
        Self::new(8_000)
    }

    /// For Opus (RTP clock 48 kHz).
    #[must_use]
    pub const fn opus() -> Self {
        Self::new(48_000)
    }

    /// Puts impossible values right, so that no configuration can make the buffer misbehave.
    pub(super) fn normalised(mut self) -> Self {
        self.clock_hz = self.clock_hz.clamp(1_000, 192_000);
        self.frame_ms = self.frame_ms.clamp(1, 120);
        self.max_ms = self.max_ms.clamp(1, 2_000);
        self.min_ms = self.min_ms.min(self.max_ms);
        self.initial_ms = self.initial_ms.clamp(self.min_ms, self.max_ms);
        self.limit_ms = self.limit_ms.clamp(self.max_ms, 5_000);
        self
    }

    pub(super) const fn frame_ticks(&self) -> u32 {
        let ticks = self.clock_hz / 1_000 * self.frame_ms;
        if ticks == 0 { 1 } else { ticks }
    }
}

/// A packet as it came from the network.
#[derive(Debug, Clone)]
pub struct Incoming<P> {
    /// RTP sequence number.
    pub seq: u16,
    /// RTP timestamp, in units of the RTP clock.
    pub timestamp: u32,
    /// When it arrived, since an origin of the caller's choice (the same as for [`super::JitterBuffer::pop`]).
    pub arrival: Duration,
    /// RTP marker bit: the first packet after silence (RFC 3551 section 4.1).
    pub marker: bool,
    /// The caller has found this packet to be silence; one such frame may be skipped or doubled to change the depth.
    pub quiet: bool,
    /// Length in units of the RTP clock, `None` for one frame of the configuration.
    pub ticks: Option<u32>,
    /// What the consumer will decode.
    pub payload: P,
}

/// A packet whose turn has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet<P> {
    /// RTP sequence number.
    pub seq: u16,
    /// RTP timestamp.
    pub timestamp: u32,
    /// As it was pushed.
    pub payload: P,
}

/// What to play in the slot that a pop stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Playout<P> {
    /// Decode and play this.
    Packet(Packet<P>),
    /// One frame was lost and what follows it is here: conceal one frame (see [`super::JitterBuffer::following`] for FEC).
    Missing,
    /// Nothing is due: the sender is silent, the stream has not begun, or the line stalls. Play silence.
    Empty,
}

/// What became of the packets, counted since the buffer was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JitterStats {
    /// Packets pushed.
    pub pushed: u64,
    /// Packets popped.
    pub played: u64,
    /// Slots answered with [`Playout::Missing`].
    pub missing: u64,
    /// Packets that came after their slot had passed.
    pub late: u64,
    /// Packets that were here already.
    pub duplicate: u64,
    /// Packets dropped because a burst exceeded the limit.
    pub overflowed: u64,
    /// Quiet packets skipped to reduce the depth.
    pub skipped: u64,
    /// Quiet slots added to increase the depth.
    pub added: u64,
    /// Times that the buffer ran dry while the sender was talking.
    pub underruns: u64,
    /// Times that the sender began anew (another SSRC, or a leap of the sequence number).
    pub restarts: u64,
}
