//! Backchannels: "mm-hm", "okay, right" — signs of listening that do not ask for the floor.

/// Lower case, without punctuation, single spaces; apostrophes within a word stay.
#[must_use]
pub(crate) fn normalise(text: &str) -> String {
    let lower = text.to_lowercase().replace('’', "'");
    let plain: String = lower.chars().map(|c| if c.is_alphanumeric() || c == '\'' { c } else { ' ' }).collect();
    plain.split_whitespace().map(|word| word.trim_matches('\'')).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Whether a text is made of nothing but the given phrases.
#[must_use]
pub(crate) fn is_backchannel(text: &str, phrases: &[String], words_max: usize) -> bool {
    let text = normalise(text);
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    if words.is_empty() || words.len() > words_max {
        return false;
    }
    // reachable[i]: the first i words are a sequence of phrases.
    let mut reachable = vec![false; words.len() + 1];
    if let Some(first) = reachable.first_mut() {
        *first = true;
    }
    for start in 0..words.len() {
        if !reachable.get(start).copied().unwrap_or(false) {
            continue;
        }
        for phrase in phrases {
            let phrase = normalise(phrase);
            let parts: Vec<&str> = phrase.split(' ').filter(|word| !word.is_empty()).collect();
            let fits = !parts.is_empty() && words.get(start..start + parts.len()) == Some(parts.as_slice());
            if let (true, Some(end)) = (fits, reachable.get_mut(start + parts.len())) {
                *end = true;
            }
        }
    }
    reachable.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::{is_backchannel, normalise};
    use crate::config::Interruption;

    #[test]
    fn phrases_combine_and_punctuation_does_not_matter() {
        let Interruption { mut backchannels, backchannel_words_max: max, .. } = Interruption::default();
        let phrases = backchannels.remove("en").unwrap();
        for text in ["Mm-hm.", "Yeah, yeah.", "Okay, I see!", "UH-HUH", "got it"] {
            assert!(is_backchannel(text, &phrases, max), "{text}");
        }
        for text in ["", "...", "yes but no", "okay wait", "see", "yeah yeah yeah yeah yeah yeah yeah", "no"] {
            assert!(!is_backchannel(text, &phrases, max), "{text}");
        }
    }

    #[test]
    fn normal_form() {
        assert_eq!(normalise("  I’d  like, 'that' — NOW! "), "i'd like that now");
    }
}
