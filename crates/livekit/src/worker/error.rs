//! Why a worker stopped against its will.

use crate::server_url::ServerUrlError;

/// Why [`super::Worker::run`] gave up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The configured address is no address. Correct `LIVEKIT_URL`.
    #[error(transparent)]
    Url(#[from] ServerUrlError),
    /// What all jobs need could not be got ready, see [`super::JobEntry::prewarm`]; the server was not asked for jobs.
    #[error("the worker is not ready for calls: {reason}")]
    Prewarm {
        /// The cause.
        reason: String,
    },
    /// Key or secret are wrong.
    #[error("LiveKit at {url} refused the worker: set LIVEKIT_API_KEY and LIVEKIT_API_SECRET to a pair from the server's `keys`")]
    Unauthorized {
        /// The address that was tried.
        url: String,
    },
    /// Nothing answers there.
    #[error("no LiveKit server can be reached at {url}: {reason}; start it or correct LIVEKIT_URL")]
    Unreachable {
        /// The address that was tried.
        url: String,
        /// The cause.
        reason: String,
    },
    /// Something answers, but it takes no workers.
    #[error("the server at {url} takes no workers: {reason}; check that LIVEKIT_URL names a LiveKit server")]
    Refused {
        /// The address that was tried.
        url: String,
        /// What it said.
        reason: String,
    },
}
