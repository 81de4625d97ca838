//! Leaving the waiting list, in two phases; name and number have to match.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use frontdesk_agent::Pii;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::tidy;
use crate::audit::{self, Actor};
use crate::booking::{CommitError, Effect, Identity, PrepareError, Refusal, Settled, identify};
use crate::db::{DbError, bounded};
use crate::ids::CommitKey;
use crate::phone::PhoneNumber;
use crate::store::ClinicStore;

/// The name under which it is committed.
pub const LEAVE_TOOL: &str = "leave_waiting_list";

/// Who wants to leave. Its JSON form is the canonical arguments of the commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaving {
    /// The patient's full name.
    pub patient_name: Pii<String>,
    /// The number that was left.
    pub phone: PhoneNumber,
}

/// A wish to leave that awaits the caller's yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedLeaving {
    /// Commit exactly this.
    pub leaving: Leaving,
}

/// A patient who waits no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// How many entries were ended.
    pub entries: u32,
}

impl ClinicStore {
    /// Finds whether anybody of that name and number waits. Whoever guesses is told nothing any more.
    pub async fn prepare_leaving(&self, call_id: &str, leaving: &Leaving) -> Result<PreparedLeaving, PrepareError> {
        let identity = Identity::of(self, &leaving.patient_name, &leaving.phone);
        let found = async {
            let (mut transaction, _) = self.begin().await?;
            if identify::has_guessed_too_often(&mut transaction, call_id).await? {
                return Ok(Err(Refusal::TooManyAttempts));
            }
            let waits = match identity.find_in_call(&mut transaction, call_id).await? {
                None => false,
                Some(patient) => sqlx::query_scalar!(
                    r#"SELECT EXISTS (SELECT FROM waiting_list WHERE patient_id = $1 AND status IN ('waiting', 'offered')) AS "waits!""#,
                    patient.0
                )
                .fetch_one(&mut *transaction)
                .await?,
            };
            if !waits {
                identify::note_failure(&mut transaction, self, call_id).await?;
            }
            transaction.commit().await?;
            Ok::<_, DbError>(if waits { Ok(()) } else { Err(Refusal::NotWaiting) })
        };
        bounded(found).await??;
        Ok(PreparedLeaving { leaving: leaving.clone() })
    }

    /// Ends all of the patient's entries, at most once under `key`.
    pub async fn commit_leaving(&self, key: &CommitKey, leaving: &Leaving) -> Result<Settled<Left>, CommitError> {
        self.settle(key, &Leave(leaving)).await
    }
}

struct Leave<'a>(&'a Leaving);

#[async_trait]
impl Effect for Leave<'_> {
    type Output = Left;
    type Arguments = Leaving;

    fn tool(&self) -> &'static str {
        LEAVE_TOOL
    }

    fn arguments(&self) -> &Leaving {
        self.0
    }

    async fn apply(
        &self,
        store: &ClinicStore,
        key: &CommitKey,
        now: DateTime<Utc>,
        connection: &mut PgConnection,
    ) -> Result<Settled<Left>, DbError> {
        tidy(connection, store, Some(&key.call_id), now).await?;
        let identity = Identity::of(store, &self.0.patient_name, &self.0.phone);
        let Some(patient) = identity.find_in_call(connection, &key.call_id).await? else {
            return Ok(Settled::Refused(Refusal::NotWaiting));
        };
        let ended = sqlx::query_scalar!(
            "UPDATE waiting_list SET status = 'left', offer_expires_at = NULL, updated_at = now()
             WHERE patient_id = $1 AND status IN ('waiting', 'offered') RETURNING entry_id",
            patient.0
        )
        .fetch_all(&mut *connection)
        .await?;
        if ended.is_empty() {
            return Ok(Settled::Refused(Refusal::NotWaiting));
        }
        for entry in &ended {
            let subject = entry.to_string();
            audit::append(connection, &store.tenant, Some(&key.call_id), Actor::Caller, "waiting.left", Some(&subject)).await?;
        }
        Ok(Settled::Done(Left { entries: u32::try_from(ended.len()).unwrap_or(u32::MAX) }))
    }
}
