//! Numbers that no clinic needs from a call, taken out of free text before it is stored or shown.

use frontdesk_agent::spoken;

/// Digits of a social security number.
const DIGITS: usize = 9;
/// In a row with other lengths they are a telephone number or an account.
const GROUPS: [usize; 3] = [3, 2, 4];

/// The text with everything that looks like a social security number as `***-**-1234`: nine digits in a row or in groups of three, two
/// and four, also as words ("one two three, four five, …"), in English and Spanish. Shorter and longer rows of digits stay.
#[must_use]
pub fn social_security(text: &str) -> String {
    let digits = digits(text);
    let mut masked = String::with_capacity(text.len());
    let mut written = 0;
    let mut at = 0;
    while at < digits.len() {
        let row = row(text, &digits[at..]);
        let found = &digits[at..at + row];
        at += row;
        let count: usize = found.iter().map(|piece| piece.digits.len()).sum();
        let lengths: Vec<usize> = found.iter().map(|piece| piece.digits.len()).collect();
        let is_written = lengths == [DIGITS] || lengths == GROUPS || lengths.iter().all(|length| *length == 1);
        if let (true, Some(first), Some(last)) = (count == DIGITS && is_written, found.first(), found.last()) {
            let all: String = found.iter().map(|piece| piece.digits.as_str()).collect();
            masked.push_str(&text[written..first.start]);
            masked.push_str("***-**-");
            masked.push_str(&all[DIGITS - 4..]);
            written = last.end;
        }
    }
    masked.push_str(&text[written..]);
    masked
}

/// Digits that stand together, or a word that names one.
struct Piece {
    start: usize,
    end: usize,
    digits: String,
}

fn digits(text: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut start = 0;
    // Runs of letters and runs of digits; the end of the text closes the last.
    let kind = |c: char| if c.is_ascii_digit() { 1 } else { u8::from(c.is_alphabetic()) * 2 };
    let mut last = 0;
    for (at, c) in text.char_indices().map(|(at, c)| (at, kind(c))).chain([(text.len(), 0)]) {
        if c == last {
            continue;
        }
        let run = &text[start..at];
        let digits = match last {
            1 => Some(run.to_owned()),
            2 => named(run).map(String::from),
            _ => None,
        };
        pieces.extend(digits.map(|digits| Piece { start, end: at, digits }));
        (start, last) = (at, c);
    }
    pieces
}

fn named(word: &str) -> Option<char> {
    let oh = || word.eq_ignore_ascii_case("oh").then_some('0');
    spoken::digit_of(word).or_else(oh).or_else(|| spoken::spanish_digit_of(word))
}

/// How many pieces follow one another with nothing but separators between them.
fn row(text: &str, pieces: &[Piece]) -> usize {
    let joins = |pair: &[Piece]| text[pair[0].end..pair[1].start].chars().all(|c| c.is_whitespace() || "-–.,/".contains(c));
    1 + pieces.windows(2).take_while(|pair| joins(pair)).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::social_security;

    #[test]
    fn what_looks_like_one_is_masked_and_all_else_stays() {
        for (text, masked) in [
            ("SSN 123-45-6789.", "SSN ***-**-6789."),
            ("123 45 6789", "***-**-6789"),
            ("it is 123456789, yes", "it is ***-**-6789, yes"),
            ("one two three, four five, six seven eight nine", "***-**-6789"),
            ("uno dos tres cuatro cinco seis siete ocho nueve", "***-**-6789"),
            ("First 123-45-6789, then 987-65-4321", "First ***-**-6789, then ***-**-4321"),
            ("call 202-555-0143", "call 202-555-0143"),
            ("202 555 0143", "202 555 0143"),
            ("1234567890", "1234567890"),
            ("12-345-6789", "12-345-6789"),
            ("penicillin, 2 a day since 2019", "penicillin, 2 a day since 2019"),
            ("", ""),
        ] {
            assert_eq!(social_security(text), masked, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_but_numbers(text in "[a-zé ,.0-9-]{0,60}") {
            let masked = social_security(&text);
            let letters = |text: &str| text.chars().filter(|c| c.is_alphabetic()).collect::<String>();
            prop_assert_eq!(letters(&masked), letters(&text));
            prop_assert_eq!(social_security(&masked), masked);
        }
    }
}
