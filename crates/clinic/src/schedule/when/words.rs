//! The words of a phrase about time, and the numbers among them, in English and Spanish.

use chrono::{NaiveDate, Weekday};
use frontdesk_agent::spoken::{CARDINALS, ORDINALS, SPANISH_CARDINALS, spanish};
use frontdesk_conversation::fields::MONTHS;

/// The words: lower case, without accents, punctuation or apostrophes. "a.m." is "am", "7pm" is two words, "9:30" is one.
#[derive(Debug)]
pub(super) struct Words(Vec<String>);

impl Words {
    pub(super) fn of(text: &str) -> Self {
        let mut text = spanish::plain(&text.to_lowercase().replace(['\'', '\u{2019}'], ""));
        for (written, word) in [("a.m", "am"), ("p.m", "pm"), ("a. m", "am"), ("p. m", "pm")] {
            text = text.replace(written, word);
        }
        let mut words = Vec::new();
        for piece in text.split_whitespace() {
            let bare = piece.trim_matches(|c: char| !c.is_alphanumeric());
            if bare.contains('/') || NaiveDate::parse_from_str(bare, "%Y-%m-%d").is_ok() {
                words.push(bare.to_owned());
            } else {
                split(bare, &mut words);
            }
        }
        Self(words)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, at: usize) -> &str {
        self.0.get(at).map_or("", String::as_str)
    }

    /// The length of the first of these phrases that stands at a position.
    pub(super) fn phrase(&self, at: usize, phrases: &[&str]) -> Option<usize> {
        phrases.iter().find_map(|phrase| {
            let length = phrase.split(' ').count();
            phrase.split(' ').enumerate().all(|(offset, word)| self.get(at + offset) == word).then_some(length)
        })
    }
}

/// Cuts at everything but letters, digits and the colon of a time; and between a number and "am", "pm" or "h".
fn split(piece: &str, words: &mut Vec<String>) {
    for part in piece.split(|c: char| !c.is_alphanumeric() && c != ':').map(|part| part.trim_matches(':')).filter(|part| !part.is_empty()) {
        let digits = part.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(part.len());
        let (number, unit) = part.split_at(digits);
        if !number.is_empty() && ["am", "pm", "h"].contains(&unit) {
            words.push(number.into());
            if unit != "h" {
                words.push(unit.into());
            }
        } else {
            words.push(part.into());
        }
    }
}

const TENS: [&str; 4] = ["twenty", "thirty", "forty", "fifty"];
const DECENAS: [&str; 3] = ["treinta", "cuarenta", "cincuenta"];
const WEEKDAYS: [(&str, &str, Weekday); 7] = [
    ("monday", "lunes", Weekday::Mon),
    ("tuesday", "martes", Weekday::Tue),
    ("wednesday", "miercoles", Weekday::Wed),
    ("thursday", "jueves", Weekday::Thu),
    ("friday", "viernes", Weekday::Fri),
    ("saturday", "sabado", Weekday::Sat),
    ("sunday", "domingo", Weekday::Sun),
];

fn position(list: &[&str], word: &str) -> Option<u32> {
    list.iter().position(|known| *known == word).and_then(|at| u32::try_from(at).ok())
}

impl Words {
    /// A number below a hundred at a position, in digits or words, and how many words it takes.
    pub(super) fn number(&self, at: usize) -> Option<(u32, usize)> {
        let word = self.get(at);
        if let Ok(value) = word.parse::<u32>() {
            return (value < 100).then_some((value, 1));
        }
        if let Some(tens) = position(&TENS, word) {
            let ones = position(&CARDINALS[..10], self.get(at + 1)).filter(|ones| *ones > 0);
            return Some(ones.map_or(((tens + 2) * 10, 1), |ones| ((tens + 2) * 10 + ones, 2)));
        }
        if let Some(tens) = position(&DECENAS, word) {
            let ones = (self.get(at + 1) == "y").then(|| spanish::position(&SPANISH_CARDINALS[..10], self.get(at + 2))).flatten();
            return Some(ones.map_or(((tens + 3) * 10, 1), |ones| ((tens + 3) * 10 + ones, 3)));
        }
        if ["un", "una"].contains(&word) {
            return Some((1, 1));
        }
        position(&CARDINALS, word).or_else(|| spanish::position(&SPANISH_CARDINALS, word)).map(|value| (value, 1))
    }

    /// How many: a number, or "a", "an", "a couple of".
    pub(super) fn count(&self, at: usize) -> Option<(u32, usize)> {
        if let Some(length) = self.phrase(at, &["a couple of", "couple of", "un par de"]) {
            return Some((2, length));
        }
        self.phrase(at, &["a", "an", "one"]).map(|length| (1, length)).or_else(|| self.number(at))
    }

    /// A day of the month as an ordinal at a position, and how many words it takes.
    pub(super) fn ordinal(&self, at: usize) -> Option<(u32, usize)> {
        let word = self.get(at);
        let simple = |word: &str| position(&ORDINALS[1..], word).map(|at| at + 1);
        if let Some(tens) = position(&TENS[..2], word)
            && let Some(ones) = simple(self.get(at + 1)).filter(|ones| *ones < 10)
        {
            return Some(((tens + 2) * 10 + ones, 2));
        }
        let written = ["st", "nd", "rd", "th"].iter().find_map(|ending| word.strip_suffix(ending)?.parse().ok());
        let other = match word {
            "twentieth" => Some(20),
            "thirtieth" => Some(30),
            "primero" => Some(1),
            _ => written,
        };
        simple(word).or(other).filter(|value| (1..=31).contains(value)).map(|value| (value, 1))
    }

    /// The month that a word names.
    pub(super) fn month(&self, at: usize) -> Option<u32> {
        let word = self.get(at);
        let is_named = |(english, spanish): &(&str, &str)| word == *english || word == *spanish || word == &english[..3];
        let number = MONTHS.iter().position(is_named).or((word == "sept").then_some(8))?;
        u32::try_from(number + 1).ok()
    }

    /// The day of the week that a word names, and whether in the plural.
    pub(super) fn weekday(&self, at: usize) -> Option<(Weekday, bool)> {
        let word = self.get(at);
        let is_plural = |name: &str| word.strip_suffix('s') == Some(name);
        WEEKDAYS.iter().find_map(|(english, spanish, weekday)| {
            if word == *english || word == *spanish {
                Some((*weekday, false))
            } else {
                (is_plural(english) || is_plural(spanish)).then_some((*weekday, true))
            }
        })
    }

    /// A year of four digits.
    pub(super) fn year(&self, at: usize) -> Option<i32> {
        self.get(at).parse().ok().filter(|year| (2000..2200).contains(year))
    }
}
