//! The dispatcher: claims what is due, sends it, notes what came of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use frontdesk_notify::{Channel, ChannelKind, SendError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::claim::{self, Claimed};
use super::numbers;
use crate::crypto::Keyring;
use crate::db::{Database, DbError, bounded};
use crate::ids::TenantId;
use crate::store::ClinicStore;

/// The channels that this process can send on. What is due of a tenant that is not among them is left to others.
pub type Channels = HashMap<TenantId, HashMap<ChannelKind, Arc<dyn Channel>>>;

/// How notices are sent.
#[derive(Debug, Clone)]
pub struct DispatcherOptions {
    /// How often is looked for what is due. Default 1 s.
    pub poll: Duration,
    /// Rows of one tenant at once. Default 16.
    pub batch: u32,
    /// Longest attempt. Default 40 s.
    pub send_limit: Duration,
    /// How long a row is nobody else's; longer than `send_limit`. Default 90 s.
    pub lease: Duration,
    /// Wait after the first failure; doubled with every further one. Default 5 s.
    pub wait_min: Duration,
    /// Longest wait. Default one hour.
    pub wait_max: Duration,
    /// After so many failures a notice is given up. Default 12: some five hours.
    pub tries_max: u32,
    /// Where receivers shall send receipts, less the query that names the notice; `None` if they cannot reach us.
    pub receipt_url: Option<String>,
}

impl Default for DispatcherOptions {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(1),
            batch: 16,
            send_limit: Duration::from_secs(40),
            lease: Duration::from_secs(90),
            wait_min: Duration::from_secs(5),
            wait_max: Duration::from_secs(3600),
            tries_max: 12,
            receipt_url: None,
        }
    }
}

/// What one round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Round {
    /// Rows claimed.
    pub claimed: u32,
    /// Of those, taken by their receivers.
    pub sent: u32,
    /// Put off until later.
    pub postponed: u32,
    /// Given up.
    pub dead: u32,
}

/// Sends what is in the outbox. Any number of them may run at once, in one process or many.
#[derive(Clone)]
pub struct Dispatcher {
    database: Database,
    keys: Arc<Keyring>,
    channels: Arc<Channels>,
    options: DispatcherOptions,
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").field("options", &self.options).finish_non_exhaustive()
    }
}

/// What became of one row.
enum Outcome {
    Sent,
    Postponed,
    Dead,
    /// Somebody else has it by now, or the database could not be told: the lease will run out.
    Lost,
}

impl Dispatcher {
    /// Sends what is in the database on these channels.
    #[must_use]
    pub fn new(database: Database, keys: Arc<Keyring>, channels: Channels, options: DispatcherOptions) -> Self {
        Self { database, keys, channels: Arc::new(channels), options }
    }

    /// Sends until told to stop; what is under way then is finished. While the database is away it waits.
    pub async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = match self.round().await {
                // There may be more.
                Ok(round) if round.claimed > 0 => continue,
                Ok(_) => self.options.poll,
                Err(error) => {
                    tracing::warn!(%error, "the outbox cannot be read");
                    self.options.poll * 5
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Sends what is due now, a batch of each tenant, and waits until all of it is noted.
    ///
    /// # Errors
    /// [`DbError`], when it cannot be found out what is due. A failure of one tenant or row is logged, and does not keep the others.
    pub async fn round(&self) -> Result<Round, DbError> {
        let mut sending = JoinSet::new();
        for tenant in self.due().await? {
            let Some(channels) = self.channels.get(&tenant) else { continue };
            let claimed = match bounded(self.claim(&tenant)).await {
                Ok(claimed) => claimed,
                Err(error) => {
                    tracing::warn!(%error, %tenant, "notices cannot be claimed");
                    continue;
                }
            };
            for row in claimed {
                let channel = channels.get(&row.channel).cloned();
                let (this, tenant) = (self.clone(), tenant.clone());
                sending.spawn(async move { this.send(&tenant, row, channel).await });
            }
        }
        let mut round = Round::default();
        while let Some(outcome) = sending.join_next().await {
            round.claimed += 1;
            match outcome {
                Ok(Outcome::Sent) => round.sent += 1,
                Ok(Outcome::Postponed) => round.postponed += 1,
                Ok(Outcome::Dead) => round.dead += 1,
                // A panic of one attempt is a bug, and ends that attempt: its lease runs out.
                Ok(Outcome::Lost) | Err(_) => {}
            }
        }
        Ok(round)
    }

    async fn due(&self) -> Result<Vec<TenantId>, DbError> {
        let found = self.database.tenants_with_due_notices().await?;
        found.into_iter().map(|id| TenantId::new(id).map_err(|error| DbError::unreadable("outbox.tenant_id", &error))).collect()
    }

    /// The claim is committed before anything is sent: an attempt that leaves no trace otherwise is counted all the same.
    async fn claim(&self, tenant: &TenantId) -> Result<Vec<Claimed>, DbError> {
        let store = ClinicStore::new(self.database.clone(), Arc::clone(&self.keys), tenant.clone());
        let (mut transaction, _) = store.begin().await?;
        let claimed = claim::claim(&mut transaction, &store, self.options.batch.into(), self.options.lease).await?;
        transaction.commit().await?;
        Ok(claimed)
    }

    async fn send(&self, tenant: &TenantId, row: Claimed, channel: Option<Arc<dyn Channel>>) -> Outcome {
        let attempt = self.attempt(tenant, &row, channel).await;
        let noted = match &attempt {
            Ok(receipt) => bounded(self.note(tenant, async |connection| claim::note_sent(connection, &row, receipt).await)).await,
            Err(error) => {
                let wait = self.wait_after(row.tries, error);
                bounded(self.note(tenant, async |connection| claim::note_failure(connection, &row, error, wait).await)).await
            }
        };
        let (notice, channel) = (row.id, row.channel.as_str());
        match (noted, attempt) {
            (Err(error), _) => {
                tracing::warn!(%error, %tenant, %notice, channel, "what came of a notice could not be noted; it will be sent again under its key");
                Outcome::Lost
            }
            (Ok(false), _) => Outcome::Lost,
            (Ok(true), Ok(_)) => {
                numbers::sent(row.channel, (Utc::now() - row.created_at).to_std().unwrap_or_default());
                tracing::info!(%tenant, %notice, channel, tries = row.tries, "notice sent");
                Outcome::Sent
            }
            (Ok(true), Err(error)) => {
                numbers::failed(row.channel, &error.code);
                if self.wait_after(row.tries, &error).is_some() {
                    tracing::warn!(%error, %tenant, %notice, channel, tries = row.tries, "a notice could not be sent; it will be tried again");
                    return Outcome::Postponed;
                }
                numbers::dead(row.channel);
                tracing::error!(%error, %tenant, %notice, channel, tries = row.tries, "a notice is given up; see `frontdesk outbox list`");
                Outcome::Dead
            }
        }
    }

    async fn attempt(
        &self,
        tenant: &TenantId,
        row: &Claimed,
        channel: Option<Arc<dyn Channel>>,
    ) -> Result<frontdesk_notify::Receipt, SendError> {
        // The lease ran out more often than that: whatever ends the senders, this row may be the cause.
        if row.tries > self.options.tries_max {
            return Err(SendError::lasting("sender.vanished"));
        }
        let channel = channel.ok_or_else(|| SendError::passing("not_configured"))?;
        // A key that is missing now may be there tomorrow.
        let mut notice = row.notice.clone().map_err(|error| {
            tracing::error!(%error, %tenant, notice = %row.id, "a notice cannot be read");
            SendError::passing("unreadable")
        })?;
        notice.delivery.receipt_url = self.options.receipt_url.as_ref().map(|url| format!("{url}?notice={tenant}.{}", row.id));
        tokio::time::timeout(self.options.send_limit, channel.send(&notice)).await.unwrap_or_else(|_| Err(SendError::passing("timeout")))
    }

    /// Notes something of one row, in a transaction of its own.
    async fn note(
        &self,
        tenant: &TenantId,
        write: impl AsyncFnOnce(&mut sqlx::PgConnection) -> Result<bool, DbError>,
    ) -> Result<bool, DbError> {
        let (mut transaction, _) = self.database.begin(tenant).await?;
        let noted = write(transaction.as_mut()).await?;
        transaction.commit().await?;
        Ok(noted)
    }

    /// How long to wait after a failure; `None` to give up. Half of it is chance, so that what failed together is not tried together.
    fn wait_after(&self, tries: u32, error: &SendError) -> Option<Duration> {
        if !error.is_retryable || tries >= self.options.tries_max {
            return None;
        }
        let doubled = self.options.wait_min.saturating_mul(1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX));
        let wait = doubled.min(self.options.wait_max);
        let chance = rand::random_range(0.5..1.0);
        Some(wait.mul_f64(chance).max(error.retry_after.unwrap_or_default()))
    }
}
