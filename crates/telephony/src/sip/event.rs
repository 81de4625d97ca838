//! What passes between the endpoint's core and the handles of its calls.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Transport;
use super::flow::ConnectionId;
use super::party::Invite;
use crate::sdp::SessionDescription;

use std::net::SocketAddr;

/// Number of a call within its endpoint; never used twice. Safe to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub(super) u64);

impl std::fmt::Display for CallId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a call is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// The peer sent BYE.
    RemoteHangup,
    /// We sent BYE.
    LocalHangup,
    /// The caller gave up before the answer (CANCEL, or BYE in the early dialog); or we did, as the caller.
    Cancelled,
    /// The call was refused with this final status: by the peer, or by us.
    Rejected {
        /// The status of the final response.
        status: u16,
        /// Its reason phrase.
        reason: String,
    },
    /// Nobody answered in time.
    Unanswered,
    /// No ACK came for our 200 within 64 × T1; BYE was sent (RFC 3261 §13.3.1.4).
    NoAck,
    /// The peer did not answer a request within 64 × T1, or does not know the dialog any more.
    PeerLost,
    /// The connection to the peer failed and another could not be opened.
    TransportFailed,
    /// The endpoint was shut down.
    Shutdown,
}

/// Something that happened to a call.
#[derive(Debug)]
pub(super) enum CallEvent {
    /// The caller acknowledged our 200. With the answer to our offer, if the offer was ours.
    Acked { session: Option<SessionDescription> },
    /// The peer wants to change the session.
    ReInvite { offer: Option<SessionDescription> },
    /// A provisional response to our INVITE.
    Progress { status: u16, session: Option<SessionDescription> },
    /// A 2xx to our INVITE; the ACK is on its way.
    Answered { session: Option<SessionDescription> },
    /// The final response to our re-INVITE.
    ReInvited(Result<Option<SessionDescription>, ReInviteError>),
    /// The peer wants us to call somebody else.
    Refer { target: String, cseq: u32 },
    /// What came of our REFER.
    Referred(ReferStatus),
    /// The last event of every call.
    Ended(EndReason),
}

/// What came of a REFER of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferStatus {
    /// The final status of the target, as the peer told it, or with which the peer refused to try.
    Final(u16),
    /// Nothing final was told in time.
    Unknown,
}

/// Why a REFER could not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReferError {
    /// The target is no SIP or `tel` URI.
    #[error("the target is malformed")]
    Malformed,
    /// The call is over.
    #[error("the call is over")]
    Ended,
    /// The call is not established, or another REFER is under way.
    #[error("not possible in this state of the call")]
    State,
}

/// Why a re-INVITE of ours changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReInviteError {
    /// The peer's own re-INVITE was under way (491). Try again after a random 2.1 to 4 s as the caller, up to 2 s as the
    /// callee (RFC 3261 §14.1).
    #[error("the peer's own re-invite was under way")]
    Glare,
    /// The peer refused the change; the session stays as it was.
    #[error("the peer refused with status {0}")]
    Refused(u16),
    /// The call is over.
    #[error("the call is over")]
    Ended,
    /// The call is not established, or another re-INVITE is under way.
    #[error("not possible in this state of the call")]
    State,
}

/// Why a command to a call had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The call is over.
    #[error("the call is over")]
    Ended,
    /// The call is past this step already, or not there yet.
    #[error("not possible in this state of the call")]
    State,
    /// The endpoint was shut down.
    #[error("the endpoint was shut down")]
    EndpointClosed,
}

/// A call to be placed.
#[derive(Clone)]
pub struct OutgoingInvite {
    /// Address to send to; names are not resolved here.
    pub target: SocketAddr,
    /// Transport to use.
    pub transport: Transport,
    /// Request-URI and `To`, such as `sip:+15551230000@203.0.113.7`.
    pub to: String,
    /// `From`, such as `"Jane" <sip:+15550001111@example.com>`, without a tag.
    pub from: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// The offer.
    pub session: SessionDescription,
    /// How long to let it ring before the call is cancelled.
    pub ring_max: Duration,
}

impl std::fmt::Debug for OutgoingInvite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutgoingInvite").field("target", &self.target).field("transport", &self.transport).finish_non_exhaustive()
    }
}

/// Why a call could not be placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// A URI or header cannot stand in a message.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// The endpoint has as many calls or transactions as it may have.
    #[error("the endpoint is full")]
    Full,
    /// The endpoint is draining or was shut down.
    #[error("the endpoint was shut down")]
    EndpointClosed,
}

/// What the core wants done, in order.
#[derive(Debug)]
pub(super) enum Output {
    Datagram { to: SocketAddr, bytes: Bytes },
    Connect { connection: ConnectionId, to: SocketAddr },
    Write { connection: ConnectionId, bytes: Bytes },
    Incoming { call: CallId, invite: Arc<Invite> },
    Event { call: CallId, event: CallEvent },
    Probed { probe: u64, status: Option<u16> },
}

/// Counters of an endpoint since it was bound, and what it holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams and stream messages received.
    pub received: u64,
    /// Datagrams that were no SIP message, and connections closed for that reason.
    pub malformed: u64,
    /// Messages dropped because their source was not admitted.
    pub not_admitted: u64,
    /// Messages dropped because their source sent too fast.
    pub rate_limited: u64,
    /// Requests answered without keeping state.
    pub stateless: u64,
    /// INVITEs refused because a bound was reached.
    pub full: u64,
    /// Calls offered to the application.
    pub offered: u64,
    /// Calls now, those being hung up included.
    pub calls: usize,
    /// Transactions now.
    pub transactions: usize,
    /// TCP connections now.
    pub connections: usize,
}
