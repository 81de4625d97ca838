//! Values encrypted for storage.

use std::fmt;
use std::marker::PhantomData;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use rand::RngCore;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{Keyring, SubjectKey};
use crate::ids::TenantId;

/// The only format so far: format, key version, subject key id, nonce, then ciphertext and tag.
const FORMAT: u8 = 1;
/// Format (1 byte), key version (2, big-endian; zero with a subject's key), id of the subject's key (16; all zero: none, the
/// version's key itself).
const HEADER_BYTES: usize = 19;
/// AES-GCM's nonce, NIST SP 800-38D section 8.2.2: random, 96 bits.
const NONCE_BYTES: usize = 12;

/// A value of type `T`, as JSON, under AES-256-GCM. What the database stores is [`Sealed::as_bytes`].
///
/// The header names the key: that of a data subject, whose destruction erases what it sealed, or a version of the master key
/// itself, as the first releases sealed. Header and [`Place`] are authenticated: a value moved to another column or tenant does not open.
pub struct Sealed<T> {
    bytes: Vec<u8>,
    plain: PhantomData<fn() -> T>,
}

/// Where a sealed value lives.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    tenant: &'a TenantId,
    table: &'a str,
    column: &'a str,
}

impl<'a> Place<'a> {
    /// A column of a table, in the rows of one tenant.
    #[must_use]
    pub const fn new(tenant: &'a TenantId, table: &'a str, column: &'a str) -> Self {
        Self { tenant, table, column }
    }

    /// Feeds the place into a hash, each part with its length, so that no two places look alike.
    pub(super) fn absorb(&self, mut absorb: impl FnMut(&[u8])) {
        for part in [self.tenant.as_str(), self.table, self.column] {
            absorb(&(part.len() as u64).to_be_bytes());
            absorb(part.as_bytes());
        }
    }

    fn associated_data(&self, header: &[u8]) -> Vec<u8> {
        let mut data = header.to_vec();
        self.absorb(|bytes| data.extend_from_slice(bytes));
        data
    }
}

/// Why a value cannot be sealed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The value has no JSON form: a fault of the program.
    #[error("a value for {table}.{column} cannot be written as JSON")]
    Encode {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The cipher refused: only for values beyond 64 GiB.
    #[error("a value for {table}.{column} is too large to encrypt")]
    TooLarge {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
}

/// Why a sealed value cannot be opened. Holds nothing of the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Not a sealed value, or cut short.
    #[error("not a sealed value")]
    Malformed,
    /// Written by a newer release.
    #[error("sealed in format {format}, which this release does not know")]
    UnknownFormat {
        /// The format byte.
        format: u8,
    },
    /// The key's version is not configured: add it back to the keys.
    #[error("sealed with key version {version}, which is not configured")]
    UnknownKey {
        /// The version.
        version: u16,
    },
    /// Sealed with a subject's key that is not the one at hand, or gone: what it sealed was erased.
    #[error("sealed with a subject's key, which is not available: it may have been erased")]
    SubjectKey,
    /// Wrong key, wrong place, or altered bytes.
    #[error("the sealed value does not authenticate: wrong key, other column or tenant, or altered")]
    Rejected,
    /// Opened, but not of the expected type.
    #[error("the sealed value is not of the expected type")]
    Decode,
}

impl<T> Sealed<T> {
    /// Takes what [`Sealed::as_bytes`] gave.
    #[must_use]
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes, plain: PhantomData }
    }

    /// The bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The id of the subject's key that it needs, if it is whole and needs one.
    pub(crate) fn subject_key(&self) -> Option<Uuid> {
        self.header().ok().and_then(|header| header.subject_key)
    }

    fn header(&self) -> Result<Header, OpenError> {
        let format = *self.bytes.first().ok_or(OpenError::Malformed)?;
        if format != FORMAT {
            return Err(OpenError::UnknownFormat { format });
        }
        let header: &[u8; HEADER_BYTES] = self.bytes.first_chunk().ok_or(OpenError::Malformed)?;
        let subject_key = Uuid::from_slice(&header[3..]).map_err(|_| OpenError::Malformed)?;
        Ok(Header { version: u16::from_be_bytes([header[1], header[2]]), subject_key: (!subject_key.is_nil()).then_some(subject_key) })
    }
}

impl<T: Serialize + DeserializeOwned> Sealed<T> {
    /// Encrypts a value for its place with the current version's key.
    pub fn seal(keys: &Keyring, place: &Place<'_>, value: &T) -> Result<Self, SealError> {
        let (version, master) = keys.current();
        Self::encrypt(&master.seal, version, Uuid::nil(), place, value)
    }

    /// Encrypts a value for its place with a subject's key.
    pub(crate) fn seal_with(key: &SubjectKey, place: &Place<'_>, value: &T) -> Result<Self, SealError> {
        Self::encrypt(&key.cipher, 0, key.id, place, value)
    }

    /// Decrypts a value that was sealed for the same place with a version's key.
    pub fn open(&self, keys: &Keyring, place: &Place<'_>) -> Result<T, OpenError> {
        let header = self.header()?;
        if header.subject_key.is_some() {
            return Err(OpenError::SubjectKey);
        }
        let master = keys.version(header.version).ok_or(OpenError::UnknownKey { version: header.version })?;
        self.decrypt(&master.seal, place)
    }

    /// Decrypts a value that was sealed for the same place with this subject's key.
    pub(crate) fn open_with(&self, key: &SubjectKey, place: &Place<'_>) -> Result<T, OpenError> {
        if self.header()?.subject_key != Some(key.id) {
            return Err(OpenError::SubjectKey);
        }
        self.decrypt(&key.cipher, place)
    }

    fn encrypt(cipher: &Aes256Gcm, version: u16, subject_key: Uuid, place: &Place<'_>, value: &T) -> Result<Self, SealError> {
        let plain = serde_json::to_vec(value).map_err(|_| SealError::Encode { table: place.table.into(), column: place.column.into() })?;
        let mut bytes = vec![0; HEADER_BYTES + NONCE_BYTES];
        bytes[0] = FORMAT;
        bytes[1..3].copy_from_slice(&version.to_be_bytes());
        bytes[3..HEADER_BYTES].copy_from_slice(subject_key.as_bytes());
        rand::rng().fill_bytes(&mut bytes[HEADER_BYTES..]);
        let associated = place.associated_data(&bytes[..HEADER_BYTES]);
        let sealed = cipher
            .encrypt(Nonce::from_slice(&bytes[HEADER_BYTES..]), Payload { msg: &plain, aad: &associated })
            .map_err(|_| SealError::TooLarge { table: place.table.into(), column: place.column.into() })?;
        bytes.extend_from_slice(&sealed);
        Ok(Self::from_bytes(bytes))
    }

    fn decrypt(&self, cipher: &Aes256Gcm, place: &Place<'_>) -> Result<T, OpenError> {
        let (header, rest) = self.bytes.split_at_checked(HEADER_BYTES).ok_or(OpenError::Malformed)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_BYTES).ok_or(OpenError::Malformed)?;
        let associated = place.associated_data(header);
        let plain = cipher.decrypt(Nonce::from_slice(nonce), Payload { msg: sealed, aad: &associated }).map_err(|_| OpenError::Rejected)?;
        serde_json::from_slice(&plain).map_err(|_| OpenError::Decode)
    }
}

/// What a sealed value says of its key.
struct Header {
    version: u16,
    subject_key: Option<Uuid>,
}

impl<T> Clone for Sealed<T> {
    fn clone(&self) -> Self {
        Self::from_bytes(self.bytes.clone())
    }
}

impl<T> fmt::Debug for Sealed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn keys() -> Keyring {
        Keyring::from_master([9; 32])
    }

    #[test]
    fn a_value_opens_only_at_its_place() {
        let (keys, one, two) = (keys(), tenant("one"), tenant("two"));
        let place = Place::new(&one, "patients", "name");
        let sealed = Sealed::seal(&keys, &place, &"Ada".to_string()).unwrap();
        assert_eq!(sealed.open(&keys, &place).unwrap(), "Ada");
        for elsewhere in [Place::new(&two, "patients", "name"), Place::new(&one, "patients", "phone"), Place::new(&one, "messages", "name")]
        {
            assert_eq!(sealed.open(&keys, &elsewhere), Err(OpenError::Rejected));
        }
        assert!(!sealed.as_bytes().windows(3).any(|window| window == b"Ada"));
    }

    #[test]
    fn equal_values_are_sealed_differently() {
        let (keys, one) = (keys(), tenant("one"));
        let place = Place::new(&one, "patients", "name");
        let seal = || Sealed::seal(&keys, &place, &"Ada".to_string()).unwrap();
        assert_ne!(seal().as_bytes(), seal().as_bytes());
    }

    #[test]
    fn old_versions_open_and_unknown_ones_say_so() {
        let one = tenant("one");
        let place = Place::new(&one, "patients", "name");
        let old = Keyring::new([(1, [1; 32])], [0; 32]).unwrap();
        let both = Keyring::new([(1, [1; 32]), (2, [2; 32])], [0; 32]).unwrap();
        let before = Sealed::seal(&old, &place, &1_u8).unwrap();
        assert_eq!(before.open(&both, &place), Ok(1));
        let after = Sealed::seal(&both, &place, &2_u8).unwrap();
        assert_eq!(after.open(&both, &place), Ok(2));
        assert_eq!(after.open(&old, &place), Err(OpenError::UnknownKey { version: 2 }));
    }

    #[test]
    fn a_subject_key_is_not_mistaken_for_none() {
        let (keys, one) = (keys(), tenant("one"));
        let place = Place::new(&one, "patients", "name");
        let mut bytes = Sealed::seal(&keys, &place, &1_u8).unwrap().as_bytes().to_vec();
        bytes[5] = 1;
        assert_eq!(Sealed::<u8>::from_bytes(bytes).open(&keys, &place), Err(OpenError::SubjectKey));
    }

    proptest! {
        #[test]
        fn any_altered_byte_is_noticed(position in 0_usize..60, flip in 1_u8..) {
            let (keys, one) = (keys(), tenant("one"));
            let place = Place::new(&one, "patients", "name");
            let mut bytes = Sealed::seal(&keys, &place, &"twelve bytes".to_string()).unwrap().as_bytes().to_vec();
            let position = position % bytes.len();
            bytes[position] ^= flip;
            prop_assert!(Sealed::<String>::from_bytes(bytes).open(&keys, &place).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let one = tenant("one");
            prop_assert!(Sealed::<String>::from_bytes(bytes).open(&keys(), &Place::new(&one, "t", "c")).is_err());
        }
    }
}
