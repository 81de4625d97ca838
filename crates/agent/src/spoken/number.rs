//! Numbers as English words.

/// Zero to nineteen.
pub const CARDINALS: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
/// The same as ordinals: "zeroth" to "nineteenth".
pub const ORDINALS: [&str; 20] = [
    "zeroth",
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
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
];
/// Zero to twenty-nine in Spanish, as they are written; [`super::spanish::plain`] takes the accents off.
pub const SPANISH_CARDINALS: [&str; 30] = [
    "cero",
    "uno",
    "dos",
    "tres",
    "cuatro",
    "cinco",
    "seis",
    "siete",
    "ocho",
    "nueve",
    "diez",
    "once",
    "doce",
    "trece",
    "catorce",
    "quince",
    "dieciséis",
    "diecisiete",
    "dieciocho",
    "diecinueve",
    "veinte",
    "veintiuno",
    "veintidós",
    "veintitrés",
    "veinticuatro",
    "veinticinco",
    "veintiséis",
    "veintisiete",
    "veintiocho",
    "veintinueve",
];
const TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// A cardinal: "twenty-five", "one hundred and two", "three thousand". From a million on, digits.
#[must_use]
pub fn cardinal(n: u32) -> String {
    let small = |n: u32| CARDINALS[n as usize];
    let tens = |n: u32| TENS[n as usize];
    match n {
        0..=19 => small(n).into(),
        20..=99 if n.is_multiple_of(10) => tens(n / 10).into(),
        20..=99 => format!("{}-{}", tens(n / 10), small(n % 10)),
        100..=999 if n.is_multiple_of(100) => format!("{} hundred", small(n / 100)),
        100..=999 => format!("{} hundred and {}", small(n / 100), cardinal(n % 100)),
        1000..=999_999 if n.is_multiple_of(1000) => format!("{} thousand", cardinal(n / 1000)),
        1000..=999_999 => format!("{} thousand {}", cardinal(n / 1000), cardinal(n % 1000)),
        _ => n.to_string(),
    }
}

/// An ordinal up to 99: "first", "twentieth", "thirty-first".
#[must_use]
pub fn ordinal(n: u32) -> String {
    let words = cardinal(n);
    let (head, last) = words.rsplit_once('-').map_or(("", words.as_str()), |(head, last)| (head, last));
    let last = match last {
        "one" => "first".to_string(),
        "two" => "second".to_string(),
        "three" => "third".to_string(),
        "five" => "fifth".to_string(),
        "eight" => "eighth".to_string(),
        "nine" => "ninth".to_string(),
        "twelve" => "twelfth".to_string(),
        tens if tens.ends_with('y') => format!("{}ieth", &tens[..tens.len() - 1]),
        other => format!("{other}th"),
    };
    if head.is_empty() { last } else { format!("{head}-{last}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cardinals() {
        for (n, words) in [
            (0, "zero"),
            (13, "thirteen"),
            (40, "forty"),
            (99, "ninety-nine"),
            (100, "one hundred"),
            (815, "eight hundred and fifteen"),
            (2000, "two thousand"),
            (12_345, "twelve thousand three hundred and forty-five"),
        ] {
            assert_eq!(cardinal(n), words);
        }
    }

    #[test]
    fn ordinals_of_a_month() {
        for (n, words) in
            [(1, "first"), (2, "second"), (3, "third"), (4, "fourth"), (5, "fifth"), (8, "eighth"), (9, "ninth"), (12, "twelfth")]
        {
            assert_eq!(ordinal(n), words);
        }
        assert_eq!(ordinal(20), "twentieth");
        assert_eq!(ordinal(22), "twenty-second");
        assert_eq!(ordinal(31), "thirty-first");
    }
}
