//! How much audio the recogniser is given at once.

/// Samples of a piece: 60 ms, what services advise. A task that is woken for each frame costs three times as much and hears no sooner,
/// for final words are asked for after what there is.
const PIECE: usize = 960;
/// As long as this after speech fell silent, in samples, each frame is a piece of its own: 300 ms. A service counts the silence after
/// which its words are final by what it was given, so the last piece would come up to 40 ms late.
const FALLING: usize = 4800;
/// A frame is quiet when its peak is below this part of the loudest of late (−18 dB).
const QUIET: u32 = 8;
/// What is left of the loudest after a frame of 20 ms, in 1/1024: half of it after 0.7 s.
const FADING: u32 = 1004;

/// Gathers frames to pieces.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    gathered: Option<(u64, Vec<i16>)>,
    loudest: u32,
    /// Samples since the last frame that was not quiet.
    quiet_for: usize,
}

impl Pieces {
    /// Takes a frame, of which the first sample has the index `first` in the call; whether there is enough to be given.
    pub(crate) fn push(&mut self, first: u64, frame: &[i16]) -> bool {
        let peak = frame.iter().map(|sample| u32::from(sample.unsigned_abs())).max().unwrap_or_default();
        let is_quiet = peak * QUIET < self.loudest;
        self.quiet_for = if is_quiet { self.quiet_for.saturating_add(frame.len()) } else { 0 };
        self.loudest = (self.loudest * FADING / 1024).max(peak);
        let (begin, gathered) = self.gathered.get_or_insert_with(|| (first, Vec::with_capacity(PIECE)));
        debug_assert_eq!(*begin + gathered.len() as u64, first, "audio is counted without a gap");
        gathered.extend_from_slice(frame);
        gathered.len() >= PIECE || (is_quiet && self.quiet_for <= FALLING)
    }

    /// What was gathered, with the index of its first sample.
    pub(crate) fn take(&mut self) -> Option<(u64, Vec<i16>)> {
        self.gathered.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: usize = 320;

    /// Lengths of the pieces, in frames, of frames with these peaks; what is left is the last.
    fn pieces(peaks: impl IntoIterator<Item = i16>) -> Vec<usize> {
        let mut pieces = Pieces::default();
        let (mut first, mut lengths) = (0, Vec::new());
        for peak in peaks {
            let is_enough = pieces.push(first, &[-peak; FRAME]);
            first += FRAME as u64;
            if is_enough {
                let (begin, samples) = pieces.take().expect("something was gathered");
                assert_eq!(begin + samples.len() as u64, first, "nothing is left out");
                lengths.push(samples.len() / FRAME);
            }
        }
        lengths.extend(pieces.take().map(|(_, samples)| samples.len() / FRAME));
        lengths
    }

    #[test]
    fn speech_comes_in_pieces_of_three_frames() {
        assert_eq!(pieces([8000; 7]), [3, 3, 1]);
    }

    #[test]
    fn silence_after_speech_comes_frame_by_frame_for_a_while() {
        let call = std::iter::repeat_n(8000, 4).chain([100; 20]);
        assert_eq!(pieces(call), [vec![3, 2], vec![1; 14], vec![3, 2]].concat());
    }

    #[test]
    fn a_line_on_which_nobody_speaks_or_which_is_noisy_comes_in_pieces_of_three_frames() {
        for level in [0, 1, 60, i16::MAX] {
            assert_eq!(pieces([level; 6]), [3, 3]);
        }
        assert_eq!(pieces([2000, 500, 600, 550, 450, 500]), [3, 3]);
    }

    #[test]
    fn a_door_that_fell_shut_is_forgotten() {
        let after = std::iter::once(i16::MAX).chain([1000; 200]).chain([100; 3]);
        let lengths = pieces(after);
        assert!(lengths.ends_with(&[1, 1]), "{lengths:?}");
    }
}
