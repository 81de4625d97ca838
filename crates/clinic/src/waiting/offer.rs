//! A time that became free goes to whoever has waited longest for such a time.

use chrono::{DateTime, TimeDelta, Utc};
use frontdesk_agent::Pii;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::audit::{self, Actor};
use crate::booking::holds;
use crate::db::DbError;
use crate::ids::{PatientId, PractitionerId};
use crate::local_time;
use crate::messages::{About, CallerMessage};
use crate::phone::PhoneNumber;
use crate::schedule::Span;
use crate::schedule::when::Wish;
use crate::store::{ClinicStore, practitioner_id};

/// How long the clinic's staff has to reach whom a time is offered to, unless it begins before.
const OFFER_LASTS: TimeDelta = TimeDelta::hours(24);
/// So many who wait are looked at for one time; the others wait on.
const CANDIDATES_MAX: i64 = 100;
/// So many offers that nobody took are passed on at once.
const PASSED_ON_MAX: i64 = 20;
/// The call in whose name the system tells of an offer that it passed on by itself.
const NO_CALL: &str = "waiting-list";

/// A time that became free.
#[derive(Debug, Clone)]
pub(crate) struct Freed<'a> {
    /// Whose.
    pub(crate) practitioner: &'a PractitionerId,
    /// From when to when.
    pub(crate) span: Span,
    /// Who gave it up, and does not wait for it.
    pub(crate) by: PatientId,
}

/// Offers the time to whoever has waited longest for such a time, and tells the clinic's staff. Part of the transaction that frees it.
pub(crate) async fn freed(
    connection: &mut PgConnection,
    store: &ClinicStore,
    call_id: &str,
    freed: &Freed<'_>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    tidy(connection, store, Some(call_id), now).await?;
    offer(connection, store, call_id, freed, now).await
}

async fn offer(
    connection: &mut PgConnection,
    store: &ClinicStore,
    call_id: &str,
    freed: &Freed<'_>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let clinic = sqlx::query!("SELECT zone, lead_minutes FROM tenants").fetch_one(&mut *connection).await?;
    let zone = clinic.zone.parse().map_err(|_| DbError::Unreadable { what: "zone", reason: "not an IANA zone".into() })?;
    if freed.span.start < now + TimeDelta::minutes(clinic.lead_minutes.into()) {
        return Ok(());
    }
    let minutes = i32::try_from((freed.span.end - freed.span.start).num_minutes()).unwrap_or(i32::MAX);
    let local = local_time::local(freed.span.start, zone);
    // Somebody may have it again, for instance whoever moved his appointment by a quarter of an hour. Those whom another transaction
    // has in hand are not waited for.
    let candidates = sqlx::query!(
        r#"SELECT w.entry_id, w.patient_id, w.wish, w.offers, w.duration_minutes, patients.name_sealed, patients.phone_sealed, p.name AS practitioner_name
           FROM waiting_list w
           JOIN patients USING (tenant_id, patient_id)
           JOIN practitioners p ON p.tenant_id = w.tenant_id AND p.practitioner_id = $1 AND p.is_active
           WHERE w.status = 'waiting' AND w.during @> $2::timestamptz AND w.duration_minutes <= $3 AND w.patient_id <> $4
             AND (w.practitioner_id IS NULL OR w.practitioner_id = $1)
             AND (w.department_id IS NULL OR w.department_id = p.department_id)
             AND (w.service_code IS NULL OR p.offers_all_services OR EXISTS (
                     SELECT FROM practitioner_services s
                     WHERE s.tenant_id = w.tenant_id AND s.practitioner_id = $1 AND s.service_code = w.service_code))
             AND NOT EXISTS (SELECT FROM appointments a
                     WHERE a.practitioner_id = $1 AND a.status <> 'cancelled' AND coalesce(a.occupies, a.during) && $5)
           ORDER BY w.waiting_since, w.entry_id LIMIT $6 FOR UPDATE OF w SKIP LOCKED"#,
        freed.practitioner.as_str(),
        freed.span.start,
        minutes,
        freed.by.0,
        holds::range(freed.span),
        CANDIDATES_MAX
    )
    .fetch_all(&mut *connection)
    .await?;
    for one in candidates {
        let wish: Wish = serde_json::from_value(one.wish).map_err(|error| DbError::unreadable("wish", &error))?;
        if !wish.admits(local) {
            continue;
        }
        let keys = store.keys_of(&mut *connection, [&one.name_sealed, &one.phone_sealed]).await?;
        let name: Result<Pii<String>, _> = store.open_with(&keys, ("patients", "name_sealed"), one.name_sealed);
        let phone: Result<PhoneNumber, _> = store.open_with(&keys, ("patients", "phone_sealed"), one.phone_sealed);
        let (Ok(name), Ok(phone)) = (name, phone) else {
            // Erased, for instance: nobody can be called, and whoever gave the time up must not suffer for it.
            tracing::warn!(entry = %one.entry_id, "somebody on the waiting list cannot be read and is passed over");
            continue;
        };
        let expires = (now + OFFER_LASTS).min(freed.span.start);
        let offered = Span::lasting(freed.span.start, one.duration_minutes.unsigned_abs());
        note_offer(connection, one.entry_id, freed.practitioner, offered, expires).await?;
        let text = store.wording().freed(local, &one.practitioner_name, local_time::local(expires, zone));
        let message = CallerMessage { text: text.into(), recipient: None, caller_name: Some(name), phone: Some(phone) };
        let key = format!("waiting.{}.{}", one.entry_id, one.offers + 1);
        let about = About::Patient(PatientId(one.patient_id));
        store.insert_message(connection, (call_id, &key, now), (Actor::System, about), &message, false).await?;
        note(connection, store, Some(call_id), "waiting.offered", one.entry_id).await?;
        return Ok(());
    }
    Ok(())
}

async fn note_offer(
    connection: &mut PgConnection,
    entry: Uuid,
    practitioner: &PractitionerId,
    offered: Span,
    expires: DateTime<Utc>,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE waiting_list SET status = 'offered', offers = offers + 1, offered_during = $2, offered_practitioner = $3,
                    offer_expires_at = $4, updated_at = now()
             WHERE entry_id = $1",
        entry,
        holds::range(offered),
        practitioner.as_str(),
        expires
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends what is over, and passes on what nobody took.
pub(crate) async fn tidy(
    connection: &mut PgConnection,
    store: &ClinicStore,
    call_id: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let over = sqlx::query_scalar!(
        "UPDATE waiting_list SET status = 'expired', offer_expires_at = NULL, updated_at = now()
         WHERE status IN ('waiting', 'offered') AND upper(during) <= $1 RETURNING entry_id",
        now
    )
    .fetch_all(&mut *connection)
    .await?;
    for entry in over {
        note(connection, store, call_id, "waiting.expired", entry).await?;
    }
    let passed = sqlx::query!(
        r#"UPDATE waiting_list SET status = 'waiting', waiting_since = clock_timestamp(), offer_expires_at = NULL, updated_at = now()
           WHERE (tenant_id, entry_id) IN (
               SELECT tenant_id, entry_id FROM waiting_list WHERE status = 'offered' AND offer_expires_at <= $1
               ORDER BY offer_expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
           RETURNING entry_id, patient_id, offered_practitioner AS "practitioner!",
                     lower(offered_during) AS "start!", upper(offered_during) AS "end!""#,
        now,
        PASSED_ON_MAX
    )
    .fetch_all(&mut *connection)
    .await?;
    for one in passed {
        note(connection, store, call_id, "waiting.passed_on", one.entry_id).await?;
        let practitioner = practitioner_id(one.practitioner)?;
        // Whoever let it pass does not want it.
        let again = Freed { practitioner: &practitioner, span: Span { start: one.start, end: one.end }, by: PatientId(one.patient_id) };
        offer(connection, store, call_id.unwrap_or(NO_CALL), &again, now).await?;
    }
    Ok(())
}

/// A patient has got an appointment: whatever he waited for at that time is served. Part of the booking's transaction.
pub(crate) async fn is_served(
    connection: &mut PgConnection,
    store: &ClinicStore,
    call_id: &str,
    patient: PatientId,
    start: DateTime<Utc>,
) -> Result<(), DbError> {
    let served = sqlx::query_scalar!(
        "UPDATE waiting_list SET status = 'booked', offer_expires_at = NULL, updated_at = now()
         WHERE patient_id = $1 AND status IN ('waiting', 'offered') AND during @> $2::timestamptz RETURNING entry_id",
        patient.0,
        start
    )
    .fetch_all(&mut *connection)
    .await?;
    for entry in served {
        note(connection, store, Some(call_id), "waiting.booked", entry).await?;
    }
    Ok(())
}

async fn note(connection: &mut PgConnection, store: &ClinicStore, call_id: Option<&str>, action: &str, entry: Uuid) -> Result<(), DbError> {
    let subject = entry.to_string();
    audit::append(connection, &store.tenant, call_id, Actor::System, action, Some(&subject)).await
}
