//! Cuts a stream of any chunking into the model's windows, each with the end of the one before.

use super::WINDOW_SAMPLES;

/// Samples of the previous window that the model wants before the new ones.
pub(super) const CONTEXT_SAMPLES: usize = 64;
/// Width of the model's input: context and window.
pub(super) const INPUT_SAMPLES: usize = CONTEXT_SAMPLES + WINDOW_SAMPLES;

/// One input row of the model, samples scaled to −1 … 1.
pub(super) type Input = Box<[f32; INPUT_SAMPLES]>;

/// Collects samples until a window is full.
#[derive(Debug, Clone)]
pub(super) struct Windows {
    /// Context, then the samples so far.
    row: Input,
    filled: usize,
}

impl Windows {
    pub(super) fn new() -> Self {
        Self { row: Box::new([0.0; INPUT_SAMPLES]), filled: CONTEXT_SAMPLES }
    }

    /// Takes samples and hands every full window on.
    pub(super) fn push(&mut self, mut samples: &[i16], mut full: impl FnMut(&Input)) {
        while !samples.is_empty() {
            let take = samples.len().min(INPUT_SAMPLES - self.filled);
            let (now, later) = samples.split_at(take);
            let room = &mut self.row[self.filled..self.filled + take];
            for (slot, sample) in room.iter_mut().zip(now) {
                *slot = f32::from(*sample) / 32_768.0;
            }
            self.filled += take;
            samples = later;
            if self.filled == INPUT_SAMPLES {
                full(&self.row);
                self.row.copy_within(WINDOW_SAMPLES.., 0);
                self.filled = CONTEXT_SAMPLES;
            }
        }
    }

    /// Samples that wait for their window to fill.
    pub(super) const fn waiting(&self) -> usize {
        self.filled - CONTEXT_SAMPLES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_one_another_with_their_context() {
        let samples: Vec<i16> = (0..1_300).collect();
        let mut at_once = Vec::new();
        let mut windows = Windows::new();
        windows.push(&samples, |row| at_once.push(row.clone()));
        assert_eq!((at_once.len(), windows.waiting()), (2, 1_300 - 1_024));
        let scaled = |n: i16| f32::from(n) / 32_768.0;
        assert_eq!(at_once[0][..CONTEXT_SAMPLES], [0.0; CONTEXT_SAMPLES]);
        assert_eq!(at_once[0][CONTEXT_SAMPLES + 511], scaled(511));
        assert_eq!((at_once[1][0], at_once[1][CONTEXT_SAMPLES]), (scaled(448), scaled(512)));

        let mut in_pieces = Vec::new();
        let mut windows = Windows::new();
        for chunk in samples.chunks(37) {
            windows.push(chunk, |row| in_pieces.push(row.clone()));
        }
        assert_eq!(in_pieces, at_once);
    }
}
