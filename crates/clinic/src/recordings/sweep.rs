//! Files of calls that were erased, or whose callers refused: without a key they open for nobody, but they need not lie there.
//!
//! Erasing happens in the database, while recordings lie on the machines that made them; so each of those sweeps its own. What is
//! removed is what the audit log says was erased, not what has no key: with the wrong database configured, nothing has one.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::{clinic_folder, files};
use crate::audit::{self, Actor};
use crate::db::{Database, DbError};
use crate::ids::TenantId;

/// Files asked about in one transaction.
const BATCH: usize = 500;

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Files removed.
    pub removed: u64,
    /// Files that stay.
    pub kept: u64,
}

impl std::ops::AddAssign for Swept {
    fn add_assign(&mut self, other: Self) {
        self.removed += other.removed;
        self.kept += other.kept;
    }
}

/// Removes a clinic's sealed recordings below `folder` whose calls were erased, or whose callers did not want them.
pub async fn sweep(database: &Database, tenant: &TenantId, folder: &Path) -> Result<Swept, DbError> {
    let folder = clinic_folder(folder, tenant);
    let found = tokio::task::spawn_blocking(move || files(&folder)).await.map_err(|error| failed(&error))?;
    let found = found.map_err(|error| failed(&error))?;
    let found = found.into_iter().filter(|(_, header)| header.tenant_id == *tenant);
    remove(database, tenant, found.map(|(path, header)| (path, header.call_id)).collect()).await
}

/// The same for plain files of calls (`<call id>.json`, `<call id>.wav`), as a development machine may have them.
pub async fn sweep_plain(database: &Database, tenant: &TenantId, folder: &Path) -> Result<Swept, DbError> {
    let folder = folder.to_owned();
    let found = tokio::task::spawn_blocking(move || plain_files(&folder)).await.map_err(|error| failed(&error))?;
    remove(database, tenant, found.map_err(|error| failed(&error))?).await
}

fn plain_files(folder: &Path) -> std::io::Result<Vec<(PathBuf, String)>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_ours = path.extension().is_some_and(|extension| extension == "json" || extension == "wav");
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()).filter(|_| is_ours).map(str::to_owned) else { continue };
        let call_id = stem.rsplit_once("-from-").map_or(stem.as_str(), |(call_id, _)| call_id).to_owned();
        found.push((path, call_id));
    }
    Ok(found)
}

async fn remove(database: &Database, tenant: &TenantId, found: Vec<(PathBuf, String)>) -> Result<Swept, DbError> {
    let mut swept = Swept::default();
    for batch in found.chunks(BATCH) {
        let ids: Vec<String> = batch.iter().map(|(_, call_id)| call_id.clone()).collect();
        let (mut transaction, _) = database.begin(tenant).await?;
        let gone = sqlx::query_scalar!(
            r#"SELECT DISTINCT call_id AS "call!" FROM audit_events
               WHERE call_id = ANY($1) AND action IN ('call.erased', 'call.expired', 'recording.refused')"#,
            &ids
        )
        .fetch_all(&mut *transaction)
        .await?;
        let gone: HashSet<String> = gone.into_iter().collect();
        for (path, call_id) in batch {
            if !gone.contains(call_id) {
                swept.kept += 1;
                continue;
            }
            match tokio::fs::remove_file(path).await {
                Ok(()) => {
                    swept.removed += 1;
                    audit::append(&mut transaction, tenant, Some(call_id), Actor::System, "recording.removed", None).await?;
                }
                // Another sweep was quicker.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        transaction.commit().await?;
    }
    Ok(swept)
}

fn failed(error: &dyn std::error::Error) -> DbError {
    DbError::Unreadable { what: "the folder of recordings", reason: error.to_string() }
}
