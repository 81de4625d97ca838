//! Where a call's state, record and audit events are kept.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::record::CallRecord;

/// Storage of calls. A call goes on without it: a failure is logged and noted in the record.
#[async_trait]
pub trait CallStore: Send + Sync {
    /// Notes that a call began.
    async fn begin(&self, call: &CallStart) -> Result<(), StoreError>;

    /// Stores the conversation's state (versioned JSON) in place of the one before.
    async fn save_state(&self, call_id: &str, state: &[u8]) -> Result<(), StoreError>;

    /// The state stored last, if any.
    async fn load_state(&self, call_id: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Stores the record of a call that ended; idempotent by call id.
    async fn finish(&self, record: &CallRecord) -> Result<(), StoreError>;

    /// Whether the call can go on at another worker now. Never waits.
    fn is_leased(&self, _call_id: &str) -> bool {
        false
    }

    /// Lets go of a call that goes on at another worker; whether it was ours to let go. Without leases it never is.
    async fn give_up(&self, _call_id: &str) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Appends to the audit log; `subject` is pseudonymous.
    async fn audit(&self, call_id: &str, action: &str, subject: Option<&str>) -> Result<(), StoreError>;
}

/// A call that began.
#[derive(Debug, Clone)]
pub struct CallStart {
    /// Pseudonymous id.
    pub call_id: String,
    /// The tenant.
    pub tenant_id: String,
    /// When it was answered.
    pub started_at: DateTime<Utc>,
    /// Whether another worker had it before.
    pub is_resumed: bool,
}

/// Why storing failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database cannot be reached, or not in time; try again later.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The database refused the statement: a fault of ours or of its schema.
    #[error("the database refused: {0}")]
    Refused(String),
    /// Another worker has the call now: mute, leave, and write nothing more.
    #[error("another worker has the call now")]
    LeaseLost,
    /// Stored data cannot be read (unknown version, wrong key).
    #[error("stored data of call {call_id} cannot be read: {reason}")]
    Unreadable {
        /// Whose data.
        call_id: String,
        /// Why.
        reason: String,
    },
}
