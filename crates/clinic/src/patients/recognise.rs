//! Who calls: recognised by number, known by two things that match.

use chrono::{DateTime, NaiveDate, Utc};
use frontdesk_agent::Pii;
use sqlx::PgConnection;

use super::{Patient, birth_index};
use crate::audit::{self, Actor};
use crate::booking::{PrepareError, Refusal, identify, name_index, normalise_code, phone_index};
use crate::db::{DbError, bounded};
use crate::ids::PatientId;
use crate::phone::PhoneNumber;
use crate::store::ClinicStore;

/// Fewer things than this identify nobody.
const FACTORS_MIN: usize = 2;
/// More patients than this are not read at once.
const READ_MAX: i64 = 200;

/// What the clinic knows of a caller before he has said anything, or since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerKind {
    /// This call has identified a patient.
    Session,
    /// The clinic knows the number. That is one thing, not two: nothing may be told for it.
    Returning,
    /// The clinic does not know the number, or the caller withholds it.
    New,
}

/// What a caller knows of a patient. All that is given has to match, and it has to be two things at least.
#[derive(Debug, Clone, Default)]
pub struct Factors {
    /// The number that the clinic has.
    pub phone: Option<PhoneNumber>,
    /// The full name.
    pub name: Option<Pii<String>>,
    /// The date of birth.
    pub born: Option<NaiveDate>,
    /// The confirmation code of any of the patient's appointments.
    pub code: Option<String>,
}

impl Factors {
    /// How many things are given.
    #[must_use]
    pub fn count(&self) -> usize {
        [self.phone.is_some(), self.name.is_some(), self.born.is_some(), self.code.is_some()].into_iter().filter(|given| *given).count()
    }
}

/// What kind of caller a call turned out to be from, for its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallerType {
    /// The clinic did not know the number when the call began, or a patient registered in the call.
    New,
    /// It knew the number, or two things of a patient's matched.
    Returning,
    /// There was no number, and no patient.
    Unknown,
}

impl CallerType {
    /// The word in the database.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Returning => "returning",
            Self::Unknown => "unknown",
        }
    }
}

impl ClinicStore {
    /// What kind of caller a call that began at `since` was from. A patient whom it identified says more than the number that it came
    /// from, and of several the first.
    pub(crate) async fn caller_type(
        &self,
        connection: &mut PgConnection,
        call_id: &str,
        number: Option<&PhoneNumber>,
        since: DateTime<Utc>,
    ) -> Result<CallerType, DbError> {
        let index = number.map(|number| phone_index(self, number).to_vec());
        let row = sqlx::query!(
            r#"SELECT (SELECT caller_type FROM call_patients WHERE call_id = $1 ORDER BY identified_at LIMIT 1) AS identified,
                      EXISTS (SELECT FROM patients WHERE phone_index = $2 AND created_at < $3) AS "was_known!""#,
            call_id,
            index,
            since
        )
        .fetch_one(connection)
        .await?;
        Ok(match (row.identified.as_deref(), index.is_some()) {
            (Some("new"), _) => CallerType::New,
            (Some(_), _) => CallerType::Returning,
            (None, true) if row.was_known => CallerType::Returning,
            (None, true) => CallerType::New,
            (None, false) => CallerType::Unknown,
        })
    }

    /// What kind of caller it is, by his number and by what the call has done.
    pub async fn recognise(&self, call_id: &str, number: Option<&PhoneNumber>) -> Result<CallerKind, DbError> {
        bounded(async {
            let (mut transaction, _) = self.begin().await?;
            let index = number.map(|number| phone_index(self, number).to_vec());
            let row = sqlx::query!(
                r#"SELECT EXISTS (SELECT FROM call_patients WHERE call_id = $1) AS "has_identified!",
                          EXISTS (SELECT FROM patients WHERE phone_index = $2) AS "is_known!""#,
                call_id,
                index
            )
            .fetch_one(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(match (row.has_identified, row.is_known) {
                (true, _) => CallerKind::Session,
                (false, true) => CallerKind::Returning,
                (false, false) => CallerKind::New,
            })
        })
        .await
    }

    /// Finds the one patient of whom all that is given is so, and remembers that the call has identified him. Which of the things is
    /// wrong is never told, and whoever guesses is told nothing any more.
    pub async fn identify_patient(&self, call_id: &str, factors: &Factors) -> Result<PatientId, PrepareError> {
        let found = async {
            let (mut transaction, _) = self.begin().await?;
            if identify::has_guessed_too_often(&mut transaction, call_id).await? {
                return Ok(Err(Refusal::TooManyAttempts));
            }
            let Some(patient) = find(&mut transaction, self, factors).await? else {
                identify::note_failure(&mut transaction, self, call_id).await?;
                transaction.commit().await?;
                return Ok(Err(Refusal::UnknownPatient));
            };
            remember(&mut transaction, self, call_id, patient, "returning").await?;
            transaction.commit().await?;
            Ok::<_, DbError>(Ok(patient))
        };
        Ok(bounded(found).await??)
    }

    /// Whether the call has identified or registered the patient of this name.
    pub async fn has_identified(&self, call_id: &str, name: &Pii<String>) -> Result<bool, DbError> {
        bounded(async {
            let (mut transaction, _) = self.begin().await?;
            let found = of_call(&mut transaction, call_id, &name_index(self, name)).await?;
            transaction.commit().await?;
            Ok(found.is_some())
        })
        .await
    }

    /// The patients whom a call identified or registered, with all that is kept of them, for people who may read it. Audited.
    pub async fn patients_of_call(&self, call_id: &str) -> Result<Vec<Patient>, DbError> {
        self.read_patients(Some(call_id)).await
    }

    /// All patients, oldest first, at most 200. Audited.
    pub async fn all_patients(&self) -> Result<Vec<Patient>, DbError> {
        self.read_patients(None).await
    }

    async fn read_patients(&self, call_id: Option<&str>) -> Result<Vec<Patient>, DbError> {
        bounded(async {
            let (mut transaction, _) = self.begin().await?;
            let rows = sqlx::query!(
                r#"SELECT p.patient_id, p.name_sealed, p.phone_sealed, p.intake_sealed, c.caller_type AS "caller_type?"
                   FROM patients p LEFT JOIN call_patients c ON c.tenant_id = p.tenant_id AND c.patient_id = p.patient_id AND c.call_id = $1
                   WHERE $1::text IS NULL OR c.call_id IS NOT NULL
                   ORDER BY c.identified_at, p.patient_id LIMIT $2"#,
                call_id,
                READ_MAX
            )
            .fetch_all(&mut *transaction)
            .await?;
            for row in &rows {
                let subject = row.patient_id.to_string();
                audit::append(&mut transaction, &self.tenant, None, Actor::Operator, "patient.read", Some(&subject)).await?;
            }
            let sealed = rows.iter().flat_map(|row| [&row.name_sealed, &row.phone_sealed].into_iter().chain(&row.intake_sealed));
            let keys = self.keys_of(&mut transaction, sealed).await?;
            transaction.commit().await?;
            let mut patients = Vec::with_capacity(rows.len());
            for row in rows {
                let intake = row.intake_sealed.map(|sealed| self.open_with(&keys, ("patients", "intake_sealed"), sealed));
                patients.push(Patient {
                    name: self.open_with(&keys, ("patients", "name_sealed"), row.name_sealed)?,
                    phone: self.open_with(&keys, ("patients", "phone_sealed"), row.phone_sealed)?,
                    intake: intake.transpose()?.map(Pii::new),
                    caller_type: row.caller_type.unwrap_or_default(),
                });
            }
            Ok(patients)
        })
        .await
    }
}

/// The one patient of whom everything given is so.
async fn find(connection: &mut PgConnection, store: &ClinicStore, factors: &Factors) -> Result<Option<PatientId>, DbError> {
    if factors.count() < FACTORS_MIN {
        return Ok(None);
    }
    let phone = factors.phone.as_ref().map(|phone| phone_index(store, phone).to_vec());
    let name = factors.name.as_ref().map(|name| name_index(store, name).to_vec());
    let born = factors.born.map(|born| birth_index(store, born).to_vec());
    let code = factors.code.as_deref().map(normalise_code);
    // Of one who has not registered the clinic knows no date of birth; name and number are two things without it. Two rows are asked
    // for, because twins may share a number and a date of birth: then nobody in particular is meant.
    let found = sqlx::query_scalar!(
        "SELECT patient_id FROM patients p
         WHERE ($1::bytea IS NULL OR phone_index = $1)
           AND ($2::bytea IS NULL OR name_index = $2)
           AND ($3::bytea IS NULL OR birth_index = $3 OR (birth_index IS NULL AND $1 IS NOT NULL AND $2 IS NOT NULL))
           AND ($4::text IS NULL OR EXISTS (SELECT FROM appointments a
                    WHERE a.tenant_id = p.tenant_id AND a.patient_id = p.patient_id AND a.confirmation_code = $4))
         LIMIT 2",
        phone,
        name,
        born,
        code
    )
    .fetch_all(connection)
    .await?;
    Ok(if let [only] = found[..] { Some(PatientId(only)) } else { None })
}

/// Remembers that a call has identified a patient; once is enough. Audited.
pub(crate) async fn remember(
    connection: &mut PgConnection,
    store: &ClinicStore,
    call_id: &str,
    patient: PatientId,
    caller_type: &str,
) -> Result<(), DbError> {
    let inserted = sqlx::query!(
        "INSERT INTO call_patients (tenant_id, call_id, patient_id, caller_type) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        store.tenant.as_str(),
        call_id,
        patient.0,
        caller_type
    )
    .execute(&mut *connection)
    .await?;
    if inserted.rows_affected() > 0 {
        let subject = patient.to_string();
        audit::append(connection, &store.tenant, Some(call_id), Actor::Caller, "patient.identified", Some(&subject)).await?;
    }
    Ok(())
}

/// The patient of this name whom the call has identified.
pub(crate) async fn of_call(connection: &mut PgConnection, call_id: &str, name_index: &[u8; 32]) -> Result<Option<PatientId>, DbError> {
    let found = sqlx::query_scalar!(
        "SELECT patient_id FROM call_patients c JOIN patients p USING (tenant_id, patient_id)
         WHERE c.call_id = $1 AND p.name_index = $2 ORDER BY c.identified_at LIMIT 1",
        call_id,
        &name_index[..]
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(PatientId))
}
