//! Ways for media where UDP is blocked: ICE over TCP (RFC 6544), and TURN over TCP and TLS (RFC 8656 section 3.1).
//!
//! The WebRTC stack knows UDP only, but its sockets are ours. So each stream has a *placeholder*: an address that is nobody's, which the
//! stack takes for a candidate or a TURN server over UDP. What it sends there travels through the stream, its *lane*, and what comes back
//! is handed up as a datagram from that address. Streams are slower than UDP where something is lost, and cost the server more: they are
//! opened only after a head start, if UDP has not connected by then.
//!
//! A stream is tried once in each run of ICE. One that breaks in use is told to the engine, which restarts ICE as after any other loss;
//! how often it does so is bounded there. With a TURN server's stream its allocation is gone, which the stack does not know: the server
//! gets another placeholder, so that the stack takes it for one that has not been asked yet.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use metrics::counter;
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use webrtc::peer_connection::{PeerConnection, RTCIceCandidateInit};

mod candidate;
mod framing;
mod stream;

pub(super) use candidate::{TcpCandidate, is_tcp, ufrag};
pub(super) use stream::Target;

use framing::Framing;
use stream::{Ended, StreamError};

use super::peer::{PeerEvent, Side};

/// What UDP has to itself. A round trip around the world takes 300 ms.
const HEAD_START: Duration = Duration::from_millis(400);
/// How long a broken stream waits for a restart of ICE that is under way, by which servers close streams, before it is told.
const GRACE: Duration = Duration::from_secs(1);
/// A stream was in use if anything went through it so recently: ICE checks the way in use every 2 s.
const IN_USE: Duration = Duration::from_secs(5);
/// What still comes through a stream so long after another way was chosen was on its way.
const SETTLED: Duration = Duration::from_millis(500);
/// Streams of one peer connection.
const LANES_MAX: usize = 8;
/// TCP candidates of one run of ICE: a server has one an address.
const CANDIDATES_MAX: usize = 4;
/// Datagrams that may wait for a stream, more than a second of speech; further ones are dropped and counted.
const QUEUE: usize = 64;
/// Datagrams of streams that may wait for the WebRTC stack; further ones are dropped and counted.
const INBOX: usize = 256;
/// Requests of TURN's that are remembered: there are a handful at a time.
const TRANSACTIONS: usize = 32;
/// Addresses of the documentation's (RFC 5737, RFC 3849), which are nobody's. The port tells lanes apart.
const PLACEHOLDER_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PLACEHOLDER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
/// Counts datagrams that streams did not carry.
pub(super) const DROPPED: &str = "frontdesk.media.stream_drops";

/// What came through streams, for one of the stack's sockets.
#[derive(Debug, Default)]
pub(super) struct Inbox(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    datagrams: VecDeque<(SocketAddr, Bytes)>,
    reader: Option<Waker>,
}

impl Inbox {
    /// The next datagram and whom it is from.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<(SocketAddr, Bytes)> {
        let mut inner = locked(&self.0);
        if let Some(datagram) = inner.datagrams.pop_front() {
            return Poll::Ready(datagram);
        }
        if !inner.reader.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            inner.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn push(&self, from: SocketAddr, datagram: Bytes) {
        let mut inner = locked(&self.0);
        if inner.datagrams.len() >= INBOX {
            counter!(DROPPED, "direction" => "in").increment(1);
            return;
        }
        inner.datagrams.push_back((from, datagram));
        if let Some(waker) = inner.reader.take() {
            waker.wake();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What the locks guard is consistent after every single operation.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One stream as the stack sees it.
struct Lane {
    placeholder: SocketAddr,
    framing: Framing,
    /// Frames on their way out.
    queue: mpsc::Sender<Bytes>,
    /// The socket that sent first, which alone gets what comes back: the stack may have several, and each tries every address.
    owner: Weak<Inbox>,
    /// Transactions of TURN's on this stream, which repeats them as over UDP. A stream loses nothing (RFC 8489 section 6.2.2).
    transactions: VecDeque<[u8; 12]>,
    /// ICE's run in which it was opened.
    run: u64,
    cancel: CancellationToken,
}

/// Where the run of ICE stands.
#[derive(Default)]
struct Run {
    number: u64,
    ufrag: String,
    candidates: Vec<SocketAddr>,
    is_connected: bool,
    /// When it was connected first.
    connected_at: Option<Instant>,
}

/// The lanes of one peer connection.
pub(super) struct Detours {
    side: Side,
    placeholder: IpAddr,
    tls: Option<Arc<ClientConfig>>,
    events: mpsc::Sender<PeerEvent>,
    tasks: TaskTracker,
    cancel: CancellationToken,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_port: u16,
    lanes: Vec<Lane>,
    run: Run,
    /// A TURN server's stream has broken since the servers got their placeholders, after media was up.
    is_turn_lost: bool,
}

impl fmt::Debug for Detours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detours").field("side", &self.side).finish_non_exhaustive()
    }
}

impl Detours {
    /// None yet. `udp_addresses` are those that the stack binds; `cancel` ends all streams.
    pub(super) fn new(
        side: Side,
        udp_addresses: &[String],
        tls: Option<Arc<ClientConfig>>,
        events: mpsc::Sender<PeerEvent>,
        tasks: TaskTracker,
        cancel: CancellationToken,
    ) -> Arc<Self> {
        // A placeholder is of the family of a socket that will be there; the stream behind it may be of either.
        let is_v6 = !udp_addresses.is_empty() && udp_addresses.iter().all(|address| address.starts_with('['));
        let placeholder = if is_v6 { PLACEHOLDER_V6.into() } else { PLACEHOLDER_V4.into() };
        Arc::new(Self { side, placeholder, tls, events, tasks, cancel, state: Mutex::default() })
    }

    /// Whether an address stands for a stream, or did.
    pub(super) fn is_placeholder(&self, address: SocketAddr) -> bool {
        address.ip() == self.placeholder
    }

    /// Sends a datagram through the lane of a placeholder. What cannot be sent is dropped, as in any network.
    pub(super) fn send(&self, from: &Arc<Inbox>, to: SocketAddr, datagram: &[u8]) {
        let mut state = locked(&self.state);
        let Some(lane) = state.lanes.iter_mut().find(|lane| lane.placeholder == to) else { return };
        if lane.owner.strong_count() == 0 {
            lane.owner = Arc::downgrade(from);
        }
        if !std::ptr::eq(lane.owner.as_ptr(), Arc::as_ptr(from)) || lane.is_repeated(datagram) {
            return;
        }
        let Some(frame) = lane.framing.frame(datagram) else { return };
        if lane.queue.try_send(frame).is_err() {
            counter!(DROPPED, "direction" => "out").increment(1);
        }
    }

    /// Hands up what came through a lane.
    fn deliver(&self, placeholder: SocketAddr, datagram: Bytes) {
        let owner = locked(&self.state).lanes.iter().find(|lane| lane.placeholder == placeholder).and_then(|lane| lane.owner.upgrade());
        if let Some(owner) = owner {
            owner.push(placeholder, datagram);
        }
    }

    /// Takes note of the connection's state.
    pub(super) fn set_connected(&self, is_connected: bool) {
        let run = &mut locked(&self.state).run;
        run.is_connected = is_connected;
        if is_connected {
            run.connected_at.get_or_insert_with(Instant::now);
        }
    }

    /// Takes note of the name of ICE's run in the other side's description; whether that is a restart.
    pub(super) fn begin_run(&self, ufrag: &str) -> bool {
        let number = {
            let run = &mut locked(&self.state).run;
            if run.ufrag == ufrag {
                return false;
            }
            let number = run.number + 1;
            *run = Run { number, ufrag: ufrag.to_owned(), ..Run::default() };
            number
        };
        // The last run's streams carry what is on its way until the server closes them.
        self.close(|lane| lane.framing == Framing::IceTcp && lane.run + 1 < number);
        number > 1
    }

    /// Opens a lane; `None` if there are too many.
    fn lane(&self, framing: Framing) -> Option<(SocketAddr, mpsc::Receiver<Bytes>, CancellationToken)> {
        let mut state = locked(&self.state);
        if state.lanes.len() >= LANES_MAX {
            return None;
        }
        // A port below all that mean something to the stack. Whoever had it 1,000 lanes ago has gone.
        state.last_port = state.last_port % 1000 + 1;
        let placeholder = SocketAddr::new(self.placeholder, state.last_port);
        let (queue, frames) = mpsc::channel(QUEUE);
        let cancel = self.cancel.child_token();
        let lane = Lane {
            placeholder,
            framing,
            run: state.run.number,
            queue,
            owner: Weak::new(),
            transactions: VecDeque::new(),
            cancel: cancel.clone(),
        };
        state.lanes.push(lane);
        Some((placeholder, frames, cancel))
    }

    /// Closes lanes; their tasks end.
    fn close(&self, which: impl Fn(&Lane) -> bool) {
        locked(&self.state).lanes.retain(|lane| {
            let closes = which(lane);
            if closes {
                lane.cancel.cancel();
            }
            !closes
        });
    }

    /// Whether UDP has not made streams needless, in the run of that number.
    fn is_wanted(&self, run: u64) -> bool {
        let state = locked(&self.state);
        state.run.number == run && !state.run.is_connected
    }

    fn run_number(&self) -> u64 {
        locked(&self.state).run.number
    }

    /// Tries a TCP candidate, once in a run of ICE, and adds it to the connection when its stream is open.
    pub(super) fn try_candidate(self: &Arc<Self>, connection: Arc<dyn PeerConnection>, init: RTCIceCandidateInit, candidate: TcpCandidate) {
        let run = {
            let run = &mut locked(&self.state).run;
            if run.candidates.contains(&candidate.address) || run.candidates.len() >= CANDIDATES_MAX {
                return;
            }
            run.candidates.push(candidate.address);
            run.number
        };
        let detours = Arc::clone(self);
        self.tasks.spawn(self.cancel.clone().run_until_cancelled_owned(async move {
            sleep(HEAD_START).await;
            if !detours.is_wanted(run) {
                return;
            }
            let target = Target { host: candidate.address.ip().to_string(), port: candidate.address.port(), tls: false };
            let stream = match stream::open(&target, None).await {
                Ok(stream) => stream,
                Err(error) => return detours.log(Framing::IceTcp, &target, &error),
            };
            let Some((placeholder, mut frames, cancel)) = detours.lane(Framing::IceTcp) else { return };
            let init = RTCIceCandidateInit { candidate: candidate.as_udp(placeholder), ..init };
            if let Err(error) = connection.add_ice_candidate(init).await {
                tracing::debug!(side = ?detours.side, %error, "the stand-in of a TCP candidate is refused");
                return detours.close(|lane| lane.placeholder == placeholder);
            }
            // The connection must not be kept by what it is served by.
            drop(connection);
            let carry = stream::carry(stream, Framing::IceTcp, None, &mut frames, |datagram| detours.deliver(placeholder, datagram));
            let ended = cancel.run_until_cancelled(carry).await;
            detours.on_ended(Framing::IceTcp, &target, placeholder, ended).await;
        }));
    }

    /// The placeholder of a TURN server over TCP or TLS, which is connected to when the stack asks it for an allocation.
    pub(super) fn turn_server(self: &Arc<Self>, target: Target) -> Option<SocketAddr> {
        let (placeholder, mut frames, cancel) = self.lane(Framing::Turn)?;
        let detours = Arc::clone(self);
        self.tasks.spawn(self.cancel.clone().run_until_cancelled_owned(async move {
            let Some(Some(first)) = cancel.run_until_cancelled(frames.recv()).await else { return };
            sleep(HEAD_START).await;
            let is_of_this = |lane: &Lane| lane.placeholder == placeholder;
            if !detours.is_wanted(detours.run_number()) {
                return detours.close(is_of_this);
            }
            let stream = match stream::open(&target, detours.tls.clone()).await {
                Ok(stream) => stream,
                Err(error) => {
                    detours.log(Framing::Turn, &target, &error);
                    return detours.close(is_of_this);
                }
            };
            let carry = stream::carry(stream, Framing::Turn, Some(first), &mut frames, |datagram| detours.deliver(placeholder, datagram));
            // The lane's token ends no more than this: what comes after is for those who lost the stream.
            let ended = cancel.run_until_cancelled(carry).await;
            detours.on_ended(Framing::Turn, &target, placeholder, ended).await;
        }));
        Some(placeholder)
    }

    /// Whether the TURN servers must be asked anew, by other placeholders; their lanes are closed then.
    pub(super) fn take_turn_lost(&self) -> bool {
        let is_lost = std::mem::take(&mut locked(&self.state).is_turn_lost);
        if is_lost {
            self.close(|lane| lane.framing == Framing::Turn);
        }
        is_lost
    }

    /// A stream has ended; if that is a loss, the engine hears of it.
    async fn on_ended(&self, framing: Framing, target: &Target, placeholder: SocketAddr, ended: Option<Ended>) {
        let run = {
            let state = locked(&self.state);
            let lane = state.lanes.iter().find(|lane| lane.placeholder == placeholder);
            // A lane that is gone was closed by us.
            let is_of_this_run = lane.is_some_and(|lane| lane.framing == Framing::Turn || lane.run == state.run.number);
            state.run.connected_at.filter(|_| is_of_this_run).map(|since| (state.run.number, since))
        };
        self.close(|lane| lane.placeholder == placeholder);
        let Some(Ended { why, last_used }) = ended else { return };
        self.log(framing, target, &why);
        let Some((run, connected_at)) = run else { return };
        if framing == Framing::Turn {
            locked(&self.state).is_turn_lost = true;
        }
        // TURN servers close no stream for being second best, or in a restart.
        let (settled, grace) = if framing == Framing::Turn { (Duration::ZERO, Duration::ZERO) } else { (SETTLED, GRACE) };
        let was_in_use = last_used >= connected_at + settled && (last_used.elapsed() < IN_USE || matches!(why, StreamError::Stalled));
        if !was_in_use {
            return;
        }
        sleep(grace).await;
        if self.is_lost(run) {
            // The engine's own bounds find a lost way as well, later.
            let _full = self.events.try_send(PeerEvent::StreamLost(self.side));
        }
    }

    /// Whether what was lost in that run of ICE's has not been made good by another; nothing is connected by then.
    fn is_lost(&self, run: u64) -> bool {
        let state = &mut *locked(&self.state);
        // A restart that came before the loss was noticed went by the allocation that is gone.
        let is_lost = state.run.number == run || (state.is_turn_lost && !state.run.is_connected);
        if is_lost {
            state.run.is_connected = false;
        }
        is_lost
    }

    fn log(&self, framing: Framing, target: &Target, error: &StreamError) {
        let Target { host, port, tls } = target;
        let way = match framing {
            Framing::IceTcp => "ICE over TCP",
            Framing::Turn if *tls => "TURN over TLS",
            Framing::Turn => "TURN over TCP",
        };
        tracing::info!(side = ?self.side, way, %host, port, %error, "a stream for media has ended");
    }
}

impl Lane {
    /// Whether a datagram is a request that this stream has carried already.
    fn is_repeated(&mut self, datagram: &[u8]) -> bool {
        // The two bits of the class are those of a request (RFC 8489 section 5).
        let is_request = matches!(datagram, [high, low, ..] if high & 0xc1 == 0 && low & 0x10 == 0);
        let Some(transaction) = datagram.get(8..20).and_then(|id| <[u8; 12]>::try_from(id).ok()).filter(|_| is_request) else {
            return false;
        };
        if self.framing != Framing::Turn {
            return false;
        }
        if self.transactions.contains(&transaction) {
            return true;
        }
        if self.transactions.len() >= TRANSACTIONS {
            self.transactions.pop_front();
        }
        self.transactions.push_back(transaction);
        false
    }
}

#[cfg(test)]
mod tests;
