//! The last seconds of the caller's audio, for a recogniser that is connected anew.

use std::collections::VecDeque;

/// Audio with its index in the call; the oldest is dropped beyond the bound.
#[derive(Debug)]
pub(super) struct Ring {
    chunks: VecDeque<(u64, Vec<i16>)>,
    samples: usize,
    samples_max: usize,
}

impl Ring {
    pub(super) const fn new(samples_max: usize) -> Self {
        Self { chunks: VecDeque::new(), samples: 0, samples_max }
    }

    pub(super) fn push(&mut self, first: u64, samples: Vec<i16>) {
        self.samples += samples.len();
        self.chunks.push_back((first, samples));
        while self.samples > self.samples_max {
            let Some((_, dropped)) = self.chunks.pop_front() else { break };
            self.samples -= dropped.len();
        }
    }

    /// Drops what lies wholly before that sample.
    pub(super) fn forget(&mut self, index: u64) {
        while let Some((first, samples)) = self.chunks.front()
            && first + samples.len() as u64 <= index
        {
            self.samples -= samples.len();
            self.chunks.pop_front();
        }
    }

    /// What is kept from the sample of that index on.
    pub(super) fn since(&self, index: u64) -> impl Iterator<Item = (u64, &[i16])> {
        self.chunks.iter().filter_map(move |(first, samples)| {
            let skip = usize::try_from(index.saturating_sub(*first)).unwrap_or(usize::MAX);
            samples.get(skip..).filter(|rest| !rest.is_empty()).map(|rest| (first + skip as u64, rest))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Ring;

    #[test]
    fn keeps_the_last_samples_and_gives_them_from_any_index() {
        let mut ring = Ring::new(8);
        for first in [0_u64, 4, 8, 12] {
            ring.push(first, (0..4).map(|n| (first + n) as i16).collect());
        }
        let kept = |index| ring.since(index).flat_map(|(_, samples)| samples.to_vec()).collect::<Vec<_>>();
        assert_eq!(kept(0), [8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(kept(10), [10, 11, 12, 13, 14, 15]);
        assert_eq!(ring.since(10).next().map(|(first, _)| first), Some(10));
        assert!(kept(16).is_empty());
        ring.forget(14);
        assert_eq!(ring.since(0).map(|(first, samples)| (first, samples.len())).collect::<Vec<_>>(), [(12, 4)]);
        ring.push(16, vec![16; 4]);
        ring.push(20, vec![20; 4]);
        assert_eq!(ring.since(0).next().map(|(first, _)| first), Some(16), "the bound counts what is kept");
    }
}
