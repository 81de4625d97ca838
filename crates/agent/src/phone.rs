//! Telephone numbers: what a caller says, made into E.164, and back into something that can be said.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number in E.164: `+`, then 7 to 15 digits. Debug prints `{redacted}`; it has no `Display`, so that it cannot slip into a log.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PhoneNumber(String);

/// Why a text is no telephone number. Does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PhoneError {
    /// It holds something beside digits and the usual separators.
    #[error("holds something other than digits, '+', spaces and - ( ) . /")]
    NotDigits,
    /// In the country's numbering plan a number has another length; an area code may be missing.
    #[error("has {got} digits; expected {expected}, area code included")]
    WrongLength {
        /// Digits without country code.
        got: usize,
        /// What the plan expects.
        expected: &'static str,
    },
}

impl PhoneNumber {
    /// Reads a number as a caller gives it or a trunk sends it. Without `+` or `00` in front it is a national number of
    /// `country_calling_code` (digits only, "1" for North America), whose trunk prefix 0 is dropped.
    pub fn parse(text: &str, country_calling_code: &str) -> Result<Self, PhoneError> {
        let text = text.trim();
        let is_separator = |c: char| c.is_whitespace() || "-().\u{2011}/".contains(c);
        let (plus, rest) = text.strip_prefix('+').map_or((false, text), |rest| (true, rest));
        if rest.chars().any(|c| !c.is_ascii_digit() && !is_separator(c)) {
            return Err(PhoneError::NotDigits);
        }
        let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
        let international = if plus { Some(digits.as_str()) } else { digits.strip_prefix("00") };
        if let Some(international) = international {
            return match international.strip_prefix('1') {
                Some(national) => Self::north_american(national),
                None => Self::checked(international.into(), international.len()),
            };
        }
        if country_calling_code == "1" {
            let national = if digits.len() == 11 { digits.strip_prefix('1').unwrap_or(&digits) } else { &digits };
            return Self::north_american(national);
        }
        let national = digits.strip_prefix('0').unwrap_or(&digits);
        Self::checked(format!("{country_calling_code}{national}"), national.len())
    }

    /// The North American plan has ten digits and no exceptions.
    fn north_american(national: &str) -> Result<Self, PhoneError> {
        if national.len() == 10 {
            Ok(Self(format!("+1{national}")))
        } else {
            Err(PhoneError::WrongLength { got: national.len(), expected: "10" })
        }
    }

    fn checked(digits: String, national: usize) -> Result<Self, PhoneError> {
        let fits = (7..=15).contains(&digits.len()) && !digits.starts_with('0');
        if fits { Ok(Self(format!("+{digits}"))) } else { Err(PhoneError::WrongLength { got: national, expected: "7 to 15" }) }
    }

    /// The number in E.164; personal data.
    #[must_use]
    pub fn as_e164(&self) -> &str {
        &self.0
    }

    /// The digits as they are read back: in groups, without the country code where it is the caller's own.
    #[must_use]
    pub fn spoken(&self, country_calling_code: &str) -> String {
        let prefix = if self.is_of(country_calling_code) { "" } else { "plus " };
        let words = |group: &&str| group.chars().map(crate::spoken::digit).collect::<Vec<_>>().join(" ");
        format!("{prefix}{}", self.spoken_digits(country_calling_code).iter().map(words).collect::<Vec<_>>().join(", "))
    }

    /// The same groups as digits, for another language's words.
    #[must_use]
    pub fn spoken_digits(&self, country_calling_code: &str) -> Vec<&str> {
        let rest = self.national(country_calling_code).unwrap_or(&self.0[1..]);
        match rest.len() {
            10 => vec![&rest[..3], &rest[3..6], &rest[6..]],
            _ => rest.as_bytes().chunks(3).map(|chunk| std::str::from_utf8(chunk).unwrap_or_default()).collect(),
        }
    }

    /// Whether it is a number of this country; others are said with their country's code.
    #[must_use]
    pub fn is_of(&self, country_calling_code: &str) -> bool {
        self.national(country_calling_code).is_some()
    }

    /// The digits without the country code, where it is this one.
    fn national(&self, country_calling_code: &str) -> Option<&str> {
        self.0[1..].strip_prefix(country_calling_code).filter(|rest| rest.len() >= 7)
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{redacted}")
    }
}

impl TryFrom<String> for PhoneNumber {
    type Error = PhoneError;

    /// Only takes E.164 as it is.
    fn try_from(text: String) -> Result<Self, PhoneError> {
        let digits = text.strip_prefix('+').ok_or(PhoneError::NotDigits)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PhoneError::NotDigits);
        }
        Self::checked(digits.into(), digits.len())
    }
}

impl From<PhoneNumber> for String {
    fn from(number: PhoneNumber) -> Self {
        number.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn e164(text: &str, country: &str) -> Result<String, PhoneError> {
        PhoneNumber::parse(text, country).map(String::from)
    }

    #[test]
    fn what_callers_say_becomes_e164() {
        for (text, country, expected) in [
            ("(202) 555-0143", "1", "+12025550143"),
            ("1 202 555 0143", "1", "+12025550143"),
            ("+1 202.555.0143", "49", "+12025550143"),
            ("001 202 555 0143", "49", "+12025550143"),
            ("030 901820", "49", "+4930901820"),
            ("+49 30 901820", "1", "+4930901820"),
        ] {
            assert_eq!(e164(text, country).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert_eq!(e164("555-0143", "1"), Err(PhoneError::WrongLength { got: 7, expected: "10" }));
        assert_eq!(e164("five five five", "1"), Err(PhoneError::NotDigits));
        assert_eq!(e164("+1234", "49"), Err(PhoneError::WrongLength { got: 3, expected: "10" }));
        assert_eq!(e164("+", "1"), Err(PhoneError::WrongLength { got: 0, expected: "7 to 15" }));
        assert!(e164("", "1").is_err());
        assert!(e164("+0123456789", "1").is_err());
    }

    #[test]
    fn read_back_in_groups() {
        let number = PhoneNumber::parse("2025550143", "1").unwrap();
        assert_eq!(number.spoken("1"), "two zero two, five five five, zero one four three");
        assert_eq!(number.spoken("49"), "plus one two zero, two five five, five zero one, four three");
    }

    #[test]
    fn debug_hides_it() {
        assert_eq!(format!("{:?}", PhoneNumber::parse("2025550143", "1").unwrap()), "{redacted}");
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_is_idempotent(text in "\\PC{0,24}") {
            if let Ok(number) = PhoneNumber::parse(&text, "44") {
                prop_assert_eq!(PhoneNumber::parse(number.as_e164(), "1").unwrap(), number.clone());
                prop_assert_eq!(PhoneNumber::try_from(number.as_e164().to_string()).unwrap(), number);
            }
        }
    }
}
