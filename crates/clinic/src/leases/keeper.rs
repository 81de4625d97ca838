//! The leases of one process: claimed one by one, renewed all at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{LEASE, Lease, LeasedCall, rows};
use crate::db::{Database, DbError};
use crate::ids::TenantId;

/// How long a claim may hold up the beginning of a call that has an agent already and waits only for words.
const CLAIM_MAX: Duration = Duration::from_secs(2);
/// How often a lease that is about to expire is asked for again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How a process keeps its leases.
#[derive(Debug, Clone)]
pub struct LeaseOptions {
    /// The process: unique, and new with every start.
    pub worker: String,
    /// The LiveKit project, so that only those who can reach a room send for agents to it.
    pub project: String,
    /// How long a lease lasts.
    pub lasting: Duration,
    /// How often all are renewed.
    pub renew_every: Duration,
}

impl LeaseOptions {
    /// A process that renews every second what lasts for three.
    #[must_use]
    pub fn new(worker: impl Into<String>, project: impl Into<String>) -> Self {
        Self { worker: worker.into(), project: project.into(), lasting: LEASE, renew_every: Duration::from_secs(1) }
    }
}

/// What came of a claim.
#[derive(Debug)]
pub enum Claim {
    /// The call is ours, and nobody has had it before.
    New(Arc<Lease>),
    /// The call is ours, and began so long ago: its stored state says how far it has come.
    TakenOver(Arc<Lease>, Duration),
    /// The database cannot be asked; the call may go on, and books nothing.
    Unleased(Arc<Lease>),
    /// Another agent has it, and is in the room: leave.
    Held,
}

type Key = (TenantId, String);

/// The leases of a process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Leases {
    pub(super) database: Database,
    pub(super) options: Arc<LeaseOptions>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<Key, Weak<Lease>>,
    /// Since when every renewal has succeeded; `None` after one that failed.
    reached_since: Option<Instant>,
    /// When one succeeded last.
    reached_at: Option<Instant>,
    /// Whether the last one failed.
    is_away: bool,
}

impl Leases {
    /// The leases of a process, none as yet.
    #[must_use]
    pub fn new(database: Database, options: LeaseOptions) -> Self {
        Self { database, options: Arc::new(options), state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Consistent after every single operation, so a poisoned lock is as good as a sound one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long Postgres has answered without a break; `None` if it did not the last time, or has not been asked lately.
    ///
    /// An outage makes every lease look expired. Whoever wants to take calls from others waits, after it, as long as a lease lasts:
    /// by then those who are still there have renewed theirs.
    #[must_use]
    pub fn reached_for(&self) -> Option<Duration> {
        let state = self.state();
        let fresh = state.reached_at.is_some_and(|at| at.elapsed() < self.options.lasting);
        state.reached_since.filter(|_| fresh).map(|since| since.elapsed())
    }

    /// Claims a call for which this process was sent. `is_present` tells whether another agent is in the room: one that is not,
    /// but still renews, was removed by whoever sent for us, and loses the call at once. A call whose holder is gone is ours when
    /// its lease has expired, which is waited for.
    pub async fn claim(&self, call: LeasedCall, is_present: impl Fn(&str) -> bool + Send) -> Claim {
        let unleased = |call: LeasedCall| {
            let lease = Arc::new(Lease::new(call, 0));
            self.hold(&lease);
            Claim::Unleased(lease)
        };
        // A caller is not kept waiting for a database that did not answer a moment ago.
        let is_away = self.state().is_away;
        if is_away {
            return unleased(call);
        }
        let until = Instant::now() + self.options.lasting + self.options.renew_every;
        let mut gone = None;
        loop {
            let holder = match timeout(CLAIM_MAX, self.try_claim(&call, gone.as_deref())).await {
                Ok(Ok(Attempt::Ours(claimed))) => {
                    let lease = Arc::new(Lease::new(call, claimed.epoch));
                    self.hold(&lease);
                    if claimed.epoch == 1 {
                        return Claim::New(lease);
                    }
                    let ago = (claimed.now - claimed.began_at).to_std().unwrap_or_default();
                    return Claim::TakenOver(lease, ago);
                }
                Ok(Ok(Attempt::Held(holder))) => holder,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the call has no lease: it will book nothing");
                    return unleased(call);
                }
                Err(_) => {
                    tracing::warn!("the database does not answer: the call has no lease and will book nothing");
                    return unleased(call);
                }
            };
            if !is_present(&holder.participant) {
                gone = Some(holder.participant);
            } else if Instant::now() >= until {
                return Claim::Held;
            } else {
                sleep(holder.expires_in.min(AGAIN_AFTER).max(Duration::from_millis(1))).await;
            }
        }
    }

    async fn try_claim(&self, call: &LeasedCall, gone: Option<&str>) -> Result<Attempt, DbError> {
        loop {
            let (mut transaction, _) = self.database.begin(&call.tenant).await?;
            let options = &self.options;
            let names = (options.worker.as_str(), options.project.as_str());
            if let Some(claimed) = rows::claim(&mut transaction, call, names, options.lasting, gone).await? {
                transaction.commit().await?;
                return Ok(Attempt::Ours(claimed));
            }
            if let Some(holder) = rows::holder(&mut transaction, &call.call_id).await? {
                return Ok(Attempt::Held(holder));
            }
            // Given up between the two statements.
        }
    }

    /// Whoever had it in this process before has lost it.
    fn hold(&self, lease: &Arc<Lease>) {
        let key = (lease.call.tenant.clone(), lease.call.call_id.clone());
        let before = self.state().held.insert(key, Arc::downgrade(lease));
        if let Some(before) = before.and_then(|before| before.upgrade()) {
            let _told = before.lose();
        }
    }

    /// Renews until `stop`, beginning at once. A lease is renewed as long as somebody keeps its handle.
    pub async fn run(&self, stop: CancellationToken) {
        let mut every = interval(self.options.renew_every);
        // After a stall one renewal is as good as many.
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(every.tick()).await.is_some() {
            // One that takes longer than until the next but one is as bad as one that fails.
            let renewed = timeout(self.options.lasting.min(CLAIM_MAX), self.renew()).await;
            let failure = match renewed {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("no answer in time".to_owned()),
            };
            self.note(failure);
        }
    }

    fn note(&self, failure: Option<String>) {
        let (mut state, now) = (self.state(), Instant::now());
        let was_away = std::mem::replace(&mut state.is_away, failure.is_some());
        match failure {
            None => {
                // A stall of our own is a break as well.
                let unbroken = state.reached_at.is_some_and(|at| now - at < self.options.lasting);
                state.reached_since = Some(state.reached_since.filter(|_| unbroken).unwrap_or(now));
                state.reached_at = Some(now);
            }
            Some(error) => {
                state.reached_since = None;
                if !was_away {
                    tracing::warn!(error, "the leases of calls cannot be renewed; calls go on");
                }
            }
        }
    }

    /// Renews all leases of the process with one statement, tells those that were lost, and claims for calls that have none yet.
    ///
    /// # Errors
    /// [`DbError`]; nothing is lost by it.
    pub async fn renew(&self) -> Result<(), DbError> {
        let held: Vec<Arc<Lease>> = {
            let mut state = self.state();
            state.held.retain(|_, lease| lease.strong_count() > 0);
            state.held.values().filter_map(Weak::upgrade).filter(|lease| !lease.lost.is_cancelled()).collect()
        };
        let (leased, waiting): (Vec<_>, Vec<_>) = held.into_iter().partition(|lease| lease.epoch().is_some());
        let tenants: Vec<String> = leased.iter().map(|lease| lease.call.tenant.as_str().to_owned()).collect();
        let calls: Vec<String> = leased.iter().map(|lease| lease.call.call_id.clone()).collect();
        let still = self.database.renew_leases(&self.options.worker, &tenants, &calls, self.options.lasting).await?;
        for lease in &leased {
            let (tenant, call, epoch) = (lease.call.tenant.as_str(), lease.call.call_id.as_str(), lease.epoch());
            let is_ours = still.iter().any(|(t, c, e)| t == tenant && c == call && Some(*e) == epoch);
            // What was released belongs to a call that is over; its handle goes in a moment.
            if !is_ours && !self.is_over(lease).await? {
                let _told = lease.lose();
            }
        }
        for lease in waiting {
            match self.try_claim(&lease.call, None).await? {
                Attempt::Ours(claimed) => {
                    tracing::info!(call = lease.call.call_id, "the call has its lease now");
                    lease.set_epoch(claimed.epoch);
                }
                Attempt::Held(_) => drop(lease.lose()),
            }
        }
        Ok(())
    }

    /// Whether the call was ended under the lease's own epoch.
    async fn is_over(&self, lease: &Lease) -> Result<bool, DbError> {
        let Some(epoch) = lease.epoch() else { return Ok(false) };
        let (mut transaction, _) = self.database.begin(&lease.call.tenant).await?;
        rows::is_over(&mut transaction, &lease.call.call_id, epoch).await
    }
}

enum Attempt {
    Ours(rows::Claimed),
    Held(rows::Holder),
}
