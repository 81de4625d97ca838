//! How an agent takes its call.

use std::time::Duration;

use frontdesk_agent::transport::WhenPersonSpeaks;

use super::methods::RpcMethods;
use crate::room::RESUME_WINDOW;

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
    /// What the agent does when a person joins a telephone call and speaks: one of kind `STANDARD` who publishes audio.
    pub when_person_speaks: WhenPersonSpeaks,
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
            resume_window: RESUME_WINDOW,
            when_person_speaks: WhenPersonSpeaks::default(),
            methods: RpcMethods::default(),
        }
    }
}
