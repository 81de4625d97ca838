//! How many `Flush` messages are still allowed.
//!
//! Deepgram takes 20 in any 60 seconds on one connection (developers.deepgram.com, "Flush", section Limits); one more is answered
//! by a warning and not carried out.

use std::collections::VecDeque;
use std::time::Duration;

/// Flushes within [`WINDOW`].
pub(super) const LIMIT: usize = 20;
/// The sliding window. A little longer than the service's, for its clock starts when the message arrives and ours when it leaves.
pub(super) const WINDOW: Duration = Duration::from_millis(60_500);

/// A sliding-window count; `now` is any monotonic time.
#[derive(Debug, Default)]
pub(super) struct FlushBudget {
    /// When each flush of the window was sent, oldest first; at most [`LIMIT`] entries.
    sent: VecDeque<Duration>,
}

impl FlushBudget {
    /// Flushes that may be sent right now.
    pub(super) fn left(&mut self, now: Duration) -> usize {
        while self.sent.front().is_some_and(|sent| *sent + WINDOW <= now) {
            self.sent.pop_front();
        }
        LIMIT.saturating_sub(self.sent.len())
    }

    /// Counts a flush.
    pub(super) fn spend(&mut self, now: Duration) {
        if self.sent.len() >= LIMIT {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
    }

    /// From when on so many may be sent.
    pub(super) fn free_from(&self, wanted: usize) -> Duration {
        let too_many = (self.sent.len() + wanted.min(LIMIT)).saturating_sub(LIMIT);
        too_many.checked_sub(1).and_then(|last| self.sent.get(last)).map_or(Duration::ZERO, |sent| *sent + WINDOW)
    }

    /// When the oldest flush leaves the window; `None` while some are left.
    pub(super) fn next_free(&mut self, now: Duration) -> Option<Duration> {
        if self.left(now) > 0 { None } else { self.sent.front().map(|sent| *sent + WINDOW) }
    }

    /// The service counts more than we do: nothing is left for one window from `now`, but for a try every twentieth of it.
    pub(super) fn exhaust(&mut self, now: Duration) {
        let step = WINDOW / u32::try_from(LIMIT).expect("the limit is 20");
        self.sent = (1..=LIMIT).map(|n| (now + step * u32::try_from(n).expect("n is at most 20")).saturating_sub(WINDOW)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_a_window_and_no_more() {
        let mut budget = FlushBudget::default();
        let at = Duration::from_secs;
        for second in 0..20 {
            assert_eq!(budget.left(at(second)), LIMIT - second as usize);
            budget.spend(at(second));
        }
        assert_eq!(budget.left(at(20)), 0);
        assert_eq!(budget.next_free(at(20)), Some(WINDOW));
        assert_eq!(budget.left(WINDOW), 1);
        assert_eq!(budget.left(WINDOW + at(1)), 2);
        assert_eq!(budget.left(at(600)), LIMIT);
    }

    #[test]
    fn so_many_are_free_from_the_moment_at_which_enough_have_left_the_window() {
        let mut budget = FlushBudget::default();
        let at = Duration::from_secs;
        assert_eq!(budget.free_from(LIMIT), Duration::ZERO);
        for second in 0..18 {
            budget.spend(at(second));
        }
        assert_eq!((budget.free_from(2), budget.free_from(3), budget.free_from(6)), (Duration::ZERO, WINDOW, at(3) + WINDOW));
        for wanted in 3..=LIMIT {
            let from = budget.free_from(wanted);
            assert!(budget.left(from - Duration::from_millis(1)) < wanted && budget.left(from) >= wanted, "{wanted}");
        }
    }

    #[test]
    fn after_a_refusal_tries_are_spread() {
        let mut budget = FlushBudget::default();
        let now = Duration::from_secs(100);
        budget.exhaust(now);
        assert_eq!(budget.left(now), 0);
        let next = budget.next_free(now).expect("nothing is left");
        assert!(next > now && next <= now + Duration::from_secs(4), "{next:?}");
    }
}
