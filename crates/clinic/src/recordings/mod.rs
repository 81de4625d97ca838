//! Recordings of calls, sealed at rest.
//!
//! A recording is a file in a folder of the worker's machine: large, written for minutes, and of no use to any statement. Each has a
//! key of its own, sealed with the call's key ([`crate::crypto`]) in the file's header; so destroying the call's key erases it on
//! whatever disk or backup it lies, and [`sweep()`] takes the file away. It never lies anywhere in the clear.

mod consent;
mod export;
mod file;
mod sweep;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use frontdesk_agent::recording::{RecordingError, RecordingFile, RecordingPart, RecordingVault};
use rand::RngCore;
use tokio::task::spawn_blocking;

use crate::audit::{self, Actor};
use crate::db::{DbError, bounded};
use crate::ids::TenantId;
use crate::store::ClinicStore;
use crate::subjects::Subject;

pub use export::{Exported, Recording, open};
pub use file::{FileError, Reader};
pub use sweep::{Swept, sweep, sweep_plain};

use file::{Header, Writer};

/// As what a file's key is sealed.
const PLACE: (&str, &str) = ("recordings", "key_sealed");

/// What the files are called.
const EXTENSION: &str = "sealed";

/// A call that began anew at another worker must not write over what the first has recorded; more often than this no call does.
const NAMES_MAX: u32 = 20;

/// The recordings of one clinic.
#[derive(Debug, Clone)]
pub struct SealedRecordings {
    store: ClinicStore,
    folder: PathBuf,
}

impl SealedRecordings {
    /// Recordings of the store's clinic in a folder of its own below `folder`.
    #[must_use]
    pub fn new(store: ClinicStore, folder: &Path) -> Self {
        let folder = clinic_folder(folder, &store.tenant);
        Self { store, folder }
    }

    /// A new file's key, and how the file holds it. The call's key is made if there is none yet.
    async fn key(&self, call_id: &str) -> Result<([u8; 32], String), DbError> {
        let mut secret = [0; 32];
        rand::rng().fill_bytes(&mut secret);
        let (mut transaction, _) = self.store.begin().await?;
        let place = PLACE;
        let sealed = self.store.seal_for(&mut transaction, Subject::Call(call_id), place, &STANDARD.encode(secret)).await?;
        audit::append(&mut transaction, &self.store.tenant, Some(call_id), Actor::System, "recording.began", None).await?;
        self.store.hold_lease(&mut transaction).await?;
        transaction.commit().await?;
        Ok((secret, STANDARD.encode(sealed.as_bytes())))
    }
}

#[async_trait]
impl RecordingVault for SealedRecordings {
    async fn create(&self, part: &RecordingPart) -> Result<Box<dyn RecordingFile>, RecordingError> {
        let (secret, key) = bounded(self.key(&part.call_id)).await.map_err(|error| RecordingError::Seal(error.to_string()))?;
        let header = Header {
            tenant_id: self.store.tenant.clone(),
            call_id: part.call_id.clone(),
            begins_ms: part.begins_ms,
            rate_hz: part.rate_hz,
            key,
            nonce: String::new(),
        };
        let (folder, stem) = (self.folder.clone(), part.file_stem());
        let created = spawn_blocking(move || create(&folder, &stem, header, &secret)).await?;
        created.map(|file| Box::new(file) as _)
    }
}

fn create(folder: &Path, stem: &str, header: Header, secret: &[u8; 32]) -> Result<SealedFile, RecordingError> {
    std::fs::create_dir_all(folder)?;
    for number in 1..=NAMES_MAX {
        let name = if number == 1 { format!("{stem}.{EXTENSION}") } else { format!("{stem}-{number}.{EXTENSION}") };
        let path = folder.join(name);
        match Writer::create(&path, header.clone(), secret) {
            Ok(writer) => return Ok(SealedFile { call_id: header.call_id, folder: folder.to_owned(), path, writer }),
            Err(FileError::Disk(error)) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(recording_error(error)),
        }
    }
    Err(RecordingError::Disk(std::io::ErrorKind::AlreadyExists.into()))
}

struct SealedFile {
    call_id: String,
    folder: PathBuf,
    path: PathBuf,
    writer: Writer,
}

impl RecordingFile for SealedFile {
    fn write(&mut self, left: &[i16], right: &[i16]) -> Result<(), RecordingError> {
        let sample = |side: &[i16], at: usize| side.get(at).copied().unwrap_or_default().to_le_bytes();
        let frames = left.len().max(right.len());
        let pcm: Vec<u8> = (0..frames).flat_map(|at| [sample(left, at), sample(right, at)]).flatten().collect();
        self.writer.write(&pcm).map_err(recording_error)
    }

    fn finish(self: Box<Self>) -> Result<String, RecordingError> {
        self.writer.finish().map_err(recording_error)?;
        Ok(self.path.display().to_string())
    }

    fn discard(self: Box<Self>) -> Result<(), RecordingError> {
        let Self { call_id, folder, writer, .. } = *self;
        drop(writer);
        // Parts that were recorded before another worker took the call over go, too.
        for (path, header) in files(&folder).map_err(recording_error)? {
            if header.call_id == call_id {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

fn recording_error(error: FileError) -> RecordingError {
    match error {
        FileError::Disk(error) => RecordingError::Disk(error),
        error => RecordingError::Seal(error.to_string()),
    }
}

fn clinic_folder(folder: &Path, tenant: &TenantId) -> PathBuf {
    folder.join(tenant.as_str())
}

/// The recordings in a clinic's folder with their headers; none, if there is no folder. Files that are none of ours are passed over.
fn files(folder: &Path) -> Result<Vec<(PathBuf, Header)>, FileError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION)
            && let Ok(header) = Header::read(&path)
        {
            found.push((path, header));
        }
    }
    found.sort_by(|(_, one), (_, other)| (&one.call_id, one.begins_ms).cmp(&(&other.call_id, other.begins_ms)));
    Ok(found)
}
