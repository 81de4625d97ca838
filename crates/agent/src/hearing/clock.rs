//! From samples heard to the call's clock.

use std::collections::VecDeque;
use std::time::Duration;

use frontdesk_audio::SampleRate;
use frontdesk_conversation::CallTime;

/// Rate of all audio that is heard.
pub(crate) const HEARING_RATE: SampleRate = SampleRate::HZ_16000;

/// Audio that comes this much later than the samples before it say was not delayed but is preceded by a gap.
const GAP: Duration = Duration::from_millis(100);

/// Stretches that are remembered, one a gap: enough for every offset that a recogniser may still report.
const STRETCHES_MAX: usize = 64;

/// Of every second of audio at most this much may the mapping drift later: twice the worst clock skew of a telephone.
const DRIFT_PARTS: u32 = 5_000;

/// Maps sample indexes (counted from the first sample heard in the call) to [`CallTime`].
///
/// Audio comes in real time but with jitter: the sample that was delayed least tells the true time, so an early arrival moves the
/// mapping at once and late ones move it slowly. A late arrival beyond [`GAP`] means that audio is missing: a new stretch begins.
#[derive(Debug, Default)]
pub(crate) struct SampleClock {
    stretches: VecDeque<Stretch>,
    total: u64,
}

#[derive(Debug, Clone, Copy)]
struct Stretch {
    first: u64,
    at: CallTime,
}

impl SampleClock {
    /// Samples heard so far: the index of the next one.
    #[must_use]
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// Notes that `count` samples arrived at `now`.
    pub(crate) fn arrived(&mut self, count: usize, now: CallTime) {
        let length = HEARING_RATE.duration(count);
        let first = self.total;
        self.total += count as u64;
        // A sample cannot have been spoken before the call's clock began; saturating there is right.
        let began = now - length;
        let Some(last) = self.stretches.back_mut() else {
            self.stretches.push_back(Stretch { first, at: began });
            return;
        };
        let expected = last.at + span(first - last.first);
        if began <= expected {
            last.at = last.at - expected.since(began);
            self.keep_order();
            return;
        }
        let late = began.since(expected);
        if late > GAP {
            self.stretches.push_back(Stretch { first, at: began });
            if self.stretches.len() > STRETCHES_MAX {
                self.stretches.pop_front();
            }
        } else {
            last.at = last.at + late.min(length / DRIFT_PARTS);
        }
    }

    /// Keeps the mapping monotonic. What came too early for the stretches before it shows that their audio had been delayed too, or
    /// that some of it was made up meanwhile: they are moved, for a last one that may not be moved would stay ahead of time for good.
    fn keep_order(&mut self) {
        for index in (1..self.stretches.len()).rev() {
            let (before, after) = (self.stretches[index - 1], self.stretches[index]);
            let end = before.at + span(after.first - before.first);
            if end <= after.at {
                break;
            }
            self.stretches[index - 1].at = before.at - end.since(after.at);
        }
        // The first one cannot be moved to before the call's beginning.
        for index in 1..self.stretches.len() {
            let before = self.stretches[index - 1];
            let after = &mut self.stretches[index];
            after.at = after.at.max(before.at + span(after.first - before.first));
        }
    }

    /// When the sample of that index was heard; for an index beyond the last, when it would be.
    #[must_use]
    pub(crate) fn time_of(&self, index: u64) -> CallTime {
        let stretch = self.stretches.iter().rev().find(|stretch| stretch.first <= index).or_else(|| self.stretches.front());
        let Some(stretch) = stretch else { return CallTime::ZERO };
        if index >= stretch.first { stretch.at + span(index - stretch.first) } else { stretch.at - span(stretch.first - index) }
    }

    /// The sample heard at that time; the nearest one for a time at which none was.
    #[must_use]
    pub(crate) fn index_at(&self, time: CallTime) -> u64 {
        let mut end = self.total;
        for stretch in self.stretches.iter().rev() {
            if stretch.at <= time {
                let after = HEARING_RATE.samples_in(time.since(stretch.at)) as u64;
                return (stretch.first + after).min(end);
            }
            end = stretch.first;
        }
        end
    }
}

fn span(samples: u64) -> Duration {
    HEARING_RATE.duration(usize::try_from(samples).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(ms: u64) -> CallTime {
        CallTime::from_millis(ms)
    }

    #[test]
    fn steady_audio_maps_to_its_arrival() {
        let mut clock = SampleClock::default();
        for n in 1..=50 {
            clock.arrived(320, ms(1_000 + 20 * n));
        }
        assert_eq!(clock.total(), 16_000);
        assert_eq!(clock.time_of(0), ms(1_000));
        assert_eq!(clock.time_of(8_000), ms(1_500));
        assert_eq!(clock.time_of(16_000), ms(2_000));
    }

    #[test]
    fn jitter_is_judged_by_the_earliest_arrival() {
        let mut clock = SampleClock::default();
        for (n, delay) in [(1, 40), (2, 35), (3, 0), (4, 30), (5, 60)] {
            clock.arrived(320, ms(20 * n + delay));
        }
        let off = clock.time_of(1_600).as_micros().abs_diff(ms(100).as_micros());
        assert!(off < 100, "{off} µs off");
    }

    #[test]
    fn lost_audio_opens_a_gap_and_keeps_what_was_before() {
        let mut clock = SampleClock::default();
        clock.arrived(320, ms(20));
        clock.arrived(320, ms(540));
        assert_eq!(clock.time_of(0), ms(0));
        assert_eq!(clock.time_of(319).as_millis(), 19);
        assert_eq!(clock.time_of(320), ms(520));
        assert_eq!(clock.time_of(640), ms(540));
    }

    #[test]
    fn audio_in_excess_after_a_gap_does_not_run_ahead_of_time() {
        let mut clock = SampleClock::default();
        for n in 1..=50 {
            clock.arrived(320, ms(1_000 + 20 * n));
        }
        // Nothing for 300 ms; then what was held up, and 200 ms that had been made up in its place.
        for _ in 0..25 {
            clock.arrived(320, ms(2_300));
        }
        assert_eq!(clock.time_of(clock.total()), ms(2_300));
        for n in 1..=50 {
            clock.arrived(320, ms(2_300 + 20 * n));
        }
        let off = clock.time_of(clock.total()).as_micros().abs_diff(ms(3_300).as_micros());
        assert!(off < 100, "{off} µs off");
    }

    #[test]
    fn samples_are_found_by_their_time() {
        let mut clock = SampleClock::default();
        assert_eq!(clock.index_at(ms(5)), 0);
        clock.arrived(320, ms(1_020));
        clock.arrived(320, ms(1_540));
        for (at, index) in [(0, 0), (1_000, 0), (1_010, 160), (1_300, 320), (1_520, 320), (1_530, 480), (9_000, 640)] {
            assert_eq!(clock.index_at(ms(at)), index, "at {at} ms");
        }
    }

    #[test]
    fn a_skewed_clock_is_followed_without_a_gap() {
        let mut clock = SampleClock::default();
        // The caller's clock is 100 ppm slow: each 20 ms of audio takes 20.002 ms.
        for n in 1..=30_000_u64 {
            clock.arrived(320, CallTime::from_micros(n * 20_002));
        }
        assert_eq!(clock.stretches.len(), 1);
        let off = clock.time_of(clock.total()).as_micros().abs_diff(30_000 * 20_002);
        assert!(off < 5_000, "{off} µs off");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_mapping_is_monotonic(steps in prop::collection::vec((1_usize..2_000, 0_u64..400_000), 1..200)) {
            let mut clock = SampleClock::default();
            let mut now = CallTime::ZERO;
            for (count, wait) in steps {
                now = now + Duration::from_micros(wait);
                clock.arrived(count, now);
                let mut before = CallTime::ZERO;
                for stretch in 0..clock.stretches.len() {
                    let first = clock.stretches[stretch].first;
                    for index in [first.saturating_sub(1), first, first + 1, clock.total()] {
                        let at = clock.time_of(index);
                        if index >= first { prop_assert!(at >= before); before = at; }
                    }
                    before = clock.time_of(first);
                }
            }
        }
    }
}
