//! Greetings that are kept as sound: what every caller is told alike need not be synthesised for each.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frontdesk_conversation::SpokenWord;

use crate::tts::TtsOptions;

/// Of one text, in seconds; a longer one is synthesised each time.
const SECONDS_MAX: usize = 20;
/// Of all, in samples: 8 MB. The one that was not wanted for longest gives way.
const SAMPLES_MAX: usize = 4_000_000;
/// Texts that were heard once and are remembered by their hash.
const HEARD_ONCE_MAX: usize = 256;

/// Greetings of the calls of one synthesiser; clones share them.
///
/// A text is kept from the second call on that begins with it. So one that is worded for a single caller is not kept, and of a text that
/// was said once nothing stays but a hash.
#[derive(Clone, Default)]
pub struct Greetings {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    hasher: RandomState,
    heard_once: VecDeque<u64>,
    /// The one that was wanted last stands last.
    kept: VecDeque<Kept>,
}

struct Kept {
    options: TtsOptions,
    text: String,
    speech: Arc<Greeting>,
}

/// One greeting.
pub(super) struct Greeting {
    pub(super) samples: Vec<i16>,
    pub(super) words: Vec<SpokenWord>,
}

impl Greetings {
    fn state(&self) -> MutexGuard<'_, State> {
        // The state is consistent after every single operation, so a poisoned lock is as good as a sound one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was kept of a text.
    pub(super) fn get(&self, options: &TtsOptions, text: &str) -> Option<Arc<Greeting>> {
        let mut state = self.state();
        let at = state.kept.iter().position(|kept| kept.options == *options && kept.text == text)?;
        let kept = state.kept.remove(at)?;
        let speech = Arc::clone(&kept.speech);
        state.kept.push_back(kept);
        Some(speech)
    }

    /// Whether a text that is not kept is to be kept now that it is synthesised.
    pub(super) fn wants(&self, options: &TtsOptions, text: &str) -> bool {
        let mut state = self.state();
        let hash = state.hasher.hash_one((options.voice.as_deref(), options.rate.hz(), text));
        if state.heard_once.contains(&hash) {
            return true;
        }
        if state.heard_once.len() >= HEARD_ONCE_MAX {
            state.heard_once.pop_front();
        }
        state.heard_once.push_back(hash);
        false
    }

    /// Keeps a text's speech.
    pub(super) fn put(&self, options: &TtsOptions, text: &str, speech: Greeting) {
        if speech.samples.is_empty() {
            return;
        }
        let mut state = self.state();
        // Two calls may have begun at once.
        state.kept.retain(|kept| kept.options != *options || kept.text != text);
        let mut samples: usize = state.kept.iter().map(|kept| kept.speech.samples.len()).sum::<usize>() + speech.samples.len();
        while samples > SAMPLES_MAX {
            let Some(oldest) = state.kept.pop_front() else { return };
            samples -= oldest.speech.samples.len();
        }
        state.kept.push_back(Kept { options: options.clone(), text: text.to_owned(), speech: Arc::new(speech) });
    }
}

impl std::fmt::Debug for Greetings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Greetings").field("kept", &self.state().kept.len()).finish_non_exhaustive()
    }
}

/// What comes of an utterance that is to be kept.
#[derive(Default)]
pub(super) struct Taken(Vec<i16>);

impl Taken {
    /// Adds to it; gives it back unless it has grown too long.
    pub(super) fn with(mut self, samples: &[i16], options: &TtsOptions) -> Option<Self> {
        self.0.extend_from_slice(samples);
        (self.0.len() <= SECONDS_MAX * options.rate.hz() as usize).then_some(self)
    }

    pub(super) fn complete(self, words: Vec<SpokenWord>) -> Greeting {
        Greeting { samples: self.0, words }
    }
}

#[cfg(test)]
mod tests {
    use frontdesk_audio::SampleRate;

    use super::*;

    fn options(voice: &str) -> TtsOptions {
        TtsOptions { voice: Some(voice.into()), rate: SampleRate::HZ_24000 }
    }

    fn greeting(samples: usize) -> Greeting {
        Greeting { samples: vec![1; samples], words: Vec::new() }
    }

    #[test]
    fn a_text_is_wanted_the_second_time_and_in_its_own_voice() {
        let (greetings, ana) = (Greetings::default(), options("ana"));
        assert!(!greetings.wants(&ana, "Hello"));
        assert!(greetings.wants(&ana, "Hello"));
        assert!(!greetings.wants(&options("ben"), "Hello"), "another voice");
        greetings.put(&ana, "Hello", greeting(10));
        assert_eq!(greetings.clone().get(&ana, "Hello").map(|it| it.samples.len()), Some(10), "clones share it");
        assert!(greetings.get(&options("ben"), "Hello").is_none());
        assert!(greetings.get(&ana, "Good morning").is_none());
    }

    #[test]
    fn what_was_not_wanted_for_longest_gives_way() {
        let (greetings, ana) = (Greetings::default(), options("ana"));
        for text in ["one", "two", "three", "four"] {
            greetings.put(&ana, text, greeting(SAMPLES_MAX / 4));
        }
        assert!(greetings.get(&ana, "one").is_some());
        greetings.put(&ana, "five", greeting(SAMPLES_MAX / 4));
        greetings.put(&ana, "five", greeting(SAMPLES_MAX / 4));
        let kept: Vec<&str> =
            ["one", "two", "three", "four", "five"].into_iter().filter(|text| greetings.get(&ana, text).is_some()).collect();
        assert_eq!(kept, ["one", "three", "four", "five"]);
        greetings.put(&ana, "endless", greeting(SAMPLES_MAX + 1));
        assert!(greetings.get(&ana, "endless").is_none());
    }

    #[test]
    fn single_callers_texts_push_one_another_out() {
        let (greetings, ana) = (Greetings::default(), options("ana"));
        for number in 0..=HEARD_ONCE_MAX {
            assert!(!greetings.wants(&ana, &format!("Hello, caller {number}")));
        }
        assert!(!greetings.wants(&ana, "Hello, caller 0"), "forgotten");
        assert!(greetings.wants(&ana, "Hello, caller 9"));
    }

    #[test]
    fn a_text_that_is_too_long_is_not_taken() {
        let ana = options("ana");
        let most = vec![1; SECONDS_MAX * 24_000];
        let taken = Taken::default().with(&most, &ana);
        assert!(taken.as_ref().is_some_and(|taken| taken.0.len() == most.len()));
        assert!(taken.and_then(|taken| taken.with(&[1], &ana)).is_none());
    }
}
