//! The API key and secret of a LiveKit server.

use std::fmt;

/// An API key with its secret. `Debug` shows the key only.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    key: String,
    secret: String,
}

impl Credentials {
    /// Takes the pair as the server's `keys:` section lists it.
    pub fn new(key: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { key: key.into(), secret: secret.into() }
    }

    /// The API key, which is no secret: every token names it as its issuer.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("key", &self.key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Credentials;

    #[test]
    fn debug_hides_the_secret() {
        let text = format!("{:?}", Credentials::new("devkey", "hunter2hunter2"));
        assert!(text.contains("devkey") && !text.contains("hunter2"), "{text}");
    }
}
