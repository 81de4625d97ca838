//! The sealer: gives committed events their places in the chain, one sealer a tenant at a time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::MissedTickBehavior;

use super::chain::{Event, GENESIS, link};
use super::join_whole_tables;
use crate::db::{Database, DbError, bounded};
use crate::ids::TenantId;

/// An event waits this long at most before a healthy sealer looks, a quarter of the second that is promised.
const INTERVAL: Duration = Duration::from_millis(250);
/// Rows sealed in one transaction at most; so many take some ten milliseconds.
const BATCH: i64 = 1000;

/// Seals what is committed, four times a second until `stop`, and once more then. Any number of workers may do so at once: a
/// lock of the database lets one at each tenant. While the database is away nothing is sealed, and nothing is lost.
pub async fn run_sealer(database: Database, stop: impl Future<Output = ()>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(stop);
    let mut is_failing = false;
    loop {
        let is_last = tokio::select! {
            () = &mut stop => true,
            _ = ticks.tick() => false,
        };
        match seal_all(&database).await {
            Ok(_) if is_failing => {
                tracing::info!("the audit log is sealed again");
                is_failing = false;
            }
            Ok(_) => {}
            Err(error) if !is_failing => {
                tracing::warn!(%error, "the audit log cannot be sealed now; it is tried again");
                is_failing = true;
            }
            Err(_) => {}
        }
        if is_last {
            return;
        }
    }
}

/// Seals what is committed, of all tenants, and gives the number of rows; zero where another sealer is at it.
pub async fn seal_all(database: &Database) -> Result<u64, DbError> {
    let mut sealed = 0;
    for tenant in bounded(database.tenants_with_unsealed_events()).await? {
        // What comes in meanwhile is the next pass's, so that a busy tenant does not keep the others waiting for ever.
        while let Some(rows) = bounded(seal_batch(database, &tenant)).await? {
            sealed += rows;
            if rows < BATCH.unsigned_abs() {
                break;
            }
        }
    }
    Ok(sealed)
}

/// Seals the oldest of what waits; `None` if another sealer has the tenant.
async fn seal_batch(database: &Database, tenant: &TenantId) -> Result<Option<u64>, DbError> {
    let (mut transaction, _) = database.begin(tenant).await?;
    let is_ours = sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock(hashtextextended($1, 2)) AS "is_ours!""#, tenant.as_str())
        .fetch_one(&mut *transaction)
        .await?;
    if !is_ours {
        return Ok(None);
    }
    // A statement of its own, so that it sees what the lock's former holder committed.
    let head =
        sqlx::query!("SELECT sequence, hash FROM audit_seals ORDER BY sequence DESC LIMIT 1").fetch_optional(&mut *transaction).await?;
    let (mut sequence, mut hash) = match head {
        Some(head) => (head.sequence, as_hash(&head.hash)?),
        None => (0, GENESIS),
    };
    join_whole_tables(&mut transaction, false).await?;
    let events = sqlx::query_as!(
        Event,
        "SELECT e.event_id, e.at, e.call_id, e.actor, e.action, e.subject, e.principal, e.purpose
         FROM audit_pending p JOIN audit_events e ON e.tenant_id = p.tenant_id AND e.event_id = p.event_id AND e.at = p.event_at
         ORDER BY p.event_id LIMIT $1",
        BATCH
    )
    .fetch_all(&mut *transaction)
    .await?;
    if events.is_empty() {
        return Ok(Some(0));
    }
    let mut sequences = Vec::with_capacity(events.len());
    let mut hashes = Vec::with_capacity(events.len());
    for event in &events {
        sequence += 1;
        hash = link(&hash, tenant.as_str(), sequence, event);
        sequences.push(sequence);
        hashes.push(hash.to_vec());
    }
    let ids: Vec<i64> = events.iter().map(|event| event.event_id).collect();
    let times: Vec<DateTime<Utc>> = events.iter().map(|event| event.at).collect();
    sqlx::query!(
        "INSERT INTO audit_seals (tenant_id, sequence, event_id, event_at, hash)
         SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[], $5::bytea[])",
        tenant.as_str(),
        &sequences,
        &ids,
        &times,
        &hashes
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!("DELETE FROM audit_pending WHERE event_id = ANY($1)", &ids).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(Some(events.len() as u64))
}

pub(super) fn as_hash(bytes: &[u8]) -> Result<[u8; 32], DbError> {
    bytes.try_into().map_err(|error| DbError::unreadable("audit_seals.hash", &error))
}
