//! Speech from espeak-ng, rendered once per text.
//!
//! espeak-ng is deterministic: the same text, voice and speed give the same samples, so the recogniser's templates fit what a
//! simulated caller says.

use std::collections::HashMap;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use frontdesk_audio::SampleRate;
use frontdesk_audio::resample::convert;

/// A rendering takes a few hundredths of a second; one that takes this long never ends.
const RENDER_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest text, in characters.
const MAX_CHARS: usize = 4_000;
/// Samples kept in the cache; beyond it the cache starts anew (80 MB).
const MAX_CACHED_SAMPLES: usize = 40_000_000;

/// Why a text could not be spoken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VoiceError {
    /// The program is missing. Install the Debian package `espeak-ng`, or put the program on the PATH.
    #[error("espeak-ng is not installed: the simulators speak and listen with it (apt-get install espeak-ng)")]
    Missing,
    /// The program failed; its own words say why.
    #[error("espeak-ng failed: {0}")]
    Failed(String),
    /// The program gave no audio in time.
    #[error("espeak-ng gave no audio within {} s", RENDER_TIMEOUT.as_secs())]
    Timeout,
    /// The text is longer than a telephone call could bear.
    #[error("the text is longer than {MAX_CHARS} characters")]
    TooLong,
}

/// Who speaks, and how.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Voice {
    /// A voice of espeak-ng (`espeak-ng --voices`).
    pub name: String,
    /// Speed in words a minute.
    pub words_per_minute: u32,
    /// Pitch, 0 to 99.
    pub pitch: u8,
}

impl Voice {
    /// The voice of simulated callers. The recogniser knows this one.
    #[must_use]
    pub fn caller() -> Self {
        Self { name: "en-us".into(), words_per_minute: 150, pitch: 50 }
    }

    /// The voice of simulated callers who speak the language of this tag; English, unless it is Spanish.
    #[must_use]
    pub fn caller_in(language: &str) -> Self {
        if language.split('-').next() == Some("es") { Self { name: "es-419".into(), ..Self::caller() } } else { Self::caller() }
    }

    /// The voice of the simulated text-to-speech service; unlike the caller's, so that a recording tells them apart.
    #[must_use]
    pub fn agent() -> Self {
        Self { name: "en-gb+f3".into(), words_per_minute: 165, pitch: 55 }
    }
}

/// Renders texts in one voice and keeps them.
#[derive(Debug)]
pub struct Speaker {
    voice: Voice,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    clips: HashMap<(String, SampleRate), Arc<Vec<i16>>>,
    samples: usize,
}

impl Speaker {
    /// A speaker with an empty cache.
    #[must_use]
    pub fn new(voice: Voice) -> Self {
        Self { voice, cache: Mutex::default() }
    }

    /// Speaks a text as mono PCM at `rate`, with espeak-ng's short silence at both ends. Blocks for some hundredths of a second unless
    /// the text is in the cache: in async code use [`Self::render_async`].
    ///
    /// # Errors
    /// See [`VoiceError`].
    pub fn render(&self, text: &str, rate: SampleRate) -> Result<Arc<Vec<i16>>, VoiceError> {
        let key = (text.to_owned(), rate);
        if let Some(clip) = self.lock().clips.get(&key) {
            return Ok(Arc::clone(clip));
        }
        let (samples, native) = run(&self.voice, text)?;
        let clip = Arc::new(convert(&samples, native, rate));
        let mut cache = self.lock();
        if cache.samples + clip.len() > MAX_CACHED_SAMPLES {
            *cache = Cache::default();
        }
        cache.samples += clip.len();
        cache.clips.insert(key, Arc::clone(&clip));
        Ok(clip)
    }

    /// [`Self::render`] on a thread of its own.
    ///
    /// # Errors
    /// See [`VoiceError`].
    pub async fn render_async(self: &Arc<Self>, text: &str, rate: SampleRate) -> Result<Arc<Vec<i16>>, VoiceError> {
        if let Some(clip) = self.lock().clips.get(&(text.to_owned(), rate)) {
            return Ok(Arc::clone(clip));
        }
        let speaker = Arc::clone(self);
        let text = text.to_owned();
        let rendered = tokio::task::spawn_blocking(move || speaker.render(&text, rate)).await;
        rendered.unwrap_or_else(|error| Err(VoiceError::Failed(error.to_string())))
    }

    /// The cache holds whole clips only, so a panic elsewhere leaves it usable.
    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(voice: &Voice, text: &str) -> Result<(Vec<i16>, SampleRate), VoiceError> {
    if text.chars().count() > MAX_CHARS {
        return Err(VoiceError::TooLong);
    }
    // Double brackets would be read as phonemes.
    let text = text.replace(['[', ']'], " ");
    let mut child = Command::new("espeak-ng")
        .args(["--stdout", "-v", &voice.name, "-s", &voice.words_per_minute.to_string(), "-p", &voice.pitch.to_string(), "--", &text])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => VoiceError::Missing,
            _ => VoiceError::Failed(error.to_string()),
        })?;
    let wav = collect(&mut child);
    if wav.is_err() {
        // It may have ended by itself meanwhile.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| VoiceError::Failed(error.to_string()))?;
    let wav = wav?;
    if !status.success() {
        let mut complaint = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            // Without its words the status must do.
            let _ = stderr.read_to_string(&mut complaint);
        }
        return Err(VoiceError::Failed(format!("{status} {}", complaint.trim())));
    }
    parse(&wav).ok_or_else(|| VoiceError::Failed("its output is no mono 16-bit WAV".into()))
}

/// Reads all output within the time-out.
fn collect(child: &mut Child) -> Result<Vec<u8>, VoiceError> {
    let mut stdout = child.stdout.take().ok_or_else(|| VoiceError::Failed("it has no output".into()))?;
    let (done, output) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let result = stdout.read_to_end(&mut bytes).map(|_| bytes);
        // Nobody waits any more after the time-out.
        let _ = done.send(result);
    });
    match output.recv_timeout(RENDER_TIMEOUT) {
        Ok(result) => result.map_err(|error| VoiceError::Failed(error.to_string())),
        Err(_) => Err(VoiceError::Timeout),
    }
}

/// Reads a WAV whose length fields are not to be trusted: written to a pipe, they are placeholders.
fn parse(wav: &[u8]) -> Option<(Vec<i16>, SampleRate)> {
    let word = |at: usize| Some(u16::from_le_bytes(wav.get(at..at + 2)?.try_into().ok()?));
    let long = |at: usize| Some(u32::from_le_bytes(wav.get(at..at + 4)?.try_into().ok()?));
    if wav.get(..4)? != b"RIFF" || wav.get(8..16)? != b"WAVEfmt " || word(22)? != 1 || word(34)? != 16 {
        return None;
    }
    let rate = SampleRate::new(long(24)?)?;
    let mut at = 20 + long(16)? as usize;
    while wav.get(at..at + 4)? != b"data" {
        at = at.checked_add(8)?.checked_add(long(at + 4)? as usize)?;
    }
    let samples = wav.get(at + 8..)?.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    Some((samples, rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_gives_the_same_samples_and_is_rendered_once() {
        let speaker = Speaker::new(Voice::caller());
        let first = speaker.render("Good morning.", SampleRate::HZ_8000).expect("espeak-ng is installed");
        let again = speaker.render("Good morning.", SampleRate::HZ_8000).expect("cached");
        assert!(Arc::ptr_eq(&first, &again));
        let other = Speaker::new(Voice::caller()).render("Good morning.", SampleRate::HZ_8000).expect("espeak-ng is installed");
        assert_eq!(first, other);
        assert!(first.len() > 4_000 && first.len() < 16_000, "about a second: {}", first.len());
        assert!(first.iter().any(|sample| sample.unsigned_abs() > 3_000), "audible");
    }

    #[test]
    fn options_and_brackets_in_a_text_are_just_spoken() {
        let speaker = Speaker::new(Voice::agent());
        assert!(speaker.render("--version", SampleRate::HZ_16000).expect("spoken").len() > 4_000);
        assert!(!speaker.render("[[hello]]", SampleRate::HZ_16000).expect("spoken").is_empty());
        assert_eq!(speaker.render(&"x".repeat(MAX_CHARS + 1), SampleRate::HZ_8000), Err(VoiceError::TooLong));
    }

    #[test]
    fn garbage_is_no_wav_and_a_missing_program_says_what_to_install() {
        assert_eq!(parse(b"RIFF"), None);
        assert_eq!(parse(&[0; 100]), None);
        assert!(VoiceError::Missing.to_string().contains("apt-get install espeak-ng"));
    }
}
