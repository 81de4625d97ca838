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

/// A code as a caller or a transcript gives it ("k 7 m-2x9", "K, seven, M, two, X, nine"), brought into the form in which it
/// is stored. No word for a digit can be mistaken for letters of a code: each has one that the alphabet leaves out.
#[must_use]
pub fn normalise(code: &str) -> String {
    let words = code.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| spoken::digit_of(word).map_or_else(|| word.to_ascii_uppercase(), String::from)).collect()
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
        for code in [" k 7, m-2.x9 ", "K7M2X9", "K, Seven, M, two, X, nine", "k seven m2 x nine"] {
            assert_eq!(normalise(code), "K7M2X9", "{code}");
        }
    }
}
