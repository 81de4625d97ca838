//! Taking calls from workers that are gone.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::keeper::Leases;
use super::{Lease, LeasedCall, Watcher};
use crate::db::{DbError, bounded};
use crate::ids::TenantId;
use crate::store::ClinicStore;

/// Calls that are taken at once at most; the rest is found the next time.
const AT_MOST: i32 = 64;

/// How calls are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakeOver {
    /// How long an agent that was sent for may take to claim the call, before another is sent for.
    pub pause: Duration,
    /// How long a call behind our bridge is left to the bridge.
    pub bridge_patience: Duration,
}

impl Default for TakeOver {
    fn default() -> Self {
        Self { pause: Duration::from_secs(4), bridge_patience: Duration::from_secs(30) }
    }
}

/// A call without a worker, taken under a new epoch.
#[derive(Debug)]
pub struct Orphan {
    /// The call; its participant is the worker that had it last.
    pub call: LeasedCall,
    /// The epoch under which it was taken.
    pub epoch: i64,
    /// How often it was taken since somebody had it, this time included.
    pub attempts: u32,
    /// How long nobody has had it.
    pub orphaned_for: Duration,
    /// When it began.
    pub began_at: DateTime<Utc>,
}

impl Orphan {
    /// A view of the clinic that may write for this call, as long as no agent has come.
    #[must_use]
    pub fn store(&self, clinic: ClinicStore) -> ClinicStore {
        clinic.with_lease(std::sync::Arc::new(Lease::new(self.call.clone(), self.epoch)))
    }
}

impl Leases {
    /// Takes the calls of the process's project whose workers are gone. None, as long as Postgres has not been reached without a
    /// break for the time that a lease lasts ([`Leases::reached_for`]).
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn take_over(&self, how: TakeOver) -> Result<Vec<Orphan>, DbError> {
        if self.reached_for().is_none_or(|reached| reached < self.options.lasting) {
            return Ok(Vec::new());
        }
        self.take_over_now(how).await
    }

    /// The same without looking how long Postgres has been there.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn take_over_now(&self, how: TakeOver) -> Result<Vec<Orphan>, DbError> {
        bounded(self.database.take_over_leases(&self.options.project, how.pause, how.bridge_patience, AT_MOST)).await
    }
}

/// A row of `take_over_call_leases`.
pub(crate) struct OrphanRow {
    pub(crate) tenant_id: String,
    pub(crate) call_id: String,
    pub(crate) epoch: i64,
    pub(crate) room_sid: String,
    pub(crate) participant: String,
    pub(crate) watched_by: String,
    pub(crate) attempts: i32,
    pub(crate) orphaned_s: f64,
    pub(crate) began_at: DateTime<Utc>,
}

impl TryFrom<OrphanRow> for Orphan {
    type Error = DbError;

    fn try_from(row: OrphanRow) -> Result<Self, DbError> {
        let tenant = TenantId::new(row.tenant_id).map_err(|error| DbError::unreadable("call_leases.tenant_id", &error))?;
        let watched_by = Watcher::parse(&row.watched_by);
        let call = LeasedCall { tenant, call_id: row.call_id, room_sid: row.room_sid, participant: row.participant, watched_by };
        let orphaned_for = Duration::try_from_secs_f64(row.orphaned_s).unwrap_or_default();
        Ok(Self { call, epoch: row.epoch, attempts: row.attempts.unsigned_abs(), orphaned_for, began_at: row.began_at })
    }
}
