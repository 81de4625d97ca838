//! Digits and codes as they are spoken.

use std::ops::Range;

use frontdesk_agent::spoken::{CARDINALS, ORDINALS};

use super::words::Words;

/// Fewer digits are no telephone number.
const PHONE_DIGITS_MIN: usize = 7;
/// Letters and digits of a confirmation code.
const CODE_CHARS: usize = 6;

const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

fn position(list: &[&str], word: &str) -> Option<u32> {
    list.iter().position(|known| *known == word).and_then(|at| u32::try_from(at).ok())
}

/// One digit.
pub(super) fn digit(word: &str) -> Option<u32> {
    match word {
        "oh" | "o" | "nought" => Some(0),
        _ => position(&CARDINALS[..10], word),
    }
}

/// A number below a hundred at a position, and how many words it takes.
pub(super) fn number(words: &Words, at: usize) -> Option<(u32, usize)> {
    let word = words.get(at);
    if let Ok(value) = word.parse::<u32>() {
        return (value < 100).then_some((value, 1));
    }
    if let Some(tens) = position(&TENS, word) {
        let tens = (tens + 2) * 10;
        return Some(position(&CARDINALS[..10], words.get(at + 1)).filter(|ones| *ones > 0).map_or((tens, 1), |ones| (tens + ones, 2)));
    }
    let value = position(&CARDINALS, word)?;
    Some((value, 1))
}

/// An ordinal up to the thirty-first at a position, and how many words it takes.
pub(super) fn ordinal(words: &Words, at: usize) -> Option<(u32, usize)> {
    let word = words.get(at);
    let simple = |word: &str| position(&ORDINALS, word).filter(|value| *value > 0);
    if let Some(tens) = position(&TENS[..2], word)
        && let Some(ones) = simple(words.get(at + 1)).filter(|ones| *ones < 10)
    {
        return Some(((tens + 2) * 10 + ones, 2));
    }
    let written = ["st", "nd", "rd", "th"].iter().find_map(|ending| word.strip_suffix(ending)?.parse().ok());
    let round = match word {
        "twentieth" => Some(20),
        "thirtieth" => Some(30),
        _ => None,
    };
    simple(word).or(round).or(written).filter(|value| (1..=31).contains(value)).map(|value| (value, 1))
}

/// Digits that were said in a row.
#[derive(Debug, Default)]
struct Row {
    /// "+" stands before those that began with "plus".
    digits: String,
    /// The words from first to last.
    words: Range<usize>,
}

impl Row {
    fn count(&self) -> usize {
        self.digits.trim_start_matches('+').len()
    }
}

fn rows(words: &Words) -> Vec<Row> {
    let mut rows = vec![Row::default()];
    let mut at = 0;
    let mut times = 1;
    while at < words.list().len() {
        let word = words.get(at);
        let mut taken = 1;
        let digits = if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) {
            Some(word.to_owned())
        } else if let Some(digit) = digit(word) {
            Some(digit.to_string())
        } else {
            number(words, at).map(|(value, length)| {
                taken = length;
                value.to_string()
            })
        };
        match (word, digits, rows.last_mut()) {
            (_, Some(digits), Some(row)) => {
                if row.words.is_empty() {
                    row.words.start = at;
                }
                row.words.end = at + taken;
                row.digits.push_str(&digits.repeat(std::mem::replace(&mut times, 1)));
            }
            ("double", ..) => times = 2,
            ("triple", ..) => times = 3,
            ("area" | "code" | "dash" | "hyphen" | "extension" | "then", ..) => {}
            ("plus", ..) => rows.push(Row { digits: "+".into(), words: at..at + 1 }),
            _ => {
                times = 1;
                rows.push(Row::default());
            }
        }
        at += taken;
    }
    rows.retain(|row| row.count() > 0);
    rows
}

/// All digits that were said in a row, for each row.
pub(super) fn digit_rows(words: &Words) -> Vec<String> {
    rows(words).into_iter().map(|row| row.digits).collect()
}

/// The words without telephone numbers, which are full of hours.
pub(super) fn without_phone(words: &Words) -> Words {
    let rows = rows(words);
    let is_phone = |at: usize| rows.iter().any(|row| row.count() >= PHONE_DIGITS_MIN && row.words.contains(&at));
    // What stands on either side of a number does not belong together.
    words.replaced(|at| is_phone(at).then_some("…"))
}

/// A telephone number, if as many digits were said in a row: the last of them, because people correct themselves.
pub(super) fn phone(words: &Words) -> Option<String> {
    digit_rows(words).into_iter().rev().find(|row| row.trim_start_matches('+').len() >= PHONE_DIGITS_MIN)
}

/// A confirmation code that was spelt out or written.
pub(super) fn code(words: &Words) -> Option<String> {
    let mut best: Option<String> = None;
    let mut row = String::new();
    let mut skip = 0;
    let mut times = 1;
    let keep = |row: &mut String, best: &mut Option<String>| {
        let row = std::mem::take(row);
        if row.len() == CODE_CHARS {
            *best = Some(row.to_uppercase());
        }
    };
    for (at, word) in words.list().iter().enumerate() {
        if skip > 0 {
            skip -= 1;
            continue;
        }
        // "K as in kilo", "K for kilo".
        let explains = word == "as" || (word == "for" && words.before(at).len() == 1);
        let ascii = word.is_ascii();
        let piece = match digit(word).filter(|_| word != "o") {
            Some(digit) => Some(digit.to_string()),
            None if ascii && word.len() == 1 => Some(word.clone()),
            None if ascii && word.len() <= CODE_CHARS && word.bytes().any(|byte| byte.is_ascii_digit()) && !word.contains(':') => {
                Some(word.clone())
            }
            // A whole code of letters is told from a word by standing alone.
            None if ascii && word.len() == CODE_CHARS && words.list().len() == 1 => Some(word.clone()),
            None => None,
        };
        match piece {
            Some(piece) => row.push_str(&piece.repeat(std::mem::replace(&mut times, 1))),
            None if explains && !row.is_empty() => skip = if word == "as" { 2 } else { 1 },
            None if word == "double" => times = 2,
            None => keep(&mut row, &mut best),
        }
    }
    keep(&mut row, &mut best);
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ordinals_of_one_or_two_words() {
        let of = |text: &str| number(&Words::of(text), 0);
        assert_eq!((of("nine"), of("thirty"), of("forty-five"), of("12")), (Some((9, 1)), Some((30, 1)), Some((45, 2)), Some((12, 1))));
        assert_eq!((of("nina"), of("555")), (None, None));
        let of = |text: &str| ordinal(&Words::of(text), 0);
        assert_eq!(
            (of("first"), of("twenty-third"), of("thirtieth"), of("22nd")),
            (Some((1, 1)), Some((23, 2)), Some((30, 1)), Some((22, 1)))
        );
        assert_eq!((of("one"), of("0th"), of("last")), (None, None, None));
    }

    #[test]
    fn telephone_numbers_as_people_say_them() {
        for (text, expected) in [
            ("My number is five five five, zero one two, three four five six.", Some("5550123456")),
            ("It's 555-012-3456.", Some("5550123456")),
            ("(555) 012 3456, and my name is Ada", Some("5550123456")),
            ("Area code five five five, then oh one two, thirty-four fifty-six.", Some("5550123456")),
            ("plus one, double five five, zero one two, three four five six", Some("+15550123456")),
            ("five five five zero one two three, no, five five five zero one two nine", Some("5550129")),
            ("The second one, please.", None),
            ("five five five", None),
            ("(keypad) 5550123456", Some("5550123456")),
        ] {
            assert_eq!(phone(&Words::of(text)).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_surrounds_a_number_stays() {
        let left = without_phone(&Words::of("at 555-012-3456, on Monday at nine"));
        assert_eq!(left.list(), ["at", "…", "…", "…", "on", "monday", "at", "nine"]);
        assert_eq!(without_phone(&Words::of("at nine")), Words::of("at nine"));
    }

    #[test]
    fn codes_spelt_and_written() {
        for (text, expected) in [
            ("It is K, seven, M, two, X, nine.", Some("K7M2X9")),
            ("K7M2X9.", Some("K7M2X9")),
            ("K as in kilo seven M as in mike two X nine", Some("K7M2X9")),
            ("HKLMQR", Some("HKLMQR")),
            ("K double seven M two X", Some("K77M2X")),
            ("I do not have one.", None),
        ] {
            assert_eq!(code(&Words::of(text)).as_deref(), expected, "{text}");
        }
    }
}
