//! When the agent speaks and when he has finished, by energy alone, as a person would say.

use std::time::Duration;

/// Samples of a block at 8 kHz: 5 ms.
const BLOCK: usize = 40;
const BLOCK_DURATION: Duration = Duration::from_millis(5);
/// Root mean square above which a block counts as sound: about −42 dBFS. Coded silence lies far below.
const SOUND_RMS: i64 = 250;
/// Sound needed within [`ONSET_WINDOW`] to be speech rather than a click.
const ONSET_SOUND: Duration = Duration::from_millis(30);
const ONSET_WINDOW: Duration = Duration::from_millis(120);
/// Silence after which the next sound counts as a new beginning.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(250);

/// What was heard. Times are counted from an origin of the caller's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EarEvent {
    /// Sound after silence; several times in one speech, wherever the agent takes a breath.
    Began {
        /// The first sound.
        at: Duration,
    },
    /// Silence for as long as patience lasts.
    Finished {
        /// The last sound.
        last_sound: Duration,
    },
}

#[derive(Debug, Clone, Copy)]
struct Onset {
    at: Duration,
    sound: Duration,
}

/// The ear. Fed with what came in and with the time.
#[derive(Debug)]
pub(super) struct Ear {
    patience: Duration,
    onset: Option<Onset>,
    /// The last block that belonged to speech.
    last_sound: Option<Duration>,
    is_speaking: bool,
}

impl Ear {
    pub(super) const fn new(patience: Duration) -> Self {
        Self { patience, onset: None, last_sound: None, is_speaking: false }
    }

    /// Takes audio at 8 kHz whose first sample stands at `at`.
    pub(super) fn hear(&mut self, at: Duration, samples: &[i16]) -> Option<EarEvent> {
        let mut began = None;
        let mut block_at = at;
        for block in samples.chunks(BLOCK) {
            if is_sound(block) {
                began = began.or(self.sound(block_at));
            }
            block_at += BLOCK_DURATION;
        }
        began
    }

    fn sound(&mut self, at: Duration) -> Option<EarEvent> {
        let end = at + BLOCK_DURATION;
        if self.is_sounding(at) {
            self.last_sound = Some(end);
            return None;
        }
        let mut onset = self.onset.filter(|onset| at < onset.at + ONSET_WINDOW).unwrap_or(Onset { at, sound: Duration::ZERO });
        onset.sound += BLOCK_DURATION;
        if onset.sound < ONSET_SOUND {
            self.onset = Some(onset);
            return None;
        }
        self.onset = None;
        self.last_sound = Some(end);
        self.is_speaking = true;
        Some(EarEvent::Began { at: onset.at })
    }

    /// Tells whether the agent has finished by now.
    pub(super) fn tick(&mut self, now: Duration) -> Option<EarEvent> {
        let last_sound = self.last_sound.filter(|last| self.is_speaking && now >= *last + self.patience)?;
        self.is_speaking = false;
        Some(EarEvent::Finished { last_sound })
    }

    /// The end of the last sound that belonged to speech.
    pub(super) const fn last_sound(&self) -> Option<Duration> {
        self.last_sound
    }

    /// Whether the agent made a sound so short before `at` that it still is the same breath.
    pub(super) fn is_sounding(&self, at: Duration) -> bool {
        self.last_sound.is_some_and(|last| at < last + PAUSE_MIN)
    }
}

/// Whether a block is louder than silence.
pub(super) fn is_sound(block: &[i16]) -> bool {
    let energy: i64 = block.iter().map(|sample| i64::from(*sample) * i64::from(*sample)).sum();
    energy > SOUND_RMS * SOUND_RMS * block.len() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(800);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Plays pieces of (milliseconds, amplitude) as packets of 20 ms, and goes on in silence for two seconds.
    fn play(pieces: &[(usize, i16)]) -> Vec<EarEvent> {
        let mut samples: Vec<i16> = Vec::new();
        for (length_ms, amplitude) in pieces {
            samples.extend((0..length_ms * 8).map(|n| if n % 2 == 0 { *amplitude } else { -amplitude }));
        }
        samples.resize(samples.len() + 16_000, 0);
        let mut ear = Ear::new(PATIENCE);
        let mut events = Vec::new();
        for (n, packet) in samples.chunks(160).enumerate() {
            let now = ms(n as u64 * 20);
            events.extend(ear.hear(now, packet));
            events.extend(ear.tick(now));
        }
        events
    }

    #[test]
    fn speech_begins_with_its_first_sound_and_ends_after_patience() {
        let events = play(&[(315, 0), (500, 4000)]);
        assert_eq!(events, [EarEvent::Began { at: ms(315) }, EarEvent::Finished { last_sound: ms(815) }]);
    }

    #[test]
    fn a_breath_does_not_end_a_speech_but_begins_anew() {
        let events = play(&[(100, 0), (500, 4000), (400, 0), (500, 4000)]);
        let expected = [EarEvent::Began { at: ms(100) }, EarEvent::Began { at: ms(1000) }, EarEvent::Finished { last_sound: ms(1500) }];
        assert_eq!(events, expected);
        assert_eq!(play(&[(100, 0), (500, 4000), (200, 0), (500, 4000)]).len(), 2, "a stop within a word is no breath");
    }

    #[test]
    fn clicks_and_noise_are_not_heard() {
        assert_eq!(play(&[(100, 0), (10, 20_000), (500, 0), (10, 20_000)]), []);
        assert_eq!(play(&[(3000, 200)]), []);
    }
}
