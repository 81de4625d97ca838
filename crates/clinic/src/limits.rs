//! How many calls a clinic takes, over all workers: each call needs a pass.
//!
//! Postgres counts, in one transaction under a lock of the clinic's: calls that began in this minute, and calls under way. The latter
//! are leased; a worker renews the leases of its calls, and the calls of one that died fall away when theirs run out. This process
//! counts as well: it alone decides while the database is away, and it spares the database the calls of a flood.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::counter;
use sqlx::PgConnection;
use tokio::time::Instant;

use crate::config::Limits;
use crate::db::{DbError, bounded};
use crate::ids::TenantId;
use crate::store::ClinicStore;

/// Counter of calls beyond a limit, labelled `limit`.
pub const CALLS_REFUSED: &str = "frontdesk.calls.beyond_limit";

/// How long a call counts after its worker was last heard of.
const LEASE_S: f64 = 60.0;
/// Between two renewals: a lease survives two that fail.
const RENEWAL: Duration = Duration::from_secs(20);
/// How long a call waits for its admission; somebody hears it ring.
const ADMISSION_LIMIT: Duration = Duration::from_millis(1500);
/// The window in which beginnings are counted.
const MINUTE: Duration = Duration::from_secs(60);

/// Which limit a call is beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// As many calls are under way as the clinic takes.
    #[error("as many calls are under way as the clinic takes")]
    CallsAtOnce,
    /// As many calls have begun in this minute as the clinic takes.
    #[error("as many calls have begun in this minute as the clinic takes")]
    NewCalls,
}

impl Busy {
    const fn label(self) -> &'static str {
        match self {
            Self::CallsAtOnce => "calls_at_once",
            Self::NewCalls => "new_calls_per_minute",
        }
    }
}

/// What this process knows of a clinic's calls.
#[derive(Debug, Default)]
struct Local {
    live: u32,
    /// When the current minute began, and how many calls since.
    began: Option<(Instant, u32)>,
}

impl Local {
    /// Takes a place, if there is one. Never stricter than all workers together.
    fn enter(&mut self, limits: &Limits) -> Result<(), Busy> {
        if limits.calls_at_once.is_some_and(|most| self.live >= most) {
            return Err(Busy::CallsAtOnce);
        }
        self.live += 1;
        Ok(())
    }

    /// Counts a beginning, and tells whether it is one too many.
    fn begin(&mut self, limits: &Limits, now: Instant) -> Result<(), Busy> {
        let (since, begun) = self.began.filter(|(since, _)| now.duration_since(*since) < MINUTE).unwrap_or((now, 0));
        self.began = Some((since, begun.saturating_add(1)));
        if limits.new_calls_per_minute.is_some_and(|most| begun >= most) { Err(Busy::NewCalls) } else { Ok(()) }
    }
}

/// Where calls are admitted; one a process.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    local: Arc<Mutex<HashMap<TenantId, Local>>>,
}

impl Gate {
    /// Admits a call, or tells which limit it is beyond. While the database is away, this process's own count decides.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn admit(&self, store: &ClinicStore, limits: &Limits, call_id: &str) -> Result<Pass, Busy> {
        let admitted = self.ask(store, limits, call_id).await;
        if let Err(busy) = &admitted {
            counter!(CALLS_REFUSED, "limit" => busy.label()).increment(1);
        }
        admitted
    }

    async fn ask(&self, store: &ClinicStore, limits: &Limits, call_id: &str) -> Result<Pass, Busy> {
        let tenant = store.tenant().clone();
        self.lock().entry(tenant.clone()).or_default().enter(limits)?;
        // From here on the place is given back, whatever happens.
        let mut pass = Pass { gate: self.clone(), tenant, call_id: call_id.to_owned(), store: None };
        if limits.calls_at_once.is_none() && limits.new_calls_per_minute.is_none() {
            return Ok(pass);
        }
        let asked = tokio::time::timeout(ADMISSION_LIMIT, store.admit_call(call_id, limits)).await;
        let asked =
            asked.unwrap_or_else(|_| Err(DbError::Timeout { limit_ms: u64::try_from(ADMISSION_LIMIT.as_millis()).unwrap_or(u64::MAX) }));
        let here = self.lock().entry(pass.tenant.clone()).or_default().begin(limits, Instant::now());
        match asked {
            Ok(Ok(())) => pass.store = Some(store.clone()),
            Ok(Err(busy)) => return Err(busy),
            Err(error) => {
                tracing::warn!(%error, "the database does not count calls now; this worker's own count decides");
                here?;
            }
        }
        Ok(pass)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TenantId, Local>> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call's place, given back with the value.
#[derive(Debug)]
pub struct Pass {
    gate: Gate,
    tenant: TenantId,
    call_id: String,
    /// Where the place is counted for all workers, if it could be.
    store: Option<ClinicStore>,
}

impl Pass {
    /// Keeps the place as long as it is polled. A renewal that fails is made up for by the next.
    pub async fn keep(&self) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(RENEWAL).await;
            let Some(store) = &self.store else { continue };
            if let Err(error) = store.renew_call(&self.call_id).await {
                tracing::warn!(%error, call = self.call_id, "the call's place cannot be renewed now");
            }
        }
    }

    /// Gives the place back for all workers; without this, it falls free when its lease runs out.
    pub async fn give_back(self) {
        let Some(store) = &self.store else { return };
        if let Err(error) = store.release_call(&self.call_id).await {
            tracing::warn!(%error, call = self.call_id, "the call's place cannot be given back; it falls free within a minute");
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(local) = self.gate.lock().get_mut(&self.tenant) {
            local.live = local.live.saturating_sub(1);
        }
    }
}

impl ClinicStore {
    /// Counts a call, if the clinic takes one more. A call that is counted already stays so, whoever asks.
    async fn admit_call(&self, call_id: &str, limits: &Limits) -> Result<Result<(), Busy>, DbError> {
        let beyond = |count: i64, most: Option<u32>| most.is_some_and(|most| count >= i64::from(most));
        bounded(async {
            let (mut transaction, _) = self.begin().await?;
            sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 3))", self.tenant.as_str()).execute(&mut *transaction).await?;
            sqlx::query!("DELETE FROM live_calls WHERE expires_at <= now()").execute(&mut *transaction).await?;
            sqlx::query!("DELETE FROM call_starts WHERE minute < date_trunc('minute', now())").execute(&mut *transaction).await?;
            let counted = sqlx::query!(
                r#"SELECT (SELECT count(*) FROM live_calls) AS "live!", coalesce((SELECT sum(calls) FROM call_starts), 0) AS "begun!",
                          EXISTS (SELECT FROM live_calls WHERE call_id = $1) AS "is_known!""#,
                call_id
            )
            .fetch_one(&mut *transaction)
            .await?;
            if !counted.is_known {
                let busy = match () {
                    () if beyond(counted.live, limits.calls_at_once) => Some(Busy::CallsAtOnce),
                    () if beyond(counted.begun, limits.new_calls_per_minute) => Some(Busy::NewCalls),
                    () => None,
                };
                if let Some(busy) = busy {
                    transaction.commit().await?;
                    return Ok(Err(busy));
                }
                sqlx::query!(
                    "INSERT INTO call_starts (tenant_id, minute, calls) VALUES ($1, date_trunc('minute', now()), 1)
                     ON CONFLICT (tenant_id, minute) DO UPDATE SET calls = call_starts.calls + 1",
                    self.tenant.as_str()
                )
                .execute(&mut *transaction)
                .await?;
            }
            self.keep_place(call_id, &mut transaction).await?;
            transaction.commit().await?;
            Ok(Ok(()))
        })
        .await
    }

    /// A call has its place from now on for the time of a lease.
    async fn keep_place(&self, call_id: &str, connection: &mut PgConnection) -> Result<(), DbError> {
        sqlx::query!(
            "INSERT INTO live_calls (tenant_id, call_id, expires_at) VALUES ($1, $2, now() + make_interval(secs => $3))
                 ON CONFLICT (tenant_id, call_id) DO UPDATE SET expires_at = excluded.expires_at",
            self.tenant.as_str(),
            call_id,
            LEASE_S
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Renews a call's place; one that ran out meanwhile is taken again, for the call goes on.
    async fn renew_call(&self, call_id: &str) -> Result<(), DbError> {
        bounded(async {
            let (mut transaction, _) = self.begin().await?;
            self.keep_place(call_id, &mut transaction).await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    async fn release_call(&self, call_id: &str) -> Result<(), DbError> {
        bounded(async {
            let (mut transaction, _) = self.begin().await?;
            sqlx::query!("DELETE FROM live_calls WHERE call_id = $1", call_id).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_process_counts_calls_at_once_and_those_of_a_minute() {
        let limits = Limits { calls_at_once: Some(2), new_calls_per_minute: Some(3), ..Limits::default() };
        let mut local = Local::default();
        assert_eq!([local.enter(&limits), local.enter(&limits), local.enter(&limits)], [Ok(()), Ok(()), Err(Busy::CallsAtOnce)]);
        let mut begin = || local.begin(&limits, Instant::now());
        assert_eq!([begin(), begin(), begin(), begin()], [Ok(()), Ok(()), Ok(()), Err(Busy::NewCalls)]);
        tokio::time::advance(MINUTE).await;
        assert_eq!(begin(), Ok(()));
    }
}
