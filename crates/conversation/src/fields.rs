//! Fields that a caller says piece by piece: telephone numbers, dates of birth, member ids, spelled names.
//!
//! Whoever says a number pauses between its groups. While one is asked for, the caller's turn ends when the value is whole, or
//! when he has plainly stopped; not at each breath.

use serde::{Deserialize, Serialize};

use crate::backchannel::normalise;
use crate::config::FieldRule;

/// What a caller may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// A telephone number: whole with [`crate::config::Endpointing::phone_digits`] digits.
    Phone,
    /// A date of birth: whole with day, month and year.
    DateOfBirth,
    /// A member id of an insurance: digits and letters; nobody but the caller knows how many.
    MemberId,
    /// A name that is spelled letter by letter; nobody but the caller knows how long it is.
    SpelledName,
}

/// How much of a value was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing of it: the caller speaks of something else.
    Absent,
    /// A part, or one that may go on.
    Partial,
    /// All of it.
    Whole,
}

/// Which field the agent's words ask for, if any; the last that is named.
#[must_use]
pub(crate) fn asked_for(agent: &str, rules: &[FieldRule]) -> Option<FieldKind> {
    let agent = format!(" {} ", normalise(agent));
    let position = |phrase: &String| {
        let phrase = normalise(phrase);
        if phrase.is_empty() { None } else { agent.rfind(&format!(" {phrase} ")) }
    };
    let named = rules.iter().filter_map(|rule| rule.phrases.iter().filter_map(position).max().map(|at| (at, rule.field)));
    named.max_by_key(|(at, _)| *at).map(|(_, field)| field)
}

/// How much of a field's value is in the caller's words.
#[must_use]
pub(crate) fn progress(field: FieldKind, text: &str, phone_digits: usize) -> Progress {
    let text = normalise(text);
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    match field {
        FieldKind::Phone => match digits(&words) {
            // "I don't have one."
            0 | 1 => Progress::Absent,
            count if count >= phone_digits.max(1) => Progress::Whole,
            _ => Progress::Partial,
        },
        FieldKind::DateOfBirth => date(&words),
        FieldKind::MemberId => {
            if digits(&words) + letters(&words) > 0 {
                Progress::Partial
            } else {
                Progress::Absent
            }
        }
        FieldKind::SpelledName => {
            if letters(&words) > 0 {
                Progress::Partial
            } else {
                Progress::Absent
            }
        }
    }
}

/// How many digits a word stands for, and how often it makes the next one count.
fn digits_of(word: &str) -> Option<usize> {
    if word.chars().all(|c| c.is_ascii_digit()) {
        return Some(word.len());
    }
    let count = match word {
        "zero" | "oh" | "o" | "one" | "two" | "three" | "four" | "five" | "six" | "seven" | "eight" | "nine" => 1,
        "ten" | "eleven" | "twelve" | "thirteen" | "fourteen" | "fifteen" | "sixteen" | "seventeen" | "eighteen" | "nineteen" => 2,
        "cero" | "uno" | "dos" | "tres" | "cuatro" | "cinco" | "seis" | "siete" | "ocho" | "nueve" => 1,
        "diez" | "once" | "doce" | "trece" | "catorce" | "quince" | "dieciséis" | "diecisiete" | "dieciocho" | "diecinueve" => 2,
        "hundred" | "cien" | "ciento" => 2,
        "thousand" | "mil" => 3,
        _ if tens(word) => 2,
        _ => return None,
    };
    Some(count)
}

fn tens(word: &str) -> bool {
    const TENS: [&str; 16] = [
        "twenty",
        "thirty",
        "forty",
        "fifty",
        "sixty",
        "seventy",
        "eighty",
        "ninety",
        "veinte",
        "treinta",
        "cuarenta",
        "cincuenta",
        "sesenta",
        "setenta",
        "ochenta",
        "noventa",
    ];
    TENS.contains(&word)
}

/// The digits in words: "double five" counts twice, "fifty five" is one number of two digits.
fn digits(words: &[&str]) -> usize {
    let (mut count, mut times, mut after_tens) = (0, 1, false);
    for word in words {
        match *word {
            "double" | "doble" => times = 2,
            "triple" => times = 3,
            "y" if after_tens => continue,
            word => {
                let found = digits_of(word).unwrap_or(0);
                // "fifty five": the five takes the place of the nought.
                count += if after_tens && found == 1 && !word.starts_with(|c: char| c.is_ascii_digit()) { 0 } else { found * times };
                (times, after_tens) = (1, tens(word));
            }
        }
    }
    count
}

/// Letters that were said by themselves, "b" or "b as in bravo".
fn letters(words: &[&str]) -> usize {
    // Words of one letter that a sentence holds anyway.
    let spelled =
        |word: &&&str| word.chars().count() == 1 && word.chars().all(char::is_alphabetic) && !["i", "a", "y", "o"].contains(&&***word);
    words.iter().filter(spelled).count()
}

/// The months in English and Spanish, in lower case.
pub const MONTHS: [(&str, &str); 12] = [
    ("january", "enero"),
    ("february", "febrero"),
    ("march", "marzo"),
    ("april", "abril"),
    ("may", "mayo"),
    ("june", "junio"),
    ("july", "julio"),
    ("august", "agosto"),
    ("september", "septiembre"),
    ("october", "octubre"),
    ("november", "noviembre"),
    ("december", "diciembre"),
];

/// A date: a month by name with a day and a year, or six digits and more.
fn date(words: &[&str]) -> Progress {
    let named = words.iter().any(|word| MONTHS.iter().any(|(english, spanish)| english == word || spanish == word));
    let ordinals = words.iter().filter(|word| is_ordinal(word)).count();
    let numbers = digits(words) + ordinals;
    match (named, numbers) {
        (false, 0 | 1) if ordinals == 0 => Progress::Absent,
        (true, count) if count >= 3 => Progress::Whole,
        // Day and month may have one digit each, but a year that is said has two.
        (false, count) if count >= 6 => Progress::Whole,
        _ => Progress::Partial,
    }
}

fn is_ordinal(word: &str) -> bool {
    const ORDINALS: [&str; 14] = [
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
        "sixth",
        "seventh",
        "eighth",
        "ninth",
        "tenth",
        "twelfth",
        "twentieth",
        "thirtieth",
        "primero",
    ];
    let numeral = word.trim_end_matches(|c: char| c.is_alphabetic());
    let counted = !numeral.is_empty() && numeral.len() < word.len() && numeral.chars().all(|c| c.is_ascii_digit());
    counted || ORDINALS.contains(&word) || (word.ends_with("teenth") && word.len() > 6) || word == "eleventh"
}

#[cfg(test)]
mod tests {
    use super::{FieldKind, Progress, asked_for, digits, progress};
    use crate::config::Endpointing;

    #[test]
    fn digits_are_counted_as_they_are_said() {
        for (text, count) in [
            ("five five five", 3),
            ("double five oh one", 4),
            ("fifty five twelve", 4),
            ("555 013 4567", 10),
            ("cincuenta y cinco", 2),
            ("nineteen eighty one", 4),
            ("my number is", 0),
        ] {
            assert_eq!(digits(&text.split(' ').collect::<Vec<_>>()), count, "{text}");
        }
    }

    #[test]
    fn a_value_is_whole_when_all_of_it_was_said() {
        use FieldKind::{DateOfBirth, MemberId, Phone, SpelledName};
        for (field, text, expected) in [
            (Phone, "I don't have one.", Progress::Absent),
            (Phone, "Five five five, zero one three,", Progress::Partial),
            (Phone, "Five five five, zero one three, four five six seven.", Progress::Whole),
            (Phone, "It's 555-013-4567", Progress::Whole),
            (DateOfBirth, "why do you want one", Progress::Absent),
            (DateOfBirth, "the third of May", Progress::Partial),
            (DateOfBirth, "the third of May eighty-one", Progress::Whole),
            (DateOfBirth, "May 3rd, 1981", Progress::Whole),
            (DateOfBirth, "05/03/1981", Progress::Whole),
            (DateOfBirth, "el tres de mayo de mil novecientos", Progress::Whole),
            (MemberId, "A B seven", Progress::Partial),
            (SpelledName, "M I L L", Progress::Partial),
            (SpelledName, "it's a common name", Progress::Absent),
        ] {
            assert_eq!(progress(field, text, 10), expected, "{field:?} {text}");
        }
    }

    #[test]
    fn the_question_names_the_field() {
        let rules = Endpointing::default().fields;
        for (agent, field) in [
            ("Thank you. May I have your telephone number, with the area code?", Some(FieldKind::Phone)),
            ("And your date of birth?", Some(FieldKind::DateOfBirth)),
            ("Could you spell that for me?", Some(FieldKind::SpelledName)),
            ("I have your phone number. What is your date of birth?", Some(FieldKind::DateOfBirth)),
            ("How can I help you?", None),
        ] {
            assert_eq!(asked_for(agent, &rules), field, "{agent}");
        }
    }
}
