//! The keys: versioned ones that seal, and two that index and authenticate.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aes_gcm::aead::KeyInit;
use aes_gcm::{Aes256Gcm, Key};
use base64::Engine;
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::canonical_json;
use super::sealed::Place;
use crate::ids::TenantId;

type HmacSha256 = Hmac<Sha256>;

/// The keys of one installation. Sealing uses the highest version, opening whichever version the sealed value names.
/// Versions may come and go while serving ([`Keyring::renew`]).
///
/// Every key is derived from a master key for its one purpose, so that no master key itself meets any data.
pub struct Keyring {
    masters: RwLock<BTreeMap<u16, Arc<Master>>>,
    index: [u8; 32],
    arguments: [u8; 32],
}

/// What is derived of one version of the master key.
pub(super) struct Master {
    /// Seals values directly, as the first releases did.
    pub(super) seal: Aes256Gcm,
    /// Wraps the keys of subjects.
    pub(super) wrap: Aes256Gcm,
}

/// Why a keyring cannot be made. Never holds key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// No key at all: give at least one.
    #[error("no key: expected VERSION:KEY, KEY being 32 bytes in base64 (openssl rand -base64 32)")]
    Empty,
    /// An entry is not `VERSION:KEY`.
    #[error("entry {position} is not VERSION:KEY with a version from 1 to 65535")]
    BadVersion {
        /// Counts from 1.
        position: usize,
    },
    /// A key is not 32 bytes in base64.
    #[error("the key of entry {position} is not 32 bytes in base64 (openssl rand -base64 32)")]
    BadKey {
        /// Counts from 1.
        position: usize,
    },
    /// The index key is not 32 bytes in base64.
    #[error("the index key is not 32 bytes in base64 (openssl rand -base64 32)")]
    BadIndexKey,
    /// The same version twice.
    #[error("version {version} is given twice")]
    Twice {
        /// Which.
        version: u16,
    },
    /// The new keys index otherwise: what is stored could not be found any more. Give the index key explicitly.
    #[error("the index key differs from the one in use: nothing that is stored would be found under it")]
    OtherIndexKey,
}

impl Keyring {
    /// A keyring from master keys by version, and the key of the blind indexes.
    ///
    /// The index key does not rotate with the others: what was indexed under one key cannot be found under another.
    pub fn new(masters: impl IntoIterator<Item = (u16, [u8; 32])>, index_key: [u8; 32]) -> Result<Self, KeyringError> {
        let mut versions = BTreeMap::new();
        for (version, master) in masters {
            let cipher = |purpose| Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(&derive(&master, purpose)));
            if versions.insert(version, Arc::new(Master { seal: cipher("seal"), wrap: cipher("wrap") })).is_some() {
                return Err(KeyringError::Twice { version });
            }
        }
        if versions.is_empty() {
            return Err(KeyringError::Empty);
        }
        Ok(Self {
            masters: RwLock::new(versions),
            index: derive(&index_key, "blind index"),
            arguments: derive(&index_key, "tool arguments"),
        })
    }

    /// Takes over the versions of the master key that another keyring has, for whatever is sealed or opened from now on. The
    /// index key stays; a keyring with another one is refused, and nothing is changed.
    pub fn renew(&self, newer: &Self) -> Result<(), KeyringError> {
        if self.index != newer.index {
            return Err(KeyringError::OtherIndexKey);
        }
        let versions = newer.versions().clone();
        *self.masters.write().unwrap_or_else(PoisonError::into_inner) = versions;
        Ok(())
    }

    fn versions(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<u16, Arc<Master>>> {
        // Writers only swap the whole map, so it is whole even if one panicked.
        self.masters.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version under which new keys are wrapped.
    #[must_use]
    pub fn current_version(&self) -> u16 {
        self.current().0
    }

    /// A keyring with one master key, version 1, from which the index key is derived, too.
    #[must_use]
    pub fn from_master(master: [u8; 32]) -> Self {
        Self::new([(1, master)], master).expect("one version cannot be given twice")
    }

    /// Reads keys as configuration holds them: `VERSION:BASE64[,VERSION:BASE64…]`, and the index key in base64. Without an
    /// index key that of the lowest version serves; keep that version, then, even when nothing is sealed with it any more.
    pub fn parse(masters: &str, index_key: Option<&str>) -> Result<Self, KeyringError> {
        let entries = masters.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let mut parsed = Vec::new();
        for (position, entry) in (1..).zip(entries) {
            let (version, key) = entry.split_once(':').ok_or(KeyringError::BadVersion { position })?;
            let version = version.trim().parse::<u16>().ok().filter(|version| *version > 0);
            let version = version.ok_or(KeyringError::BadVersion { position })?;
            parsed.push((version, decode_key(key).ok_or(KeyringError::BadKey { position })?));
        }
        let lowest = parsed.iter().min_by_key(|(version, _)| *version).ok_or(KeyringError::Empty)?.1;
        let index = match index_key {
            Some(text) => decode_key(text).ok_or(KeyringError::BadIndexKey)?,
            None => lowest,
        };
        Self::new(parsed, index)
    }

    /// What equal values have in common and nothing else tells: HMAC-SHA-256 of a normalised value, bound to its place.
    #[must_use]
    pub fn blind_index(&self, place: &Place<'_>, normalised: &str) -> [u8; 32] {
        let mut mac = mac(&self.index);
        place.absorb(|bytes| mac.update(bytes));
        mac.update(normalised.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// HMAC-SHA-256 of a tool call's canonical arguments.
    #[must_use]
    pub fn arguments_hmac(&self, tenant: &TenantId, tool: &str, arguments: &Value) -> [u8; 32] {
        let mut mac = mac(&self.arguments);
        Place::new(tenant, "tool_commits", "arguments_hmac").absorb(|bytes| mac.update(bytes));
        mac.update(&(tool.len() as u64).to_be_bytes());
        mac.update(tool.as_bytes());
        mac.update(canonical_json(arguments).as_bytes());
        mac.finalize().into_bytes().into()
    }

    pub(super) fn current(&self) -> (u16, Arc<Master>) {
        let versions = self.versions();
        let (version, master) = versions.last_key_value().expect("no keyring is made without a key");
        (*version, Arc::clone(master))
    }

    pub(super) fn version(&self, version: u16) -> Option<Arc<Master>> {
        self.versions().get(&version).map(Arc::clone)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("versions", &self.versions().keys().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

fn mac(key: &[u8; 32]) -> HmacSha256 {
    <HmacSha256 as Mac>::new_from_slice(key).expect("HMAC takes a key of any length")
}

/// A key for one purpose: HMAC-SHA-256 as the pseudo-random function of a one-block HKDF-Expand (RFC 5869 section 2.3).
fn derive(master: &[u8; 32], purpose: &str) -> [u8; 32] {
    let mut mac = mac(master);
    mac.update(b"frontdesk v1 ");
    mac.update(purpose.as_bytes());
    mac.update(&[1]);
    mac.finalize().into_bytes().into()
}

fn decode_key(text: &str) -> Option<[u8; 32]> {
    base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    #[test]
    fn keys_are_read_or_refused_with_the_place_of_the_fault() {
        let key = base64::engine::general_purpose::STANDARD.encode([7; 32]);
        assert_eq!(Keyring::parse(&format!("1:{key}, 3:{key}"), None).unwrap().current_version(), 3);
        assert_eq!(Keyring::parse("", None).unwrap_err(), KeyringError::Empty);
        assert_eq!(Keyring::parse(&format!("1:{key},x:{key}"), None).unwrap_err(), KeyringError::BadVersion { position: 2 });
        assert_eq!(Keyring::parse("1:c2hvcnQ=", None).unwrap_err(), KeyringError::BadKey { position: 1 });
        assert_eq!(Keyring::parse(&format!("1:{key},1:{key}"), None).unwrap_err(), KeyringError::Twice { version: 1 });
    }

    #[test]
    fn renewal_changes_the_masters_and_never_the_index() {
        let keys = Keyring::new([(1, [1; 32])], [0; 32]).unwrap();
        keys.renew(&Keyring::new([(1, [1; 32]), (2, [2; 32])], [0; 32]).unwrap()).unwrap();
        assert_eq!(keys.current_version(), 2);
        assert!(keys.version(1).is_some());
        let other = Keyring::new([(3, [3; 32])], [9; 32]).unwrap();
        assert_eq!(keys.renew(&other), Err(KeyringError::OtherIndexKey));
        assert_eq!(keys.current_version(), 2);
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", Keyring::from_master([42; 32])), "Keyring { versions: [1], .. }");
    }

    #[test]
    fn an_index_depends_on_tenant_column_and_value() {
        let keys = Keyring::from_master([1; 32]);
        let (one, two) = (tenant("one"), tenant("two"));
        let index = |tenant: &TenantId, column, value| keys.blind_index(&Place::new(tenant, "patients", column), value);
        assert_eq!(index(&one, "phone", "+1"), index(&one, "phone", "+1"));
        assert_ne!(index(&one, "phone", "+1"), index(&two, "phone", "+1"));
        assert_ne!(index(&one, "phone", "+1"), index(&one, "name", "+1"));
        assert_ne!(index(&one, "phone", "+1"), index(&one, "phone", "+2"));
    }

    #[test]
    fn arguments_are_authenticated_with_their_tool() {
        let keys = Keyring::from_master([1; 32]);
        let one = keys.arguments_hmac(&tenant("one"), "book", &json!({"a": 1, "b": 2}));
        assert_eq!(one, keys.arguments_hmac(&tenant("one"), "book", &json!({"b": 2, "a": 1})));
        assert_ne!(one, keys.arguments_hmac(&tenant("one"), "cancel", &json!({"a": 1, "b": 2})));
    }
}
