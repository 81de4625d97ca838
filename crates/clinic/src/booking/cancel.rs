//! Cancelling, in two phases like booking.

use async_trait::async_trait;
use chrono::{DateTime, NaiveDateTime, Utc};
use frontdesk_notify::Event;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::exactly_once::{CommitError, Effect, Settled};
use super::identify::Claimed;
use super::{CANCEL_TOOL, PrepareError, Refusal, code, identify};
use crate::audit::{self, Actor};
use crate::db::{DbError, bounded};
use crate::ids::{AppointmentId, CommitKey, PatientId};
use crate::phone::PhoneNumber;
use crate::schedule::{Place, Span};
use crate::store::{ClinicStore, load_schedule, practitioner_id};
use crate::waiting::{self, Freed};

/// A cancellation as it will be committed. Its JSON form is the canonical arguments of the commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancellation {
    /// Which appointment.
    pub appointment: AppointmentId,
    /// Its code.
    pub confirmation_code: String,
    /// The patient's number, the second thing that the caller had to know.
    pub phone: PhoneNumber,
}

/// A cancellation that awaits the caller's yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedCancellation {
    /// What will be cancelled; commit exactly this.
    pub cancellation: Cancellation,
    /// The beginning in local time.
    pub local_start: NaiveDateTime,
    /// With whom.
    pub practitioner_name: String,
}

/// An appointment that was cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// Which.
    pub appointment: AppointmentId,
    /// When it would have begun.
    pub start: DateTime<Utc>,
}

impl ClinicStore {
    /// Finds the appointment by its code and the patient's number, both of which have to match.
    pub async fn prepare_cancellation(
        &self,
        call_id: &str,
        confirmation_code: &str,
        phone: &PhoneNumber,
    ) -> Result<PreparedCancellation, PrepareError> {
        let confirmation_code = code::normalise(confirmation_code);
        let found = async {
            let Claimed { mut transaction, own, .. } = match self.claim(call_id, &confirmation_code, phone).await? {
                Ok(claimed) => claimed,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let schedule = load_schedule(&mut transaction).await?;
            let zone = Place::zone(schedule.place(&own.practitioner, own.span).as_ref(), schedule.zone);
            let subject = own.id.to_string();
            audit::append(&mut transaction, &self.tenant, Some(call_id), Actor::Agent, "appointment.read", Some(&subject)).await?;
            transaction.commit().await?;
            Ok(Ok(PreparedCancellation {
                cancellation: Cancellation { appointment: own.id, confirmation_code, phone: phone.clone() },
                local_start: crate::local_time::local(own.span.start, zone),
                practitioner_name: own.practitioner_name,
            }))
        };
        Ok(bounded(found).await??)
    }

    /// Cancels exactly what was prepared, at most once under `key`.
    pub async fn commit_cancellation(&self, key: &CommitKey, cancellation: &Cancellation) -> Result<Settled<Cancelled>, CommitError> {
        self.settle(key, &Cancel(cancellation)).await
    }
}

struct Cancel<'a>(&'a Cancellation);

#[async_trait]
impl Effect for Cancel<'_> {
    type Output = Cancelled;
    type Arguments = Cancellation;

    fn tool(&self) -> &'static str {
        CANCEL_TOOL
    }

    fn arguments(&self) -> &Cancellation {
        self.0
    }

    async fn apply(
        &self,
        store: &ClinicStore,
        key: &CommitKey,
        now: DateTime<Utc>,
        connection: &mut PgConnection,
    ) -> Result<Settled<Cancelled>, DbError> {
        let Cancellation { appointment, confirmation_code, .. } = self.0;
        let row = sqlx::query!(
            r#"SELECT status, lower(during) AS "start!", upper(during) AS "end!", practitioner_id, patient_id AS "patient_id!" FROM appointments
               WHERE appointment_id = $1 AND confirmation_code = $2 FOR NO KEY UPDATE"#,
            appointment.0,
            confirmation_code
        )
        .fetch_optional(&mut *connection)
        .await?;
        let Some(row) = row else {
            return Ok(Settled::Refused(Refusal::NotFound));
        };
        if let Some(refusal) = identify::refusal(&row.status, row.start, now) {
            return Ok(Settled::Refused(refusal));
        }
        sqlx::query!(
            "UPDATE appointments SET status = 'cancelled', revision = revision + 1, updated_at = now() WHERE appointment_id = $1",
            appointment.0
        )
        .execute(&mut *connection)
        .await?;
        let subject = appointment.to_string();
        audit::append(connection, &store.tenant, Some(&key.call_id), Actor::Caller, "appointment.cancelled", Some(&subject)).await?;
        store.tell_of_appointment(connection, &key.call_id, Event::AppointmentCancelled, *appointment).await?;
        let practitioner = practitioner_id(row.practitioner_id)?;
        let span = Span { start: row.start, end: row.end };
        let freed = Freed { practitioner: &practitioner, span, by: PatientId(row.patient_id) };
        waiting::freed(connection, store, &key.call_id, &freed, now).await?;
        Ok(Settled::Done(Cancelled { appointment: *appointment, start: row.start }))
    }
}
