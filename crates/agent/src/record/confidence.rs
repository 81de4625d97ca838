//! How sure the recogniser was of a value: the value is looked for in the caller's words.
//!
//! Digits may have been spoken as words and in groups (`five five five`, `nineteen eighty-four`, `double oh`), and the recogniser
//! may write them either way, so both sides are brought to one form: lower-case words, and runs of single digits.

use frontdesk_conversation::HeardWord;

use crate::spoken::listen::{Piece, read, tokens};

/// A digit string is accepted without its first digits (a country code that was added) down to this length.
const DIGITS_MIN: usize = 6;

/// The caller's words in that form, with the confidence of each.
#[derive(Debug, Default)]
pub(super) struct Words {
    words: Vec<(String, f32)>,
    digits: Vec<(char, f32)>,
    /// Letters and digits in the order in which they were said, for what is spelt out.
    spelt: Vec<(char, f32)>,
}

impl Words {
    pub(super) fn new<'a>(heard: impl Iterator<Item = &'a HeardWord>) -> Self {
        let mut words = Self::default();
        let tokens: Vec<(String, f32)> =
            heard.flat_map(|word| tokens(&word.text).into_iter().map(|token| (token, word.confidence))).collect();
        let mut rest = tokens.as_slice();
        while let Some((first, _)) = rest.first() {
            let (piece, taken) = read(first, rest.get(1).map(|(token, _)| token.as_str()));
            let confidence = rest[..taken].iter().map(|(_, confidence)| *confidence).fold(f32::INFINITY, f32::min);
            // A number word is a word, too: `one moment` in a name must be found as it was said.
            words.words.extend(rest[..taken].iter().cloned());
            match piece {
                Piece::Digits(digits) => {
                    words.digits.extend(digits.chars().map(|digit| (digit, confidence)));
                    words.spelt.extend(digits.chars().map(|digit| (digit, confidence)));
                }
                Piece::Word(word) => words.spelt.extend(word.chars().map(|letter| (letter, confidence))),
            }
            rest = &rest[taken..];
        }
        words
    }

    /// The lowest confidence of the words that `value` came from, or `None` when they cannot be found.
    pub(super) fn confidence_of(&self, value: &str) -> Option<f32> {
        let tokens = tokens(value);
        if tokens.is_empty() {
            return None;
        }
        if tokens.iter().all(|token| token.chars().all(|c| c.is_ascii_digit())) {
            let digits: Vec<char> = tokens.concat().chars().collect();
            return self.digits(&digits);
        }
        let whole = last_run(&self.words, &tokens, |word, token| word == token);
        whole.or_else(|| self.piecewise(&tokens)).or_else(|| self.spelt(&tokens.concat()))
    }

    /// A code of letters and digits, said character by character. A name is not looked for so: it could lie within any word.
    fn spelt(&self, code: &str) -> Option<f32> {
        let characters: Vec<char> = code.chars().collect();
        let is_code = characters.iter().any(char::is_ascii_digit);
        is_code.then(|| last_run(&self.spelt, &characters, |heard, wanted| heard == wanted)).flatten()
    }

    fn digits(&self, digits: &[char]) -> Option<f32> {
        let shortest = DIGITS_MIN.min(digits.len());
        (0..=digits.len() - shortest).find_map(|skip| last_run(&self.digits, &digits[skip..], |heard, digit| heard == digit))
    }

    /// Every token somewhere: the value was said in several goes.
    fn piecewise(&self, tokens: &[String]) -> Option<f32> {
        let mut lowest = f32::INFINITY;
        let mut rest = tokens;
        while let Some(first) = rest.first() {
            let (piece, taken) = read(first, rest.get(1).map(String::as_str));
            let found = match piece {
                Piece::Digits(digits) => last_run(&self.digits, &digits.chars().collect::<Vec<_>>(), |heard, digit| heard == digit),
                Piece::Word(word) => last_run(&self.words, &[word], |heard, word| heard == word),
            };
            lowest = lowest.min(found?);
            rest = &rest[taken..];
        }
        Some(lowest)
    }
}

/// The lowest confidence of the last place where `wanted` follows one another.
fn last_run<T, W>(heard: &[(T, f32)], wanted: &[W], same: impl Fn(&T, &W) -> bool) -> Option<f32> {
    let fits = |window: &&[(T, f32)]| window.iter().zip(wanted).all(|((heard, _), wanted)| same(heard, wanted));
    let run = heard.windows(wanted.len().max(1)).rev().find(fits)?;
    run.iter().map(|(_, confidence)| *confidence).reduce(f32::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use frontdesk_conversation::CallTime;

    fn heard(text: &str) -> Words {
        // The n-th word has the confidence 0.99 - n/100.
        let words: Vec<HeardWord> = text
            .split_whitespace()
            .enumerate()
            .map(|(n, word)| HeardWord {
                text: word.into(),
                start: CallTime::ZERO,
                end: CallTime::ZERO,
                confidence: 0.99 - n as f32 / 100.0,
            })
            .collect();
        Words::new(words.iter())
    }

    fn percent(words: &Words, value: &str) -> Option<i32> {
        words.confidence_of(value).map(|confidence| (confidence * 100.0).round() as i32)
    }

    #[test]
    fn names_are_found_whatever_their_writing() {
        let words = heard("My name is Mary-Jane O'Neil, yes.");
        assert_eq!(percent(&words, "mary jane oneil"), Some(95));
        assert_eq!(percent(&words, "Mary-Jane"), Some(96));
        assert_eq!(percent(&words, "Ada"), None);
        assert_eq!(percent(&words, ""), None);
    }

    #[test]
    fn the_last_mention_counts() {
        assert_eq!(percent(&heard("Smith no Smyth I mean Smith"), "Smith"), Some(94));
    }

    #[test]
    fn digits_are_found_spoken_or_written() {
        let spoken = heard("it is five five five oh one double zero uh twenty three");
        assert_eq!(percent(&spoken, "555 0100 23"), Some(88));
        let written = heard("it is 555-0100 23");
        assert_eq!(percent(&written, "+1 555 010023"), Some(96));
        assert_eq!(percent(&written, "+1 555 010024"), None);
        assert_eq!(percent(&written, "555"), Some(97));
    }

    #[test]
    fn codes_are_found_when_spelt_out() {
        let spelt = heard("my code is K seven M for sure double four Q X");
        assert_eq!(percent(&spelt, "44-QX"), Some(88));
        assert_eq!(percent(&heard("it is K seven M four Q X"), "K7M-4QX"), Some(92));
        assert_eq!(percent(&heard("it is K7M 4QX"), "K7M4QX"), Some(96));
        assert_eq!(percent(&heard("canada"), "Ada"), None);
    }

    #[test]
    fn dates_are_found() {
        let words = heard("the third of May nineteen eighty four");
        assert_eq!(percent(&words, "3 May 1984"), Some(93));
        assert_eq!(percent(&heard("May 3rd, 1984"), "May 3 1984"), Some(97));
        assert_eq!(percent(&heard("May twenty third"), "May 23"), Some(97));
    }
}
