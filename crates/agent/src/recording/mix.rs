//! Puts both sides of a call on one time line.

use crate::hearing::clock::HEARING_RATE;

/// The caller's audio is moved (by silence put in, or samples left out) only when it is further off than this.
const TOLERANCE: u64 = HEARING_RATE.samples_in_ms(60) as u64;

/// How far behind the agent's side the caller's may lag before its place is written as silence.
const LAG_MAX: usize = HEARING_RATE.samples_in_ms(500);

/// Written at once.
const BLOCK: usize = HEARING_RATE.samples_in_ms(1000);

/// Silence put in at once is no longer than this; a longer hole is a fault of the clock.
const HOLE_MAX: usize = HEARING_RATE.samples_in_ms(60_000);

/// Both sides from the sample on that is not written yet. The agent's side is the clock: it never breaks off.
#[derive(Debug, Default)]
pub(super) struct Mix {
    /// Samples a side that were handed out.
    done: u64,
    left: Vec<i16>,
    right: Vec<i16>,
}

impl Mix {
    /// The caller's audio, whose first sample belongs at `place` (samples since the answer).
    pub(super) fn caller(&mut self, place: u64, samples: &[i16]) {
        let end = self.done + self.left.len() as u64;
        if place > end + TOLERANCE || end == self.done && place > end {
            let hole = usize::try_from(place - end).unwrap_or(HOLE_MAX).min(HOLE_MAX);
            self.left.resize(self.left.len() + hole, 0);
        }
        let surplus = if end > place + TOLERANCE { usize::try_from(end - place).unwrap_or(usize::MAX) } else { 0 };
        self.left.extend(samples.iter().skip(surplus));
    }

    /// Samples a side that were handed out.
    pub(super) const fn done(&self) -> u64 {
        self.done
    }

    pub(super) fn agent(&mut self, samples: &[i16]) {
        self.right.extend(samples);
    }

    pub(super) fn agent_silence(&mut self, samples: usize) {
        self.right.resize(self.right.len() + samples.min(HOLE_MAX), 0);
    }

    /// A block of equal length of both sides, once there is one.
    pub(super) fn take_settled(&mut self) -> Option<(Vec<i16>, Vec<i16>)> {
        let count = self.right.len().checked_sub(LAG_MAX)?;
        (count >= BLOCK).then(|| self.take(count))
    }

    pub(super) fn take_rest(&mut self) -> (Vec<i16>, Vec<i16>) {
        self.take(self.right.len().max(self.left.len()))
    }

    fn take(&mut self, count: usize) -> (Vec<i16>, Vec<i16>) {
        let cut = |side: &mut Vec<i16>| {
            let mut head: Vec<i16> = side.drain(..count.min(side.len())).collect();
            head.resize(count, 0);
            head
        };
        self.done += count as u64;
        (cut(&mut self.left), cut(&mut self.right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_keep_their_places() {
        let mut mix = Mix::default();
        mix.caller(800, &[1; 320]);
        mix.agent(&[2; 320]);
        // 10 ms off is jitter, 200 ms is a hole.
        mix.caller(1_280, &[3; 320]);
        mix.caller(4_800, &[4; 320]);
        mix.agent_silence(640);
        mix.agent(&[5; 320]);
        let (left, right) = mix.take_rest();
        assert_eq!(left.len(), right.len());
        assert_eq!((left[799], left[800], left[1_119], left[1_120], left[1_439], left[1_440]), (0, 1, 1, 3, 3, 0));
        assert_eq!((left[4_799], left[4_800]), (0, 4));
        assert_eq!((right[319], right[320], right[960]), (2, 0, 5));
    }

    #[test]
    fn blocks_wait_for_the_caller_but_not_for_ever() {
        let mut mix = Mix::default();
        for _ in 0..60 {
            mix.agent(&[1; 320]);
        }
        assert!(mix.take_settled().is_none(), "less than a block beyond the lag");
        for _ in 0..20 {
            mix.agent(&[1; 320]);
        }
        let (left, right) = mix.take_settled().expect("1.6 s less the lag");
        assert_eq!((left.len(), right.len()), (17_600, 17_600));
        assert!(left.iter().all(|&s| s == 0));
        // Audio for a place that is written already is left out.
        mix.caller(16_000, &[7; 3_200]);
        let (left, _) = mix.take_rest();
        assert_eq!((left[0], left[1_599], left[1_600]), (7, 7, 0));
    }

    #[test]
    fn surplus_is_left_out() {
        let mut mix = Mix::default();
        mix.caller(0, &[1; 16_000]);
        mix.caller(8_000, &[2; 16_000]);
        let (left, _) = mix.take_rest();
        assert_eq!(left.len(), 24_000);
        assert_eq!((left[15_999], left[16_000]), (1, 2));
    }
}
