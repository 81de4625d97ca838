//! Patients for people: found, masked; and told in full, for an access request (45 CFR 164.524).

use frontdesk_agent::Pii;
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::Purpose;
use super::{mask, rows};
use crate::audit::{self, Actor};
use crate::db::{DbError, bounded};
use crate::ids::PatientId;
use crate::phone::PhoneNumber;
use crate::store::ClinicStore;

/// A family is smaller.
const FOUND_MAX: i64 = 50;

/// A patient, masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPatient {
    /// The id; pseudonymous.
    pub id: PatientId,
    /// Initials.
    pub name: String,
    /// Last four digits.
    pub phone: String,
    /// Appointments, cancelled ones included.
    pub appointments: i64,
    /// Whether a legal hold is on him.
    pub is_held: bool,
}

/// The patients of a telephone number, whose name contains `name` if one is given; at most fifty. The look-up is audited.
pub async fn find_patients(store: &ClinicStore, phone: &PhoneNumber, name: Option<&str>) -> Result<Vec<FoundPatient>, DbError> {
    bounded(find(store, phone, name)).await
}

async fn find(store: &ClinicStore, phone: &PhoneNumber, name: Option<&str>) -> Result<Vec<FoundPatient>, DbError> {
    let index = store.keys.blind_index(&store.place("patients", "phone_index"), phone.as_e164());
    let (mut transaction, _) = store.begin().await?;
    let patients = sqlx::query!(
        r#"SELECT p.patient_id, p.name_sealed, p.phone_sealed,
                  (SELECT count(*) FROM appointments a WHERE a.patient_id = p.patient_id AND a.status <> 'held') AS "appointments!",
                  EXISTS (SELECT FROM legal_holds h WHERE h.kind = 'patient' AND h.subject = p.patient_id::text) AS "is_held!"
           FROM patients p WHERE p.phone_index = $1 AND p.erased_at IS NULL ORDER BY p.patient_id LIMIT $2"#,
        &index[..],
        FOUND_MAX
    )
    .fetch_all(&mut *transaction)
    .await?;
    let keys = store.keys_of(&mut transaction, patients.iter().flat_map(|row| [&row.name_sealed, &row.phone_sealed])).await?;
    let wanted = name.map(str::to_lowercase);
    let mut found = Vec::new();
    for row in patients {
        let full: Pii<String> = store.open_with(&keys, ("patients", "name_sealed"), row.name_sealed)?;
        if wanted.as_ref().is_some_and(|wanted| !full.expose().to_lowercase().contains(wanted)) {
            continue;
        }
        let number: PhoneNumber = store.open_with(&keys, ("patients", "phone_sealed"), row.phone_sealed)?;
        let id = PatientId(row.patient_id);
        audit::append(&mut transaction, &store.tenant, None, Actor::Operator, "patient.found", Some(&id.to_string())).await?;
        found.push(FoundPatient {
            id,
            name: mask::name(full.expose()),
            phone: mask::phone(number.as_e164()),
            appointments: row.appointments,
            is_held: row.is_held,
        });
    }
    transaction.commit().await?;
    Ok(found)
}

/// All that the clinic holds of a patient, as JSON: his own rows, those of the calls that concern him, and who did what about him;
/// `None` if there is no such patient. Of a call in which others were spoken of as well, their part is in it, too: somebody has to
/// read it before it is handed over.
pub async fn export_patient(store: &ClinicStore, patient: PatientId, purpose: &Purpose) -> Result<Option<Value>, DbError> {
    let (mut transaction, now) = store.begin().await?;
    sqlx::query!("SELECT set_config('statement_timeout', '60000', true)").fetch_one(&mut *transaction).await?;
    let subject = patient.to_string();
    let own = rows::of(store, &mut transaction, rows::Key::Patient, &subject).await?;
    if own.get("patients").is_none() {
        return Ok(None);
    }
    let about = rows::of(store, &mut transaction, rows::Key::About, &subject).await?;
    let call_ids = sqlx::query_scalar!(r#"SELECT calls_of_patient($1) AS "call!" ORDER BY 1"#, patient.0).fetch_all(&mut *transaction);
    let mut calls = serde_json::Map::new();
    for call_id in call_ids.await? {
        let left = rows::of(store, &mut transaction, rows::Key::CallAlone, &call_id).await?;
        calls.insert(call_id, Value::Object(left));
    }
    let disclosures = disclosures(&mut transaction, patient).await?;
    audit::append_for(&mut transaction, &store.tenant, None, "patient.exported", Some(&subject), Some(purpose.as_str())).await?;
    transaction.commit().await?;
    Ok(Some(json!({
        "patient_id": subject,
        "tenant_id": store.tenant.as_str(),
        "exported_at": now,
        "purpose": purpose.as_str(),
        "patient": own,
        "about": about,
        "calls": calls,
        "audit": disclosures,
    })))
}

/// What the audit log says about the patient and his appointments, oldest first.
async fn disclosures(connection: &mut PgConnection, patient: PatientId) -> Result<Vec<Value>, DbError> {
    let events = sqlx::query_scalar!(
        r#"SELECT to_jsonb(e) - 'tenant_id' AS "event!" FROM audit_events e
           WHERE e.subject = $1::uuid::text
              OR e.subject IN (SELECT appointment_id::text FROM appointments WHERE patient_id = $1)
           ORDER BY e.event_id LIMIT 100000"#,
        patient.0
    )
    .fetch_all(connection)
    .await?;
    Ok(events)
}
