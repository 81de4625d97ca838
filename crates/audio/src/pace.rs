//! A steady schedule of 20 ms, and its shell over tokio's clock.
//!
//! Receivers hold little (LiveKit's SIP mixer 100 ms) and drop what comes in a burst. So after a
//! stall the pacer never catches up: it skips the ticks that were missed, says how many, and goes on
//! in the old phase.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::FRAME_MS;

/// The grid of times that the media of all calls in a process keep to, [`STEP`](grid::STEP) apart.
///
/// What each call does at times of its own wakes the process for each call; what is done at the times of the grid is done for all of
/// them at one wake-up.
pub mod grid {
    use std::sync::LazyLock;
    use std::time::Duration;

    use tokio::time::Instant;

    /// From one time of the grid to the next: half of a frame, so that calls are spread over two.
    pub const STEP: Duration = Duration::from_millis(10);

    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);

    /// The first time of the grid that is not before `at`.
    #[must_use]
    pub fn from(at: Instant) -> Instant {
        let steps = at.saturating_duration_since(*FIRST).as_nanos().div_ceil(STEP.as_nanos());
        // The grid lasts for 497 days; later times are left as they are, which costs wake-ups and no more.
        u32::try_from(steps).map_or(at, |steps| *FIRST + STEP * steps)
    }

    /// The first time of the grid after `at`.
    #[must_use]
    pub fn after(at: Instant) -> Instant {
        from(at + Duration::from_nanos(1))
    }
}

/// Deadlines at `start + n × interval`, without I/O. Times are durations since an origin of the caller's choice.
#[derive(Debug, Clone)]
pub struct Pacer {
    next: Duration,
    interval: Duration,
}

impl Pacer {
    /// A schedule whose first tick is due at `start` and then every 20 ms.
    #[must_use]
    pub const fn new(start: Duration) -> Self {
        Self::with_interval(start, Duration::from_millis(FRAME_MS as u64))
    }

    /// A schedule whose first tick is due at `start` and then every `interval`, which is at least 1 µs.
    #[must_use]
    pub const fn with_interval(start: Duration, interval: Duration) -> Self {
        let shortest = Duration::from_micros(1);
        let interval = if interval.as_nanos() < shortest.as_nanos() { shortest } else { interval };
        Self { next: start, interval }
    }

    /// When the next tick is due.
    #[must_use]
    pub const fn deadline(&self) -> Duration {
        self.next
    }

    /// Takes the tick that is due at `now`: `None` while it is early, else how many further ticks were missed.
    ///
    /// After a stall of several intervals one call answers for all of them, and the next deadline lies in the future.
    pub fn tick(&mut self, now: Duration) -> Option<u32> {
        let late = now.checked_sub(self.next)?;
        let missed = u32::try_from(late.as_nanos() / self.interval.as_nanos()).unwrap_or(u32::MAX);
        let passed = self.interval.saturating_mul(missed.saturating_add(1));
        self.next = self.next.saturating_add(passed);
        Some(missed)
    }
}

/// [`Pacer`] on tokio's clock; follows paused time in tests.
#[derive(Debug)]
pub struct Ticker {
    origin: Instant,
    pacer: Pacer,
}

impl Ticker {
    /// A ticker of 20 ms whose first tick is due at once.
    #[must_use]
    pub fn new() -> Self {
        Self::starting_at(Instant::now())
    }

    /// A ticker of 20 ms whose first tick is due at `start`.
    #[must_use]
    pub fn starting_at(start: Instant) -> Self {
        Self { origin: start, pacer: Pacer::new(Duration::ZERO) }
    }

    /// When the next tick is due.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.origin + self.pacer.deadline()
    }

    /// Waits for the next tick and returns how many ticks before it were missed.
    /// Cancel-safe: a tick that was not returned is still due.
    pub async fn tick(&mut self) -> u32 {
        loop {
            sleep_until(self.deadline()).await;
            let now = Instant::now().saturating_duration_since(self.origin);
            if let Some(missed) = self.pacer.tick(now) {
                return missed;
            }
        }
    }
}

impl Default for Ticker {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn ticks_keep_their_phase_whatever_the_lateness() {
        let mut pacer = Pacer::new(ms(7));
        assert_eq!(pacer.tick(ms(6)), None);
        assert_eq!(pacer.tick(ms(7)), Some(0));
        assert_eq!(pacer.tick(ms(46)), Some(0), "19 ms late is late, not missed");
        assert_eq!(pacer.deadline(), ms(47));
        assert_eq!(pacer.tick(ms(47)), Some(0));
    }

    #[test]
    fn a_stall_is_skipped_and_counted() {
        let mut pacer = Pacer::new(ms(0));
        assert_eq!(pacer.tick(ms(0)), Some(0));
        assert_eq!(pacer.tick(ms(130)), Some(5), "20, 40, 60, 80 and 100 were missed, 120 is taken");
        assert_eq!(pacer.tick(ms(130)), None, "no burst");
        assert_eq!(pacer.deadline(), ms(140));
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let mut pacer = Pacer::with_interval(Duration::ZERO, Duration::ZERO);
        assert_eq!(pacer.tick(Duration::MAX), Some(u32::MAX));
        let mut pacer = Pacer::new(Duration::MAX);
        assert_eq!(pacer.tick(Duration::MAX), Some(0));
        assert_eq!(pacer.deadline(), Duration::MAX);
    }

    proptest! {
        /// Every tick is either taken or counted as missed, and two are never taken within one interval's phase.
        #[test]
        fn taken_and_missed_ticks_add_up(steps in prop::collection::vec(0u64..200_000, 1..200)) {
            let mut pacer = Pacer::new(Duration::ZERO);
            let (mut now, mut accounted) = (Duration::ZERO, 0u64);
            for step in steps {
                now += Duration::from_micros(step);
                if let Some(missed) = pacer.tick(now) {
                    accounted += u64::from(missed) + 1;
                    prop_assert!(pacer.deadline() > now);
                    prop_assert!(pacer.tick(now).is_none());
                }
                prop_assert_eq!(pacer.deadline(), ms(20) * u32::try_from(accounted).unwrap());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_is_given_times_of_the_same_grid() {
        let at = Instant::now();
        let first = grid::from(at);
        assert!(first >= at && first - at < grid::STEP);
        assert_eq!((grid::from(first), grid::after(first)), (first, first + grid::STEP));
        for later in [1, 9_999, 10_000, 123_456] {
            let at = first + Duration::from_micros(later);
            let (from, after) = (grid::from(at), grid::after(at));
            assert_eq!((from - first).as_nanos() % grid::STEP.as_nanos(), 0);
            assert!(from >= at && from - at < grid::STEP && after > at && after - at <= grid::STEP);
        }
        let far = at + ms(1_000) * 60 * 60 * 24 * 600;
        assert_eq!(grid::from(far), far, "beyond the grid");
    }

    #[tokio::test(start_paused = true)]
    async fn ticker_follows_the_clock() {
        let start = Instant::now();
        let mut ticker = Ticker::new();
        for n in 0..50 {
            assert_eq!(ticker.tick().await, 0);
            assert_eq!(Instant::now() - start, ms(20) * n);
        }
        tokio::time::advance(ms(65)).await;
        assert_eq!(ticker.tick().await, 2);
        assert_eq!(ticker.deadline() - start, ms(20) * 53);
    }
}
