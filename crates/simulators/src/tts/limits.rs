//! What the service refuses.

use std::collections::VecDeque;
use std::time::Duration;

/// Limits of one connection (developers.deepgram.com, "Text to Speech Streaming", section Limits, and "Flush").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Flushes within any [`Self::flush_window`]; one more is answered by a warning and not carried out.
    pub flushes: usize,
    /// See [`Self::flushes`].
    pub flush_window: Duration,
    /// Longest text of one `Speak`, in characters; a longer one is an error.
    pub speak_chars: usize,
    /// Most text that may wait for a flush, in characters. The provider states none; this bounds memory.
    pub buffered_chars: usize,
    /// Longest silence of the client; signs of life of the WebSocket count.
    pub idle: Duration,
    /// Longest connection.
    pub connection: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flushes: 20,
            flush_window: Duration::from_secs(60),
            speak_chars: 2_000,
            buffered_chars: 20_000,
            idle: Duration::from_secs(60),
            connection: Duration::from_secs(3_600),
        }
    }
}

impl Limits {
    /// No limits but those of memory: for use behind the trait, where a flush follows every text.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            flushes: usize::MAX,
            flush_window: Duration::ZERO,
            speak_chars: 20_000,
            buffered_chars: 20_000,
            idle: Duration::MAX,
            connection: Duration::MAX,
        }
    }
}

/// When the flushes of the window came.
#[derive(Debug, Default)]
pub(super) struct FlushCount {
    times: VecDeque<Duration>,
}

impl FlushCount {
    /// Counts a flush; false if it is one too many. A refused one does not count.
    pub(super) fn take(&mut self, now: Duration, limits: &Limits) -> bool {
        while self.times.front().is_some_and(|time| *time + limits.flush_window <= now) {
            self.times.pop_front();
        }
        if self.times.len() >= limits.flushes {
            return false;
        }
        self.times.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_twenty_first_flush_of_a_minute_is_refused() {
        let (mut count, limits) = (FlushCount::default(), Limits::default());
        let at = Duration::from_secs;
        assert!((0..20).all(|second| count.take(at(second), &limits)));
        assert!(!count.take(at(20), &limits) && !count.take(Duration::from_millis(59_999), &limits));
        assert!(count.take(at(60), &limits) && !count.take(at(60), &limits) && count.take(at(61), &limits));
    }

    #[test]
    fn without_limits_nothing_is_kept() {
        let (mut count, limits) = (FlushCount::default(), Limits::none());
        assert!((0..1_000).all(|n| count.take(Duration::from_millis(n), &limits)));
        assert!(count.times.len() <= 1);
    }
}
