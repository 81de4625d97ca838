//! How a worker registers and how much it takes on.

use std::time::Duration;

use livekit_protocol as proto;

use super::filter::RequestFilter;
use super::job::JobKind;
use crate::credentials::Credentials;

/// What to do if the very first registration fails. Later the worker always keeps trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirstRegistration {
    /// [`super::Worker::run`] returns the error at once: a wrong address or secret shows where it was made.
    #[default]
    FailFast,
    /// Tries on with growing waits, as behind an orchestrator that starts the server later. A refused key still ends it.
    KeepTrying,
}

/// What the agents of a worker may do in their rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permissions {
    /// Hear others.
    pub can_subscribe: bool,
    /// Be heard.
    pub can_publish: bool,
    /// Send texts and data.
    pub can_publish_data: bool,
    /// Change their own attributes.
    pub can_update_metadata: bool,
    /// Be there without being seen.
    pub hidden: bool,
}

impl Default for Permissions {
    /// All, and seen.
    fn default() -> Self {
        Self { can_subscribe: true, can_publish: true, can_publish_data: true, can_update_metadata: true, hidden: false }
    }
}

impl Permissions {
    pub(super) fn to_proto(self) -> proto::ParticipantPermission {
        proto::ParticipantPermission {
            can_subscribe: self.can_subscribe,
            can_publish: self.can_publish,
            can_publish_data: self.can_publish_data,
            can_update_metadata: self.can_update_metadata,
            hidden: self.hidden,
            ..Default::default()
        }
    }
}

/// Settings of a worker. Made by [`WorkerOptions::new`].
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The server, e.g. `ws://127.0.0.1:7880`.
    pub url: String,
    /// Key and secret.
    pub credentials: Credentials,
    /// The name that dispatches ask for. Empty: every new room gets this agent.
    pub agent_name: String,
    /// What a job is for.
    pub kind: JobKind,
    /// The namespace to register in, if the server has several.
    pub namespace: Option<String>,
    /// What the agents may do in their rooms.
    pub permissions: Permissions,
    /// Which offers are looked at at all.
    pub filter: RequestFilter,
    /// Jobs at once; beyond, the worker reports itself full. Counts unless the worker was given a [`super::Capacity`].
    pub max_jobs: u32,
    /// The load from which no job is taken. The server offers nothing to a worker whose load reaches its own target (0.7 unless
    /// configured), so keep this at or below that. Counts unless the worker was given a [`super::Capacity`].
    pub load_threshold: f32,
    /// How long running jobs may finish after a shutdown was asked for.
    pub drain_timeout: Duration,
    /// How long a job may take to end once it was told to stop; then its task is aborted.
    pub stop_timeout: Duration,
    /// What to do if the first registration fails.
    pub first_registration: FirstRegistration,
    /// Version that the server's logs show.
    pub version: String,
}

impl WorkerOptions {
    /// LiveKit's defaults: drain for up to an hour, load threshold 0.7; 64 jobs for rooms.
    pub fn new(url: impl Into<String>, credentials: Credentials, agent_name: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            credentials,
            agent_name: agent_name.into(),
            kind: JobKind::default(),
            namespace: None,
            permissions: Permissions::default(),
            filter: RequestFilter::default(),
            max_jobs: 64,
            load_threshold: 0.7,
            drain_timeout: Duration::from_secs(3600),
            stop_timeout: Duration::from_secs(20),
            first_registration: FirstRegistration::default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}
