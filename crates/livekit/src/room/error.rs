//! What can go wrong in a room, one enum an operation.

use frontdesk_audio::opus::OpusError;

use crate::server_url::ServerUrlError;

/// Why a room could not be joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is no address. Correct `LIVEKIT_URL`.
    #[error(transparent)]
    Url(#[from] ServerUrlError),
    /// Nothing answers there. Check that the server runs and that `LIVEKIT_URL` names it.
    #[error("no LiveKit server can be reached at {url}: {reason}")]
    Unreachable {
        /// The address that was tried.
        url: String,
        /// The cause.
        reason: String,
    },
    /// The server took too long to let the participant in.
    #[error("LiveKit at {url} did not let the participant in within {limit_ms} ms")]
    Timeout {
        /// The address that was tried.
        url: String,
        /// The bound.
        limit_ms: u128,
    },
    /// The token is malformed, expired or signed with another secret.
    #[error("LiveKit at {url} refused the access token (HTTP {status})")]
    Unauthorized {
        /// The address that was tried.
        url: String,
        /// 401 or 403.
        status: u16,
    },
    /// The server refused for another reason, e.g. because it drains.
    #[error("LiveKit at {url} refused the participant: {reason}")]
    Refused {
        /// The address that was tried.
        url: String,
        /// The server's words, which hold no token.
        reason: String,
    },
    /// The WebRTC stack could not be set up, e.g. for want of a UDP socket.
    #[error("cannot set up WebRTC: {0}")]
    Media(String),
    /// Audio cannot be decoded at the chosen rate.
    #[error(transparent)]
    Rate(#[from] OpusError),
}

impl ConnectError {
    /// Whether joining again may succeed.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Timeout { .. } | Self::Refused { .. })
    }
}

/// What to do when media does not connect.
pub(super) const MEDIA_REMEDY: &str = "open UDP to the server's media ports (rtc.udp_port, or rtc.port_range_start to _end), or TCP to \
     rtc.tcp_port, or give LiveKit server a TURN server (turn.udp_port, or turn.tls_port for networks that let only TLS through)";

/// The room has ended, or its participant has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the room has ended")]
pub struct RoomClosed;

/// Why the local track could not be published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// One audio track is all that a participant publishes.
    #[error("an audio track is published already")]
    AlreadyPublished,
    /// Opus does not encode from this rate.
    #[error(transparent)]
    Rate(#[from] OpusError),
    /// Media did not connect: between here and the server a firewall stands. Joining again does not help.
    #[error("media did not connect within {limit_ms} ms: {MEDIA_REMEDY}")]
    NoMedia {
        /// The bound.
        limit_ms: u128,
    },
    /// The server did not acknowledge the track.
    #[error("the track was not published within {limit_ms} ms")]
    Timeout {
        /// The bound.
        limit_ms: u128,
    },
    /// The WebRTC stack refused.
    #[error("cannot publish: {0}")]
    Media(String),
    /// The room ended meanwhile.
    #[error(transparent)]
    Closed(#[from] RoomClosed),
}

/// Why attributes could not be set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttributeError {
    /// The token does not allow it, or they are too large.
    #[error("the server refused the attributes: {0}")]
    Refused(String),
    /// The server did not answer.
    #[error("the server did not acknowledge the attributes in time")]
    Timeout,
    /// The room ended meanwhile.
    #[error(transparent)]
    Closed(#[from] RoomClosed),
}

/// Why data could not be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Send less, or in parts.
    #[error("{size_bytes} bytes are too many: at most {limit_bytes}")]
    TooLarge {
        /// What was to be sent.
        size_bytes: usize,
        /// What may be sent.
        limit_bytes: usize,
    },
    /// Only `0`–`9`, `*`, `#` and `A`–`D` are DTMF digits.
    #[error("`{0}` is no DTMF digit")]
    NotDtmf(char),
    /// The other side does not take data fast enough; the message was dropped.
    #[error("the data channel is full")]
    Full,
    /// The data channel did not open.
    #[error("the data channel did not open within {limit_ms} ms")]
    NotOpen {
        /// The bound.
        limit_ms: u128,
    },
    /// The WebRTC stack refused.
    #[error("cannot send data: {0}")]
    Media(String),
    /// The room ended meanwhile.
    #[error(transparent)]
    Closed(#[from] RoomClosed),
}
