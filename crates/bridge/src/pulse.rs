//! Whether a sender that never pauses for long has stopped. Sans-I/O: the time is passed in.
//!
//! Some agents send a packet every 20 ms, silence included; some send one in 400 ms of silence (ours do, as libopus does with
//! discontinuous transmission); others send nothing between words. Of those a pause tells nothing. The former are known by having
//! been silent for a while without a break.

use std::time::Duration;

use tokio::time::Instant;

use crate::downlink::is_quiet;

/// Audio that comes within this time of the last goes on without a break: one packet in 400 ms, and some lateness.
const BREAK: Duration = Duration::from_millis(600);
/// Silence that must go on without a break: longer than those last who fade out before they pause, and not longer than ours until the
/// second packet of those that are not left out.
const STEADY: Duration = Duration::from_millis(850);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Pulse {
    stall: Option<Duration>,
    last: Option<Instant>,
    /// Since when there is unbroken silence.
    quiet: Option<Instant>,
    steady: bool,
}

impl Pulse {
    /// Tells of a steady sender that sends nothing for `stall`.
    pub(crate) const fn new(stall: Duration) -> Self {
        Self { stall: Some(stall), last: None, quiet: None, steady: false }
    }

    /// Never tells.
    pub(crate) const fn off() -> Self {
        Self { stall: None, last: None, quiet: None, steady: false }
    }

    /// Samples came, at 8 kHz.
    pub(crate) fn beat(&mut self, now: Instant, samples: &[i16]) {
        let unbroken = self.last.is_some_and(|last| now.duration_since(last) < BREAK);
        self.last = Some(now);
        if !is_quiet(samples) {
            self.quiet = None;
            return;
        }
        let since = *self.quiet.filter(|_| unbroken).get_or_insert(now);
        self.quiet = Some(since);
        self.steady |= now.duration_since(since) >= STEADY;
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
        let now = send(&mut pulse, now, 43, 20, 0);
        assert_eq!(pulse.deadline(), None, "the silence has lasted 840 ms");
        let now = send(&mut pulse, now, 1, 20, 0);
        assert_eq!(pulse.deadline(), Some(now + STALL));
        let now = send(&mut pulse, now, 10, 20, 5000);
        assert_eq!(pulse.deadline(), Some(now + STALL), "also in the middle of a word");
        pulse.wait_on(now + STALL);
        assert_eq!(pulse.deadline(), Some(now + STALL + STALL));
    }

    #[test]
    fn so_has_one_that_sends_little_of_its_silence() {
        let mut pulse = Pulse::new(STALL);
        let now = send(&mut pulse, Instant::now(), 100, 20, 5000);
        let now = send(&mut pulse, now, 3, 400, 0);
        assert_eq!(pulse.deadline(), None, "the silence has lasted 800 ms");
        let now = send(&mut pulse, now, 1, 400, 0);
        assert_eq!(pulse.deadline(), Some(now + STALL));
    }

    #[test]
    fn pauses_of_a_sender_that_leaves_silence_out_mean_nothing() {
        let mut pulse = Pulse::new(STALL);
        let now = send(&mut pulse, Instant::now(), 500, 20, 5000);
        let now = send(&mut pulse, now, 200, 700, 0);
        send(&mut pulse, now, 30, 20, 0);
        assert_eq!(pulse.deadline(), None);
        let mut off = Pulse::off();
        send(&mut off, now, 500, 20, 0);
        assert_eq!(off.deadline(), None);
    }
}
