//! Keys of data subjects: random, one a patient or call, kept wrapped under a master key.

use std::fmt;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use rand::RngCore;
use uuid::Uuid;

use super::keyring::Keyring;
use super::sealed::{OpenError, Place};
use crate::ids::TenantId;

const NONCE_BYTES: usize = 12;

/// The key of a patient or a call.
#[derive(Clone)]
pub(crate) struct SubjectKey {
    pub(crate) id: Uuid,
    pub(super) cipher: Aes256Gcm,
}

/// A subject's key as the database holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WrappedKey {
    pub(crate) id: Uuid,
    pub(crate) master_version: u16,
    /// Nonce, then ciphertext and tag: 60 bytes.
    pub(crate) bytes: Vec<u8>,
}

impl SubjectKey {
    fn new(id: Uuid, secret: &[u8; 32]) -> Self {
        Self { id, cipher: Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(secret)) }
    }
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubjectKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Keyring {
    /// A new subject's key, and how it is stored.
    pub(crate) fn mint_subject_key(&self, tenant: &TenantId) -> (SubjectKey, WrappedKey) {
        let id = Uuid::now_v7();
        let mut secret = [0; 32];
        rand::rng().fill_bytes(&mut secret);
        (SubjectKey::new(id, &secret), self.wrap(tenant, id, &secret))
    }

    /// The subject's key that was stored so.
    pub(crate) fn unwrap_subject_key(&self, tenant: &TenantId, wrapped: &WrappedKey) -> Result<SubjectKey, OpenError> {
        Ok(SubjectKey::new(wrapped.id, &self.unwrap_secret(tenant, wrapped)?))
    }

    /// The same key wrapped under the current master key.
    pub(crate) fn rewrap_subject_key(&self, tenant: &TenantId, wrapped: &WrappedKey) -> Result<WrappedKey, OpenError> {
        Ok(self.wrap(tenant, wrapped.id, &self.unwrap_secret(tenant, wrapped)?))
    }

    fn wrap(&self, tenant: &TenantId, id: Uuid, secret: &[u8; 32]) -> WrappedKey {
        let (master_version, master) = self.current();
        let mut bytes = vec![0; NONCE_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        let associated = associated_data(tenant, id, master_version);
        let sealed = master.wrap.encrypt(Nonce::from_slice(&bytes), Payload { msg: secret, aad: &associated });
        bytes.extend_from_slice(&sealed.expect("AES-GCM encrypts 32 bytes"));
        WrappedKey { id, master_version, bytes }
    }

    fn unwrap_secret(&self, tenant: &TenantId, wrapped: &WrappedKey) -> Result<[u8; 32], OpenError> {
        let version = wrapped.master_version;
        let master = self.version(version).ok_or(OpenError::UnknownKey { version })?;
        let (nonce, sealed) = wrapped.bytes.split_at_checked(NONCE_BYTES).ok_or(OpenError::Malformed)?;
        let associated = associated_data(tenant, wrapped.id, version);
        let secret = master.wrap.decrypt(Nonce::from_slice(nonce), Payload { msg: sealed, aad: &associated });
        secret.map_err(|_| OpenError::Rejected)?.try_into().map_err(|_| OpenError::Malformed)
    }
}

/// A wrapped key opens as itself only: same tenant, same id, same version.
fn associated_data(tenant: &TenantId, id: Uuid, version: u16) -> Vec<u8> {
    let mut data = id.as_bytes().to_vec();
    data.extend_from_slice(&version.to_be_bytes());
    Place::new(tenant, "subject_keys", "wrapped").absorb(|bytes| data.extend_from_slice(bytes));
    data
}

#[cfg(test)]
mod tests {
    use super::super::Sealed;
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    #[test]
    fn a_subjects_key_opens_what_it_sealed_and_nothing_else_does() {
        let (keys, one) = (Keyring::from_master([1; 32]), tenant("one"));
        let place = Place::new(&one, "patients", "name_sealed");
        let (mine, stored) = keys.mint_subject_key(&one);
        let (theirs, _) = keys.mint_subject_key(&one);
        let sealed = Sealed::seal_with(&mine, &place, &"Ada".to_string()).unwrap();
        assert_eq!(sealed.subject_key(), Some(mine.id));
        let again = keys.unwrap_subject_key(&one, &stored).unwrap();
        assert_eq!(sealed.open_with(&again, &place), Ok("Ada".into()));
        assert_eq!(sealed.open_with(&theirs, &place), Err(OpenError::SubjectKey));
        assert_eq!(sealed.open(&keys, &place), Err(OpenError::SubjectKey));
        let direct = Sealed::seal(&keys, &place, &"Ada".to_string()).unwrap();
        assert_eq!(direct.subject_key(), None);
        assert_eq!(direct.open_with(&mine, &place), Err(OpenError::SubjectKey));
        // The header's id is authenticated: another key under the same id does not open it either.
        let impostor = SubjectKey { id: mine.id, ..theirs };
        assert_eq!(sealed.open_with(&impostor, &place), Err(OpenError::Rejected));
    }

    #[test]
    fn a_wrapped_key_is_bound_to_tenant_id_and_version() {
        let keys = Keyring::new([(1, [1; 32]), (2, [1; 32])], [0; 32]).unwrap();
        let (one, two) = (tenant("one"), tenant("two"));
        let (_, stored) = keys.mint_subject_key(&one);
        assert_eq!((stored.master_version, stored.bytes.len()), (2, 60));
        let rejected = |tenant: &TenantId, wrapped: WrappedKey| keys.unwrap_subject_key(tenant, &wrapped).unwrap_err();
        assert_eq!(rejected(&two, stored.clone()), OpenError::Rejected);
        assert_eq!(rejected(&one, WrappedKey { id: Uuid::nil(), ..stored.clone() }), OpenError::Rejected);
        assert_eq!(rejected(&one, WrappedKey { master_version: 1, ..stored.clone() }), OpenError::Rejected);
        assert_eq!(rejected(&one, WrappedKey { bytes: vec![0; 11], ..stored }), OpenError::Malformed);
    }

    #[test]
    fn wrapping_anew_keeps_the_key_and_frees_the_old_master() {
        let one = tenant("one");
        let place = Place::new(&one, "messages", "body_sealed");
        let old = Keyring::new([(1, [1; 32])], [0; 32]).unwrap();
        let both = Keyring::new([(1, [1; 32]), (2, [2; 32])], [0; 32]).unwrap();
        let new = Keyring::new([(2, [2; 32])], [0; 32]).unwrap();
        let (key, stored) = old.mint_subject_key(&one);
        let sealed = Sealed::seal_with(&key, &place, &1_u8).unwrap();
        let moved = both.rewrap_subject_key(&one, &stored).unwrap();
        assert_eq!((moved.id, moved.master_version), (stored.id, 2));
        assert_eq!(sealed.open_with(&new.unwrap_subject_key(&one, &moved).unwrap(), &place), Ok(1));
        assert_eq!(new.unwrap_subject_key(&one, &stored).unwrap_err(), OpenError::UnknownKey { version: 1 });
    }

    #[test]
    fn debug_shows_no_key() {
        let (key, _) = Keyring::from_master([1; 32]).mint_subject_key(&tenant("one"));
        assert_eq!(format!("{key:?}"), format!("SubjectKey {{ id: {}, .. }}", key.id));
    }
}
