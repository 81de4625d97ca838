//! Encryption of personal data at rest, and what may be known about it without decrypting.
//!
//! The program seals a value before the database sees it ([`Sealed`]); what has to be found again gets a blind index
//! ([`Keyring::blind_index`]). Keys come from configuration and are never stored beside the data.

mod canonical;
mod keyring;
mod sealed;

pub use canonical::canonical_json;
pub use keyring::{Keyring, KeyringError};
pub use sealed::{OpenError, Place, SealError, Sealed};
