//! Leases of calls: which worker has a call, and until when, by the database's clock.
//!
//! A worker claims a call before it says anything, and renews all its leases with one statement a second ([`Leases::run`]). A
//! lease has an epoch, which rises whenever the call changes hands; every write of a call looks whether its epoch still stands,
//! in the same transaction and as its last statement. Whoever finds it lost is told by [`Lease::lost`], mutes and leaves, and
//! whatever it still tries to write is refused with [`DbError::LeaseLost`].
//!
//! Without a database a call goes on without a lease: it may be recorded, but books nothing ([`DbError::Unleased`]) until one was
//! had after all, which is tried with every renewal.

mod keeper;
mod rows;
mod take_over;

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use crate::db::DbError;
use crate::ids::TenantId;
use crate::store::ClinicStore;

pub use keeper::{Claim, LeaseOptions, Leases};
pub(crate) use rows::interval;
pub(crate) use take_over::OrphanRow;
pub use take_over::{Orphan, TakeOver};

/// How long a lease lasts without being renewed.
pub const LEASE: Duration = Duration::from_secs(3);

/// Who sends for another agent when a call's worker is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watcher {
    /// Our own bridge, which is in the room.
    Bridge,
    /// `frontdesk rescue`: the room is behind LiveKit's own SIP service.
    Rescue,
}

impl Watcher {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Rescue => "rescue",
        }
    }

    fn parse(text: &str) -> Self {
        if text == "bridge" { Self::Bridge } else { Self::Rescue }
    }
}

/// What a lease says of a call. No personal data: ids that LiveKit and we have made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasedCall {
    /// Whose call.
    pub tenant: TenantId,
    /// The call's pseudonymous id.
    pub call_id: String,
    /// The server's id of the room.
    pub room_sid: String,
    /// The agent's identity in the room.
    pub participant: String,
    /// Who sends for another agent.
    pub watched_by: Watcher,
}

/// A worker's hold on one call.
#[derive(Debug)]
pub struct Lease {
    call: LeasedCall,
    /// 0 while there is none.
    epoch: AtomicI64,
    lost: CancellationToken,
}

impl Lease {
    fn new(call: LeasedCall, epoch: i64) -> Self {
        Self { call, epoch: AtomicI64::new(epoch), lost: CancellationToken::new() }
    }

    /// Which call.
    #[must_use]
    pub const fn call(&self) -> &LeasedCall {
        &self.call
    }

    /// Its epoch; `None` as long as the database could not be asked for one.
    #[must_use]
    pub fn epoch(&self) -> Option<i64> {
        Some(self.epoch.load(Ordering::Acquire)).filter(|epoch| *epoch > 0)
    }

    /// Fires when the call belongs to somebody else: mute, leave, write nothing more.
    #[must_use]
    pub const fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    fn set_epoch(&self, epoch: i64) {
        self.epoch.store(epoch, Ordering::Release);
    }

    fn lose(&self) -> DbError {
        if !self.lost.is_cancelled() {
            tracing::warn!(call = self.call.call_id, epoch = self.epoch.load(Ordering::Acquire), "another worker has the call now");
            self.lost.cancel();
        }
        DbError::LeaseLost
    }
}

impl ClinicStore {
    /// Sees that the call of this view still belongs to its worker, and keeps it so until the transaction ends: a take-over waits
    /// for it. To be called right before COMMIT, so that nobody waits long. A view without a lease (a console, an operator's
    /// command) writes as it likes.
    pub(crate) async fn hold_lease(&self, connection: &mut PgConnection) -> Result<(), DbError> {
        let Some(lease) = &self.lease else { return Ok(()) };
        if lease.lost.is_cancelled() {
            return Err(DbError::LeaseLost);
        }
        let stands = match lease.epoch() {
            Some(epoch) => rows::stands(connection, &lease.call.call_id, epoch).await?,
            // Nobody else may have it either.
            None => !rows::is_leased(connection, &lease.call.call_id).await?,
        };
        if stands { Ok(()) } else { Err(lease.lose()) }
    }

    /// The epoch under which the call's state is written; 0 without a lease.
    pub(crate) fn epoch(&self) -> i64 {
        self.lease.as_ref().and_then(|lease| lease.epoch()).unwrap_or_default()
    }

    /// The same for what must not be done without a lease at all.
    pub(crate) async fn hold_lease_to_book(&self, connection: &mut PgConnection) -> Result<(), DbError> {
        if self.lease.as_ref().is_some_and(|lease| lease.epoch().is_none()) {
            return Err(DbError::Unleased);
        }
        self.hold_lease(connection).await
    }

    /// Ends the lease with the call, in the transaction that stores its record.
    pub(crate) async fn release_lease(&self, connection: &mut PgConnection) -> Result<(), DbError> {
        let Some(lease) = &self.lease else { return Ok(()) };
        let Some(epoch) = lease.epoch() else { return self.hold_lease(connection).await };
        if rows::release(connection, &lease.call.call_id, epoch).await? { Ok(()) } else { Err(lease.lose()) }
    }

    /// Ends the lease of a call that was not taken. Nothing of it is kept, and nobody takes it for one whose worker is gone.
    ///
    /// # Errors
    /// [`DbError::LeaseLost`] if another worker has the call already.
    pub async fn end_lease(&self) -> Result<(), DbError> {
        crate::db::bounded(async {
            let (mut transaction, _) = self.begin().await?;
            self.release_lease(&mut transaction).await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// Lets go of the call without ending it, so that the next agent need not wait until the lease has expired. Whether there was
    /// one.
    ///
    /// # Errors
    /// [`DbError::LeaseLost`] if another worker has the call already.
    pub async fn yield_lease(&self) -> Result<bool, DbError> {
        let Some((lease, epoch)) = self.lease.as_ref().and_then(|lease| Some((lease, lease.epoch()?))) else { return Ok(false) };
        crate::db::bounded(async {
            let (mut transaction, _) = self.begin().await?;
            let yielded = rows::give_up(&mut transaction, &lease.call.call_id, epoch).await?;
            transaction.commit().await?;
            // From here on whatever is still tried is refused, before somebody else has come as well.
            let _told = lease.lose();
            if yielded { Ok(true) } else { Err(DbError::LeaseLost) }
        })
        .await
    }
}
