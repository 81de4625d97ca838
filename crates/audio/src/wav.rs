//! WAV files: reading a mono clip, writing a mono clip or a stereo recording of a call.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Cursor, Read};
use std::path::Path;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

use crate::{Frame, SampleRate};

/// Longest clip that is read into memory, in seconds.
const MAX_CLIP_SECS: usize = 3_600;

/// Why a WAV file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// The file is missing or cannot be read or written.
    #[error("WAV input or output failed")]
    Io(#[source] io::Error),
    /// The file is not a WAV file, or of a kind that is not read (say, compressed).
    #[error("unreadable WAV file")]
    Format(#[source] hound::Error),
    /// The header states a sample rate of zero or above 192 kHz.
    #[error("WAV file with an impossible sample rate of {0} Hz")]
    Rate(u32),
    /// The clip is longer than an hour.
    #[error("WAV file is longer than {MAX_CLIP_SECS} s")]
    TooLong,
}

impl From<hound::Error> for WavError {
    fn from(error: hound::Error) -> Self {
        match error {
            hound::Error::IoError(error) => Self::Io(error),
            other => Self::Format(other),
        }
    }
}

/// Reads a PCM WAV file (8 to 32 bits, or 32-bit float); several channels are averaged.
///
/// A file that is cut off, or whose header states more data than there is (as programs write that
/// stream to a pipe), is read as far as it goes.
///
/// # Errors
/// [`WavError`] when the file cannot be opened, is no PCM WAV file, or is longer than an hour.
pub fn read_mono(path: impl AsRef<Path>) -> Result<Frame, WavError> {
    let file = File::open(path).map_err(WavError::Io)?;
    parse_mono(BufReader::new(file))
}

/// As [`read_mono`], from any reader, say a byte slice.
///
/// # Errors
/// As [`read_mono`].
pub fn parse_mono(reader: impl Read) -> Result<Frame, WavError> {
    let reader = WavReader::new(reader)?;
    let spec = reader.spec();
    let rate = SampleRate::new(spec.sample_rate).ok_or(WavError::Rate(spec.sample_rate))?;
    let channels = usize::from(spec.channels.max(1));
    let limit = MAX_CLIP_SECS * rate.hz() as usize;
    let values = match spec.sample_format {
        SampleFormat::Float => collect(reader.into_samples::<f32>(), channels, limit, |s| f64::from(s) * 32_768.0)?,
        SampleFormat::Int => {
            // Integers of any depth are brought to 16 bits.
            let scale = f64::from(spec.bits_per_sample.max(1)) - 16.0;
            let factor = (-scale).exp2();
            collect(reader.into_samples::<i32>(), channels, limit, move |s| f64::from(s) * factor)?
        }
    };
    Ok(Frame::new(rate, values))
}

fn collect<S>(
    samples: impl Iterator<Item = hound::Result<S>>,
    channels: usize,
    limit: usize,
    convert: impl Fn(S) -> f64,
) -> Result<Vec<i16>, WavError> {
    let mut out = Vec::new();
    let (mut sum, mut filled) = (0.0, 0);
    for sample in samples {
        let sample = match sample {
            Ok(sample) => sample,
            // hound reports a short read as an I/O error of kind `Other` or `UnexpectedEof`.
            Err(hound::Error::IoError(error)) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::Other) => {
                break;
            }
            Err(error) => return Err(error.into()),
        };
        sum += convert(sample);
        filled += 1;
        if filled == channels {
            if out.len() == limit {
                return Err(WavError::TooLong);
            }
            out.push((sum / channels as f64).round() as i16);
            (sum, filled) = (0.0, 0);
        }
    }
    Ok(out)
}

const fn pcm(rate: SampleRate, channels: u16) -> WavSpec {
    WavSpec { channels, sample_rate: rate.hz(), bits_per_sample: 16, sample_format: SampleFormat::Int }
}

/// Writes a clip as a mono 16-bit WAV file, replacing what is there.
///
/// # Errors
/// [`WavError::Io`] when the file cannot be written.
pub fn write_mono(path: impl AsRef<Path>, frame: &Frame) -> Result<(), WavError> {
    let mut writer = WavWriter::create(path, pcm(frame.rate, 1))?;
    for &sample in &frame.samples {
        writer.write_sample(sample)?;
    }
    Ok(writer.finalize()?)
}

/// A clip as the bytes of a mono 16-bit WAV file.
///
/// # Errors
/// [`WavError::Format`] when the clip exceeds the 4 GiB of a WAV file.
pub fn to_bytes(frame: &Frame) -> Result<Vec<u8>, WavError> {
    let mut bytes = Vec::with_capacity(44 + frame.samples.len() * 2);
    let mut writer = WavWriter::new(Cursor::new(&mut bytes), pcm(frame.rate, 1))?;
    for &sample in &frame.samples {
        writer.write_sample(sample)?;
    }
    writer.finalize()?;
    Ok(bytes)
}

/// Writes a stereo 16-bit WAV file piece by piece: the caller left, the agent right.
pub struct StereoWriter {
    inner: WavWriter<BufWriter<File>>,
    frames: u64,
}

impl StereoWriter {
    /// Creates the file, replacing what is there.
    ///
    /// # Errors
    /// [`WavError::Io`] when the file cannot be created.
    pub fn create(path: impl AsRef<Path>, rate: SampleRate) -> Result<Self, WavError> {
        Ok(Self { inner: WavWriter::create(path, pcm(rate, 2))?, frames: 0 })
    }

    /// Appends both sides; the shorter one is filled up with silence so that the sides stay aligned.
    ///
    /// # Errors
    /// [`WavError::Io`] when the disk refuses, [`WavError::Format`] beyond 4 GiB (37 hours at 8 kHz).
    pub fn write(&mut self, left: &[i16], right: &[i16]) -> Result<(), WavError> {
        let frames = left.len().max(right.len());
        for n in 0..frames {
            self.inner.write_sample(left.get(n).copied().unwrap_or(0))?;
            self.inner.write_sample(right.get(n).copied().unwrap_or(0))?;
        }
        self.frames += frames as u64;
        Ok(())
    }

    /// Samples a channel so far.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.frames
    }

    /// Brings the header up to date, so that the file is whole even if the process dies after this call.
    ///
    /// # Errors
    /// [`WavError::Io`] when the disk refuses.
    pub fn flush(&mut self) -> Result<(), WavError> {
        Ok(self.inner.flush()?)
    }

    /// Completes the header and closes the file.
    ///
    /// # Errors
    /// [`WavError::Io`] when the disk refuses.
    pub fn finalize(self) -> Result<(), WavError> {
        Ok(self.inner.finalize()?)
    }
}

impl std::fmt::Debug for StereoWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StereoWriter").field("frames", &self.frames).finish_non_exhaustive()
    }
}
