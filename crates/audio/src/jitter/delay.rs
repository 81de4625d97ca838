//! How unevenly packets arrive, measured over the last seconds.

use std::collections::VecDeque;
use std::time::Duration;

/// Packets over which the delay is watched: five seconds of 20 ms.
const WINDOW: usize = 250;
/// Packets before the measurement counts: half a second.
const ENOUGH: usize = 25;
/// One packet in this many may be later than the buffer is deep.
const TOLERATED: usize = 50;
/// Added to the measured spread: the consumer's timer is no better than this.
const MARGIN_US: i64 = 10_000;
/// A step of the relative delay beyond this is another time base, not jitter.
const NEW_BASE_US: i64 = 2_000_000;

/// Spread of (arrival − timestamp) over a sliding window.
#[derive(Debug)]
pub(super) struct DelayEstimate {
    clock_hz: i64,
    relative_us: VecDeque<i64>,
}

impl DelayEstimate {
    pub(super) fn new(clock_hz: u32) -> Self {
        Self { clock_hz: i64::from(clock_hz.max(1)), relative_us: VecDeque::new() }
    }

    pub(super) fn clear(&mut self) {
        self.relative_us.clear();
    }

    /// Notes a packet with the unwrapped timestamp `at`.
    pub(super) fn note(&mut self, at: i64, arrival: Duration) {
        let arrival_us = i64::try_from(arrival.as_micros()).unwrap_or(i64::MAX);
        let media_us = i128::from(at) * 1_000_000 / i128::from(self.clock_hz);
        let media_us = i64::try_from(media_us).unwrap_or(i64::MAX);
        let relative = arrival_us.saturating_sub(media_us);
        let leapt = |last: &i64| relative.saturating_sub(*last).saturating_abs() > NEW_BASE_US;
        if self.relative_us.back().is_some_and(leapt) {
            self.clear();
        }
        if self.relative_us.len() == WINDOW {
            self.relative_us.pop_front();
        }
        self.relative_us.push_back(relative);
    }

    /// The depth that would have let all but a few packets arrive in time; `None` before enough were seen.
    pub(super) fn needed(&self) -> Option<Duration> {
        let count = self.relative_us.len();
        if count < ENOUGH {
            return None;
        }
        let mut sorted: Vec<i64> = self.relative_us.iter().copied().collect();
        let worst = count - 1 - count / TOLERATED;
        let (below, worst, _) = sorted.select_nth_unstable(worst);
        let best = below.iter().min().unwrap_or(worst);
        let spread = worst.saturating_sub(*best).saturating_add(MARGIN_US);
        Some(Duration::from_micros(u64::try_from(spread).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(estimate: &mut DelayEstimate, packets: std::ops::Range<i64>, jitter_ms: impl Fn(i64) -> u64) {
        for n in packets {
            let arrival = Duration::from_millis(20 * n as u64 + jitter_ms(n));
            estimate.note(n * 160, arrival);
        }
    }

    #[test]
    fn measures_the_spread_without_rare_outliers() {
        let mut estimate = DelayEstimate::new(8_000);
        feed(&mut estimate, 0..24, |_| 0);
        assert_eq!(estimate.needed(), None);
        feed(&mut estimate, 24..250, |n| if n == 100 { 500 } else { (n % 4) as u64 * 10 });
        assert_eq!(estimate.needed(), Some(Duration::from_millis(40)));
    }

    #[test]
    fn forgets_old_trouble_and_new_time_bases() {
        let mut estimate = DelayEstimate::new(8_000);
        feed(&mut estimate, 0..250, |n| (n % 2) as u64 * 80);
        assert_eq!(estimate.needed(), Some(Duration::from_millis(90)));
        feed(&mut estimate, 250..500, |_| 0);
        assert_eq!(estimate.needed(), Some(Duration::from_millis(10)));
        estimate.note(500 * 160, Duration::from_secs(60));
        assert_eq!(estimate.needed(), None);
        estimate.note(i64::MAX, Duration::MAX);
        assert_eq!(estimate.needed(), None);
    }
}
