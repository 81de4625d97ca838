//! The bridge: its endpoint, its calls, and how it goes down.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use frontdesk_livekit::api::{ApiError, LiveKit};
use frontdesk_telephony::rtp::{MediaPorts, PortError};
use frontdesk_telephony::sip::{BindError, Endpoint, EndpointConfig, IncomingCall, IncomingCalls, Limits};
use tokio::sync::broadcast;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::admission::Gate;
use crate::announcement::Announcements;
use crate::call::{self, Call, Route};
use crate::config::{BridgeConfig, Waits};
use crate::report::{BridgeEvent, BridgeStats, CallOutcome, CallReport, CallStages};
use crate::rooms::{self, Rooms};
use crate::rules::Rules;

/// Events that a slow observer may leave unread; then it misses the oldest.
const EVENTS_MAX: usize = 512;
/// Longer than a call may ring by [`Waits`]: the endpoint's own bound is only a safety net.
const UNANSWERED_MARGIN: Duration = Duration::from_secs(15);
/// How long calls may take to say BYE when the time to drain is over.
const HANGUP_MAX: Duration = Duration::from_secs(6);
/// How long the endpoint may go on for the sake of retransmissions.
const ENDPOINT_MAX: Duration = Duration::from_secs(2);
/// How long rooms may take to be left and deleted at the end.
const ROOMS_MAX: Duration = Duration::from_secs(8);

/// Why a bridge could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// SIP cannot be listened for. Another program may have the port.
    #[error(transparent)]
    Listen(#[from] BindError),
    /// The range of RTP ports is empty.
    #[error("RTP ports: {0}")]
    Ports(#[from] PortError),
    /// The LiveKit address is no address.
    #[error(transparent)]
    LiveKit(#[from] ApiError),
}

/// What all calls share.
pub(crate) struct Shared {
    pub(crate) rules: Arc<Rules>,
    pub(crate) rooms: Rooms,
    pub(crate) ports: MediaPorts,
    pub(crate) waits: Waits,
    pub(crate) announcements: Announcements,
    bind_address: IpAddr,
    advertised_address: Option<IpAddr>,
    events: broadcast::Sender<BridgeEvent>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    offered: AtomicU64,
    answered: AtomicU64,
    announced: AtomicU64,
    failed: AtomicU64,
    draining: AtomicBool,
}

impl Shared {
    /// Tells observers, if there are any.
    pub(crate) fn tell(&self, event: BridgeEvent) {
        match &event {
            BridgeEvent::Answered { by_agent: true, .. } => add(&self.counters.answered),
            BridgeEvent::Answered { .. } => add(&self.counters.announced),
            BridgeEvent::Ended(report) if report.outcome == CallOutcome::Failed => add(&self.counters.failed),
            _ => {}
        }
        let _nobody_listens = self.events.send(event);
    }

    /// The address that a caller shall send RTP to.
    pub(crate) fn media_address(&self, peer: SocketAddr) -> IpAddr {
        if let Some(address) = self.advertised_address {
            return address;
        }
        if !self.bind_address.is_unspecified() {
            return self.bind_address;
        }
        // The local end of the route to the peer. Nothing is sent for it.
        let local = UdpSocket::bind((self.bind_address, 0)).and_then(|socket| {
            socket.connect(peer)?;
            socket.local_addr()
        });
        local.map_or(self.bind_address, |local| local.ip())
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A running bridge. Dropped, it hangs up and stops at once; [`Bridge::run_until`] stops in good order.
pub struct Bridge {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    calls: TaskTracker,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

impl Bridge {
    /// Listens for calls and serves them from now on. The LiveKit server need not be up yet: calls are answered 503 until it is.
    ///
    /// # Errors
    /// [`BridgeError`].
    pub async fn start(config: BridgeConfig) -> Result<Self, BridgeError> {
        let waits = config.waits;
        let rules = Arc::new(config.rules);
        let api = Arc::new(LiveKit::new(&config.livekit.url, config.livekit.credentials)?);
        let (first, last) = config.rtp_ports.into_inner();
        let bind_address = config.listen.ip();
        let ports = if last == 0 { MediaPorts::ephemeral(bind_address) } else { MediaPorts::range(bind_address, first, last)? };
        let endpoint_config = EndpointConfig {
            advertised_host: config.advertised_address.map(|address| address.to_string()),
            timers: config.sip_timers,
            limits: Limits {
                calls_max: config.max_calls,
                full_status: 486,
                unanswered_max: waits.ring_max + waits.join + UNANSWERED_MARGIN,
                ..Limits::default()
            },
            admission: Arc::new(Gate { rules: rules.clone(), allowed_networks: config.allowed_networks }),
            ..EndpointConfig::new(config.listen)
        };
        let (endpoint, incoming) = Endpoint::bind(endpoint_config).await?;
        let hurry = CancellationToken::new();
        let shared = Arc::new(Shared {
            rules,
            rooms: Rooms { api, waits, chores: TaskTracker::new(), hurry },
            ports,
            waits,
            announcements: config.announcements,
            bind_address,
            advertised_address: config.advertised_address,
            events: broadcast::Sender::new(EVENTS_MAX),
            counters: Counters::default(),
        });
        let (calls, stop) = (TaskTracker::new(), CancellationToken::new());
        tokio::spawn(stop.clone().run_until_cancelled_owned(tell_whether_livekit_answers(shared.rooms.api.clone())));
        tokio::spawn(take_calls(shared.clone(), incoming, calls.clone(), stop.clone()));
        let stop_on_drop = stop.clone().drop_guard();
        Ok(Self { shared, endpoint, calls, stop, _stop_on_drop: stop_on_drop })
    }

    /// The address that SIP is listened for on, UDP and TCP.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.endpoint.local_addr()
    }

    /// Counters, and what is held now.
    #[must_use]
    pub fn stats(&self) -> BridgeStats {
        let counters = &self.shared.counters;
        BridgeStats {
            active_calls: self.calls.len(),
            offered: counters.offered.load(Ordering::Relaxed),
            answered: counters.answered.load(Ordering::Relaxed),
            announced: counters.announced.load(Ordering::Relaxed),
            failed: counters.failed.load(Ordering::Relaxed),
            media_ports: self.shared.ports.in_use(),
            closing_rooms: self.shared.rooms.chores.len(),
            draining: counters.draining.load(Ordering::Relaxed),
        }
    }

    /// What happens to calls from now on. An observer that does not read loses the oldest events.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<BridgeEvent> {
        self.shared.events.subscribe()
    }

    /// Serves until `shutdown` fires. Then INVITE and OPTIONS are answered 503, calls may finish within `drain_timeout`, those
    /// left are hung up, and rooms and ports are given back; that takes a few seconds at most.
    pub async fn run_until(self, shutdown: CancellationToken, drain_timeout: Duration) {
        shutdown.cancelled().await;
        tracing::info!(calls = self.calls.len(), "the bridge drains");
        self.shared.counters.draining.store(true, Ordering::Relaxed);
        self.endpoint.drain().await;
        self.calls.close();
        if tokio::time::timeout(drain_timeout, self.calls.wait()).await.is_err() {
            tracing::warn!(calls = self.calls.len(), "the time to drain is over: calls are hung up");
        }
        self.stop.cancel();
        if tokio::time::timeout(HANGUP_MAX, self.calls.wait()).await.is_err() {
            tracing::error!(calls = self.calls.len(), "calls did not end in time");
        }
        let Rooms { chores, hurry, .. } = &self.shared.rooms;
        hurry.cancel();
        chores.close();
        let (closed, ()) = tokio::join!(tokio::time::timeout(ROOMS_MAX, chores.wait()), self.endpoint.shutdown(ENDPOINT_MAX));
        if closed.is_err() {
            tracing::warn!(rooms = chores.len(), "rooms were not closed in time");
        }
    }
}

impl std::fmt::Debug for Bridge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bridge").field("local_addr", &self.local_addr()).finish_non_exhaustive()
    }
}

/// A wrong address or secret shows when the bridge starts, not with the first caller.
async fn tell_whether_livekit_answers(api: Arc<LiveKit>) {
    if let Err(error) = api.check().await {
        tracing::error!(%error, "calls are answered 503 until LiveKit takes them");
    }
}

async fn take_calls(shared: Arc<Shared>, mut incoming: IncomingCalls, calls: TaskTracker, stop: CancellationToken) {
    while let Some(call) = incoming.next().await {
        match call::route(&shared, call.invite()) {
            Ok(route) => drop(calls.spawn(supervise(shared.clone(), route, call, stop.child_token()))),
            // The door has let it in, so this cannot be; a refusal is right in any case.
            Err(refusal) => {
                calls.spawn(async move {
                    let _gave_up = call.reject(refusal).await;
                });
            }
        }
    }
}

/// Runs a call; a panic in it ends it alone. Its handles are dropped then: the caller gets BYE, the room is deleted.
async fn supervise(shared: Arc<Shared>, route: Route, incoming: IncomingCall, stop: CancellationToken) {
    add(&shared.counters.offered);
    let name = rooms::room_name(&route.rule);
    let span = tracing::info_span!("call", call_id = %name);
    let call = Call::new(shared.clone(), name.clone(), stop).run(route, incoming);
    let report = match tokio::spawn(call.instrument(span.clone())).await {
        Ok(report) => report,
        Err(error) => {
            // What a panic says may be personal; the panic hook has printed where it happened.
            span.in_scope(|| tracing::error!(panicked = error.is_panic(), "the call failed"));
            failed(name)
        }
    };
    span.in_scope(|| {
        let ended_ms = report.stages.ended.unwrap_or_default().as_millis();
        tracing::info!(outcome = report.outcome.as_str(), dispatches = report.dispatches, ended_ms, "call ended");
    });
    shared.tell(BridgeEvent::Ended(report));
}

fn failed(call_id: String) -> CallReport {
    CallReport {
        call_id,
        outcome: CallOutcome::Failed,
        stages: CallStages::default(),
        dispatches: 0,
        trimmed: Duration::ZERO,
        lost: Duration::ZERO,
        rtp: None,
    }
}
