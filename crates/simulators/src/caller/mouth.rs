//! What the caller's line carries at each tick of 20 ms: a clip, keys, or silence.

use std::collections::VecDeque;
use std::time::Duration;

use frontdesk_audio::SampleRate;
use frontdesk_telephony::rtp::{Digit, FRAME_SAMPLES};

use super::ear::is_sound;

/// Samples of the blocks in which the ends of a clip are looked for: 5 ms.
const BLOCK: usize = 40;
/// How long a key is held, in ticks: 160 ms.
const KEY_TICKS: u16 = 8;
/// Copies of the last packet of a key (RFC 4733 §2.5.1.4).
const KEY_ENDS: u16 = 3;
/// Silent ticks after a key: 100 ms.
const KEY_PAUSE: u16 = 5;

/// What goes out in one tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Utterance {
    /// 20 ms of a clip, or silence.
    Audio(Box<[i16; FRAME_SAMPLES]>),
    /// A packet of a key: how many ticks into it, and whether it is over.
    Key { digit: Digit, ticks: u16, is_end: bool },
}

/// One tick's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tick {
    pub(super) content: Utterance,
    /// The act ends within this tick: where its last sound stands, from the tick's begin.
    pub(super) ended: Option<Duration>,
}

#[derive(Debug)]
struct Press {
    keys: VecDeque<Digit>,
    ticks: u16,
}

/// The mouth, and the finger on the keys.
#[derive(Debug, Default)]
pub(super) struct Mouth {
    clip: Vec<i16>,
    at: usize,
    press: Option<Press>,
}

impl Mouth {
    /// Says a clip at 8 kHz from its first sound to its last, with nothing before and after. Whether there is a sound in it.
    pub(super) fn say(&mut self, clip: &[i16]) -> bool {
        self.clip = trim(clip).to_vec();
        self.at = 0;
        !self.clip.is_empty()
    }

    /// Presses keys. Whether there is one among them.
    pub(super) fn press(&mut self, keys: &str) -> bool {
        let keys: VecDeque<Digit> = keys.chars().filter_map(Digit::new).collect();
        let any = !keys.is_empty();
        self.press = any.then_some(Press { keys, ticks: 0 });
        any
    }

    /// The next 20 ms.
    pub(super) fn tick(&mut self) -> Tick {
        if let Some(tick) = self.key() {
            return tick;
        }
        let rest = self.clip.get(self.at..).unwrap_or_default();
        let length = rest.len().min(FRAME_SAMPLES);
        let mut samples = Box::new([0; FRAME_SAMPLES]);
        samples[..length].copy_from_slice(&rest[..length]);
        let is_end = length > 0 && length == rest.len();
        self.at += length;
        Tick { content: Utterance::Audio(samples), ended: is_end.then(|| SampleRate::HZ_8000.duration(length)) }
    }

    fn key(&mut self) -> Option<Tick> {
        let press = self.press.as_mut()?;
        let digit = *press.keys.front()?;
        press.ticks += 1;
        let ticks = press.ticks;
        if ticks < KEY_TICKS + KEY_ENDS {
            let is_end = ticks >= KEY_TICKS;
            return Some(Tick { content: Utterance::Key { digit, ticks: ticks.min(KEY_TICKS), is_end }, ended: None });
        }
        let silence = Utterance::Audio(Box::new([0; FRAME_SAMPLES]));
        if ticks < KEY_TICKS + KEY_ENDS + KEY_PAUSE {
            return Some(Tick { content: silence, ended: None });
        }
        press.ticks = 0;
        press.keys.pop_front();
        let is_end = press.keys.is_empty();
        if is_end {
            self.press = None;
        }
        Some(Tick { content: silence, ended: is_end.then_some(Duration::ZERO) })
    }
}

/// A clip from its first sound to its last.
fn trim(clip: &[i16]) -> &[i16] {
    let sounds = || clip.chunks(BLOCK).enumerate().filter(|(_, block)| is_sound(block)).map(|(n, _)| n);
    match (sounds().next(), sounds().next_back()) {
        (Some(first), Some(last)) => &clip[first * BLOCK..clip.len().min((last + 1) * BLOCK)],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audio(tick: &Tick) -> &[i16] {
        match &tick.content {
            Utterance::Audio(samples) => samples.as_slice(),
            Utterance::Key { .. } => panic!("a key"),
        }
    }

    #[test]
    fn silence_around_a_clip_is_not_said_and_its_end_is_told() {
        let mut clip = vec![0; 400];
        clip.extend([3000; 200]);
        clip.extend([1; 900]);
        let mut mouth = Mouth::default();
        assert!(mouth.say(&clip));
        let first = mouth.tick();
        assert_eq!((audio(&first), first.ended), ([3000; 160].as_slice(), None));
        let second = mouth.tick();
        assert_eq!(audio(&second)[..40], [3000; 40]);
        assert_eq!(audio(&second)[40..], [0; 120]);
        assert_eq!(second.ended, Some(Duration::from_millis(5)));
        let third = mouth.tick();
        assert_eq!((audio(&third), third.ended), ([0; 160].as_slice(), None));
        assert!(!mouth.say(&[0; 8000]), "nothing to hear");
        assert_eq!(mouth.tick().ended, None);
    }

    #[test]
    fn keys_are_told_from_their_first_packet_to_their_third_end() {
        let mut mouth = Mouth::default();
        assert!(mouth.press("4#x"));
        let ticks: Vec<Tick> = (0..40).map(|_| mouth.tick()).collect();
        let keys: Vec<(char, u16, bool)> = ticks
            .iter()
            .filter_map(|tick| match tick.content {
                Utterance::Key { digit, ticks, is_end } => Some((digit.key(), ticks, is_end)),
                Utterance::Audio(_) => None,
            })
            .collect();
        assert_eq!(keys.len(), 20);
        assert_eq!(keys[..3], [('4', 1, false), ('4', 2, false), ('4', 3, false)]);
        assert_eq!(keys[7..10], [('4', 8, true); 3]);
        assert_eq!(keys[10], ('#', 1, false));
        assert_eq!(ticks.iter().filter(|tick| tick.ended.is_some()).count(), 1);
        assert!(!mouth.press("x"));
    }
}
