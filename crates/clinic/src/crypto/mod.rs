//! Encryption of personal data at rest, and what may be known about it without decrypting.
//!
//! The program seals a value before the database sees it ([`Sealed`]); what has to be found again gets a blind index
//! ([`Keyring::blind_index`]). Master keys come from configuration and are never stored beside the data. Each patient and each
//! call has a key of its own, stored wrapped under a master key; destroying it erases what it sealed.

mod canonical;
mod keyring;
mod sealed;
mod subject;

pub use canonical::canonical_json;
pub use keyring::{Keyring, KeyringError};
pub use sealed::{OpenError, Place, SealError, Sealed};
pub(crate) use subject::{SubjectKey, WrappedKey};
