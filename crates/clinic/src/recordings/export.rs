//! A recording for people who may hear it: opened for a purpose, which the audit log keeps.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::file::{FileError, Reader};
use super::{PLACE, clinic_folder, files};
use crate::audit;
use crate::db::{DbError, bounded};
use crate::records::Purpose;
use crate::store::ClinicStore;

/// A call's recording; its parts in order.
#[derive(Debug)]
pub struct Exported {
    /// One, unless another worker took the call over.
    pub parts: Vec<Recording>,
}

/// A part of a recording, opened.
#[derive(Debug)]
pub struct Recording {
    /// Where its first sample belongs, ms since the answer.
    pub begins_ms: u64,
    /// Rate of both sides.
    pub rate_hz: u32,
    /// Its audio.
    pub audio: Reader,
}

/// Opens the recording of a call that lies below `folder` on this machine, and notes in the audit log who wanted it and why;
/// `None` if there is none. A recording whose call was erased is [`DbError::Unreadable`].
pub async fn open(store: &ClinicStore, folder: &Path, call_id: &str, purpose: &Purpose) -> Result<Option<Exported>, DbError> {
    let folder = clinic_folder(folder, &store.tenant);
    let found = tokio::task::spawn_blocking(move || files(&folder)).await.map_err(|error| unreadable(&error))?;
    let mut found = found.map_err(|error| unreadable(&error))?;
    found.retain(|(_, header)| header.call_id == call_id && header.tenant_id == store.tenant);
    if found.is_empty() {
        return Ok(None);
    }
    let sealed: Vec<Vec<u8>> = found.iter().map(|(_, header)| STANDARD.decode(&header.key).unwrap_or_default()).collect();
    let keys = bounded(async {
        let (mut transaction, _) = store.begin().await?;
        let keys = store.keys_of(&mut transaction, &sealed).await?;
        audit::append_for(&mut transaction, &store.tenant, Some(call_id), "recording.read", None, Some(purpose.as_str())).await?;
        transaction.commit().await?;
        Ok(keys)
    });
    let keys = keys.await?;
    let mut parts = Vec::with_capacity(found.len());
    for ((path, header), sealed) in found.into_iter().zip(sealed) {
        let secret: String = store.open_with(&keys, PLACE, sealed)?;
        let secret = STANDARD.decode(secret).ok().and_then(|secret| secret.try_into().ok());
        let secret: [u8; 32] = secret.ok_or_else(|| unreadable(&FileError::Malformed))?;
        parts.push(Recording { begins_ms: header.begins_ms, rate_hz: header.rate_hz, audio: reader(path, secret).await? });
    }
    Ok(Some(Exported { parts }))
}

async fn reader(path: PathBuf, secret: [u8; 32]) -> Result<Reader, DbError> {
    let opened = tokio::task::spawn_blocking(move || Reader::open(&path, &secret)).await.map_err(|error| unreadable(&error))?;
    opened.map_err(|error| unreadable(&error))
}

fn unreadable(error: &dyn std::error::Error) -> DbError {
    DbError::Unreadable { what: "a recording", reason: error.to_string() }
}
