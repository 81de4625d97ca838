//! Numbers as they are heard: spoken as words and in groups (`five five five`, `nineteen eighty-four`, `double oh`), or written.

use super::number::{CARDINALS, ORDINALS};

/// One piece of what was said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A word, in lower case.
    Word(String),
    /// A number, as digits.
    Digits(String),
}

/// The text with its number words as digits, for what is to be read as a number: "two oh two, double five" gives "20255". Text
/// without letters is left as it is, and words that are no numbers stay.
#[must_use]
pub fn digits_in(text: &str) -> String {
    if !text.chars().any(char::is_alphabetic) {
        return text.to_string();
    }
    let tokens = super::spanish::with_digits(tokens(text));
    let mut rest = tokens.as_slice();
    let mut digits = String::new();
    if rest.first().is_some_and(|first| first == "plus") {
        rest = &rest[1..];
        digits.push('+');
    } else if text.trim_start().starts_with('+') {
        digits.push('+');
    }
    while let Some(first) = rest.first() {
        let (piece, taken) = read(first, rest.get(1).map(String::as_str));
        match piece {
            Piece::Digits(number) => digits.push_str(&number),
            Piece::Word(word) => {
                digits.push(' ');
                digits.push_str(&word);
                digits.push(' ');
            }
        }
        rest = &rest[taken..];
    }
    digits.trim().to_string()
}

/// Lower-case runs of letters and of digits; `23rd` gives `23`, `O'Neil` gives `oneil`.
pub(crate) fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut last = None;
    for c in text.to_lowercase().chars().filter(|c| !matches!(c, '\'' | '’')) {
        let kind = if c.is_ascii_digit() { Some(true) } else { c.is_alphanumeric().then_some(false) };
        match (kind, last, tokens.last_mut()) {
            (None, _, _) => {}
            (Some(_), _, Some(token)) if kind == last => token.push(c),
            (Some(_), _, _) => tokens.push(c.into()),
        }
        last = kind;
    }
    let ordinal =
        |pair: &[String]| pair[0].ends_with(|c: char| c.is_ascii_digit()) && matches!(pair[1].as_str(), "st" | "nd" | "rd" | "th");
    let endings: Vec<usize> = tokens.windows(2).enumerate().filter(|(_, pair)| ordinal(pair)).map(|(at, _)| at + 1).collect();
    for at in endings.into_iter().rev() {
        tokens.remove(at);
    }
    tokens
}

/// Reads one piece; says how many tokens it took.
pub(crate) fn read(first: &str, second: Option<&str>) -> (Piece, usize) {
    if first.chars().all(|c| c.is_ascii_digit()) {
        return (Piece::Digits(first.into()), 1);
    }
    let times = match first {
        "double" => 2,
        "triple" => 3,
        _ => 1,
    };
    if times > 1
        && let Some(digit) = second.and_then(|word| if word.len() == 1 { word.parse().ok() } else { unit(word) })
    {
        return (Piece::Digits(digit.to_string().repeat(times)), 2);
    }
    if let Some(tens) = tens(first) {
        // "Twenty ten" are two numbers.
        return match second.and_then(unit).filter(|unit| (1..=9).contains(unit)) {
            Some(unit) => (Piece::Digits((tens + unit).to_string()), 2),
            None => (Piece::Digits(tens.to_string()), 1),
        };
    }
    match unit(first) {
        Some(number) => (Piece::Digits(number.to_string()), 1),
        None => (Piece::Word(first.into()), 1),
    }
}

/// Zero to nineteen, cardinal or ordinal; `oh` is a spoken zero.
fn unit(word: &str) -> Option<u32> {
    let at = CARDINALS.iter().position(|known| *known == word).or_else(|| ORDINALS.iter().position(|known| *known == word));
    at.and_then(|at| u32::try_from(at).ok()).or_else(|| (word == "oh").then_some(0))
}

fn tens(word: &str) -> Option<u32> {
    const TENS: [(&str, &str); 8] = [
        ("twenty", "twentieth"),
        ("thirty", "thirtieth"),
        ("forty", "fortieth"),
        ("fifty", "fiftieth"),
        ("sixty", "sixtieth"),
        ("seventy", "seventieth"),
        ("eighty", "eightieth"),
        ("ninety", "ninetieth"),
    ];
    let at = TENS.iter().position(|(cardinal, ordinal)| *cardinal == word || *ordinal == word)?;
    u32::try_from((at + 2) * 10).ok()
}

#[cfg(test)]
mod tests {
    use super::digits_in;

    #[test]
    fn number_words_become_digits() {
        for (said, digits) in [
            ("two oh two five five five zero one four three", "2025550143"),
            ("two zero two, double five five, oh one forty three", "2025550143"),
            ("plus forty nine thirty", "+4930"),
            ("+1 (202) 555-0143", "+1 (202) 555-0143"),
            ("dos cero dos", "202"),
            ("dos cero dos, cincuenta y cinco, doble cero, uno cuarenta y tres", "2025500143"),
            ("twenty ten", "2010"),
            ("12 Main Street", "12 main  street"),
        ] {
            assert_eq!(digits_in(said), digits, "{said}");
        }
    }
}
