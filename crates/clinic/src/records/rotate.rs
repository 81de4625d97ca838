//! Another master key: all subjects' keys are wrapped under the newest version, while workers go on serving.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use crate::audit::{self, Actor, SecurityEvent};
use crate::crypto::{Keyring, WrappedKey};
use crate::db::{Database, DbError};
use crate::ids::TenantId;
use crate::owner::Owner;

/// Keys wrapped anew in one transaction; each holds its row for some milliseconds only.
const BATCH: i64 = 500;

/// How far a rotation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Keys wrapped anew so far.
    pub done: u64,
    /// Keys that are still under an older version.
    pub remaining: u64,
    /// The version under which all will be.
    pub version: u16,
}

/// Wraps a tenant's keys under the keyring's newest version, in batches, and tells how far it has come after each. Safe to stop
/// at any moment and to run again, and from two places at once. Beginning and end are in the audit log. A key that cannot be
/// unwrapped (its version is not configured) ends it with `Unreadable`; what was done stays.
pub async fn rotate_keys(
    owner: &mut Owner,
    keys: &Keyring,
    tenant: &TenantId,
    mut progress: impl FnMut(Rotation) + Send,
) -> Result<Rotation, DbError> {
    let version = keys.current_version();
    let mut state = Rotation { done: 0, remaining: 0, version };
    let mut transaction = owner.begin(tenant).await?;
    state.remaining = remaining(&mut transaction, version).await?;
    if state.remaining == 0 {
        transaction.rollback().await?;
        return Ok(state);
    }
    note(&mut transaction, tenant, SecurityEvent::KeyRotationBegan, version).await?;
    transaction.commit().await?;
    loop {
        let mut transaction = owner.begin(tenant).await?;
        let done = rotate_batch(&mut transaction, keys, tenant, version).await?;
        state.done += done;
        // Workers that do not know the new version yet may add keys under the old one meanwhile.
        state.remaining = remaining(&mut transaction, version).await?;
        let is_over = state.remaining == 0 || done == 0;
        if is_over && state.remaining == 0 {
            note(&mut transaction, tenant, SecurityEvent::KeyRotationFinished, version).await?;
        }
        transaction.commit().await?;
        progress(state);
        if is_over {
            return Ok(state);
        }
    }
}

async fn note(connection: &mut PgConnection, tenant: &TenantId, event: SecurityEvent, version: u16) -> Result<(), DbError> {
    audit::append_security(connection, tenant, Actor::Operator, event, Some(&format!("version {version}"))).await
}

async fn remaining(connection: &mut PgConnection, version: u16) -> Result<u64, DbError> {
    let count = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM subject_keys WHERE master_version <> $1"#, i32::from(version))
        .fetch_one(connection)
        .await?;
    Ok(count.unsigned_abs())
}

async fn rotate_batch(connection: &mut PgConnection, keys: &Keyring, tenant: &TenantId, version: u16) -> Result<u64, DbError> {
    let rows = sqlx::query!(
        "SELECT key_id, master_version, wrapped FROM subject_keys WHERE master_version <> $1
         ORDER BY key_id LIMIT $2 FOR UPDATE SKIP LOCKED",
        i32::from(version),
        BATCH
    )
    .fetch_all(&mut *connection)
    .await?;
    let (mut ids, mut wrapped) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    for row in rows {
        let old = WrappedKey { id: row.key_id, master_version: u16::try_from(row.master_version).unwrap_or_default(), bytes: row.wrapped };
        let new = keys.rewrap_subject_key(tenant, &old).map_err(|error| DbError::unreadable("subject_keys.wrapped", &error))?;
        ids.push(new.id);
        wrapped.push(new.bytes);
    }
    let updated = sqlx::query!(
        "UPDATE subject_keys k SET master_version = $1, wrapped = n.wrapped
         FROM unnest($2::uuid[], $3::bytea[]) AS n (key_id, wrapped) WHERE k.key_id = n.key_id",
        i32::from(version),
        &ids,
        &wrapped
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected())
}

/// What needs one version of the master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VersionUse {
    /// Subjects' keys wrapped under it; a rotation frees them.
    pub subject_keys: u64,
    /// Values sealed directly under it by an earlier release; they need it for good.
    pub values: u64,
}

/// Which versions of the master key a tenant's data need.
pub type KeyStatus = BTreeMap<u16, VersionUse>;

/// Counts what needs which version.
pub async fn key_status(database: &Database, tenant: &TenantId) -> Result<KeyStatus, DbError> {
    let (mut transaction, _) = database.begin(tenant).await?;
    sqlx::query!("SELECT set_config('statement_timeout', '600000', true)").fetch_one(&mut *transaction).await?;
    let version = |version: i32| u16::try_from(version).unwrap_or_default();
    let mut status = KeyStatus::new();
    let keys = sqlx::query!(r#"SELECT master_version, count(*) AS "count!" FROM subject_keys GROUP BY 1"#).fetch_all(&mut *transaction);
    for row in keys.await? {
        status.entry(version(row.master_version)).or_default().subject_keys = row.count.unsigned_abs();
    }
    let values = sqlx::query!(r#"SELECT master_version AS "version!", value_count AS "count!" FROM values_under_masters()"#)
        .fetch_all(&mut *transaction);
    for row in values.await? {
        status.entry(version(row.version)).or_default().values = row.count.unsigned_abs();
    }
    Ok(status)
}
