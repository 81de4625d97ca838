//! Why somebody wants to see what is masked: said in words, and kept in the audit log.

use std::fmt;
use std::str::FromStr;

use super::mask;

/// Shorter says nothing, longer belongs elsewhere.
const CHARS: std::ops::RangeInclusive<usize> = 3..=200;

/// A purpose, such as "complaint 4711, asked by Dr Okafor". Long numbers in it are masked, since the audit log holds no personal data;
/// names cannot be told from other words, so name none of patients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purpose(String);

/// Text that is no purpose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a purpose of 3 to 200 characters, which the audit log keeps; name no patient in it")]
pub struct NotAPurpose;

impl FromStr for Purpose {
    type Err = NotAPurpose;

    fn from_str(text: &str) -> Result<Self, NotAPurpose> {
        let text = mask::numbers(&text.split_whitespace().collect::<Vec<_>>().join(" "));
        if CHARS.contains(&text.chars().count()) { Ok(Self(text)) } else { Err(NotAPurpose) }
    }
}

impl Purpose {
    /// The words.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purpose_says_something_and_holds_no_number() {
        let purpose: Purpose = "  complaint 4711,\n called from 202-555-0143 ".parse().unwrap();
        assert_eq!(purpose.as_str(), "complaint 4711, called from •••0143");
        for bad in ["", " a ", &"x".repeat(201)] {
            assert_eq!(bad.parse::<Purpose>(), Err(NotAPurpose), "{bad}");
        }
    }
}
