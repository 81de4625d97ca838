//! Reading appointments back, for people: the demo's closing table, later the dashboard.

use chrono::{DateTime, Utc};
use frontdesk_agent::Pii;

use crate::audit::{self, Actor};
use crate::db::{DbError, bounded};
use crate::ids::{AppointmentId, PractitionerId};
use crate::phone::PhoneNumber;
use crate::store::{ClinicStore, practitioner_id};

/// How many appointments are read at once at most.
const APPOINTMENTS_MAX: i64 = 500;

/// An appointment with everything that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appointment {
    /// The id; pseudonymous.
    pub id: AppointmentId,
    /// What the patient was told.
    pub confirmation_code: String,
    /// `booked` or `cancelled`.
    pub status: String,
    /// When it begins.
    pub start: DateTime<Utc>,
    /// The first moment after it.
    pub end: DateTime<Utc>,
    /// With whom.
    pub practitioner: PractitionerId,
    /// As it is spoken.
    pub practitioner_name: String,
    /// For what, by the service's name.
    pub service_name: Option<String>,
    /// For whom.
    pub patient_name: Pii<String>,
    /// Where the patient can be reached.
    pub phone: PhoneNumber,
    /// The call that booked it.
    pub call_id: String,
}

impl ClinicStore {
    /// The appointments that a call booked, cancelled ones included, ordered by time; at most 500. The reading is audited.
    pub async fn appointments_of_call(&self, call_id: &str) -> Result<Vec<Appointment>, DbError> {
        bounded(async {
            let (mut transaction, _) = self.begin().await?;
            let rows = sqlx::query!(
                r#"SELECT a.appointment_id, a.confirmation_code AS "confirmation_code!", a.status,
                          lower(a.during) AS "start!", upper(a.during) AS "end!",
                          a.practitioner_id, p.name AS practitioner_name, s.name AS "service_name?",
                          patients.name_sealed, patients.phone_sealed, a.call_id
                   FROM appointments a
                   JOIN practitioners p USING (tenant_id, practitioner_id)
                   JOIN patients USING (tenant_id, patient_id)
                   LEFT JOIN services s USING (tenant_id, service_code)
                   WHERE a.call_id = $1 AND a.status <> 'held'
                   ORDER BY lower(a.during) LIMIT $2"#,
                call_id,
                APPOINTMENTS_MAX
            )
            .fetch_all(&mut *transaction)
            .await?;
            for row in &rows {
                let subject = row.appointment_id.to_string();
                audit::append(&mut transaction, &self.tenant, None, Actor::Operator, "appointment.read", Some(&subject)).await?;
            }
            let keys = self.keys_of(&mut transaction, rows.iter().flat_map(|row| [&row.name_sealed, &row.phone_sealed])).await?;
            transaction.commit().await?;
            let mut appointments = Vec::with_capacity(rows.len());
            for row in rows {
                appointments.push(Appointment {
                    id: AppointmentId(row.appointment_id),
                    confirmation_code: row.confirmation_code,
                    status: row.status,
                    start: row.start,
                    end: row.end,
                    practitioner: practitioner_id(row.practitioner_id)?,
                    practitioner_name: row.practitioner_name,
                    service_name: row.service_name,
                    patient_name: self.open_with(&keys, ("patients", "name_sealed"), row.name_sealed)?,
                    phone: self.open_with(&keys, ("patients", "phone_sealed"), row.phone_sealed)?,
                    call_id: row.call_id,
                });
            }
            Ok(appointments)
        })
        .await
    }
}
