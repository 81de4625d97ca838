//! Jobs as their code sees them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use async_trait::async_trait;
use livekit_protocol as proto;
use tokio_util::sync::CancellationToken;

use crate::api::{ApiError, LiveKit, ParticipantToken, random_id};
use crate::room::{Participant, ParticipantKind};

/// What a worker wants a job for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum JobKind {
    /// Each room.
    #[default]
    Room,
    /// Each participant who publishes something.
    Publisher,
    /// Each participant.
    Participant,
}

impl JobKind {
    pub(super) const fn to_proto(self) -> proto::JobType {
        match self {
            Self::Room => proto::JobType::JtRoom,
            Self::Publisher => proto::JobType::JtPublisher,
            Self::Participant => proto::JobType::JtParticipant,
        }
    }

    fn from_proto(kind: i32) -> Self {
        match proto::JobType::try_from(kind) {
            Ok(proto::JobType::JtPublisher) => Self::Publisher,
            Ok(proto::JobType::JtParticipant) => Self::Participant,
            _ => Self::Room,
        }
    }

    /// The word for it that livekit/agents uses as well.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Room => "JT_ROOM",
            Self::Publisher => "JT_PUBLISHER",
            Self::Participant => "JT_PARTICIPANT",
        }
    }
}

/// A job that the server offers.
#[derive(Clone, Default)]
pub struct JobRequest {
    /// The server's id of the job.
    pub job_id: String,
    /// What it is for.
    pub kind: JobKind,
    /// The room.
    pub room: String,
    /// Metadata of the dispatch.
    pub metadata: String,
    /// Attributes of the dispatch.
    pub attributes: BTreeMap<String, String>,
    /// Whom it is for, if it is for a participant.
    pub participant: Option<Participant>,
    /// Whether another worker had the job and is gone.
    pub resuming: bool,
}

impl JobRequest {
    pub(super) fn from_proto(job: &proto::Job, resuming: bool) -> Self {
        Self {
            job_id: job.id.clone(),
            kind: JobKind::from_proto(job.r#type),
            room: job.room.as_ref().map(|room| room.name.clone()).unwrap_or_default(),
            metadata: job.metadata.clone(),
            attributes: job.attributes.clone().into_iter().collect(),
            participant: job.participant.as_ref().map(Participant::from_proto),
            resuming,
        }
    }
}

impl fmt::Debug for JobRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobRequest").field("job_id", &self.job_id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// As whom a job's agent joins the room.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Acceptance {
    /// Its identity; `agent-<job id>` unless given.
    pub identity: Option<String>,
    /// Its name; the worker's agent name unless given.
    pub name: Option<String>,
    /// Free text that others see.
    pub metadata: String,
    /// Attributes from the first moment on, besides `lk.agent.state`.
    pub attributes: BTreeMap<String, String>,
}

impl fmt::Debug for Acceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptance").finish_non_exhaustive()
    }
}

/// What becomes of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobAnswer {
    /// It is taken.
    Accept(Acceptance),
    /// It is not taken; another worker may.
    Refuse,
    /// It is not taken, and nobody shall: the server asks no other worker.
    Terminate,
}

impl Default for JobAnswer {
    fn default() -> Self {
        Self::Accept(Acceptance::default())
    }
}

/// All that a job needs. `Debug` shows its id only: token and metadata are secret or personal, a room's name may hold a number.
#[derive(Clone)]
pub struct JobContext {
    /// The server's id of the job.
    pub job_id: String,
    /// What it is for.
    pub kind: JobKind,
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
    /// Whom it is for, if it is for a participant.
    pub participant: Option<Participant>,
    /// Our identity in the room.
    pub participant_identity: String,
    /// Fires when the job must end: terminated by the server, or the worker's time to drain is over. Whoever ignores it
    /// is aborted after a while.
    pub stop: CancellationToken,
    /// Fires when the process is asked to go down sooner than its calls end by themselves: the job is to end politely, and has as
    /// long as it takes to say goodbye.
    pub hurry: CancellationToken,
    /// When the assignment came.
    pub assigned_at: Instant,
}

impl JobContext {
    /// A job that nobody has dispatched: the agent of this name joins `room` by itself. The room is made if there is none.
    ///
    /// # Errors
    /// [`ApiError`]
    pub async fn undispatched(api: &LiveKit, room: &str, agent_name: &str) -> Result<Self, ApiError> {
        let job_id = random_id("local_");
        let mut token = ParticipantToken::new(room, format!("agent-{job_id}"));
        token.kind = ParticipantKind::Agent;
        agent_name.clone_into(&mut token.name);
        let room_sid = api.list_rooms(&[room]).await?.into_iter().next().map_or_else(|| job_id.clone(), |room| room.sid);
        Ok(Self {
            room_sid,
            job_id,
            kind: JobKind::Room,
            dispatch_id: String::new(),
            room: room.to_owned(),
            url: api.url().to_string(),
            token: api.participant_token(&token)?,
            metadata: String::new(),
            attributes: BTreeMap::new(),
            participant: None,
            participant_identity: token.identity,
            stop: CancellationToken::new(),
            hurry: CancellationToken::new(),
            assigned_at: Instant::now(),
        })
    }
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
    /// Whether to take an offered job, and as whom; asked only while there is room for one, and once the worker's
    /// [`super::RequestFilter`] has admitted it. Must not block.
    fn answer(&self, _request: &JobRequest) -> JobAnswer {
        JobAnswer::default()
    }

    /// Gets ready what all jobs need. Awaited once, before the worker registers: no job is offered to a worker that is still cold.
    async fn prewarm(&self) -> Result<(), JobFailure> {
        Ok(())
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
