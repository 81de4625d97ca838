//! Personal data that must not reach a log.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Wraps a value so that `Display` and `Debug` print `{redacted}`; [`Pii::expose`] is the only way to the value, and easy to
/// search for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pii<T>(T);

impl<T> Pii<T> {
    /// Marks a value as personal.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself; never to be formatted into a log or an error.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// Takes the value out.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> From<T> for Pii<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{redacted}")
    }
}

impl<T> fmt::Display for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{redacted}")
    }
}

#[cfg(test)]
mod tests {
    use super::Pii;

    #[test]
    fn neither_debug_nor_display_shows_the_value() {
        let name = Pii::new("Ada Lovelace".to_string());
        assert_eq!(format!("{name} {name:?} {:?}", Some(&name)), "{redacted} {redacted} Some({redacted})");
        assert_eq!(name.expose(), "Ada Lovelace");
    }
}
