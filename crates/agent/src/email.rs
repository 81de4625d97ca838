//! E-mail addresses: what a caller says, made into an address, and back into something that can be said.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::spoken::listen::{Piece, read};

/// RFC 5321 section 4.5.3.1: at most 64 characters before the `@`…
const LOCAL_MAX: usize = 64;
/// …and 254 in all, as the path is bounded.
const ADDRESS_MAX: usize = 254;

/// An address like `jay.doe@example.com`, in lower case. Debug prints `{redacted}`; it has no `Display`, so that it cannot slip into a
/// log.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

/// Why a text is no address. Does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmailError {
    /// No `@` ("at", "arroba"), or more than one.
    #[error("has not exactly one @ (\"at\")")]
    At,
    /// What stands before it is empty, too long, or holds something else than letters, digits and `._%+-`.
    #[error("has something before the @ that no address has")]
    Local,
    /// What stands after it is no name of a host like `example.com`.
    #[error("has no host like example.com after the @")]
    Host,
}

impl EmailAddress {
    /// Reads an address as it is written, or as it is said in English or Spanish: "jay dot doe at example dot com", "jota punto doe
    /// arroba ejemplo punto com". An opening ("my e-mail is") is passed over, and so is a full stop at the end.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let lower = text.trim().to_lowercase();
        let written = lower.split_whitespace().find(|word| word.contains('@'));
        match written {
            Some(word) if !is_spelt(&lower) => Self::checked(word.trim_matches(|c: char| ".,;:<>()\"'!?".contains(c))),
            _ => Self::checked(&assembled(&lower)),
        }
    }

    /// RFC 5321's addresses, less what nobody says on the telephone: quoted names, literal hosts, other scripts.
    fn checked(address: &str) -> Result<Self, EmailError> {
        let (local, host) = address.split_once('@').filter(|(_, host)| !host.contains('@')).ok_or(EmailError::At)?;
        let of_local = |c: char| c.is_ascii_alphanumeric() || "._%+-".contains(c);
        let dotted = |text: &str| text.split('.').all(|part| !part.is_empty());
        if local.len() > LOCAL_MAX || !local.chars().all(of_local) || !dotted(local) {
            return Err(EmailError::Local);
        }
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let labels: Vec<&str> = host.split('.').collect();
        let top = labels.last().copied().unwrap_or_default();
        let is_top = top.len() >= 2 && top.chars().all(|c| c.is_ascii_alphabetic());
        if labels.len() < 2 || !is_top || !labels.into_iter().all(is_label) || address.len() > ADDRESS_MAX {
            return Err(EmailError::Host);
        }
        Ok(Self(address.to_lowercase()))
    }

    /// The address; personal data.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it is read back: "jay dot doe at example dot com".
    #[must_use]
    pub fn spoken(&self) -> String {
        let mut words = String::new();
        for c in self.0.chars() {
            let word = match c {
                '.' => "dot",
                '@' => "at",
                '_' => "underscore",
                '-' => "hyphen",
                '+' => "plus",
                '%' => "percent",
                c if c.is_ascii_digit() => crate::spoken::digit(c),
                letter => {
                    words.push(letter);
                    continue;
                }
            };
            words.push(' ');
            words.push_str(word);
            words.push(' ');
        }
        words.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The first letter and the host: `j****@example.com`.
    #[must_use]
    pub fn masked(&self) -> String {
        let (local, host) = self.0.split_once('@').unwrap_or((&self.0, ""));
        format!("{}****@{host}", local.chars().next().unwrap_or('*'))
    }
}

/// Whether it is said word for word although an `@` stands in it, as recognisers write it: "jay dot doe @ example dot com".
fn is_spelt(lower: &str) -> bool {
    lower.split_whitespace().any(|word| matches!(word, "dot" | "punto" | "@"))
}

/// What was said, put together without blanks. Of several "at" the last one counts: "reach me at jay at example dot com".
fn assembled(lower: &str) -> String {
    let words = lower.split_whitespace().map(|word| word.trim_matches(|c: char| ",;:!?".contains(c)));
    // "Eighty-one" is a number, "my-clinic" a name.
    let is_number = |word: &str| matches!(read(word, None), (Piece::Digits(_), _));
    let parts = |word: &'_ str| word.contains('-') && word.split('-').all(is_number);
    let words: Vec<&str> = words.flat_map(|word| if parts(word) { word.split('-').collect() } else { vec![word] }).collect();
    let is_at = |word: &&str| matches!(*word, "at" | "arroba" | "@");
    let from = opening(&words);
    let words = &words[from..];
    let at = words.iter().rposition(is_at);
    let mut address = String::new();
    let mut number = 0;
    while let Some(word) = words.get(number) {
        let next = words.get(number + 1).copied();
        let mut taken = 1;
        match *word {
            _ if Some(number) == at => address.push('@'),
            // An earlier one belonged to the sentence around the address.
            "at" | "arroba" | "@" => address.clear(),
            "dot" | "punto" | "point" | "period" => address.push('.'),
            "underscore" => address.push('_'),
            "guion" | "guión" if next == Some("bajo") => {
                address.push('_');
                taken = 2;
            }
            "dash" | "hyphen" | "minus" | "guion" | "guión" => address.push('-'),
            "plus" => address.push('+'),
            plain => match read(plain, next) {
                (Piece::Digits(digits), used) => {
                    address.push_str(&digits);
                    taken = used;
                }
                (Piece::Word(word), _) => address.push_str(&crate::spoken::spanish::plain(&word)),
            },
        }
        number += taken;
    }
    address.trim_matches('.').to_string()
}

/// How many words open the sentence: "my e-mail is", "it's", "mi correo es".
fn opening(words: &[&str]) -> usize {
    let last = words.iter().take(6).rposition(|word| matches!(*word, "is" | "it's" | "its" | "es" | "address"));
    last.map_or(0, |at| at + 1)
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{redacted}")
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = EmailError;

    /// Only takes an address as it is written.
    fn try_from(text: String) -> Result<Self, EmailError> {
        Self::checked(&text)
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_callers_say_becomes_an_address() {
        for (said, address) in [
            ("jay dot doe at example dot com", "jay.doe@example.com"),
            ("My e-mail is Jay dot Doe at example dot com.", "jay.doe@example.com"),
            ("it's j d o e eighty-one at g mail dot com", "jdoe81@gmail.com"),
            ("jay underscore doe at my hyphen clinic dot co dot uk", "jay_doe@my-clinic.co.uk"),
            ("mi correo es ana punto lópez arroba ejemplo punto com", "ana.lopez@ejemplo.com"),
            ("ana guion bajo lopez arroba ejemplo punto es", "ana_lopez@ejemplo.es"),
            ("you can reach me at jay at example dot com", "jay@example.com"),
            ("jay dot doe @ example dot com", "jay.doe@example.com"),
            ("Jay.Doe@Example.com.", "jay.doe@example.com"),
            ("write to <jay+clinic@example.com>, please", "jay+clinic@example.com"),
        ] {
            assert_eq!(EmailAddress::parse(said).map(String::from).as_deref(), Ok(address), "{said}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (said, error) in [
            ("jay dot doe", EmailError::At),
            ("", EmailError::At),
            ("at example dot com", EmailError::Local),
            ("jay at example", EmailError::Host),
            ("jay at example dot c", EmailError::Host),
            ("jay..doe@example.com", EmailError::Local),
            ("a@b@example.com", EmailError::At),
            ("josé@example.com", EmailError::Local),
        ] {
            assert_eq!(EmailAddress::parse(said), Err(error), "{said}");
        }
    }

    #[test]
    fn read_back_masked_and_hidden() {
        let address = EmailAddress::parse("j.doe_81@my-clinic.com").unwrap();
        assert_eq!(address.spoken(), "j dot doe underscore eight one at my hyphen clinic dot com");
        assert_eq!((address.masked(), format!("{address:?}")), ("j****@my-clinic.com".into(), "{redacted}".into()));
    }

    proptest! {
        #[test]
        fn what_is_read_back_is_the_same_address(local in "[a-z]{3,8}(\\.[a-z]{3,8})?", host in "[a-z]{3,9}\\.com") {
            let address = EmailAddress::parse(&format!("{local}@{host}")).unwrap();
            // Letters that happen to spell a word of the grammar would be read as that word.
            let said = address.spoken();
            let is_plain = |word: &str| !["dash", "minus", "plus", "point", "period", "punto", "guion", "its", "one"].contains(&word);
            prop_assume!(local.split('.').chain(host.split('.')).all(|word| is_plain(word) && matches!(read(word, None), (Piece::Word(_), _))));
            prop_assert_eq!(EmailAddress::parse(&said).unwrap(), address);
        }

        #[test]
        fn reading_never_panics(text in "\\PC{0,40}") {
            if let Ok(address) = EmailAddress::parse(&text) {
                prop_assert_eq!(EmailAddress::parse(address.as_str()).unwrap(), address);
            }
        }
    }
}
