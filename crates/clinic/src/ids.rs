//! Identifiers of the domain, each its own type.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A short name that is no short name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{got:?} is not an id: expected 1 to 63 of a-z, 0-9 and '-', beginning with a letter or digit")]
pub struct InvalidId {
    got: String,
}

fn is_short_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 63 && bytes.next().is_some_and(plain) && bytes.all(|byte| plain(byte) || byte == b'-')
}

macro_rules! short_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(String);

        impl $name {
            /// Takes a short name as it stands in the configuration: `[a-z0-9][a-z0-9-]{0,62}`.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                if is_short_name(&text) { Ok(Self(text)) } else { Err(InvalidId { got: text }) }
            }

            /// The name itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

short_name!(
    /// A clinic.
    TenantId
);
short_name!(
    /// A practitioner of one clinic.
    PractitionerId
);
short_name!(
    /// A department of one clinic.
    DepartmentId
);
short_name!(
    /// A service of one clinic.
    ServiceCode
);

short_name!(
    /// A place of one clinic.
    LocationId
);

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id; sorts by the time at which it was made (UUID version 7, RFC 9562 section 5.7).
            #[must_use]
            pub fn mint() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    };
}

random_id!(
    /// A patient; pseudonymous.
    PatientId
);
random_id!(
    /// An appointment; pseudonymous.
    AppointmentId
);

/// The idempotency key of a committed tool call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommitKey {
    /// The call.
    pub call_id: String,
    /// What the caller confirmed.
    pub confirmation_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_what_the_database_accepts() {
        for good in ["demo", "dr-lovelace", "0", "a-", &"x".repeat(63)] {
            assert!(TenantId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "Demo", "a b", "ä", "a_b", &"x".repeat(64)] {
            assert!(TenantId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bad_id_is_refused_on_reading() {
        let error = serde_json::from_str::<ServiceCode>("\"Check Up\"").unwrap_err();
        assert!(error.to_string().contains("is not an id"), "{error}");
    }
}
