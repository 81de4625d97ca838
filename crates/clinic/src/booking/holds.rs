//! Locks and holds on slots.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use sqlx::postgres::types::PgRange;

use super::Refusal;
use crate::audit::{self, Actor};
use crate::db::{DbError, back_off};
use crate::ids::{AppointmentId, PatientId, PractitionerId, ServiceCode};
use crate::schedule::Span;
use crate::store::ClinicStore;

/// How long a slot is kept for a caller between the read-back and his yes.
const HOLD_S: f64 = 120.0;
/// How often the hold is tried before the slot counts as taken.
const ATTEMPTS_MAX: u32 = 5;

/// The span as Postgres stores it: half-open.
pub(crate) fn range(span: Span) -> PgRange<DateTime<Utc>> {
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
pub(crate) async fn lock_patient(connection: &mut PgConnection, key: i64) -> Result<(), DbError> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", key).execute(connection).await?;
    Ok(())
}

/// What a visit takes of the practitioner's time, as the service stands now.
pub(super) async fn occupied(connection: &mut PgConnection, service: Option<&ServiceCode>, span: Span) -> Result<Span, DbError> {
    let Some(service) = service else { return Ok(span) };
    let row = sqlx::query!("SELECT buffer_before_minutes, buffer_after_minutes FROM services WHERE service_code = $1", service.as_str())
        .fetch_optional(connection)
        .await?;
    let minutes = |minutes: i32| TimeDelta::minutes(minutes.into());
    Ok(row.map_or(span, |row| Span {
        start: span.start - minutes(row.buffer_before_minutes),
        end: span.end + minutes(row.buffer_after_minutes),
    }))
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
         WHERE status = 'held' AND hold_expires_at <= now() AND coalesce(occupies, during) && $3 AND (practitioner_id = $1 OR patient_id = $2)
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

/// A slot to be kept for a call.
pub(super) struct Hold<'a> {
    pub(super) call_id: &'a str,
    pub(super) practitioner: &'a PractitionerId,
    pub(super) service: Option<&'a ServiceCode>,
    /// Nobody, if the patient is new or has the time already.
    pub(super) patient: Option<PatientId>,
    pub(super) span: Span,
    /// The span and its buffers.
    pub(super) occupied: Span,
}

/// Keeps the slot, gives its id and the first moment at which somebody else may take it, and notes it in the audit log. Other holds
/// of the call have to be gone. The exclusion constraints speak through the error.
pub(super) async fn insert(
    connection: &mut PgConnection,
    store: &ClinicStore,
    hold: &Hold<'_>,
) -> Result<Result<DateTime<Utc>, sqlx::Error>, DbError> {
    let appointment = AppointmentId::mint();
    let held = sqlx::query_scalar!(
        r#"INSERT INTO appointments
               (tenant_id, appointment_id, practitioner_id, service_code, patient_id, during, occupies, status, hold_expires_at, call_id)
           VALUES ($1, $2, $3, $4, $5, $6, $7, 'held', now() + make_interval(secs => $8), $9)
           RETURNING hold_expires_at AS "held_until!""#,
        store.tenant.as_str(),
        appointment.0,
        hold.practitioner.as_str(),
        hold.service.map(ServiceCode::as_str),
        hold.patient.map(|patient| patient.0),
        range(hold.span),
        (hold.occupied != hold.span).then(|| range(hold.occupied)),
        HOLD_S,
        hold.call_id
    )
    .fetch_one(&mut *connection)
    .await;
    let held_until = match held {
        Ok(held_until) => held_until,
        Err(error) => return Ok(Err(error)),
    };
    let subject = appointment.to_string();
    audit::append(connection, &store.tenant, Some(hold.call_id), Actor::Agent, "slot.held", Some(&subject)).await?;
    Ok(Ok(held_until))
}

/// How an attempt to hold a slot ended, if it was not refused.
pub(super) enum Attempt<T> {
    Held(T),
    /// Somebody was faster between looking and holding.
    Overtaken,
}

/// Tries until the slot is held or refused, or five times.
pub(super) async fn with_retries<T, F>(attempt: impl Fn() -> F) -> Result<Result<T, Refusal>, DbError>
where
    F: Future<Output = Result<Result<Attempt<T>, Refusal>, DbError>>,
{
    for number in 1.. {
        match attempt().await {
            Ok(Ok(Attempt::Held(prepared))) => return Ok(Ok(prepared)),
            Ok(Err(refusal)) => return Ok(Err(refusal)),
            Ok(Ok(Attempt::Overtaken)) if number < ATTEMPTS_MAX => {}
            Ok(Ok(Attempt::Overtaken)) => return Ok(Err(Refusal::SlotTaken { alternatives: Vec::new() })),
            Err(error) if error.is_worth_another_try() && number < ATTEMPTS_MAX => back_off(number).await,
            Err(error) => return Err(error),
        }
    }
    unreachable!("the last attempt returns")
}

/// Deletes whatever the call holds.
pub(crate) async fn release(connection: &mut PgConnection, call_id: &str) -> Result<u64, DbError> {
    let released = sqlx::query!("DELETE FROM appointments WHERE status = 'held' AND call_id = $1", call_id).execute(connection).await?;
    Ok(released.rows_affected())
}
