//! A recorded clip of whatever kind is understood (WAV, MP3), read into memory within bounds.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use nanomp3_core::{Decoder, MAX_SAMPLES_PER_FRAME};

use crate::wav::{self, WavError};
use crate::{Frame, SampleRate};

/// An hour of 16-bit stereo at 48 kHz is smaller.
const FILE_BYTES_MAX: u64 = 700 * 1024 * 1024;

/// Longest clip that is read, in seconds.
const CLIP_SECS_MAX: usize = 3_600;

/// Header of an ID3v2 tag: `ID3`, version (2), flags (1), length in 7 bits a byte (4).
const TAG_BYTES: usize = 10;

/// Why a clip could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClipError {
    /// The file is missing or cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The file is larger than any clip that is read.
    #[error("the file has {bytes} bytes, which is more than {FILE_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// It is a WAV file that cannot be read.
    #[error(transparent)]
    Wav(#[from] WavError),
    /// Neither WAV nor MP3.
    #[error("neither a WAV nor an MP3 file")]
    Unknown,
    /// The clip is longer than an hour.
    #[error("the clip is longer than {CLIP_SECS_MAX} s")]
    TooLong,
    /// The file changes its sample rate, which no recording of a call does.
    #[error("the MP3 file changes its sample rate from {from} to {to} Hz")]
    Rate {
        /// At the beginning.
        from: u32,
        /// Later.
        to: u32,
    },
}

/// Reads a clip; several channels are averaged. What it is is told by its first bytes, not by its name.
///
/// # Errors
/// [`ClipError`] when the file cannot be read, is neither WAV nor MP3, is larger than 700 MiB, or longer than an hour.
pub fn read(path: impl AsRef<Path>) -> Result<Frame, ClipError> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(ClipError::TooLarge { bytes });
    }
    let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
    // A file that grows meanwhile, or a pipe, is bounded as well.
    file.by_ref().take(FILE_BYTES_MAX).read_to_end(&mut content)?;
    parse(&content)
}

/// As [`read`], from the file's content.
///
/// # Errors
/// As [`read`].
pub fn parse(content: &[u8]) -> Result<Frame, ClipError> {
    if content.starts_with(b"RIFF") {
        return Ok(wav::parse_mono(content)?);
    }
    mp3(behind_tag(content))
}

/// What follows an ID3v2 tag (ID3v2.4 section 3.1): a picture in it may look like audio.
fn behind_tag(content: &[u8]) -> &[u8] {
    let Some(header) = content.first_chunk::<TAG_BYTES>().filter(|header| header.starts_with(b"ID3")) else { return content };
    let length = header[6..].iter().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
    content.get(TAG_BYTES + length..).unwrap_or_default()
}

fn mp3(mut content: &[u8]) -> Result<Frame, ClipError> {
    let mut decoder = Decoder::new();
    let mut pcm = [0_i16; MAX_SAMPLES_PER_FRAME];
    let mut clip: Option<Frame> = None;
    while !content.is_empty() {
        let (consumed, decoded) = decoder.decode(content, &mut pcm);
        content = content.get(consumed.max(1)..).unwrap_or_default();
        // What is damaged is left out, as every player does.
        let Ok(info) = decoded else { continue };
        let rate = SampleRate::new(info.sample_rate).ok_or(ClipError::Unknown)?;
        let clip = clip.get_or_insert_with(|| Frame::new(rate, Vec::new()));
        if clip.rate != rate {
            return Err(ClipError::Rate { from: clip.rate.hz(), to: rate.hz() });
        }
        let channels = usize::from(info.channels.num());
        let samples = pcm.get(..info.samples_produced * channels).unwrap_or_default();
        let mean = |channel: &[i16]| (channel.iter().map(|sample| i32::from(*sample)).sum::<i32>() / channel.len() as i32) as i16;
        clip.samples.extend(samples.chunks_exact(channels).map(mean));
        if clip.samples.len() > CLIP_SECS_MAX * rate.hz() as usize {
            return Err(ClipError::TooLong);
        }
    }
    clip.ok_or(ClipError::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of 440 Hz at 16 kHz, encoded by LAME at 24 kbit/s.
    const TONE: &[u8] = include_bytes!("../tests/clips/tone-440hz-1s.mp3");

    /// How much of the clip's power is at a frequency, by Goertzel's recurrence.
    fn share_at(frame: &Frame, hz: f64) -> f64 {
        let samples: Vec<f64> = frame.samples.iter().map(|sample| f64::from(*sample)).collect();
        let (n, step) = (samples.len() as f64, std::f64::consts::TAU * hz / f64::from(frame.rate.hz()));
        let (mut one, mut two) = (0.0, 0.0);
        for sample in &samples {
            (one, two) = (sample + 2.0 * step.cos() * one - two, one);
        }
        let at = one * one + two * two - 2.0 * step.cos() * one * two;
        2.0 * at / (n * samples.iter().map(|sample| sample * sample).sum::<f64>())
    }

    #[test]
    fn an_mp3_is_heard_as_it_was_recorded() {
        let clip = parse(TONE).unwrap();
        assert_eq!(clip.rate, SampleRate::HZ_16000);
        // An encoder adds up to three of its frames around.
        assert!((16_000..16_000 + 3 * 576).contains(&clip.samples.len()), "{}", clip.samples.len());
        assert!((5_000.0..6_200.0).contains(&clip.rms()), "{}", clip.rms());
        assert!(share_at(&clip, 440.0) > 0.9 && share_at(&clip, 1000.0) < 0.01, "{} {}", share_at(&clip, 440.0), share_at(&clip, 1000.0));
    }

    #[test]
    fn tags_and_damage_are_passed_over() {
        let whole = parse(TONE).unwrap();
        let tag = [b"ID3\x04\0\0\0\0\x01\x02".as_slice(), &[0xff; 130]].concat();
        assert_eq!(parse(&[&tag, TONE].concat()).unwrap(), whole);
        let mut damaged = TONE.to_vec();
        damaged[500..560].fill(0);
        let heard = parse(&damaged).unwrap();
        assert!(heard.samples.len() > whole.samples.len() / 2 && heard.samples.len() <= whole.samples.len(), "{}", heard.samples.len());
    }

    #[test]
    fn wav_is_read_by_its_content_and_other_files_are_refused() {
        let frame = Frame::new(SampleRate::HZ_8000, vec![1, 2, 3]);
        assert_eq!(parse(&wav::to_bytes(&frame).unwrap()).unwrap(), frame);
        for junk in [&b""[..], b"ID3\x04", b"OggS and so on", &[0; 10_000], b"RIFF"] {
            assert!(parse(junk).is_err(), "{junk:?}");
        }
        assert!(matches!(read("/nowhere/a.mp3"), Err(ClipError::Io(_))));
    }
}
