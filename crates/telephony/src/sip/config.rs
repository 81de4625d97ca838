//! What an endpoint is told when it is made.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Invite, Transport};

/// Settings of an [`Endpoint`](super::Endpoint).
#[derive(Clone)]
pub struct EndpointConfig {
    /// Address of the UDP socket and the TCP listener; both get the same port (0: any).
    pub bind: SocketAddr,
    /// Host in `Via` and `Contact`, where it differs from the bound address (NAT, `0.0.0.0`).
    pub advertised_host: Option<String>,
    /// Port in `Via` and `Contact`, where it differs from the bound port.
    pub advertised_port: Option<u16>,
    /// `Server` and `User-Agent`.
    pub product: String,
    /// Round-trip estimate T1 and what derives from it.
    pub timers: SipTimers,
    /// Bounds on what peers can make the endpoint keep and do.
    pub limits: Limits,
    /// Who may call, and whom.
    pub admission: Arc<dyn Admission>,
    /// Whether a peer may ask us to call somebody else (REFER), as a trunk may be asked; else it gets 405.
    pub takes_refer: bool,
}

impl EndpointConfig {
    /// Defaults on an address: everybody is admitted, up to the default limits.
    #[must_use]
    pub fn new(bind: SocketAddr) -> Self {
        Self {
            bind,
            advertised_host: None,
            advertised_port: None,
            product: "frontdesk".to_owned(),
            timers: SipTimers::default(),
            limits: Limits::default(),
            admission: Arc::new(AdmitAll),
            takes_refer: false,
        }
    }
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("bind", &self.bind)
            .field("advertised_host", &self.advertised_host)
            .field("advertised_port", &self.advertised_port)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The constants of RFC 3261 §17.1.1.1, from which all transaction timers derive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SipTimers {
    /// T1, the round-trip estimate.
    pub t1: Duration,
    /// T2, the longest retransmission interval of non-INVITE requests and INVITE responses.
    pub t2: Duration,
    /// T4, the longest time that a message stays in the network.
    pub t4: Duration,
}

impl SipTimers {
    /// 64 × T1: how long anything waits for an answer.
    #[must_use]
    pub const fn patience(&self) -> Duration {
        self.t1.saturating_mul(64)
    }
}

impl Default for SipTimers {
    fn default() -> Self {
        Self { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) }
    }
}

/// Bounds; what exceeds one is refused or dropped, never queued without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Calls at once, ringing ones included. The next INVITE gets [`full_status`](Self::full_status).
    pub calls_max: usize,
    /// Status for a call too many: 503 lets a trunk try elsewhere, 486 sounds busy.
    pub full_status: u16,
    /// Transactions kept at once; a request that would need one more gets a stateless 503.
    pub transactions_max: usize,
    /// TCP connections at once, both ways.
    pub connections_max: usize,
    /// Accepted TCP connections at once from one IP address.
    pub connections_per_host_max: usize,
    /// Messages a second from one source (address and port); the excess is dropped unread.
    pub source_rate: Rate,
    /// Messages a second from one IP address, over all its ports.
    pub host_rate: Rate,
    /// How long a call may wait for the application's answer, before it is refused with 480.
    pub unanswered_max: Duration,
    /// How long the application may think over a re-INVITE, before it is answered with the session in use.
    pub reinvite_answer_max: Duration,
    /// Largest SIP message, in bytes.
    pub message_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls_max: 200,
            full_status: 503,
            transactions_max: 4096,
            connections_max: 1024,
            connections_per_host_max: 128,
            source_rate: Rate { per_second: 500, burst: 1000 },
            host_rate: Rate { per_second: 2000, burst: 4000 },
            unanswered_max: Duration::from_secs(180),
            reinvite_answer_max: Duration::from_secs(5),
            message_bytes_max: 65_535,
        }
    }
}

/// A token bucket's size and filling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Sustained rate.
    pub per_second: u32,
    /// How much may come at once after silence.
    pub burst: u32,
}

/// Decides who may talk to the endpoint. Asked synchronously on the endpoint's task: answer from memory, at once.
pub trait Admission: Send + Sync + 'static {
    /// Whether anything from this source is read at all. Refused sources get no answer of any kind.
    fn source(&self, source: SocketAddr, transport: Transport) -> bool {
        let _ = (source, transport);
        true
    }

    /// Whether this call is offered to the application. A refusal is answered without keeping any state.
    ///
    /// # Errors
    /// The [`Refusal`] to send: 403 for a caller outside the trunks, 404 for an unknown number.
    fn invite(&self, invite: &Invite) -> Result<(), Refusal> {
        let _ = invite;
        Ok(())
    }
}

/// Admits everything; for tests and closed networks.
#[derive(Debug, Clone, Copy, Default)]
pub struct AdmitAll;

impl Admission for AdmitAll {}

/// A final response that refuses a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Status, 300 to 699.
    pub status: u16,
    /// Reason phrase; the standard one when empty.
    pub reason: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
}

impl Refusal {
    /// A refusal with the standard reason phrase.
    #[must_use]
    pub const fn new(status: u16) -> Self {
        Self { status, reason: String::new(), headers: Vec::new() }
    }

    /// The same with another reason phrase.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}
