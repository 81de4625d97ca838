//! Whether a sender that never pauses has stopped. Sans-I/O: the time is passed in.
//!
//! Some agents send a packet every 20 ms, silence included (ours do); others send nothing between words. Only of the former
//! does a pause tell something. They are known by having sent silence without a break.

use std::time::Duration;

use tokio::time::Instant;

use crate::downlink::is_quiet;

/// Audio that comes within this time of the last goes on without a break. Senders that leave silence out send a comfort noise
/// packet every 400 ms.
const BREAK: Duration = Duration::from_millis(200);
/// Silence at 8 kHz that must come without a break: 1 s.
const STEADY: usize = 8000;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Pulse {
    stall: Option<Duration>,
    last: Option<Instant>,
    /// Samples of unbroken silence up to now.
    quiet: usize,
    steady: bool,
}

impl Pulse {
    /// Tells of a steady sender that sends nothing for `stall`.
    pub(crate) const fn new(stall: Duration) -> Self {
        Self { stall: Some(stall), last: None, quiet: 0, steady: false }
    }

    /// Never tells.
    pub(crate) const fn off() -> Self {
        Self { stall: None, last: None, quiet: 0, steady: false }
    }

    /// Samples came, at 8 kHz.
    pub(crate) fn beat(&mut self, now: Instant, samples: &[i16]) {
        let unbroken = self.last.is_some_and(|last| now.duration_since(last) < BREAK);
        self.last = Some(now);
        if !unbroken || !is_quiet(samples) {
            self.quiet = 0;
            return;
        }
        self.quiet = self.quiet.saturating_add(samples.len());
        self.steady |= self.quiet >= STEADY;
    }

    /// Waits once more as long.
    pub(crate) const fn wait_on(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// When the sender has stalled, unless it sends before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let (stall, last) = (self.stall?, self.last.filter(|_| self.steady)?);
        Some(last + stall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_secs(3);

    /// Sends so many frames of 20 ms, one every `every_ms`; the time after the last.
    fn send(pulse: &mut Pulse, mut now: Instant, frames: usize, every_ms: u64, loudness: i16) -> Instant {
        for _ in 0..frames {
            now += Duration::from_millis(every_ms);
            pulse.beat(now, &[loudness; 160]);
        }
        now
    }

    #[test]
    fn a_sender_of_silence_that_stops_has_stalled() {
        let mut pulse = Pulse::new(STALL);
        let now = send(&mut pulse, Instant::now(), 10, 20, 5000);
        assert_eq!(pulse.deadline(), None);
        let now = send(&mut pulse, now, 49, 20, 0);
        assert_eq!(pulse.deadline(), None, "49 frames are not a second");
        let now = send(&mut pulse, now, 1, 20, 0);
        assert_eq!(pulse.deadline(), Some(now + STALL));
        let now = send(&mut pulse, now, 10, 20, 5000);
        assert_eq!(pulse.deadline(), Some(now + STALL), "also in the middle of a word");
        pulse.wait_on(now + STALL);
        assert_eq!(pulse.deadline(), Some(now + STALL + STALL));
    }

    #[test]
    fn pauses_of_a_sender_that_leaves_silence_out_mean_nothing() {
        let mut pulse = Pulse::new(STALL);
        let now = send(&mut pulse, Instant::now(), 500, 20, 5000);
        let now = send(&mut pulse, now, 200, 400, 0);
        send(&mut pulse, now, 30, 20, 0);
        assert_eq!(pulse.deadline(), None);
        let mut off = Pulse::off();
        send(&mut off, now, 500, 20, 0);
        assert_eq!(off.deadline(), None);
    }
}
