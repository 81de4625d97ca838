//! Who a patient is: name and telephone number, found by their blind indexes.

use frontdesk_agent::Pii;
use sqlx::PgConnection;

use crate::db::DbError;
use crate::ids::PatientId;
use crate::phone::PhoneNumber;
use crate::store::ClinicStore;
use crate::subjects::Subject;

/// The blind indexes of one patient.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) name_index: [u8; 32],
    pub(crate) phone_index: [u8; 32],
}

impl Identity {
    pub(crate) fn of(store: &ClinicStore, name: &Pii<String>, phone: &PhoneNumber) -> Self {
        Self { name_index: name_index(store, name), phone_index: phone_index(store, phone) }
    }

    /// The indexes as they are stored with a patient.
    pub(super) fn stored(name_index: &[u8], phone_index: &[u8]) -> Result<Self, DbError> {
        let index = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).map_err(|error| DbError::unreadable("patients.name_index", &error));
        Ok(Self { name_index: index(name_index)?, phone_index: index(phone_index)? })
    }

    /// A number for an advisory lock that all transactions about this patient take.
    pub(crate) fn lock_key(&self) -> i64 {
        let mut bytes = [0; 8];
        for (byte, (name, phone)) in bytes.iter_mut().zip(self.name_index.iter().zip(self.phone_index)) {
            *byte = name ^ phone;
        }
        i64::from_be_bytes(bytes)
    }

    pub(super) async fn find(&self, connection: &mut PgConnection) -> Result<Option<PatientId>, DbError> {
        let found = sqlx::query_scalar!(
            "SELECT patient_id FROM patients WHERE phone_index = $1 AND name_index = $2",
            &self.phone_index[..],
            &self.name_index[..]
        )
        .fetch_optional(connection)
        .await?;
        Ok(found.map(PatientId))
    }

    /// The patient of name and number; else the one of this name whom the call has identified, who leaves another number this time.
    pub(crate) async fn find_in_call(&self, connection: &mut PgConnection, call_id: &str) -> Result<Option<PatientId>, DbError> {
        match self.find(connection).await? {
            Some(known) => Ok(Some(known)),
            None => crate::patients::of_call(connection, call_id, &self.name_index).await,
        }
    }

    /// The same, or a new patient.
    pub(crate) async fn find_or_add(
        &self,
        connection: &mut PgConnection,
        store: &ClinicStore,
        call_id: &str,
        name: &Pii<String>,
        phone: &PhoneNumber,
    ) -> Result<PatientId, DbError> {
        if let Some(known) = self.find_in_call(connection, call_id).await? {
            return Ok(known);
        }
        self.add(connection, store, name, phone).await
    }

    /// A new patient.
    pub(crate) async fn add(
        &self,
        connection: &mut PgConnection,
        store: &ClinicStore,
        name: &Pii<String>,
        phone: &PhoneNumber,
    ) -> Result<PatientId, DbError> {
        let patient = PatientId::mint();
        let key = store.subject_key(&mut *connection, Subject::Patient(patient)).await?;
        let name = store.seal_with(&key, "patients", "name_sealed", name)?;
        let phone = store.seal_with(&key, "patients", "phone_sealed", phone)?;
        // The caller holds the patient's lock, so nobody adds the same patient in between.
        sqlx::query!(
            "INSERT INTO patients (tenant_id, patient_id, name_sealed, name_index, phone_sealed, phone_index)
             VALUES ($1, $2, $3, $4, $5, $6)",
            store.tenant.as_str(),
            patient.0,
            name.as_bytes(),
            &self.name_index[..],
            phone.as_bytes(),
            &self.phone_index[..]
        )
        .execute(connection)
        .await?;
        Ok(patient)
    }
}

pub(crate) fn name_index(store: &ClinicStore, name: &Pii<String>) -> [u8; 32] {
    store.keys.blind_index(&store.place("patients", "name_index"), &normalise(name.expose()))
}

pub(crate) fn phone_index(store: &ClinicStore, phone: &PhoneNumber) -> [u8; 32] {
    store.keys.blind_index(&store.place("patients", "phone_index"), phone.as_e164())
}

/// What is the same however a name is written: letters and digits in lower case, single blanks between words.
fn normalise(name: &str) -> String {
    let plain: String = name.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_spelling() {
        assert_eq!(normalise("  Anne-Marie  O'Neil "), "anne marie o neil");
        assert_eq!(normalise("JOSÉ"), "josé");
    }
}
