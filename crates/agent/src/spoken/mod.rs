//! English words for what a synthesiser would otherwise guess at: numbers, dates, times, codes, money; and numbers and dates as callers
//! say them, in English and Spanish.

mod birth;
pub(crate) mod listen;
mod moment;
mod number;
pub mod spanish;

pub use birth::{Customs, DateOrder, date_of_birth, date_with_year, year};
pub use listen::digits_in;
pub use moment::{date, moment, time, weekday};
pub use number::{CARDINALS, ORDINALS, SPANISH_CARDINALS, cardinal, ordinal};

/// A digit as a word; any other character as it is.
#[must_use]
pub fn digit(c: char) -> &'static str {
    c.to_digit(10).map_or("", |value| CARDINALS[value as usize])
}

/// The digit that a word names, in any case: "seven" is '7'.
#[must_use]
pub fn digit_of(word: &str) -> Option<char> {
    (b'0'..).zip(&CARDINALS[..10]).find(|(_, name)| name.eq_ignore_ascii_case(word)).map(|(digit, _)| char::from(digit))
}

/// The same for a Spanish word.
#[must_use]
pub fn spanish_digit_of(word: &str) -> Option<char> {
    (b'0'..).zip(&SPANISH_CARDINALS[..10]).find(|(_, name)| name.eq_ignore_ascii_case(word)).map(|(digit, _)| char::from(digit))
}

/// A code, character by character: "K, seven, M".
#[must_use]
pub fn code(code: &str) -> String {
    let say = |c: char| if c.is_ascii_digit() { digit(c).to_string() } else { c.to_ascii_uppercase().to_string() };
    code.chars().map(say).collect::<Vec<_>>().join(", ")
}

/// A length of time: "thirty minutes", "one hour and fifteen minutes".
#[must_use]
pub fn minutes(minutes: u32) -> String {
    let unit = |count: u32, name: &str| format!("{} {name}{}", cardinal(count), if count == 1 { "" } else { "s" });
    match (minutes / 60, minutes % 60) {
        (0, rest) => unit(rest, "minute"),
        (hours, 0) => unit(hours, "hour"),
        (hours, rest) => format!("{} and {}", unit(hours, "hour"), unit(rest, "minute")),
    }
}

/// An amount: "twenty-five dollars", "twelve euros and fifty cents". `currency` is an ISO 4217 code; unknown ones are said as code.
#[must_use]
pub fn money(cents: u32, currency: &str) -> String {
    let (one, many, small_one, small_many) = match currency {
        "USD" | "CAD" | "AUD" => ("dollar", "dollars", "cent", "cents"),
        "EUR" => ("euro", "euros", "cent", "cents"),
        "GBP" => ("pound", "pounds", "penny", "pence"),
        other => (other, other, "hundredth", "hundredths"),
    };
    let say = |count: u32, one: &str, many: &str| format!("{} {}", cardinal(count), if count == 1 { one } else { many });
    match (cents / 100, cents % 100) {
        (0, small) if small > 0 => say(small, small_one, small_many),
        (whole, 0) => say(whole, one, many),
        (whole, small) => format!("{} and {}", say(whole, one, many), say(small, small_one, small_many)),
    }
}

/// A list in a sentence: "a, b and c".
#[must_use]
pub fn list<S: AsRef<str>>(items: &[S]) -> String {
    match items {
        [] => String::new(),
        [only] => only.as_ref().into(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lengths_amounts_and_lists() {
        assert_eq!(code("k7M"), "K, seven, M");
        assert_eq!(minutes(30), "thirty minutes");
        assert_eq!(minutes(1), "one minute");
        assert_eq!(minutes(60), "one hour");
        assert_eq!(minutes(135), "two hours and fifteen minutes");
        assert_eq!(money(2500, "USD"), "twenty-five dollars");
        assert_eq!(money(101, "GBP"), "one pound and one penny");
        assert_eq!(money(50, "EUR"), "fifty cents");
        assert_eq!(money(0, "USD"), "zero dollars");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list::<&str>(&[]), "");
    }
}
