//! Locks and holds on slots.

use sqlx::PgConnection;
use sqlx::postgres::types::PgRange;

use crate::db::DbError;
use crate::ids::{PatientId, PractitionerId};
use crate::schedule::Span;
use crate::store::ClinicStore;

/// How long a slot is kept for a caller between the read-back and his yes.
pub(super) const HOLD_S: f64 = 120.0;

/// The span as Postgres stores it: half-open.
pub(super) fn range(span: Span) -> PgRange<chrono::DateTime<chrono::Utc>> {
    PgRange::from(span.start..span.end)
}

/// Queues up for a practitioner's calendar until the end of the transaction.
///
/// Correctness does not need it, the exclusion constraint does that. But two transactions that insert overlapping rows at
/// the same moment wait for each other until the deadlock detector ends one a second later; in a queue nobody waits so.
pub(super) async fn lock_practitioner(
    connection: &mut PgConnection,
    store: &ClinicStore,
    practitioner: &PractitionerId,
) -> Result<(), DbError> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 1))", format!("{}/{practitioner}", store.tenant))
        .execute(connection)
        .await?;
    Ok(())
}

/// Queues up for a patient. Always after the practitioner, so that no two transactions wait for each other.
pub(super) async fn lock_patient(connection: &mut PgConnection, key: i64) -> Result<(), DbError> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", key).execute(connection).await?;
    Ok(())
}

/// Deletes other calls' holds that are past their time and in the way: the constraints cannot know the clock.
pub(super) async fn clear_expired(
    connection: &mut PgConnection,
    call_id: &str,
    practitioner: &PractitionerId,
    patient: Option<PatientId>,
    span: Span,
) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM appointments
         WHERE status = 'held' AND hold_expires_at <= now() AND during && $3 AND (practitioner_id = $1 OR patient_id = $2)
           AND call_id <> $4",
        practitioner.as_str(),
        patient.map(|patient| patient.0),
        range(span),
        call_id
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes whatever the call holds.
pub(crate) async fn release(connection: &mut PgConnection, call_id: &str) -> Result<u64, DbError> {
    let released = sqlx::query!("DELETE FROM appointments WHERE status = 'held' AND call_id = $1", call_id).execute(connection).await?;
    Ok(released.rows_affected())
}
