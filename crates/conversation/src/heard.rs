//! Which words of an utterance were heard when it was cut at a played position (invariant 4).

use std::time::Duration;

use crate::input::SpokenWord;

/// Speech of unknown length is taken to run at this rate: 15 characters a second, an unhurried English voice.
const MICROS_PER_CHAR: u64 = 1_000_000 / 15;

/// A guess at how long a text takes to say.
#[must_use]
pub(crate) fn estimated_duration(text: &str) -> Duration {
    Duration::from_micros(MICROS_PER_CHAR.saturating_mul(text.chars().count() as u64))
}

/// The words of `text` that ended at or before `played`.
///
/// Exact with the synthesiser's own word times (`words`); else a word's end is placed by its share of the characters in
/// `duration` (or in an estimate of it), which is right within one word for speech of an even pace.
#[must_use]
pub(crate) fn heard_words(text: &str, played: Duration, duration: Option<Duration>, words: &[SpokenWord]) -> String {
    let said: Vec<&str> = text.split_whitespace().collect();
    let count = if words.is_empty() {
        by_characters(&said, played, duration.unwrap_or_else(|| estimated_duration(text)))
    } else {
        let heard = words.iter().take_while(|word| word.end <= played).count();
        // The service may count words otherwise than we do ("9.30" as "nine thirty"): then take the same share of ours.
        if words.len() == said.len() { heard } else { said.len() * heard / words.len() }
    };
    said.into_iter().take(count).collect::<Vec<_>>().join(" ")
}

fn by_characters(said: &[&str], played: Duration, duration: Duration) -> usize {
    let total: u128 = said.iter().map(|word| word.chars().count() as u128 + 1).sum();
    let mut end = 0;
    said.iter()
        .take_while(|word| {
            end += word.chars().count() as u128 + 1;
            // end / total <= played / duration, without division; the last space is silence.
            (end - 1) * duration.as_micros() <= played.as_micros() * total
        })
        .count()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::heard_words;
    use crate::input::SpokenWord;

    const TEXT: &str = "Shall I book Tuesday at nine?";

    #[test]
    fn nothing_and_everything() {
        let whole = Duration::from_secs(2);
        assert_eq!(heard_words(TEXT, Duration::ZERO, Some(whole), &[]), "");
        assert_eq!(heard_words(TEXT, whole, Some(whole), &[]), TEXT);
        assert_eq!(heard_words("", whole, None, &[]), "");
    }

    #[test]
    fn word_times_are_exact() {
        let words: Vec<SpokenWord> = TEXT
            .split_whitespace()
            .zip([300, 400, 700, 1200, 1300, 1700])
            .map(|(text, ms)| SpokenWord { text: text.into(), end: Duration::from_millis(ms) })
            .collect();
        assert_eq!(heard_words(TEXT, Duration::from_millis(1299), None, &words), "Shall I book Tuesday");
        assert_eq!(heard_words(TEXT, Duration::from_millis(1300), None, &words), "Shall I book Tuesday at");
    }

    #[test]
    fn without_times_the_share_of_characters_counts() {
        let whole = Duration::from_millis(2900);
        assert_eq!(heard_words(TEXT, Duration::from_millis(1300), Some(whole), &[]), "Shall I book");
        assert_eq!(heard_words(TEXT, Duration::from_secs(60), None, &[]), TEXT);
    }
}
