//! A store in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use crate::record::CallRecord;
use crate::store::{CallStart, CallStore, StoreError};

#[derive(Default)]
struct Kept {
    away: bool,
    leased: bool,
    delay: Duration,
    begun: Vec<String>,
    states: Vec<Vec<u8>>,
    records: Vec<CallRecord>,
    audits: Vec<String>,
}

/// A store for tests.
#[derive(Clone, Default)]
pub struct FakeStore {
    kept: Arc<Mutex<Kept>>,
}

impl FakeStore {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn there(&self) -> Result<MutexGuard<'_, Kept>, StoreError> {
        let delay = self.kept().delay;
        sleep(delay).await;
        let kept = self.kept();
        if kept.away { Err(StoreError::Unavailable("scripted".into())) } else { Ok(kept) }
    }

    /// From now on every statement fails, or none does.
    pub fn set_away(&self, away: bool) {
        self.kept().away = away;
    }

    /// Calls have leases: one that is given up is somebody else's.
    pub fn set_leased(&self, leased: bool) {
        self.kept().leased = leased;
    }

    /// From now on every statement takes this long.
    pub fn set_delay(&self, delay: Duration) {
        self.kept().delay = delay;
    }

    /// Calls that began.
    #[must_use]
    pub fn begun(&self) -> Vec<String> {
        self.kept().begun.clone()
    }

    /// How many states were stored.
    #[must_use]
    pub fn states(&self) -> usize {
        self.kept().states.len()
    }

    /// Records of calls that ended.
    #[must_use]
    pub fn records(&self) -> Vec<CallRecord> {
        self.kept().records.clone()
    }

    /// The audit log.
    #[must_use]
    pub fn audits(&self) -> Vec<String> {
        self.kept().audits.clone()
    }
}

#[async_trait]
impl CallStore for FakeStore {
    async fn begin(&self, call: &CallStart) -> Result<(), StoreError> {
        self.there().await?.begun.push(call.call_id.clone());
        Ok(())
    }

    async fn save_state(&self, _call_id: &str, state: &[u8]) -> Result<(), StoreError> {
        self.there().await?.states.push(state.to_vec());
        Ok(())
    }

    async fn load_state(&self, _call_id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.there().await?.states.last().cloned())
    }

    async fn finish(&self, record: &CallRecord) -> Result<(), StoreError> {
        self.there().await?.records.push(record.clone());
        Ok(())
    }

    fn is_leased(&self, _call_id: &str) -> bool {
        self.kept().leased
    }

    async fn give_up(&self, _call_id: &str) -> Result<bool, StoreError> {
        Ok(self.there().await?.leased)
    }

    async fn audit(&self, _call_id: &str, action: &str, _subject: Option<&str>) -> Result<(), StoreError> {
        self.there().await?.audits.push(action.into());
        Ok(())
    }
}
