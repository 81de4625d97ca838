//! Whose appointment it is: nothing about one is told or changed before two things match that its patient knows.
//!
//! Which of the two is wrong is never told. Failures are counted by call in the audit log; after a few of them a call is told
//! nothing any more, so that nobody finds out codes or names by trying.

use chrono::{DateTime, Utc};
use frontdesk_agent::Pii;
use sqlx::{PgConnection, Postgres, Transaction};

use super::patient::{Identity, phone_index};
use super::{Refusal, code};
use crate::audit::{self, Actor};
use crate::db::DbError;
use crate::ids::{AppointmentId, PatientId, PractitionerId, ServiceCode};
use crate::phone::PhoneNumber;
use crate::schedule::Span;
use crate::store::{ClinicStore, practitioner_id};

/// Failed attempts of one call, after which it is told nothing any more.
const FAILURES_MAX: i64 = 6;
/// As the audit log has it.
const FAILED: &str = "identification.failed";

/// What a caller knows besides the telephone number that the clinic has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecondFactor {
    /// The confirmation code of any appointment of the patient's, however it is spelt.
    Code(String),
    /// The patient's full name.
    Name(Pii<String>),
}

/// An appointment whose code and telephone number were known.
#[derive(Debug, Clone)]
pub(super) struct OwnAppointment {
    pub(super) id: AppointmentId,
    pub(super) status: String,
    pub(super) span: Span,
    /// The span and its buffers.
    pub(super) occupied: Span,
    pub(super) practitioner: PractitionerId,
    pub(super) practitioner_name: String,
    pub(super) service: Option<ServiceCode>,
    pub(super) patient: PatientId,
    pub(super) identity: Identity,
}

impl OwnAppointment {
    /// Why it can be neither moved nor cancelled, if so.
    pub(super) fn refusal(&self, now: DateTime<Utc>) -> Option<Refusal> {
        refusal(&self.status, self.span.start, now)
    }
}

/// An appointment that the caller may move or cancel, and the transaction that found it.
pub(super) struct Claimed {
    pub(super) transaction: Transaction<'static, Postgres>,
    pub(super) now: DateTime<Utc>,
    pub(super) own: OwnAppointment,
}

impl ClinicStore {
    /// Finds the appointment that a caller wants to move or cancel, by its code and telephone number. A failure to match is written
    /// down; after a few of them the call is told nothing any more.
    pub(super) async fn claim(
        &self,
        call_id: &str,
        confirmation_code: &str,
        phone: &PhoneNumber,
    ) -> Result<Result<Claimed, Refusal>, DbError> {
        let (mut transaction, now) = self.begin().await?;
        if has_guessed_too_often(&mut transaction, call_id).await? {
            return Ok(Err(Refusal::TooManyAttempts));
        }
        let Some(own) = find_own(&mut transaction, self, confirmation_code, phone).await? else {
            note_failure(&mut transaction, self, call_id).await?;
            transaction.commit().await?;
            return Ok(Err(Refusal::NotFound));
        };
        Ok(match own.refusal(now) {
            Some(refusal) => Err(refusal),
            None => Ok(Claimed { transaction, now, own }),
        })
    }
}

/// Why an appointment in this state can be neither moved nor cancelled, if so.
pub(super) fn refusal(status: &str, start: DateTime<Utc>, now: DateTime<Utc>) -> Option<Refusal> {
    match status {
        "booked" if start > now => None,
        "booked" => Some(Refusal::Past),
        _ => Some(Refusal::AlreadyCancelled),
    }
}

/// The appointment of a code and a telephone number, both of which have to match.
pub(super) async fn find_own(
    connection: &mut PgConnection,
    store: &ClinicStore,
    confirmation_code: &str,
    phone: &PhoneNumber,
) -> Result<Option<OwnAppointment>, DbError> {
    let row = sqlx::query!(
        r#"SELECT a.appointment_id, a.status, lower(a.during) AS "start!", upper(a.during) AS "end!", a.practitioner_id,
                  lower(coalesce(a.occupies, a.during)) AS "occupied_from!", upper(coalesce(a.occupies, a.during)) AS "occupied_to!",
                  p.name AS practitioner_name, a.service_code, patients.patient_id, patients.name_index, patients.phone_index
           FROM appointments a
           JOIN patients USING (tenant_id, patient_id)
           JOIN practitioners p USING (tenant_id, practitioner_id)
           WHERE a.confirmation_code = $1 AND patients.phone_index = $2"#,
        confirmation_code,
        &phone_index(store, phone)[..]
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let service = row.service_code.map(ServiceCode::new).transpose();
    Ok(Some(OwnAppointment {
        id: AppointmentId(row.appointment_id),
        status: row.status,
        span: Span { start: row.start, end: row.end },
        occupied: Span { start: row.occupied_from, end: row.occupied_to },
        practitioner: practitioner_id(row.practitioner_id)?,
        practitioner_name: row.practitioner_name,
        service: service.map_err(|error| DbError::unreadable("service_code", &error))?,
        patient: PatientId(row.patient_id),
        identity: Identity::stored(&row.name_index, &row.phone_index)?,
    }))
}

/// The patient of a telephone number and a second thing, both of which have to match.
pub(super) async fn find_patient(
    connection: &mut PgConnection,
    store: &ClinicStore,
    phone: &PhoneNumber,
    second: &SecondFactor,
) -> Result<Option<PatientId>, DbError> {
    match second {
        SecondFactor::Code(text) => {
            let own = find_own(connection, store, &code::normalise(text), phone).await?;
            Ok(own.map(|own| own.patient))
        }
        SecondFactor::Name(name) => Identity::of(store, name, phone).find(connection).await,
    }
}

/// Whether the call has guessed too often to be told anything.
pub(crate) async fn has_guessed_too_often(connection: &mut PgConnection, call_id: &str) -> Result<bool, DbError> {
    let failures = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM audit_events WHERE call_id = $1 AND action = 'identification.failed'"#,
        call_id
    )
    .fetch_one(connection)
    .await?;
    Ok(failures >= FAILURES_MAX)
}

/// Writes down that an attempt failed. The caller of this function commits.
pub(crate) async fn note_failure(connection: &mut PgConnection, store: &ClinicStore, call_id: &str) -> Result<(), DbError> {
    audit::append(connection, &store.tenant, Some(call_id), Actor::Caller, FAILED, None).await
}
