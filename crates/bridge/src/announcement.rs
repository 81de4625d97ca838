//! What a caller hears when there is no agent to talk to.

use std::path::Path;
use std::sync::Arc;

use frontdesk_audio::wav::{self, WavError};
use frontdesk_audio::{Frame, SampleRate, resample};

/// Longest announcement, in seconds; a caller listens to no more.
const SECONDS_MAX: usize = 30;

/// Two clips, at 8 kHz. How the built-in ones were made is told in `assets/README.md`.
#[derive(Clone)]
pub struct Announcements {
    pub(crate) unavailable: Arc<[i16]>,
    pub(crate) moment: Arc<[i16]>,
}

/// Why a clip cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AnnouncementError {
    /// The file cannot be read.
    #[error(transparent)]
    Wav(#[from] WavError),
    /// Nobody listens that long, or there is nothing to hear.
    #[error("an announcement has between 1 sample and {SECONDS_MAX} s")]
    Length,
}

impl Announcements {
    /// Reads both clips from WAV files of any rate.
    ///
    /// # Errors
    /// [`AnnouncementError`].
    pub fn load(unavailable: &Path, moment: &Path) -> Result<Self, AnnouncementError> {
        Ok(Self { unavailable: clip(wav::read_mono(unavailable)?)?, moment: clip(wav::read_mono(moment)?)? })
    }

    fn built_in() -> Result<Self, AnnouncementError> {
        let unavailable = wav::parse_mono(&include_bytes!("../assets/unavailable.wav")[..])?;
        let moment = wav::parse_mono(&include_bytes!("../assets/moment.wav")[..])?;
        Ok(Self { unavailable: clip(unavailable)?, moment: clip(moment)? })
    }
}

impl Default for Announcements {
    /// In English: "We are sorry, nobody can take your call now. Please call again later. Goodbye." and "One
    /// moment, please."
    fn default() -> Self {
        Self::built_in().expect("the built-in clips are valid, which a test proves")
    }
}

impl std::fmt::Debug for Announcements {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Announcements")
            .field("unavailable_samples", &self.unavailable.len())
            .field("moment_samples", &self.moment.len())
            .finish()
    }
}

fn clip(frame: Frame) -> Result<Arc<[i16]>, AnnouncementError> {
    let samples = match frame.rate {
        SampleRate::HZ_8000 => frame.samples,
        rate => resample::convert(&frame.samples, rate, SampleRate::HZ_8000),
    };
    if samples.is_empty() || samples.len() > SECONDS_MAX * 8_000 {
        return Err(AnnouncementError::Length);
    }
    Ok(samples.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_clips_are_speech_of_a_few_seconds() {
        let clips = Announcements::default();
        for (clip, ms) in [(&clips.unavailable, 3_000..8_000), (&clips.moment, 700..2_500)] {
            let frame = Frame::new(SampleRate::HZ_8000, clip.to_vec());
            assert!(ms.contains(&frame.duration().as_millis()), "{:?}", frame.duration());
            assert!(frame.rms() > 500.0, "{}", frame.rms());
        }
    }

    #[test]
    fn clips_of_any_rate_are_read_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let (short, long) = (dir.path().join("a.wav"), dir.path().join("b.wav"));
        wav::write_mono(&short, &Frame::new(SampleRate::HZ_24000, vec![1000; 24_000])).unwrap();
        wav::write_mono(&long, &Frame::silence(SampleRate::HZ_8000, 31_000)).unwrap();
        let clips = Announcements::load(&short, &short).unwrap();
        assert!(clips.moment.len().abs_diff(8_000) < 80, "{}", clips.moment.len());
        assert!(matches!(Announcements::load(&short, &long), Err(AnnouncementError::Length)));
        assert!(matches!(Announcements::load(&dir.path().join("c.wav"), &long), Err(AnnouncementError::Wav(_))));
    }
}
