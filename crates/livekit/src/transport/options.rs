//! How an agent takes its call.

use std::time::Duration;

use super::methods::RpcMethods;

/// Settings of a [`super::LiveKitTransport`].
#[derive(Debug, Clone)]
pub struct TransportOptions {
    /// How long to wait for somebody to talk to. A SIP caller is in the room before the agent is asked.
    pub caller_timeout: Duration,
    /// How long answering waits for the media connections before it goes ahead.
    pub media_wait: Duration,
    /// How much later than it is written the caller hears a sample: server, jitter buffer, telephone network.
    pub latency: Duration,
    /// Silence of the caller's track that is filled in; see [`crate::room::RoomOptions::fill_silence_after`].
    pub fill_silence_after: Option<Duration>,
    /// How long a dropped signal connection is resumed; see [`crate::room::RoomOptions::resume_window`].
    pub resume_window: Duration,
    /// Whether the agent leaves a telephone call to a person who joins it later and speaks: one of kind `STANDARD` who publishes
    /// audio. Who only listens is no such person, and in a room without a telephone everybody may speak.
    pub yields_to_people: bool,
    /// Methods that others in the room may call, besides our own.
    pub methods: RpcMethods,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            caller_timeout: Duration::from_secs(10),
            media_wait: Duration::from_secs(2),
            latency: Duration::from_millis(60),
            fill_silence_after: Some(Duration::from_millis(80)),
            resume_window: Duration::from_secs(30),
            yields_to_people: true,
            methods: RpcMethods::default(),
        }
    }
}
