//! Spanish numbers and dates: as callers say them, and as words.

mod say;

use frontdesk_conversation::fields::MONTHS;

use super::SPANISH_CARDINALS;
pub use say::{at, code, date, date_with_year, digits, email, from, list, minutes, moment, money, time, weekday};

const TENS: [&str; 7] = ["treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa"];
const HUNDREDS: [&str; 9] =
    ["ciento", "doscientos", "trescientos", "cuatrocientos", "quinientos", "seiscientos", "setecientos", "ochocientos", "novecientos"];
/// Number words that are English words as well.
const EITHER: [&str; 1] = ["once"];

/// Without the accents of Spanish, which recognisers drop now and then, and addresses always.
#[must_use]
pub fn plain(word: &str) -> String {
    let fold = |c: char| match c {
        'á' => 'a',
        'é' => 'e',
        'í' => 'i',
        'ó' => 'o',
        'ú' | 'ü' => 'u',
        'ñ' => 'n',
        other => other,
    };
    word.chars().map(fold).collect()
}

/// Where a word stands in a list, whatever accents either has.
#[must_use]
pub fn position(list: &[&str], word: &str) -> Option<u32> {
    let word = plain(word);
    list.iter().position(|known| plain(known) == word).and_then(|at| u32::try_from(at).ok())
}

/// Zero to twenty-nine, short forms and "primero" included.
fn ones(word: &str) -> Option<u32> {
    match word {
        "un" | "una" | "primero" | "primer" => Some(1),
        _ => position(&SPANISH_CARDINALS, word),
    }
}

/// A number below a thousand at the beginning, and how many words it takes.
fn below_thousand(words: &[String]) -> Option<(u32, usize)> {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let hundreds = if word(0) == "cien" { Some(100) } else { position(&HUNDREDS, word(0)).map(|at| (at + 1) * 100) };
    let from = usize::from(hundreds.is_some());
    let rest = if let Some(tens) = position(&TENS, word(from)).map(|at| (at + 3) * 10) {
        match (word(from + 1), ones(word(from + 2))) {
            ("y", Some(unit @ 1..=9)) => Some((tens + unit, 3)),
            _ => Some((tens, 1)),
        }
    } else {
        ones(word(from)).filter(|value| *value > 0 || hundreds.is_none()).map(|value| (value, 1))
    };
    match (hundreds, rest) {
        (None, None) => None,
        (hundreds, rest) => {
            let (value, taken) = rest.unwrap_or((0, 0));
            Some((hundreds.unwrap_or(0) + value, from + taken))
        }
    }
}

/// A number below ten thousand at the beginning, and how many words it takes.
fn number(words: &[String]) -> Option<(u32, usize)> {
    let (thousands, taken) = if words.first()? == "mil" {
        (1, 1)
    } else {
        let (value, taken) = below_thousand(words)?;
        if words.get(taken).is_none_or(|word| word != "mil") || !(2..=9).contains(&value) {
            return Some((value, taken));
        }
        (value, taken + 1)
    };
    let (rest, more) = below_thousand(&words[taken..]).unwrap_or((0, 0));
    Some((thousands * 1000 + rest, taken + more))
}

/// Whether words (lower case) are Spanish, as far as numbers and dates tell.
fn is_spoken_in(words: &[String]) -> bool {
    let is_month = |word: &str| MONTHS.iter().any(|(_, month)| *month == word);
    let is_number = |word: &str| ones(word).is_some() || [&TENS[..], &HUNDREDS].iter().any(|list| position(list, word).is_some());
    let is_spanish = |word: &str| matches!(word, "cien" | "mil" | "del") || is_month(word) || is_number(word);
    words.iter().any(|word| !EITHER.contains(&word.as_str()) && is_spanish(word))
}

/// The words (lower case) with Spanish numbers as digits and "doble" as the English word; words of another language as they are.
pub(super) fn with_digits(words: Vec<String>) -> Vec<String> {
    if !is_spoken_in(&words) {
        return words;
    }
    let mut read = Vec::with_capacity(words.len());
    let mut rest = words.as_slice();
    while let Some(first) = rest.first() {
        let taken = match (first.as_str(), number(rest)) {
            (_, Some((value, taken))) => {
                read.push(value.to_string());
                taken
            }
            ("doble", None) => {
                read.push("double".into());
                1
            }
            (other, None) => {
                read.push(other.into());
                1
            }
        };
        rest = &rest[taken..];
    }
    read
}

/// A cardinal below ten thousand in words; digits from there on.
#[must_use]
pub fn cardinal(n: u32) -> String {
    let at = |list: &[&str], at: u32| list[at as usize].to_string();
    let joined = |head: String, rest: u32| if rest == 0 { head } else { format!("{head} {}", cardinal(rest)) };
    match n {
        0..=29 => at(&SPANISH_CARDINALS, n),
        30..=99 if n.is_multiple_of(10) => at(&TENS, n / 10 - 3),
        30..=99 => format!("{} y {}", at(&TENS, n / 10 - 3), at(&SPANISH_CARDINALS, n % 10)),
        100 => "cien".into(),
        101..=999 => joined(at(&HUNDREDS, n / 100 - 1), n % 100),
        1000..=1999 => joined("mil".into(), n % 1000),
        2000..=9999 => joined(format!("{} mil", at(&SPANISH_CARDINALS, n / 1000)), n % 1000),
        _ => n.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        with_digits(text.split(' ').map(String::from).collect()).join(" ")
    }

    #[test]
    fn numbers_are_read_and_other_languages_left_alone() {
        for (said, digits) in [
            ("tres de mayo de mil novecientos ochenta y uno", "3 de mayo de 1981"),
            ("primero de enero de dos mil cinco", "1 de enero de 2005"),
            ("treinta y uno de marzo del noventa", "31 de marzo del 90"),
            ("dos cero dos cincuenta y cinco doble cuatro", "2 0 2 55 double 4"),
            ("dieciseis veintidos ciento tres", "16 22 103"),
            ("i was there once", "i was there once"),
            ("two oh two", "two oh two"),
        ] {
            assert_eq!(read(said), digits, "{said}");
        }
    }

    #[test]
    fn what_is_said_is_read_again() {
        for n in (0..10_000).filter(|n| *n != 11) {
            assert_eq!(read(&cardinal(n)), n.to_string(), "{}", cardinal(n));
        }
        assert_eq!(read("once"), "once", "it may be English");
    }
}
