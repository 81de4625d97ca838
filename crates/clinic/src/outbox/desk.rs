//! The outbox as an operator sees it: ids, times and codes, never what is told.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::audit::{self, Actor};
use crate::db::{DbError, bounded};
use crate::store::ClinicStore;

/// How many rows are listed at once at most.
const LISTED_MAX: i64 = 1000;

/// Where a notice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeStatus {
    /// To be sent when its time has come.
    Pending,
    /// Being sent.
    Sending,
    /// The receiver has taken it upon itself.
    Sent,
    /// It has arrived.
    Delivered,
    /// The receiver could not deliver it.
    Failed,
    /// Given up.
    Dead,
}

impl NoticeStatus {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Pending, Self::Sending, Self::Sent, Self::Delivered, Self::Failed, Self::Dead];

    /// As it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Dead => "dead",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    pub(crate) fn read(name: &str) -> Result<Self, DbError> {
        Self::named(name).ok_or_else(|| DbError::Unreadable { what: "outbox.status", reason: "is no status of this release".into() })
    }
}

/// A row of the outbox, without its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The key of all attempts.
    pub id: Uuid,
    /// What happened.
    pub event: String,
    /// Where it goes.
    pub channel: String,
    /// Where it stands.
    pub status: NoticeStatus,
    /// All attempts so far.
    pub attempts: u32,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// The next attempt, if there will be one.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

impl ClinicStore {
    /// The tenant's notices, newest first, at most 1000; of these statuses, or of all if none is named.
    pub async fn notices(&self, statuses: &[NoticeStatus]) -> Result<Vec<Listed>, DbError> {
        let wanted: Vec<String> = statuses.iter().map(|status| status.as_str().to_owned()).collect();
        bounded(async {
            let (mut transaction, _) = self.begin().await?;
            let rows = sqlx::query!(
                "SELECT notice_id, event, channel, status, attempts, created_at, next_attempt_at, last_error FROM outbox
                 WHERE status = ANY ($1) OR cardinality($1) = 0
                 ORDER BY position DESC LIMIT $2",
                &wanted,
                LISTED_MAX
            )
            .fetch_all(&mut *transaction)
            .await?;
            rows.into_iter()
                .map(|row| {
                    let status = NoticeStatus::read(&row.status)?;
                    Ok(Listed {
                        id: row.notice_id,
                        event: row.event,
                        channel: row.channel,
                        status,
                        attempts: row.attempts.unsigned_abs(),
                        created_at: row.created_at,
                        next_attempt_at: (status == NoticeStatus::Pending).then_some(row.next_attempt_at),
                        last_error: row.last_error,
                    })
                })
                .collect()
        })
        .await
    }

    /// Has notices tried again at once, as often as new ones: those of these ids, or all that were given up if none is named. What
    /// has arrived, or is being sent, stays as it is. Tells how many; each is in the audit log.
    pub async fn retry_notices(&self, ids: &[Uuid]) -> Result<u64, DbError> {
        bounded(async {
            let (mut transaction, _) = self.begin().await?;
            let again = sqlx::query_scalar!(
                "UPDATE outbox SET status = 'pending', tries = 0, next_attempt_at = now(), updated_at = now()
                 WHERE (notice_id = ANY ($1) AND status IN ('pending', 'failed', 'dead')) OR (cardinality($1) = 0 AND status = 'dead')
                 RETURNING notice_id",
                ids
            )
            .fetch_all(&mut *transaction)
            .await?;
            for id in &again {
                let subject = id.to_string();
                audit::append(&mut transaction, &self.tenant, None, Actor::Operator, "notice.retried", Some(&subject)).await?;
            }
            transaction.commit().await?;
            Ok(again.len() as u64)
        })
        .await
    }
}
