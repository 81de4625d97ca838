//! Effects that happen at most once under their key, and are never reported as failed when they may have happened.
//!
//! One transaction inserts the key, does the effect and stores the result under the key. A second attempt under the same
//! key waits at the primary key for the first one's transaction to end, then finds the result, or does the effect if the
//! first was rolled back. So after a connection was lost at COMMIT the same attempt is simply made again, on another
//! connection: it is the look-up, and it cannot be overtaken by a COMMIT that is still on its way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::{Acquire, PgConnection};

use super::Refusal;
use crate::db::{DbError, back_off};
use crate::ids::CommitKey;
use crate::store::ClinicStore;
use crate::subjects::Subject;

/// How often a commit is attempted: once, and again after a conflict or a lost connection.
const ATTEMPTS_MAX: u32 = 5;
/// How long a commit may take in all, attempts and look-ups included; below the tool's time-out.
pub(crate) const COMMIT_LIMIT: Duration = Duration::from_secs(6);

/// Where a settled result is kept.
const RESULT: (&str, &str) = ("tool_commits", "result_sealed");

/// How a commit ended; stored under its key, so every repetition gets the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled<T> {
    /// Done, once.
    Done(T),
    /// Not done; the world is as before.
    Refused(Refusal),
}

/// Why it is not known to have been settled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The key was used for another request. A fault of whoever made the key; nothing was done now.
    #[error("this confirmation was used for another request")]
    KeyReused,
    /// The database failed before anything could take effect: nothing was done.
    #[error(transparent)]
    Database(#[from] DbError),
    /// It may or may not have been done. Say neither; ask again under the same key.
    #[error("the outcome is unknown: {0}")]
    OutcomeUnknown(#[source] DbError),
}

/// An effect on the database.
#[async_trait]
pub(crate) trait Effect: Sync {
    /// What it gives when done.
    type Output: Serialize + DeserializeOwned + Send + Sync;
    /// What is asked for.
    type Arguments: Serialize + Sync;

    /// The tool's name.
    fn tool(&self) -> &'static str;

    /// The canonical arguments, by which a repeated request is told from another one.
    fn arguments(&self) -> &Self::Arguments;

    /// Does it, within a savepoint that is rolled back if it is refused.
    async fn apply(
        &self,
        store: &ClinicStore,
        key: &CommitKey,
        now: DateTime<Utc>,
        connection: &mut PgConnection,
    ) -> Result<Settled<Self::Output>, DbError>;

    /// Adds to a refusal what can only be found out after the roll-back.
    async fn explain(
        &self,
        _store: &ClinicStore,
        _now: DateTime<Utc>,
        _connection: &mut PgConnection,
        refusal: Refusal,
    ) -> Result<Refusal, DbError> {
        Ok(refusal)
    }
}

enum Failed {
    KeyReused,
    /// Before COMMIT was sent, or rolled back by the server for sure.
    Before(DbError),
    /// While COMMIT was under way; or it was settled earlier, but how cannot be read.
    InDoubt(DbError),
}

impl From<DbError> for Failed {
    fn from(error: DbError) -> Self {
        Self::Before(error)
    }
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Before(error.into())
    }
}

impl ClinicStore {
    pub(crate) async fn settle<E: Effect>(&self, key: &CommitKey, effect: &E) -> Result<Settled<E::Output>, CommitError> {
        // Set while a COMMIT is under way, and for good once one was lost.
        let in_doubt = AtomicBool::new(false);
        let arguments = serde_json::to_value(effect.arguments()).map_err(|error| DbError::unreadable(effect.tool(), &error))?;
        let hmac = self.keys.arguments_hmac(&self.tenant, effect.tool(), &arguments);
        match tokio::time::timeout(COMMIT_LIMIT, self.settle_with_retries(key, effect, &hmac, &in_doubt)).await {
            Ok(result) => result,
            Err(_) => {
                let error = DbError::Timeout { limit_ms: u64::try_from(COMMIT_LIMIT.as_millis()).unwrap_or(u64::MAX) };
                Err(if in_doubt.load(Ordering::Relaxed) { CommitError::OutcomeUnknown(error) } else { CommitError::Database(error) })
            }
        }
    }

    async fn settle_with_retries<E: Effect>(
        &self,
        key: &CommitKey,
        effect: &E,
        hmac: &[u8; 32],
        in_doubt: &AtomicBool,
    ) -> Result<Settled<E::Output>, CommitError> {
        let mut was_lost = false;
        for attempt in 1.. {
            let failed = match self.attempt(key, effect, hmac, in_doubt).await {
                Ok(settled) => return Ok(settled),
                Err(failed) => failed,
            };
            let error = match failed {
                Failed::KeyReused => return Err(CommitError::KeyReused),
                Failed::InDoubt(error) => {
                    was_lost = true;
                    error
                }
                Failed::Before(error) => error,
            };
            in_doubt.store(was_lost, Ordering::Relaxed);
            // Once in doubt, any retryable failure is worth waiting for: an answer is owed.
            let again = if was_lost { error.is_retryable() } else { error.is_worth_another_try() };
            if !again || attempt >= ATTEMPTS_MAX {
                return Err(if was_lost { CommitError::OutcomeUnknown(error) } else { CommitError::Database(error) });
            }
            tracing::warn!(%error, attempt, was_lost, tool = effect.tool(), "a commit is tried again under its key");
            back_off(attempt).await;
        }
        unreachable!("the last attempt returns")
    }

    async fn attempt<E: Effect>(
        &self,
        key: &CommitKey,
        effect: &E,
        hmac: &[u8; 32],
        in_doubt: &AtomicBool,
    ) -> Result<Settled<E::Output>, Failed> {
        let (mut transaction, now) = self.begin().await?;
        let inserted = sqlx::query!(
            "INSERT INTO tool_commits (tenant_id, call_id, confirmation_id, tool, arguments_hmac)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
            self.tenant.as_str(),
            key.call_id,
            key.confirmation_id,
            effect.tool(),
            &hmac[..]
        )
        .execute(&mut *transaction)
        .await?;
        if inserted.rows_affected() == 0 {
            let settled = self.look_up(key, hmac, &mut transaction).await?;
            // Nothing was written, so how the transaction ends does not matter.
            drop(transaction);
            return Ok(settled);
        }
        // Before any appointment is locked, as at the end of the call: in another order the two would wait for each other.
        self.subject_key(&mut transaction, Subject::Call(&key.call_id)).await?;
        let mut savepoint = transaction.begin().await?;
        let settled = match effect.apply(self, key, now, &mut savepoint).await? {
            Settled::Done(output) => {
                savepoint.commit().await?;
                Settled::Done(output)
            }
            Settled::Refused(refusal) => {
                savepoint.rollback().await?;
                Settled::Refused(effect.explain(self, now, &mut transaction, refusal).await?)
            }
        };
        let sealed = self.seal_for(&mut transaction, Subject::Call(&key.call_id), RESULT, &settled).await?;
        let outcome = if matches!(settled, Settled::Done(_)) { "done" } else { "refused" };
        sqlx::query!(
            "UPDATE tool_commits SET outcome = $3, result_sealed = $4 WHERE call_id = $1 AND confirmation_id = $2",
            key.call_id,
            key.confirmation_id,
            outcome,
            sealed.as_bytes()
        )
        .execute(&mut *transaction)
        .await?;
        self.hold_lease_to_book(&mut transaction).await?;
        in_doubt.store(true, Ordering::Relaxed);
        transaction.commit().await.map_err(classify_commit)?;
        Ok(settled)
    }

    async fn look_up<T: Serialize + DeserializeOwned>(
        &self,
        key: &CommitKey,
        hmac: &[u8; 32],
        connection: &mut PgConnection,
    ) -> Result<Settled<T>, Failed> {
        let found = sqlx::query!(
            "SELECT arguments_hmac, result_sealed FROM tool_commits WHERE call_id = $1 AND confirmation_id = $2",
            key.call_id,
            key.confirmation_id
        )
        .fetch_one(&mut *connection)
        .await?;
        // Both are digests that only this program sees, so the comparison need not hide its timing.
        if found.arguments_hmac != hmac {
            return Err(Failed::KeyReused);
        }
        let missing = || DbError::Unreadable { what: "tool_commits.result_sealed", reason: "a settled commit has no result".into() };
        let result = match found.result_sealed {
            Some(sealed) => self.open_in(&mut *connection, RESULT, sealed).await,
            None => Err(missing()),
        };
        // It may well have been done: to say that nothing was changed would be a lie.
        result.map_err(Failed::InDoubt)
    }
}

/// A COMMIT that the server answered with a roll-back did nothing; any other failure leaves it open.
fn classify_commit(error: sqlx::Error) -> Failed {
    let is_rolled_back = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| ["23", "40"].iter().any(|class| code.starts_with(class)));
    if is_rolled_back { Failed::Before(error.into()) } else { Failed::InDoubt(error.into()) }
}
