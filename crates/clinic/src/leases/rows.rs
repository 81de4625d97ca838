//! The statements on single leases.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::postgres::types::PgInterval;

use super::LeasedCall;
use crate::db::DbError;

/// A lease that was had.
pub(super) struct Claimed {
    pub(super) epoch: i64,
    pub(super) began_at: DateTime<Utc>,
    pub(super) now: DateTime<Utc>,
}

/// Who has a call.
pub(super) struct Holder {
    pub(super) participant: String,
    pub(super) expires_in: Duration,
}

pub(crate) fn interval(duration: Duration) -> PgInterval {
    PgInterval { months: 0, days: 0, microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX) }
}

/// Claims a call that nobody holds: a new one, one that was given up or is over, one whose lease has expired, or one whose holder
/// is known to be `gone` from the room. `None` if somebody has it.
pub(super) async fn claim(
    connection: &mut PgConnection,
    call: &LeasedCall,
    (worker, project): (&str, &str),
    lasting: Duration,
    gone: Option<&str>,
) -> Result<Option<Claimed>, DbError> {
    let row = sqlx::query!(
        r#"INSERT INTO call_leases (tenant_id, call_id, epoch, worker, expires_at, project, room_sid, participant, watched_by)
           VALUES ($1, $2, 1, $3, clock_timestamp() + $4, $5, $6, $7, $8)
           ON CONFLICT (tenant_id, call_id) DO UPDATE
           SET epoch = call_leases.epoch + 1, worker = excluded.worker, expires_at = excluded.expires_at, project = excluded.project,
               room_sid = excluded.room_sid, participant = excluded.participant, watched_by = excluded.watched_by,
               orphaned_at = NULL, attempts = 0, released_at = NULL,
               -- What is over begins anew.
               began_at = CASE WHEN call_leases.released_at IS NULL THEN call_leases.began_at ELSE clock_timestamp() END
           WHERE call_leases.worker IS NULL OR call_leases.expires_at < clock_timestamp() OR call_leases.participant = $9
           RETURNING epoch, began_at, clock_timestamp() AS "now!""#,
        call.tenant.as_str(),
        call.call_id,
        worker,
        interval(lasting),
        project,
        call.room_sid,
        call.participant,
        call.watched_by.as_str(),
        gone
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Claimed { epoch: row.epoch, began_at: row.began_at, now: row.now }))
}

/// Who has a call, if anybody does.
pub(super) async fn holder(connection: &mut PgConnection, call_id: &str) -> Result<Option<Holder>, DbError> {
    let row = sqlx::query!(
        r#"SELECT participant, extract(epoch FROM expires_at - clock_timestamp())::float8 AS "seconds!" FROM call_leases
           WHERE call_id = $1 AND worker IS NOT NULL"#,
        call_id
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Holder { participant: row.participant, expires_in: Duration::try_from_secs_f64(row.seconds).unwrap_or_default() }))
}

/// Whether an epoch still stands; if so, until the transaction ends.
pub(super) async fn stands(connection: &mut PgConnection, call_id: &str, epoch: i64) -> Result<bool, DbError> {
    let found = sqlx::query_scalar!(
        r#"SELECT true AS "stands!" FROM call_leases WHERE call_id = $1 AND epoch = $2 AND released_at IS NULL FOR SHARE"#,
        call_id,
        epoch
    );
    Ok(found.fetch_optional(connection).await?.is_some())
}

/// Whether anybody has the call, or is to have it.
pub(super) async fn is_leased(connection: &mut PgConnection, call_id: &str) -> Result<bool, DbError> {
    let found =
        sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM call_leases WHERE call_id = $1 AND released_at IS NULL) AS "leased!""#, call_id);
    Ok(found.fetch_one(connection).await?)
}

/// The call is over; whether it was ours to end.
pub(super) async fn release(connection: &mut PgConnection, call_id: &str, epoch: i64) -> Result<bool, DbError> {
    let released = sqlx::query!(
        "UPDATE call_leases SET released_at = coalesce(released_at, clock_timestamp()), worker = NULL, orphaned_at = NULL
         WHERE call_id = $1 AND epoch = $2",
        call_id,
        epoch
    );
    Ok(released.execute(connection).await?.rows_affected() > 0)
}

/// The call goes on without us; whether it was ours to give up.
pub(super) async fn give_up(connection: &mut PgConnection, call_id: &str, epoch: i64) -> Result<bool, DbError> {
    let given = sqlx::query!(
        "UPDATE call_leases SET worker = NULL, expires_at = clock_timestamp() WHERE call_id = $1 AND epoch = $2 AND released_at IS NULL",
        call_id,
        epoch
    );
    Ok(given.execute(connection).await?.rows_affected() > 0)
}

/// Whether the call was ended under this epoch.
pub(super) async fn is_over(connection: &mut PgConnection, call_id: &str, epoch: i64) -> Result<bool, DbError> {
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM call_leases WHERE call_id = $1 AND epoch = $2 AND released_at IS NOT NULL) AS "over!""#,
        call_id,
        epoch
    );
    Ok(found.fetch_one(connection).await?)
}
