//! The trait that every channel implements.

use std::time::Duration;

use async_trait::async_trait;

use crate::notice::Notice;

/// A way out. Each call is one attempt, bounded in time; a repetition under the same key has no second effect.
#[async_trait]
pub trait Channel: Send + Sync {
    /// Sends a notice.
    ///
    /// # Errors
    /// [`SendError`]; it may have arrived all the same, unless the receiver said that it refuses.
    async fn send(&self, notice: &Notice) -> Result<Receipt, SendError>;
}

/// What the receiver said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    /// The receiver's own id of it.
    pub provider_id: Option<String>,
    /// Whether it has arrived; else the receiver took it upon itself to deliver it.
    pub is_delivered: bool,
}

/// Why a notice was not sent, or is not known to have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}")]
pub struct SendError {
    /// Lower-case words, digits and dots, as `http.503` or `timeout`; never a word of the receiver's, which may quote the notice.
    pub code: String,
    /// Whether a later attempt may succeed.
    pub is_retryable: bool,
    /// The receiver asks to wait so long.
    pub retry_after: Option<Duration>,
}

impl SendError {
    /// One that may pass.
    #[must_use]
    pub fn passing(code: impl Into<String>) -> Self {
        Self { code: code.into(), is_retryable: true, retry_after: None }
    }

    /// One that would come again.
    #[must_use]
    pub fn lasting(code: impl Into<String>) -> Self {
        Self { code: code.into(), is_retryable: false, retry_after: None }
    }
}
