//! Rows under a lease: who claims one may send it, and note what came of it as long as nobody else has claimed it since.

use std::time::Duration;

use chrono::{DateTime, Utc};
use frontdesk_notify::{ChannelKind, Delivery, Notice, Receipt, SendError};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::DbError;
use crate::store::ClinicStore;

/// A row that this process may send.
pub(super) struct Claimed {
    pub(super) id: Uuid,
    pub(super) channel: ChannelKind,
    /// What to send; the fault, if it cannot be read.
    pub(super) notice: Result<Notice, DbError>,
    /// Since somebody last asked for another try, this one included.
    pub(super) tries: u32,
    pub(super) created_at: DateTime<Utc>,
    lease: Uuid,
}

/// Claims what is due, at most `limit` rows: those whose time has come, and those whose sender vanished. A notice waits for earlier
/// ones about the same thing on the same channel, so that nobody is told of a cancellation before the booking.
pub(super) async fn claim(
    connection: &mut PgConnection,
    store: &ClinicStore,
    limit: i64,
    lease_for: Duration,
) -> Result<Vec<Claimed>, DbError> {
    let lease = Uuid::now_v7();
    let rows = sqlx::query!(
        r#"UPDATE outbox SET status = 'sending', attempts = attempts + 1, tries = tries + 1, updated_at = now(),
                  lease_token = $1, lease_until = now() + make_interval(secs => $2)
           WHERE notice_id IN (
               SELECT o.notice_id FROM outbox o
               WHERE ((o.status = 'pending' AND o.next_attempt_at <= now()) OR (o.status = 'sending' AND o.lease_until <= now()))
                 AND NOT EXISTS (SELECT FROM outbox e
                                 WHERE e.tenant_id = o.tenant_id AND e.channel = o.channel AND e.subject = o.subject
                                   AND e.position < o.position AND e.status IN ('pending', 'sending'))
               ORDER BY o.next_attempt_at, o.position LIMIT $3
               FOR UPDATE SKIP LOCKED)
           RETURNING notice_id, channel, payload_sealed, attempts, tries, created_at"#,
        lease,
        lease_for.as_secs_f64(),
        limit
    )
    .fetch_all(&mut *connection)
    .await?;
    let keys = store.keys_of(connection, rows.iter().map(|row| &row.payload_sealed)).await?;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in rows {
        let unknown = || DbError::Unreadable { what: "outbox.channel", reason: "is no channel of this release".into() };
        let opened = store.open_with::<Notice>(&keys, ("outbox", "payload_sealed"), row.payload_sealed);
        let notice = opened.map(|mut notice| {
            notice.delivery = Delivery {
                key: row.notice_id.to_string(),
                attempt: row.attempts.unsigned_abs(),
                created_at: row.created_at,
                receipt_url: None,
            };
            notice
        });
        claimed.push(Claimed {
            id: row.notice_id,
            channel: ChannelKind::named(&row.channel).ok_or_else(unknown)?,
            notice,
            tries: row.tries.unsigned_abs(),
            created_at: row.created_at,
            lease,
        });
    }
    Ok(claimed)
}

/// Notes that the receiver took it. `false` if the lease was lost meanwhile, or a receipt was faster.
pub(super) async fn note_sent(connection: &mut PgConnection, row: &Claimed, receipt: &Receipt) -> Result<bool, DbError> {
    let status = if receipt.is_delivered { "delivered" } else { "sent" };
    let provider_id = receipt.provider_id.as_deref().filter(|id| (1..=200).contains(&id.len()));
    let noted = sqlx::query!(
        "UPDATE outbox SET status = $3, provider_id = $4, last_error = NULL, lease_token = NULL, lease_until = NULL, updated_at = now()
         WHERE notice_id = $1 AND lease_token = $2",
        row.id,
        row.lease,
        status,
        provider_id
    )
    .execute(connection)
    .await?;
    Ok(noted.rows_affected() > 0)
}

/// Notes that an attempt failed, and when to try again; never, if there is no `wait`.
pub(super) async fn note_failure(
    connection: &mut PgConnection,
    row: &Claimed,
    error: &SendError,
    wait: Option<Duration>,
) -> Result<bool, DbError> {
    let noted = sqlx::query!(
        "UPDATE outbox SET status = CASE WHEN $3::float8 IS NULL THEN 'dead' ELSE 'pending' END, last_error = $4,
                next_attempt_at = now() + make_interval(secs => coalesce($3, 0)), lease_token = NULL, lease_until = NULL, updated_at = now()
         WHERE notice_id = $1 AND lease_token = $2",
        row.id,
        row.lease,
        wait.map(|wait| wait.as_secs_f64()),
        harmless(&error.code)
    )
    .execute(connection)
    .await?;
    Ok(noted.rows_affected() > 0)
}

/// What the column takes: a code that is none is replaced, so that a receiver's own words never enter.
fn harmless(code: &str) -> &str {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if code.len() <= 60 && code.split('.').all(is_word) { code } else { "unknown" }
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn codes_are_what_the_column_takes() {
        for (code, expected) in [
            ("http.503", "http.503"),
            ("http.400.21211", "http.400.21211"),
            ("timeout", "timeout"),
            ("", "unknown"),
            ("http..1", "unknown"),
            ("Jane Miller", "unknown"),
            (&"a".repeat(61), "unknown"),
        ] {
            assert_eq!(harmless(code), expected);
        }
    }
}
