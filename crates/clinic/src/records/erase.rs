//! Erasing a patient: keys destroyed, rows blanked, the pseudonymous facts kept.

use sqlx::PgConnection;

use super::holds;
use crate::audit::{self, Actor, SecurityEvent};
use crate::db::DbError;
use crate::ids::{PatientId, TenantId};
use crate::owner::Owner;

/// What was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    /// Calls that concerned the patient, whose records, messages and results went with him.
    pub calls: usize,
    /// Keys destroyed.
    pub keys: u64,
    /// Sealed and indexed values blanked.
    pub values: u64,
}

/// Why a patient was not erased. Nothing was changed, but the refusal is in the audit log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EraseError {
    /// No such patient at this clinic.
    #[error("no such patient")]
    NotFound,
    /// A legal hold forbids it; see `frontdesk hold clear`.
    #[error("a legal hold forbids it: {}", .holds.join(", "))]
    Held {
        /// What is held.
        holds: Vec<String>,
    },
    /// He is still expected: cancel those appointments first.
    #[error("{count} appointments are still to come: cancel them first")]
    Expected {
        /// How many.
        count: i64,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
}

impl From<sqlx::Error> for EraseError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Erases a patient and all calls that concern him, in one transaction. A call in which others were spoken of as well goes as a
/// whole; their own data stay. Repeating it is harmless. `purpose` goes into the audit log.
pub async fn erase_patient(owner: &mut Owner, tenant: &TenantId, patient: PatientId, purpose: Option<&str>) -> Result<Erased, EraseError> {
    let mut transaction = owner.begin(tenant).await?;
    let erased = erase_in(&mut transaction, tenant, patient, purpose).await;
    if erased.is_ok() {
        transaction.commit().await?;
        return erased;
    }
    // Now, not at the connection's next use: the patient's row is locked.
    transaction.rollback().await?;
    if let Err(EraseError::Held { .. }) = &erased {
        let mut transaction = owner.begin(tenant).await?;
        let subject = patient.to_string();
        audit::append_security(&mut transaction, tenant, Actor::Operator, SecurityEvent::AccessRefused, Some(&subject)).await?;
        transaction.commit().await?;
    }
    erased
}

pub(super) async fn erase_in(
    connection: &mut PgConnection,
    tenant: &TenantId,
    patient: PatientId,
    purpose: Option<&str>,
) -> Result<Erased, EraseError> {
    // Locks the row, so that nobody books for the patient meanwhile: an appointment's foreign key wants a share of it.
    let found = sqlx::query_scalar!("SELECT patient_id FROM patients WHERE patient_id = $1 FOR UPDATE", patient.0);
    if found.fetch_optional(&mut *connection).await?.is_none() {
        return Err(EraseError::NotFound);
    }
    let holds = holds::in_the_way(connection, patient).await?;
    if !holds.is_empty() {
        return Err(EraseError::Held { holds });
    }
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM appointments WHERE patient_id = $1 AND status = 'booked' AND upper(during) > now()"#,
        patient.0
    )
    .fetch_one(&mut *connection)
    .await?;
    if count > 0 {
        return Err(EraseError::Expected { count });
    }
    let calls = sqlx::query_scalar!(r#"SELECT calls_of_patient($1) AS "call!" ORDER BY 1"#, patient.0).fetch_all(&mut *connection).await?;
    let mut erased = Erased { calls: calls.len(), keys: 0, values: 0 };
    for call_id in &calls {
        let (keys, values) = erase_call_in(connection, tenant, call_id, "call.erased").await?;
        erased.keys += keys;
        erased.values += values;
    }
    erased.values += forget_in_passing(connection, patient).await?;
    let subject = patient.to_string();
    erased.keys += destroy_key(connection, "patient", &subject).await?;
    erased.values += blank(connection, "patient_id", &subject).await?;
    sqlx::query!("UPDATE patients SET erased_at = coalesce(erased_at, now()) WHERE patient_id = $1", patient.0)
        .execute(&mut *connection)
        .await?;
    audit::append_for(connection, tenant, None, "patient.erased", Some(&subject), purpose).await?;
    Ok(erased)
}

/// Blanks what others' calls left about a patient, with the notices of it, and takes him off the waiting list; gives the number of
/// values. What the patient's own calls left goes with them.
async fn forget_in_passing(connection: &mut PgConnection, patient: PatientId) -> Result<u64, DbError> {
    let notices = sqlx::query!(
        "UPDATE outbox SET payload_sealed = ''
         WHERE subject IN (SELECT message_id::text FROM messages WHERE about_patient = $1) AND payload_sealed <> ''",
        patient.0
    )
    .execute(&mut *connection)
    .await?;
    let messages = sqlx::query!("UPDATE messages SET body_sealed = '' WHERE about_patient = $1 AND body_sealed <> ''", patient.0)
        .execute(&mut *connection)
        .await?;
    // Nobody can call him any more, and the wish says when he had time.
    sqlx::query!("DELETE FROM waiting_list WHERE patient_id = $1", patient.0).execute(&mut *connection).await?;
    give_up_blank_notices(connection).await?;
    Ok(notices.rows_affected() + messages.rows_affected())
}

/// A notice without its text cannot be sent; whoever is at it has lost it.
async fn give_up_blank_notices(connection: &mut PgConnection) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE outbox SET status = 'dead', last_error = 'erased', lease_token = NULL, lease_until = NULL, updated_at = now()
         WHERE status IN ('pending', 'sending') AND payload_sealed = ''"
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Destroys a call's key and blanks what it left; gives the number of keys and of values.
pub(super) async fn erase_call_in(
    connection: &mut PgConnection,
    tenant: &TenantId,
    call_id: &str,
    action: &str,
) -> Result<(u64, u64), DbError> {
    let keys = destroy_key(connection, "call", call_id).await?;
    let values = blank(connection, "call_id", call_id).await?;
    give_up_blank_notices(connection).await?;
    audit::append(connection, tenant, Some(call_id), Actor::Operator, action, None).await?;
    Ok((keys, values))
}

async fn destroy_key(connection: &mut PgConnection, kind: &str, subject: &str) -> Result<u64, DbError> {
    let deleted = sqlx::query!("DELETE FROM subject_keys WHERE kind = $1 AND subject = $2", kind, subject).execute(connection).await?;
    Ok(deleted.rows_affected())
}

async fn blank(connection: &mut PgConnection, column: &str, key: &str) -> Result<u64, DbError> {
    let values = sqlx::query_scalar!(r#"SELECT frontdesk_blank($1, $2) AS "values!""#, column, key).fetch_one(connection).await?;
    Ok(values.unsigned_abs())
}
