//! What a bridge tells of its calls. Nothing here is personal: a call is named by its room.

use std::time::Duration;

use frontdesk_telephony::rtp::RtpStats;

/// Something that happened to a call.
#[expect(clippy::large_enum_variant, reason = "one event a call is small change, and observers match on it without a box")]
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum BridgeEvent {
    /// The call was answered with 200.
    Answered {
        /// The room's name.
        call_id: String,
        /// From INVITE to 200.
        invite_to_ok: Duration,
        /// Whether an agent answered; else the caller hears the announcement.
        by_agent: bool,
    },
    /// An agent was dispatched again.
    Redispatched {
        /// The room's name.
        call_id: String,
        /// Dispatches so far, the first included.
        dispatches: u32,
    },
    /// The call is over.
    Ended(CallReport),
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallOutcome {
    /// Refused with this SIP status: 486 the agent did not want it, 488 no common codec, 503 no LiveKit or no port.
    Refused(u16),
    /// The caller gave up while it rang.
    Cancelled,
    /// The caller hung up.
    CallerHungUp,
    /// The caller was lost: no ACK, or its signalling is gone.
    CallerLost,
    /// The agent hung up: it deleted the room, or removed the caller from it.
    AgentHungUp,
    /// Nothing came from the caller for too long.
    MediaTimedOut,
    /// No agent came; the caller heard the announcement.
    NoAgent,
    /// The agent vanished and no other came; the caller heard the announcement.
    AgentLost,
    /// The room was lost; the caller heard the announcement.
    RoomLost,
    /// The bridge was shut down, and its time to drain was over.
    Stopped,
    /// A fault of the bridge: its task panicked.
    Failed,
}

impl CallOutcome {
    /// A short name for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Cancelled => "cancelled",
            Self::CallerHungUp => "caller_hung_up",
            Self::CallerLost => "caller_lost",
            Self::AgentHungUp => "agent_hung_up",
            Self::MediaTimedOut => "media_timed_out",
            Self::NoAgent => "no_agent",
            Self::AgentLost => "agent_lost",
            Self::RoomLost => "room_lost",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// When a call reached what, counted from its INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallStages {
    /// The caller was in the room, and 180 was sent.
    pub ringing: Option<Duration>,
    /// Both media connections to the room were up and our track was published.
    pub published: Option<Duration>,
    /// The first track of somebody to talk to was there.
    pub agent_heard: Option<Duration>,
    /// 200 was sent.
    pub answered: Option<Duration>,
    /// The call was over.
    pub ended: Option<Duration>,
}

/// A call that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct CallReport {
    /// The room's name (of the last room, if the first was lost while it rang).
    pub call_id: String,
    /// How it ended.
    pub outcome: CallOutcome,
    /// When it reached what.
    pub stages: CallStages,
    /// Dispatches, the first included.
    pub dispatches: u32,
    /// Silence left out towards the caller to shorten a delay.
    pub trimmed: Duration,
    /// Audio lost towards the caller because it came faster than time.
    pub lost: Duration,
    /// Counters of the caller's media, if the call was answered.
    pub rtp: Option<RtpStats>,
}

/// Counters of a bridge since it started, and what it holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BridgeStats {
    /// Calls now, ringing ones included.
    pub active_calls: usize,
    /// Calls that were admitted.
    pub offered: u64,
    /// Calls answered because an agent was there.
    pub answered: u64,
    /// Calls that heard the announcement.
    pub announced: u64,
    /// Calls that ended by a fault of the bridge.
    pub failed: u64,
    /// Pairs of media ports in use.
    pub media_ports: usize,
    /// Rooms that are being left or wait for their deletion.
    pub closing_rooms: usize,
    /// Whether new calls are refused because the bridge goes down.
    pub draining: bool,
}
