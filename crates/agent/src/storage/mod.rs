//! Storing state, audit events and the record, off the session's path. A store that fails or hangs never ends a call.

use std::sync::Arc;
use std::time::Duration;

use frontdesk_conversation::StoredState;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::incidents::Incidents;
use crate::record::CallRecord;
use crate::store::{CallStart, CallStore, StoreError};

/// One statement takes no longer than this.
const STATEMENT_MAX: Duration = Duration::from_secs(3);

/// Audit events that wait at most; one more is lost and noted in the record.
const AUDIT_QUEUE: usize = 256;

/// An act for the audit log.
struct Audit {
    action: String,
    subject: Option<String>,
}

/// A call's access to its store. Does nothing when there is none.
pub(crate) struct Storage {
    state: watch::Sender<Option<StoredState>>,
    audit: mpsc::Sender<Audit>,
    incidents: Incidents,
    enabled: bool,
}

/// The task behind a [`Storage`].
pub(crate) struct StorageTask {
    store: Arc<dyn CallStore>,
    start: CallStart,
    state: watch::Receiver<Option<StoredState>>,
    audit: mpsc::Receiver<Audit>,
    incidents: Incidents,
}

impl Storage {
    /// Access to `store` for the call that `start` describes, and the task that does the work.
    #[must_use]
    pub(crate) fn new(store: Option<Arc<dyn CallStore>>, start: CallStart, incidents: Incidents) -> (Self, Option<StorageTask>) {
        let (state, state_read) = watch::channel(None);
        let (audit, audit_read) = mpsc::channel(AUDIT_QUEUE);
        let access = Self { state, audit, incidents: incidents.clone(), enabled: store.is_some() };
        let task = store.map(|store| StorageTask { store, start, state: state_read, audit: audit_read, incidents });
        (access, task)
    }

    /// Stores a state; while one is being written only the newest waits.
    pub(crate) fn state(&self, state: StoredState) {
        self.state.send_replace(Some(state));
    }

    /// Whether a state would be stored at all.
    #[must_use]
    pub(crate) const fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Appends to the audit log.
    pub(crate) fn audit(&self, action: String, subject: Option<String>) {
        if self.enabled && self.audit.try_send(Audit { action, subject }).is_err() {
            self.incidents.note("store: an audit event was lost");
        }
    }
}

impl StorageTask {
    /// Runs until its [`Storage`] is dropped and everything handed over is stored or has failed.
    pub(crate) async fn run(mut self) {
        let (store, call_id) = (Arc::clone(&self.store), self.start.call_id.clone());
        self.note("begin", bounded(store.begin(&self.start)).await);
        let (mut states, mut audits) = (true, true);
        while states || audits {
            tokio::select! {
                changed = self.state.changed(), if states => {
                    states = changed.is_ok();
                    let state = self.state.borrow_and_update().clone();
                    if let Some(state) = state.filter(|_| states) {
                        self.save(&state).await;
                    }
                }
                audit = self.audit.recv(), if audits => match audit {
                    Some(Audit { action, subject }) => {
                        self.note("audit", bounded(store.audit(&call_id, &action, subject.as_deref())).await);
                    }
                    None => audits = false,
                },
            }
        }
    }

    async fn save(&self, state: &StoredState) {
        match state.to_json() {
            Ok(json) => self.note("save_state", bounded(self.store.save_state(&self.start.call_id, &json)).await),
            Err(error) => {
                tracing::error!(%error, "the state cannot be stored");
                self.incidents.note("store: save_state unreadable");
            }
        }
    }

    fn note(&self, statement: &str, outcome: Result<(), StoreError>) {
        if let Err(error) = outcome {
            note(&self.incidents, statement, &error);
        }
    }
}

/// Stores the record of a call, within a bound.
pub(crate) async fn finish(store: &dyn CallStore, record: &CallRecord) -> Result<(), StoreError> {
    bounded(store.finish(record)).await
}

/// Lets go of a call, within a bound.
pub(crate) async fn give_up(store: &dyn CallStore, call_id: &str) -> Result<bool, StoreError> {
    bounded(store.give_up(call_id)).await
}

/// Notes a failed statement: its kind for the record, its cause for the log.
pub(crate) fn note(incidents: &Incidents, statement: &str, error: &StoreError) {
    let kind = match error {
        StoreError::Unavailable(_) => "unavailable",
        StoreError::Refused(_) => "refused",
        StoreError::LeaseLost => "lease lost",
        StoreError::Unreadable { .. } => "unreadable",
    };
    tracing::warn!(statement, %error, "storing failed");
    incidents.note(format!("store: {statement} {kind}"));
}

async fn bounded<T>(statement: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let late = || StoreError::Unavailable(format!("no answer within {} ms", STATEMENT_MAX.as_millis()));
    timeout(STATEMENT_MAX, statement).await.unwrap_or_else(|_| Err(late()))
}

#[cfg(test)]
mod tests;
