//! How long a client waits for a silent service.

use std::time::Duration;

use frontdesk_agent::ProviderError;

/// Bounds of every wait. The defaults suit a telephone call: a caller tolerates few seconds of silence, so a client gives up early
/// enough for a fallback to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For name look-up, TCP, TLS and the WebSocket handshake together, a second try included. Default 3 s.
    pub connect: Duration,
    /// From a request to the first byte of its answer. Default 5 s.
    pub first_byte: Duration,
    /// Between two pieces of an answer; on an idle WebSocket, between two signs of life. Default 10 s.
    pub idle: Duration,
    /// For a polite farewell before the connection is dropped. Default 1 s.
    pub close: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            first_byte: Duration::from_secs(5),
            idle: Duration::from_secs(10),
            close: Duration::from_secs(1),
        }
    }
}

/// Which wait ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Connection,
    FirstByte,
    FurtherData,
}

impl Timeouts {
    /// The error for a wait that ran out.
    pub(crate) fn expired(&self, provider: &'static str, stage: Stage) -> ProviderError {
        let (stage, limit) = match stage {
            Stage::Connection => ("connection", self.connect),
            Stage::FirstByte => ("first byte", self.first_byte),
            Stage::FurtherData => ("further data", self.idle),
        };
        ProviderError::Timeout { provider, stage, limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX) }
    }
}
