//! Where a clip stands in what was heard, and whether it stands there whole: nothing missing, repeated or displaced.
//!
//! The clip is found by its loudest stretch; then each 20 ms of it are compared with what was heard at the same distance. Codecs
//! change the samples, not their places, so that a whole clip agrees everywhere, while a frame that is missing or there twice
//! displaces all that follows it. Both are whitened before: the pitch of a voice would agree one period off as well, and codecs
//! shift the phase of the lowest tones.

use std::ops::Range;

/// Samples of a piece: 20 ms at 8 kHz.
const PIECE: usize = 160;
/// Samples of the stretch by which a clip is found: 400 ms.
const ANCHOR: usize = 20 * PIECE;
/// How far a piece may be displaced: 2 ms.
const TOLERANCE: isize = 16;
/// How far a displaced piece is looked for: 60 ms.
const DISPLACEMENT_MAX: isize = 480;
/// How much of a sample is expected of the next one, in speech at 8 kHz; only what was not expected is compared.
const EXPECTED: f32 = 0.95;
/// Root mean square below which a piece is too quiet to be compared.
const QUIET_RMS: f32 = 400.0;

/// A clip found in what was heard.
#[derive(Debug, Clone, PartialEq)]
pub struct Alignment {
    /// Sample of what was heard at which the clip's first one stands; below zero if its begin was not heard.
    pub lag: isize,
    /// How well the whole clip agrees: 1 for the same samples, about 0 for others.
    pub correlation: f32,
    /// The pieces of the clip that are loud enough.
    pub pieces: Vec<Piece>,
}

/// 20 ms of a clip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Piece {
    /// Its first sample in the clip.
    pub at: usize,
    /// The best agreement within ±2 ms of its place.
    pub correlation: f32,
    /// Where it agrees best within ±60 ms, in samples from its place.
    pub displacement: isize,
}

impl Alignment {
    /// The pieces that agree with nothing near their place.
    pub fn faulty(&self, correlation_min: f32) -> impl Iterator<Item = &Piece> {
        self.pieces.iter().filter(move |piece| piece.correlation < correlation_min)
    }
}

/// Looks for a clip whose first sample stands within `range` of what was heard, both at 8 kHz. `None` if the clip is silent.
#[must_use]
pub fn align(clip: &[i16], heard: &[i16], range: Range<isize>) -> Option<Alignment> {
    let loud = floats(clip);
    let anchor = loudest(&loud)?;
    let (clip, heard) = (whitened(&loud), whitened(&floats(heard)));
    let stretch = &clip[anchor.clone()];
    let offset = isize::try_from(anchor.start).ok()?;
    let (place, _) = best(stretch, &heard, range.start + offset..range.end + offset)?;
    let near = place - offset - DISPLACEMENT_MAX..place - offset + DISPLACEMENT_MAX + 1;
    let (lag, correlation) = best(&clip, &heard, near)?;
    let is_loud = |number: &usize| rms(&loud[number * PIECE..(number + 1) * PIECE]) >= QUIET_RMS;
    let pieces = (0..clip.len() / PIECE).filter(is_loud).filter_map(|number| {
        let at = number * PIECE;
        let piece = &clip[at..at + PIECE];
        let place = lag + isize::try_from(at).ok()?;
        let (_, correlation) = best(piece, &heard, place - TOLERANCE..place + TOLERANCE + 1)?;
        let (displaced, _) = best(piece, &heard, place - DISPLACEMENT_MAX..place + DISPLACEMENT_MAX + 1)?;
        Some(Piece { at, correlation, displacement: displaced - place })
    });
    Some(Alignment { lag, correlation, pieces: pieces.collect() })
}

fn floats(samples: &[i16]) -> Vec<f32> {
    samples.iter().map(|sample| f32::from(*sample)).collect()
}

fn whitened(samples: &[f32]) -> Vec<f32> {
    let before = std::iter::once(&0.0).chain(samples);
    samples.iter().zip(before).map(|(sample, before)| sample - EXPECTED * before).collect()
}

fn energy(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum()
}

fn rms(samples: &[f32]) -> f32 {
    (energy(samples) / samples.len().max(1) as f32).sqrt()
}

/// The loudest stretch of a clip, or all of a short one.
fn loudest(clip: &[f32]) -> Option<Range<usize>> {
    let length = ANCHOR.min(clip.len());
    let starts = (0..=clip.len() - length).step_by(PIECE);
    let start = starts.max_by(|a, b| energy(&clip[*a..a + length]).total_cmp(&energy(&clip[*b..b + length])))?;
    (rms(&clip[start..start + length]) >= QUIET_RMS).then_some(start..start + length)
}

/// Where a piece agrees best with what was heard, of the places in `range`, and how well. Nothing was heard outside of what was heard.
fn best(piece: &[f32], heard: &[f32], range: Range<isize>) -> Option<(isize, f32)> {
    let own = energy(piece);
    let agreement = |place: isize| {
        // Pieces that are only partly within compare with what is there.
        let skipped = usize::try_from(-place).unwrap_or(0).min(piece.len());
        let start = usize::try_from(place).unwrap_or(0).min(heard.len());
        let there = &heard[start..heard.len().min(start + piece.len() - skipped)];
        let product: f32 = piece[skipped..].iter().zip(there).map(|(a, b)| a * b).sum();
        let both = (own * energy(there)).sqrt();
        (place, if both > 0.0 { product / both } else { 0.0 })
    };
    range.map(agreement).max_by(|(_, a), (_, b)| a.total_cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two seconds of something that never repeats, loud and quiet in turn.
    fn clip() -> Vec<i16> {
        let mut state = 7_u32;
        let mut smooth = 0.0_f32;
        let sample = |n: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            smooth = 0.7 * smooth + 0.3 * (f32::from((state >> 16) as u16) - 32_768.0);
            let loud = if (n / 1600) % 4 == 3 { 0.01 } else { 0.5 };
            (smooth * loud) as i16
        };
        (0..16_000).map(sample).collect()
    }

    /// The clip after 3000 samples of silence, and silence after it.
    fn heard(clip: &[i16]) -> Vec<i16> {
        let mut heard = vec![0; 3000];
        heard.extend(clip.iter().map(|sample| sample / 2));
        heard.extend([0; 3000]);
        heard
    }

    #[test]
    fn a_whole_clip_is_found_in_its_place() {
        let clip = clip();
        let found = align(&clip, &heard(&clip), 0..6000).expect("it is loud");
        assert_eq!(found.lag, 3000);
        assert!(found.correlation > 0.99 && found.pieces.len() > 60, "{found:?}");
        assert_eq!(found.faulty(0.9).count(), 0);
        assert!(found.pieces.iter().all(|piece| piece.displacement == 0));
        assert_eq!(align(&[0; 8000], &heard(&clip), 0..6000), None, "silence is nowhere");
        assert!(align(&clip, &[0; 8000], 0..6000).is_some_and(|found| found.correlation < 0.1));
    }

    #[test]
    fn a_frame_that_is_missing_displaces_the_rest() {
        let clip = clip();
        let mut cut = clip.clone();
        cut.drain(8000..8160);
        let found = align(&clip, &heard(&cut), 0..6000).expect("it is loud");
        let displaced = found.pieces.iter().filter(|piece| piece.displacement.abs() == 160).count();
        assert!(displaced > 15 && found.faulty(0.6).count() > 15, "{found:?}");
    }

    #[test]
    fn a_frame_that_is_lost_or_there_twice_is_seen() {
        let clip = clip();
        let mut lost = clip.clone();
        lost[1600..1760].fill(0);
        let found = align(&clip, &heard(&lost), 0..6000).expect("it is loud");
        assert_eq!(found.faulty(0.6).map(|piece| piece.at).collect::<Vec<_>>(), [1600]);
        let mut twice = clip.clone();
        let frame: Vec<i16> = clip[1600..1760].to_vec();
        twice.splice(1760..1760, frame);
        let found = align(&clip, &heard(&twice), 0..6000).expect("it is loud");
        assert!(found.faulty(0.6).count() > 5, "{found:?}");
    }

    #[test]
    fn a_clip_whose_begin_is_cut_off_is_found_below_zero() {
        let clip = clip();
        let found = align(&clip, &clip[400..], -800..800).expect("it is loud");
        assert_eq!(found.lag, -400);
        assert!(found.pieces.iter().skip(3).all(|piece| piece.correlation > 0.9), "{found:?}");
    }
}
