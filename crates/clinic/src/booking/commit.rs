//! The second phase of a booking: the held slot becomes an appointment.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use frontdesk_notify::Event;
use sqlx::PgConnection;

use super::exactly_once::{CommitError, Effect, Settled};
use super::patient::Identity;
use super::{BOOK_TOOL, Booked, Booking, Refusal, code, holds};
use crate::audit::{self, Actor};
use crate::db::{DbError, violated};
use crate::ids::{AppointmentId, CommitKey, PatientId, PractitionerId, ServiceCode};
use crate::schedule::{Asked, Span};
use crate::slots::{alternatives_with_a_colleague, around};
use crate::store::{ClinicStore, load_busy, load_schedule};

impl ClinicStore {
    /// Books exactly what was prepared, at most once under `key`. If the hold ran out, the slot is booked all the same as
    /// long as nobody else has it.
    pub async fn commit_booking(&self, key: &CommitKey, booking: &Booking) -> Result<Settled<Booked>, CommitError> {
        self.settle(key, &Book(booking)).await
    }
}

struct Book<'a>(&'a Booking);

#[async_trait]
impl Effect for Book<'_> {
    type Output = Booked;
    type Arguments = Booking;

    fn tool(&self) -> &'static str {
        BOOK_TOOL
    }

    fn arguments(&self) -> &Booking {
        self.0
    }

    async fn apply(
        &self,
        store: &ClinicStore,
        key: &CommitKey,
        _now: DateTime<Utc>,
        connection: &mut PgConnection,
    ) -> Result<Settled<Booked>, DbError> {
        let booking = self.0;
        let Some(practitioner_name) = active_practitioner(connection, &booking.practitioner).await? else {
            return Ok(Settled::Refused(Refusal::NotOffered));
        };
        let identity = Identity::of(store, &booking.patient_name, &booking.phone);
        holds::lock_practitioner(connection, store, &booking.practitioner).await?;
        holds::lock_patient(connection, identity.lock_key()).await?;
        let patient = identity.find_or_add(connection, store, &key.call_id, &booking.patient_name, &booking.phone).await?;
        let occupied = holds::occupied(connection, booking.service.as_ref(), self.span()).await?;
        holds::clear_expired(connection, &key.call_id, &booking.practitioner, Some(patient), occupied).await?;
        let confirmation_code = code::mint();
        let booked = match self.take(store, key, patient, (&confirmation_code, occupied), connection).await {
            Ok(appointment) => appointment,
            Err(error) => {
                return match violated(&error).as_deref() {
                    Some("appointments_practitioner_free") => Ok(Settled::Refused(Refusal::SlotTaken { alternatives: Vec::new() })),
                    Some("appointments_patient_free") => Ok(Settled::Refused(Refusal::PatientBusy)),
                    Some("appointments_tenant_id_service_code_fkey") => Ok(Settled::Refused(Refusal::NotOffered)),
                    // One chance in millions: begin anew with another code.
                    Some("appointments_code") => Err(DbError::Conflict { code: "23505".into() }),
                    _ => Err(error.into()),
                };
            }
        };
        let subject = booked.to_string();
        audit::append(connection, &store.tenant, Some(&key.call_id), Actor::Caller, "appointment.booked", Some(&subject)).await?;
        store.tell_of_appointment(connection, &key.call_id, Event::AppointmentBooked, booked).await?;
        crate::waiting::is_served(connection, store, &key.call_id, patient, booking.start).await?;
        Ok(Settled::Done(Booked {
            appointment: booked,
            confirmation_code,
            start: booking.start,
            duration_minutes: booking.duration_minutes,
            practitioner: booking.practitioner.clone(),
            practitioner_name,
            place: booking.place.clone(),
        }))
    }

    async fn explain(
        &self,
        _store: &ClinicStore,
        now: DateTime<Utc>,
        connection: &mut PgConnection,
        refusal: Refusal,
    ) -> Result<Refusal, DbError> {
        let asked = Asked { practitioner: Some(&self.0.practitioner), service: self.0.service.as_ref(), ..Asked::default() };
        with_alternatives(now, connection, refusal, self.span(), asked).await
    }
}

/// The name of a practitioner who still works here.
pub(super) async fn active_practitioner(connection: &mut PgConnection, practitioner: &PractitionerId) -> Result<Option<String>, DbError> {
    let name = sqlx::query_scalar!("SELECT name FROM practitioners WHERE practitioner_id = $1 AND is_active", practitioner.as_str());
    Ok(name.fetch_optional(connection).await?)
}

/// Adds free times near the wish to the refusal that somebody else has it.
pub(super) async fn with_alternatives(
    now: DateTime<Utc>,
    connection: &mut PgConnection,
    refusal: Refusal,
    wish: Span,
    asked: Asked<'_>,
) -> Result<Refusal, DbError> {
    let Refusal::SlotTaken { .. } = refusal else {
        return Ok(refusal);
    };
    let schedule = load_schedule(connection).await?;
    let busy = load_busy(connection, around(wish.start), "", None).await?;
    Ok(Refusal::SlotTaken { alternatives: alternatives_with_a_colleague(&schedule, wish, asked, now, &busy) })
}

impl Book<'_> {
    fn span(&self) -> Span {
        Span::lasting(self.0.start, self.0.duration_minutes)
    }

    /// Turns the call's hold into the appointment or, if there is none any more, inserts the appointment.
    async fn take(
        &self,
        store: &ClinicStore,
        key: &CommitKey,
        patient: PatientId,
        (confirmation_code, occupied): (&str, Span),
        connection: &mut PgConnection,
    ) -> Result<AppointmentId, sqlx::Error> {
        let booking = self.0;
        let held = sqlx::query_scalar!(
            "UPDATE appointments
             SET status = 'booked', patient_id = $4, hold_expires_at = NULL, confirmation_code = $5, updated_at = now()
             WHERE status = 'held' AND call_id = $1 AND practitioner_id = $2 AND during = $3
             RETURNING appointment_id",
            key.call_id,
            booking.practitioner.as_str(),
            holds::range(self.span()),
            patient.0,
            confirmation_code
        )
        .fetch_optional(&mut *connection)
        .await?;
        if let Some(appointment) = held {
            return Ok(AppointmentId(appointment));
        }
        let appointment = AppointmentId::mint();
        sqlx::query!(
            "INSERT INTO appointments
                 (tenant_id, appointment_id, practitioner_id, service_code, patient_id, during, occupies, status, call_id, confirmation_code)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 'booked', $8, $9)",
            store.tenant.as_str(),
            appointment.0,
            booking.practitioner.as_str(),
            booking.service.as_ref().map(ServiceCode::as_str),
            patient.0,
            holds::range(self.span()),
            (occupied != self.span()).then(|| holds::range(occupied)),
            key.call_id,
            confirmation_code
        )
        .execute(&mut *connection)
        .await?;
        Ok(appointment)
    }
}
