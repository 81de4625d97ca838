//! Jobs as their code sees them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use async_trait::async_trait;
use livekit_protocol as proto;
use tokio_util::sync::CancellationToken;

/// A job that the server offers.
#[derive(Clone)]
pub struct JobRequest {
    /// The server's id of the job.
    pub job_id: String,
    /// The room.
    pub room: String,
    /// Metadata of the dispatch.
    pub metadata: String,
    /// Attributes of the dispatch.
    pub attributes: BTreeMap<String, String>,
}

impl JobRequest {
    pub(super) fn from_proto(job: &proto::Job) -> Self {
        Self {
            job_id: job.id.clone(),
            room: job.room.as_ref().map(|room| room.name.clone()).unwrap_or_default(),
            metadata: job.metadata.clone(),
            attributes: job.attributes.clone().into_iter().collect(),
        }
    }
}

impl fmt::Debug for JobRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobRequest").field("job_id", &self.job_id).finish_non_exhaustive()
    }
}

/// All that a job needs. `Debug` shows its id only: token and metadata are secret or personal, a room's name may hold a number.
#[derive(Clone)]
pub struct JobContext {
    /// The server's id of the job.
    pub job_id: String,
    /// The dispatch that asked for it.
    pub dispatch_id: String,
    /// The room to join.
    pub room: String,
    /// The server's id of the room: unique and without personal data, as a name need not be.
    pub room_sid: String,
    /// The server to join it at.
    pub url: String,
    /// The token to join it with, good for an hour.
    pub token: String,
    /// Metadata of the dispatch.
    pub metadata: String,
    /// Attributes of the dispatch.
    pub attributes: BTreeMap<String, String>,
    /// Our identity in the room.
    pub participant_identity: String,
    /// Fires when the job must end: terminated by the server, or the worker's time to drain is over. Whoever ignores it
    /// is aborted after a while.
    pub stop: CancellationToken,
    /// When the assignment came.
    pub assigned_at: Instant,
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext").field("job_id", &self.job_id).finish_non_exhaustive()
    }
}

/// Why a job failed, in a few words without personal data: they go to the server and into the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JobFailure(pub String);

/// What a worker does. Implemented by every `Fn(JobContext) -> impl Future<Output = Result<(), JobFailure>>`.
#[async_trait]
pub trait JobEntry: Send + Sync + 'static {
    /// Whether to take an offered job; asked only while there is room for one. Must not block.
    fn accept(&self, _request: &JobRequest) -> bool {
        true
    }

    /// Runs one job to its end.
    async fn run(&self, job: JobContext) -> Result<(), JobFailure>;
}

#[async_trait]
impl<F, Fut> JobEntry for F
where
    F: Fn(JobContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), JobFailure>> + Send + 'static,
{
    async fn run(&self, job: JobContext) -> Result<(), JobFailure> {
        self(job).await
    }
}
