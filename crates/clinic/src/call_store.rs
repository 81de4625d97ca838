//! Calls in Postgres: the stored state of conversations under way, and the record of those that ended.

use async_trait::async_trait;
use frontdesk_agent::CallRecord;
use frontdesk_agent::store::{CallStart, CallStore, StoreError};
use frontdesk_conversation::EndReason;

use crate::audit::{self, Actor};
use crate::booking;
use crate::db::{DbError, bounded};
use crate::phone::PhoneNumber;
use crate::store::ClinicStore;
use crate::subjects::Subject;

/// The calls of one tenant. Every method fails within a few seconds when Postgres is away, with
/// [`StoreError::Unavailable`]; the call goes on without it.
#[derive(Debug, Clone)]
pub struct PgCallStore {
    clinic: ClinicStore,
    caller: Option<PhoneNumber>,
}

impl PgCallStore {
    /// The calls of the store's tenant.
    #[must_use]
    pub const fn new(clinic: ClinicStore) -> Self {
        Self { clinic, caller: None }
    }

    /// The same for one call: the number that it comes from, for the message about a caller who could not be served.
    #[must_use]
    pub fn calling_from(self, caller: Option<PhoneNumber>) -> Self {
        Self { caller, ..self }
    }

    /// The record of a call that ended, if it was stored.
    pub async fn load_record(&self, call_id: &str) -> Result<Option<CallRecord>, StoreError> {
        let loaded = bounded(async {
            let (mut transaction, _) = self.clinic.begin().await?;
            let sealed = sqlx::query_scalar!("SELECT record_sealed FROM call_records WHERE call_id = $1", call_id)
                .fetch_optional(&mut *transaction)
                .await?;
            let Some(sealed) = sealed else {
                return Ok(None);
            };
            audit::append(&mut transaction, self.clinic.tenant(), Some(call_id), Actor::Operator, "record.read", None).await?;
            let keys = self.clinic.keys_of(&mut transaction, [&sealed]).await?;
            transaction.commit().await?;
            self.clinic.open_with(&keys, ("call_records", "record_sealed"), sealed).map(Some)
        });
        loaded.await.map_err(|error| store_error(call_id, error))
    }

    fn refuse_stranger(&self, tenant: &str) -> Result<(), StoreError> {
        if tenant == self.clinic.tenant().as_str() {
            return Ok(());
        }
        Err(StoreError::Refused(format!("a call of tenant {tenant} was given to the store of {}", self.clinic.tenant())))
    }
}

#[async_trait]
impl CallStore for PgCallStore {
    async fn begin(&self, call: &CallStart) -> Result<(), StoreError> {
        self.refuse_stranger(&call.tenant_id)?;
        let call_id = call.call_id.as_str();
        let action = if call.is_resumed { "call.resumed" } else { "call.began" };
        let begun = bounded(async {
            let (mut transaction, _) = self.clinic.begin().await?;
            // Now, so that no transaction of the call's has to wait for another that makes it.
            self.clinic.subject_key(&mut transaction, Subject::Call(call_id)).await?;
            audit::append(&mut transaction, self.clinic.tenant(), Some(call_id), Actor::Agent, action, None).await?;
            self.clinic.hold_lease(&mut transaction).await?;
            transaction.commit().await?;
            Ok(())
        });
        begun.await.map_err(|error| store_error(call_id, error))
    }

    async fn save_state(&self, call_id: &str, state: &[u8]) -> Result<(), StoreError> {
        let saved = bounded(async {
            // As text, because bytes would become a JSON list of numbers, four times the size.
            let text = str::from_utf8(state).map_err(|error| DbError::unreadable("state", &error))?;
            let (mut transaction, _) = self.clinic.begin().await?;
            let place = ("call_states", "state_sealed");
            let sealed = self.clinic.seal_for(&mut transaction, Subject::Call(call_id), place, &text.to_string()).await?;
            sqlx::query!(
                "INSERT INTO call_states (tenant_id, call_id, revision, state_sealed, epoch) VALUES ($1, $2, 1, $3, $4)
                 ON CONFLICT (tenant_id, call_id) DO UPDATE
                 SET state_sealed = excluded.state_sealed, revision = call_states.revision + 1, epoch = excluded.epoch, updated_at = now()",
                self.clinic.tenant().as_str(),
                call_id,
                sealed.as_bytes(),
                self.clinic.epoch()
            )
            .execute(&mut *transaction)
            .await?;
            self.clinic.hold_lease(&mut transaction).await?;
            transaction.commit().await?;
            Ok(())
        });
        saved.await.map_err(|error| store_error(call_id, error))
    }

    async fn load_state(&self, call_id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let loaded = bounded(async {
            let (mut transaction, _) = self.clinic.begin().await?;
            let sealed = sqlx::query_scalar!("SELECT state_sealed FROM call_states WHERE call_id = $1", call_id)
                .fetch_optional(&mut *transaction)
                .await?;
            let Some(sealed) = sealed else {
                return Ok(None);
            };
            let text: String = self.clinic.open_in(&mut transaction, ("call_states", "state_sealed"), sealed).await?;
            transaction.commit().await?;
            Ok(Some(text.into_bytes()))
        });
        loaded.await.map_err(|error| store_error(call_id, error))
    }

    /// Stores the record, drops the state that it replaces, and gives up whatever the call still holds, all at once. A caller who
    /// could not be served leaves a message, so that somebody calls back.
    async fn finish(&self, record: &CallRecord) -> Result<(), StoreError> {
        self.refuse_stranger(&record.tenant_id)?;
        let call_id = record.call_id.as_str();
        let finished = bounded(async {
            let outcome = outcome_word(record);
            let (mut transaction, now) = self.clinic.begin().await?;
            let place = ("call_records", "record_sealed");
            let sealed = self.clinic.seal_for(&mut transaction, Subject::Call(call_id), place, record).await?;
            let caller = self.clinic.caller_type(&mut transaction, call_id, self.caller.as_ref(), record.started_at).await?;
            let inserted = sqlx::query!(
                "INSERT INTO call_records (tenant_id, call_id, schema_version, outcome, started_at, ended_at, record_sealed, caller_type)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant_id, call_id) DO NOTHING",
                self.clinic.tenant().as_str(),
                call_id,
                i32::try_from(record.schema_version).unwrap_or(i32::MAX),
                outcome,
                record.started_at,
                record.ended_at.max(record.started_at),
                sealed.as_bytes(),
                caller.as_str()
            )
            .execute(&mut *transaction)
            .await?;
            if inserted.rows_affected() > 0 {
                booking::release_holds(&mut transaction, call_id).await?;
                sqlx::query!("DELETE FROM call_states WHERE call_id = $1", call_id).execute(&mut *transaction).await?;
                if record.outcome == EndReason::Failed {
                    self.clinic.note_unserved(&mut transaction, (call_id, now), self.caller.clone()).await?;
                }
                audit::append(&mut transaction, self.clinic.tenant(), Some(call_id), Actor::System, "call.recorded", None).await?;
                self.clinic.tell_of_call(&mut transaction, record, outcome.clone(), self.caller.as_ref()).await?;
            }
            self.clinic.release_lease(&mut transaction).await?;
            transaction.commit().await?;
            Ok(())
        });
        finished.await.map_err(|error| store_error(call_id, error))
    }

    fn is_leased(&self, _call_id: &str) -> bool {
        self.clinic.epoch() > 0
    }

    async fn give_up(&self, call_id: &str) -> Result<bool, StoreError> {
        self.clinic.yield_lease().await.map_err(|error| store_error(call_id, error))
    }

    async fn audit(&self, call_id: &str, action: &str, subject: Option<&str>) -> Result<(), StoreError> {
        let audited = bounded(async {
            let (mut transaction, _) = self.clinic.begin().await?;
            audit::append(&mut transaction, self.clinic.tenant(), Some(call_id), Actor::Agent, action, subject).await?;
            self.clinic.hold_lease(&mut transaction).await?;
            transaction.commit().await?;
            Ok(())
        });
        audited.await.map_err(|error| store_error(call_id, error))
    }
}

/// The end reason's word in the record's JSON.
fn outcome_word(record: &CallRecord) -> String {
    serde_json::to_value(record.outcome).ok().and_then(|word| word.as_str().map(String::from)).unwrap_or_default()
}

fn store_error(call_id: &str, error: DbError) -> StoreError {
    match error {
        DbError::LeaseLost => StoreError::LeaseLost,
        DbError::Unreadable { .. } => StoreError::Unreadable { call_id: call_id.into(), reason: error.to_string() },
        error if error.is_retryable() => StoreError::Unavailable(error.to_string()),
        error => StoreError::Refused(error.to_string()),
    }
}
