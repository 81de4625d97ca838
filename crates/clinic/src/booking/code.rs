//! Confirmation codes that survive a telephone line.

use rand::seq::IndexedRandom;

use crate::spoken;

/// Letters and digits that are not mistaken for one another when spoken or written. Left out: B C D E G P T V Z (rhyme),
/// F S (alike on a narrow band), A J N (with H, K, M), I O U 0 1 (look alike), 5 (with 9), 8 (with H).
const ALPHABET: &[u8; 15] = b"234679HKLMQRWXY";
/// 15⁶ = 11.4 million codes; a code alone opens nothing, so it need not resist guessing by itself.
const LENGTH: usize = 6;

/// A random code.
pub(super) fn mint() -> String {
    let mut rng = rand::rng();
    (0..LENGTH).map(|_| char::from(*ALPHABET.choose(&mut rng).expect("the alphabet is not empty"))).collect()
}

/// Letters of the alphabet whose names are more than themselves.
const NAMES: [(&str, char); 13] = [
    ("double u", 'W'),
    ("doble u", 'W'),
    ("doble ve", 'W'),
    ("uve doble", 'W'),
    ("i griega", 'Y'),
    ("hache", 'H'),
    ("ka", 'K'),
    ("ele", 'L'),
    ("eme", 'M'),
    ("cu", 'Q'),
    ("erre", 'R'),
    ("equis", 'X'),
    ("ye", 'Y'),
];

/// A code as a caller or a transcript gives it ("k 7 m-2x9", "K, seven, M, two, X, nine", "ka, siete, eme, dos, equis, nueve"),
/// brought into the form in which it is stored. No word for a digit or letter can be mistaken for letters of a code: each has one
/// that the alphabet leaves out.
#[must_use]
pub fn normalise(code: &str) -> String {
    let lower = code.to_ascii_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let (mut rest, mut found) = (words.as_slice(), String::new());
    while let Some((first, others)) = rest.split_first() {
        let named = NAMES.iter().find_map(|(name, letter)| {
            let parts: Vec<&str> = name.split(' ').collect();
            rest.strip_prefix(parts.as_slice()).map(|others| (*letter, others))
        });
        if let Some((letter, others)) = named {
            found.push(letter);
            rest = others;
            continue;
        }
        let digit = spoken::digit_of(first).or_else(|| spoken::spanish_digit_of(first));
        found.push_str(&digit.map_or_else(|| first.to_ascii_uppercase(), String::from));
        rest = others;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_speakable_and_differ() {
        let codes: std::collections::HashSet<String> = (0..1000).map(|_| mint()).collect();
        assert!(codes.len() > 990);
        assert!(codes.iter().all(|code| code.len() == LENGTH && code.bytes().all(|byte| ALPHABET.contains(&byte))));
    }

    #[test]
    fn spelling_does_not_matter() {
        for code in [" k 7, m-2.x9 ", "K7M2X9", "K, Seven, M, two, X, nine", "k seven m2 x nine", "Ka, siete, eme, dos, equis, nueve."] {
            assert_eq!(normalise(code), "K7M2X9", "{code}");
        }
        assert_eq!(normalise("doble u, dos, i griega, cu, double-u, ye"), "W2YQWY");
        for (name, letter) in NAMES {
            let may_be_letters = name.bytes().filter(|byte| *byte != b' ').all(|byte| ALPHABET.contains(&byte.to_ascii_uppercase()));
            assert!(!may_be_letters && ALPHABET.contains(&(letter as u8)), "{name}");
        }
    }
}
