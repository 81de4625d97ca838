//! Telling a caller his own appointments.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::identify::{self, SecondFactor};
use super::{PrepareError, Refusal};
use crate::audit::{self, Actor};
use crate::db::{DbError, bounded};
use crate::phone::PhoneNumber;
use crate::schedule::{Place, Span};
use crate::store::{ClinicStore, load_schedule, practitioner_id};

/// More than so many nobody wants to hear.
const UPCOMING_MAX: i64 = 10;

/// An appointment to come, as its patient may hear it. The code is not among it: it is what he proves himself with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upcoming {
    /// When it begins.
    pub start: DateTime<Utc>,
    /// The first moment after it.
    pub end: DateTime<Utc>,
    /// In which it is spoken.
    pub zone: Tz,
    /// Where it is.
    pub place: Option<Place>,
    /// With whom, as it is spoken.
    pub practitioner_name: String,
    /// For what, as it is spoken.
    pub service_name: Option<String>,
}

impl ClinicStore {
    /// The patient's appointments to come, ordered by time, at most ten, once number and second factor match. Every one that is
    /// told is in the audit log, and so is a failure to match.
    pub async fn upcoming_appointments(
        &self,
        call_id: &str,
        phone: &PhoneNumber,
        second: &SecondFactor,
    ) -> Result<Vec<Upcoming>, PrepareError> {
        Ok(bounded(self.upcoming(call_id, phone, second)).await??)
    }

    async fn upcoming(&self, call_id: &str, phone: &PhoneNumber, second: &SecondFactor) -> Result<Result<Vec<Upcoming>, Refusal>, DbError> {
        let (mut transaction, now) = self.begin().await?;
        if identify::has_guessed_too_often(&mut transaction, call_id).await? {
            return Ok(Err(Refusal::TooManyAttempts));
        }
        let Some(patient) = identify::find_patient(&mut transaction, self, phone, second).await? else {
            identify::note_failure(&mut transaction, self, call_id).await?;
            transaction.commit().await?;
            return Ok(Err(Refusal::UnknownPatient));
        };
        crate::patients::remember(&mut transaction, self, call_id, patient, "returning").await?;
        let schedule = load_schedule(&mut transaction).await?;
        let rows = sqlx::query!(
            r#"SELECT a.appointment_id, lower(a.during) AS "start!", upper(a.during) AS "end!", a.practitioner_id, p.name AS practitioner_name,
                      s.name AS "service_name?"
               FROM appointments a
               JOIN practitioners p USING (tenant_id, practitioner_id)
               LEFT JOIN services s USING (tenant_id, service_code)
               WHERE a.patient_id = $1 AND a.status = 'booked' AND upper(a.during) > $2
               ORDER BY lower(a.during) LIMIT $3"#,
            patient.0,
            now,
            UPCOMING_MAX
        )
        .fetch_all(&mut *transaction)
        .await?;
        for row in &rows {
            let subject = row.appointment_id.to_string();
            audit::append(&mut transaction, &self.tenant, Some(call_id), Actor::Agent, "appointment.read", Some(&subject)).await?;
        }
        transaction.commit().await?;
        let mut upcoming = Vec::with_capacity(rows.len());
        for row in rows {
            let place = schedule.place(&practitioner_id(row.practitioner_id)?, Span { start: row.start, end: row.end });
            upcoming.push(Upcoming {
                start: row.start,
                end: row.end,
                zone: Place::zone(place.as_ref(), schedule.zone),
                place,
                practitioner_name: row.practitioner_name,
                service_name: row.service_name,
            });
        }
        Ok(Ok(upcoming))
    }
}
