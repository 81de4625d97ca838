//! Registering a patient, in two phases like booking. Nobody is there twice, and nobody is told whether somebody was there before he
//! has said two things that match.

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use frontdesk_agent::Pii;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::{Indexes, Intake, cleaned, remember};
use crate::audit::{self, Actor};
use crate::booking::{CommitError, Effect, Identity, PrepareError, Refusal, Settled, holds, identify};
use crate::db::{DbError, bounded, violated};
use crate::ids::{CommitKey, PatientId};
use crate::phone::PhoneNumber;
use crate::store::ClinicStore;
use crate::subjects::Subject;
use crate::wording;

/// The name under which a registration is committed.
pub const REGISTER_TOOL: &str = "register_patient";
/// A family is large; a call that registers more people than this is no family's.
const OF_CALL_MAX: i64 = 6;

/// A registration as it will be committed. Its JSON form is the canonical arguments of the commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// Full name.
    pub patient_name: Pii<String>,
    /// Where the patient can be reached.
    pub phone: PhoneNumber,
    /// All the rest.
    pub intake: Pii<Intake>,
}

/// A registration that awaits the caller's yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedRegistration {
    /// What will be kept; commit exactly this.
    pub registration: Registration,
}

impl PreparedRegistration {
    /// Whether the patient said that he prefers Spanish; he hears it, then, whatever the call is held in.
    #[must_use]
    pub fn prefers_spanish(&self) -> bool {
        self.registration.intake.expose().language.as_deref().is_some_and(wording::is_spanish)
    }
}

/// Whom a registration found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nobody: the patient is new.
    New,
    /// One who had left but name and number at a booking; the registration was added to it.
    Completed,
    /// One who had registered before. What is kept of him was neither changed nor told.
    Known,
}

/// A patient who is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Which; pseudonymous.
    pub patient: PatientId,
    /// Whether he was known.
    pub standing: Standing,
}

impl ClinicStore {
    /// Cleans what is to be kept. Tells nothing of who is there already: nobody has agreed to anything yet.
    pub async fn prepare_registration(&self, call_id: &str, wish: &Registration) -> Result<PreparedRegistration, PrepareError> {
        let may = async {
            let (mut transaction, _) = self.begin().await?;
            let guessed = identify::has_guessed_too_often(&mut transaction, call_id).await?;
            let registered = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM call_patients WHERE call_id = $1"#, call_id)
                .fetch_one(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok::<_, DbError>(!guessed && registered < OF_CALL_MAX)
        };
        if !bounded(may).await? {
            return Err(Refusal::TooManyAttempts.into());
        }
        let mut intake = wish.intake.expose().clone();
        for text in intake.texts() {
            *text = cleaned(text);
        }
        let patient_name = wish.patient_name.expose().split_whitespace().collect::<Vec<_>>().join(" ").into();
        let registration = Registration { patient_name, phone: wish.phone.clone(), intake: intake.into() };
        Ok(PreparedRegistration { registration })
    }

    /// Registers exactly what was prepared, at most once under `key`.
    pub async fn commit_registration(&self, key: &CommitKey, registration: &Registration) -> Result<Settled<Registered>, CommitError> {
        self.settle(key, &Register(registration)).await
    }
}

struct Register<'a>(&'a Registration);

/// One whom a registration may mean.
struct Candidate {
    patient: PatientId,
    has_the_phone: bool,
    /// Whether he registered, and if so, whether with this date of birth.
    was_born_then: Option<bool>,
}

#[async_trait]
impl Effect for Register<'_> {
    type Output = Registered;
    type Arguments = Registration;

    fn tool(&self) -> &'static str {
        REGISTER_TOOL
    }

    fn arguments(&self) -> &Registration {
        self.0
    }

    async fn apply(
        &self,
        store: &ClinicStore,
        key: &CommitKey,
        now: DateTime<Utc>,
        connection: &mut PgConnection,
    ) -> Result<Settled<Registered>, DbError> {
        let Registration { patient_name, phone, intake } = self.0;
        let identity = Identity::of(store, patient_name, phone);
        let indexes = Indexes::of(store, intake.expose());
        holds::lock_patient(connection, identity.lock_key()).await?;
        let candidates = candidates(connection, &identity, &indexes).await?;
        let (patient, standing) = match candidates.as_slice() {
            [] => {
                let added = identity.add(connection, store, patient_name, phone).await?;
                (added, Standing::New)
            }
            all => match all.iter().find(|one| one.was_born_then == Some(true)) {
                Some(known) => (known.patient, Standing::Known),
                None => match all.iter().find(|one| one.has_the_phone && one.was_born_then.is_none()) {
                    Some(left) => (left.patient, Standing::Completed),
                    // The same name and number, and another date of birth: father and son, or a mistake. Nobody can tell by telephone.
                    None => return Ok(Settled::Refused(Refusal::RegisterInPerson)),
                },
            },
        };
        if standing != Standing::Known
            && let Err(error) = complete(connection, store, patient, intake, &indexes).await?
        {
            return match violated(&error).as_deref() {
                // Somebody registered the same person at this moment: look again.
                Some("patients_born") => Err(DbError::Conflict { code: "23505".into() }),
                _ => Err(error.into()),
            };
        }
        let caller_type = if standing == Standing::New { "new" } else { "returning" };
        remember(connection, store, &key.call_id, patient, caller_type).await?;
        if standing != Standing::Known {
            store.tell_of_patient(connection, &key.call_id, (patient, now), self.0).await?;
        }
        let action = if standing == Standing::Known { "patient.recognised" } else { "patient.registered" };
        let subject = patient.to_string();
        audit::append(connection, &store.tenant, Some(&key.call_id), Actor::Caller, action, Some(&subject)).await?;
        Ok(Settled::Done(Registered { patient, standing }))
    }
}

/// Those of the same name who have the number or the date of birth.
async fn candidates(connection: &mut PgConnection, identity: &Identity, indexes: &Indexes) -> Result<Vec<Candidate>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT patient_id, phone_index = $2 AS "has_the_phone!", birth_index = $3 AS was_born_then
           FROM patients WHERE name_index = $1 AND (phone_index = $2 OR birth_index = $3)"#,
        &identity.name_index[..],
        &identity.phone_index[..],
        &indexes.birth[..]
    )
    .fetch_all(connection)
    .await?;
    let candidate = |patient, has_the_phone, was_born_then| Candidate { patient: PatientId(patient), has_the_phone, was_born_then };
    Ok(rows.into_iter().map(|row| candidate(row.patient_id, row.has_the_phone, row.was_born_then)).collect())
}

/// Adds what was told to a patient who has not registered. The constraints speak through the error.
async fn complete(
    connection: &mut PgConnection,
    store: &ClinicStore,
    patient: PatientId,
    intake: &Pii<Intake>,
    indexes: &Indexes,
) -> Result<Result<(), sqlx::Error>, DbError> {
    let place = ("patients", "intake_sealed");
    let sealed = store.seal_for(&mut *connection, Subject::Patient(patient), place, intake.expose()).await?;
    let updated = sqlx::query!(
        "UPDATE patients SET intake_sealed = $2, birth_index = $3, email_index = $4, registered_at = now()
         WHERE patient_id = $1 AND registered_at IS NULL",
        patient.0,
        sealed.as_bytes(),
        &indexes.birth[..],
        indexes.email.as_ref().map(|index| &index[..])
    )
    .execute(connection)
    .await;
    Ok(updated.map(|_| ()))
}

/// Whether a date can be a date of birth on this day.
#[must_use]
pub(crate) fn is_plausible_birth(born: NaiveDate, today: NaiveDate) -> bool {
    const YEARS_MAX: u32 = 125;
    born <= today && today.checked_sub_months(chrono::Months::new(12 * YEARS_MAX)).is_none_or(|oldest| born >= oldest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_birth_lie_within_a_life() {
        let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap();
        let today = day(2026, 11, 30);
        assert!(is_plausible_birth(today, today) && is_plausible_birth(day(1901, 11, 30), today));
        assert!(!is_plausible_birth(day(2026, 12, 1), today) && !is_plausible_birth(day(1901, 11, 29), today));
    }
}
