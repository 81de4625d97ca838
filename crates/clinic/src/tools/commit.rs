//! What all `Commit` tools do with the outcome of their commit.

use std::time::Duration;

use frontdesk_conversation::{CommitOutcome, ToolError};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::errors;
use super::result::Said;
use crate::booking::{CommitError, Settled};

/// A `Commit` tool's time-out: after it the caller is told that the outcome is being looked up.
pub(super) const COMMIT_TIMEOUT: Duration = Duration::from_secs(8);
/// How often an unknown outcome is looked up before it is left unknown. Each look-up is bounded in time by itself.
const LOOK_UPS_MAX: u32 = 4;
/// Between two look-ups.
const LOOK_UP_PAUSE: Duration = Duration::from_secs(1);

/// The arguments as `prepare` gave them; anything else is a fault of whoever keeps them.
pub(super) fn canonical<T: DeserializeOwned>(arguments: Value) -> Result<T, ToolError> {
    serde_json::from_value(arguments).map_err(|error| ToolError {
        code: "invalid_arguments".into(),
        message: format!("not the arguments that were prepared: {error}"),
        details: None,
        retryable: false,
    })
}

/// Commits, and while the outcome is unknown asks again under the same key: a late answer is better than none.
pub(super) async fn settle<T, F>(tool: &'static str, mut commit: impl FnMut() -> F) -> Result<Settled<T>, CommitError>
where
    F: Future<Output = Result<Settled<T>, CommitError>>,
{
    for look_up in 1.. {
        match commit().await {
            Err(CommitError::OutcomeUnknown(error)) if look_up <= LOOK_UPS_MAX && error.is_retryable() => {
                tracing::warn!(tool, %error, look_up, "the outcome of a commit is unknown; it is looked up");
                tokio::time::sleep(LOOK_UP_PAUSE).await;
            }
            settled => return settled,
        }
    }
    unreachable!("the last look-up returns")
}

/// The outcome as the conversation wants it; `describe` writes the result of what was done, `said` is how alternatives are said.
pub(super) fn outcome<T>(
    tool: &'static str,
    settled: Result<Settled<T>, CommitError>,
    said: Said<'_>,
    describe: impl FnOnce(T) -> Result<Value, ToolError>,
) -> CommitOutcome {
    match settled {
        Ok(Settled::Done(done)) => CommitOutcome::Done(describe(done).unwrap_or_else(|error| {
            // It is done, whatever became of its description.
            serde_json::json!({ "done": true, "note": error.message })
        })),
        Ok(Settled::Refused(refusal)) => CommitOutcome::Refused(errors::refused(&refusal, said)),
        Err(CommitError::Database(error)) => CommitOutcome::Refused(errors::database(tool, &error)),
        Err(CommitError::OutcomeUnknown(_)) => CommitOutcome::Unknown,
        Err(error @ CommitError::KeyReused) => {
            tracing::error!(tool, "a confirmation was used for another request");
            CommitOutcome::Refused(ToolError { code: "key_reused".into(), message: error.to_string(), details: None, retryable: false })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use chrono_tz::Tz;

    use super::*;
    use crate::db::DbError;
    use crate::wording::English;

    fn lost() -> CommitError {
        CommitError::OutcomeUnknown(DbError::ConnectionLost { reason: "gone".into() })
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_outcome_is_asked_for_again_until_it_is_known() {
        let asked = AtomicU32::new(0);
        let began = tokio::time::Instant::now();
        let commit = async || if asked.fetch_add(1, Ordering::Relaxed) < 3 { Err(lost()) } else { Ok(Settled::Done(7)) };
        assert_eq!(settle("t", commit).await, Ok(Settled::Done(7)));
        assert_eq!((asked.load(Ordering::Relaxed), began.elapsed()), (4, LOOK_UP_PAUSE * 3));
    }

    #[tokio::test(start_paused = true)]
    async fn an_outcome_that_stays_unknown_is_neither_success_nor_failure() {
        let asked = AtomicU32::new(0);
        let commit = async || {
            asked.fetch_add(1, Ordering::Relaxed);
            Err::<Settled<u8>, _>(lost())
        };
        let settled = settle("t", commit).await;
        assert_eq!(outcome("t", settled, (Tz::UTC, &English), |_| Ok(Value::Null)), CommitOutcome::Unknown);
        assert_eq!(asked.load(Ordering::Relaxed), LOOK_UPS_MAX + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_read_is_not_asked_for_again() {
        let asked = AtomicU32::new(0);
        let commit = async || {
            asked.fetch_add(1, Ordering::Relaxed);
            Err::<Settled<u8>, _>(CommitError::OutcomeUnknown(DbError::Unreadable { what: "w", reason: "r".into() }))
        };
        let settled = settle("t", commit).await;
        assert_eq!(outcome("t", settled, (Tz::UTC, &English), |_| Ok(Value::Null)), CommitOutcome::Unknown);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_is_done_is_done_even_if_it_cannot_be_described() {
        let error = ToolError { code: "internal".into(), message: "malformed".into(), details: None, retryable: false };
        let told = outcome("t", Ok(Settled::Done(1)), (Tz::UTC, &English), |_| Err(error));
        assert!(matches!(told, CommitOutcome::Done(value) if value["done"] == true));
    }
}
