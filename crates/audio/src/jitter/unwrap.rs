//! Turns the wrapping 16-bit sequence numbers and 32-bit timestamps of RTP into ones that only grow.

/// Largest step forward that is taken for loss (RFC 3550 appendix A.1, MAX_DROPOUT).
const MAX_DROPOUT: u16 = 3_000;
/// Largest step back that is taken for reordering (RFC 3550 appendix A.1, MAX_MISORDER).
const MAX_MISORDER: u16 = 100;
/// First unwrapped value, high enough that reordering never goes below zero.
const ORIGIN: u64 = 1 << 32;

/// What a sequence number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sequence {
    /// The unwrapped number.
    Is(u64),
    /// Too far away to be loss or reordering: wait for the next packet to confirm it.
    Leap,
    /// The second packet after a leap: the sender began anew.
    Restart,
}

/// Unwraps sequence numbers around the highest seen.
#[derive(Debug, Default)]
pub(super) struct SequenceUnwrap {
    highest: Option<u64>,
    /// The number that would confirm a leap.
    confirms: Option<u16>,
}

impl SequenceUnwrap {
    pub(super) fn unwrap(&mut self, seq: u16) -> Sequence {
        let Some(highest) = self.highest else {
            return Sequence::Is(self.begin(seq));
        };
        let forward = seq.wrapping_sub(highest as u16);
        if forward < MAX_DROPOUT {
            let unwrapped = highest + u64::from(forward);
            self.highest = Some(unwrapped);
            self.confirms = None;
            return Sequence::Is(unwrapped);
        }
        let back = forward.wrapping_neg();
        if back <= MAX_MISORDER {
            self.confirms = None;
            // `ORIGIN` leaves room for any number of steps back, each bounded by `MAX_MISORDER` from the highest.
            return Sequence::Is(highest - u64::from(back));
        }
        if self.confirms == Some(seq) {
            return Sequence::Restart;
        }
        self.confirms = Some(seq.wrapping_add(1));
        Sequence::Leap
    }

    /// Takes a number as it comes, after a restart or at the very beginning.
    pub(super) fn begin(&mut self, seq: u16) -> u64 {
        let unwrapped = match self.highest {
            None => ORIGIN + u64::from(seq),
            Some(highest) => highest + u64::from(seq.wrapping_sub(highest as u16)),
        };
        self.highest = Some(unwrapped);
        self.confirms = None;
        unwrapped
    }
}

/// Unwraps timestamps around the last one.
#[derive(Debug, Default)]
pub(super) struct TimestampUnwrap {
    last: Option<i64>,
}

impl TimestampUnwrap {
    pub(super) fn unwrap(&mut self, timestamp: u32) -> i64 {
        let unwrapped = match self.last {
            None => i64::from(timestamp),
            Some(last) => last + i64::from(timestamp.wrapping_sub(last as u32) as i32),
        };
        self.last = Some(unwrapped);
        unwrapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_wrap_and_reorder() {
        let mut unwrap = SequenceUnwrap::default();
        let at = |seq| Sequence::Is(ORIGIN + seq);
        assert_eq!(unwrap.unwrap(65_534), at(65_534));
        assert_eq!(unwrap.unwrap(0), at(65_536));
        assert_eq!(unwrap.unwrap(65_535), at(65_535));
        assert_eq!(unwrap.unwrap(2_999), at(65_536 + 2_999));
    }

    #[test]
    fn a_leap_needs_a_second_packet() {
        let mut unwrap = SequenceUnwrap::default();
        unwrap.unwrap(100);
        assert_eq!(unwrap.unwrap(30_000), Sequence::Leap);
        assert_eq!(unwrap.unwrap(101), Sequence::Is(ORIGIN + 101), "a stray packet changes nothing");
        assert_eq!(unwrap.unwrap(30_001), Sequence::Leap, "and its successor needs confirmation anew");
        assert_eq!(unwrap.unwrap(30_002), Sequence::Restart);
    }

    #[test]
    fn timestamps_wrap_both_ways() {
        let mut unwrap = TimestampUnwrap::default();
        let first = unwrap.unwrap(u32::MAX - 10);
        assert_eq!(unwrap.unwrap(149) - first, 160);
        assert_eq!(unwrap.unwrap(u32::MAX - 10), first);
    }
}
