//! The endpoint without sockets and clock: messages, commands and times in, outputs out.
//!
//! Transactions are `sipx-sip`'s. What stands above them is here: which requests get state at all, dialogs, the
//! 2xx retransmitted until its ACK, CANCEL, BYE, re-INVITE. `now` is the time since the endpoint was made.
//!
//! Only an INVITE that was admitted, a request within a dialog, and requests of ours are given a transaction. All
//! else is answered statelessly (RFC 3261 §8.2.7), so that a flood of requests costs no memory.

mod indialog;
mod refer;
mod send;
#[cfg(test)]
mod tests;
mod uac;
mod uas;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sipx_sip::transaction::Dispatch;
use sipx_sip::{
    Limits as ParserLimits, Message, Method, Request, Response, Timer, Timers, TransactionKey, TransactionLayer, TuEvent, parse_datagram,
};
use sipx_transport::nat::apply_received_and_rport;
use sipx_transport::timers::TimerQueue;

use super::config::{EndpointConfig, Refusal};
use super::dialog::{Dialog, DialogKey};
use super::event::{CallEvent, CallId, EndReason, Output, Stats};
use super::flow::{ConnectionId, Path, Source, Transport};
use super::rate::RateTable;
use super::{reply, screen};
use refer::Referral;
use uac::ClientInvite;
use uas::{PendingAck, ServerInvite};

use crate::sdp::SessionDescription;

/// Which of the two roles a transaction has: their keys may be alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    Client,
    Server,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum TimerKey {
    Transaction(Side, TransactionKey, Timer),
    Call(CallId, CallTimer),
    /// A re-INVITE of ours has got a provisional response and nothing after it, which RFC 3261 §17.1.1.2 would allow for
    /// ever, even beyond the end of the call.
    ReInviteGuard(TransactionKey),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum CallTimer {
    /// Send the 2xx once more.
    Retransmit,
    /// 64 × T1 without an ACK.
    NoAck,
    /// The application has not answered the call, or the peer ours.
    Unanswered,
    /// The application has not answered the re-INVITE.
    ReInviteAnswer,
    /// No final response after our CANCEL.
    Cancelled,
    /// Nothing final was told about our REFER.
    Referral,
}

const CALL_TIMERS: [CallTimer; 6] =
    [CallTimer::Retransmit, CallTimer::NoAck, CallTimer::Unanswered, CallTimer::ReInviteAnswer, CallTimer::Cancelled, CallTimer::Referral];

/// What a transaction is for.
#[derive(Debug)]
enum Purpose {
    /// An INVITE or re-INVITE to us.
    ServerInvite(CallId),
    /// Another request to us, answered at once.
    Server,
    /// Our INVITE, with the ACKs sent for each 2xx by `To` tag.
    ClientInvite(CallId, Vec<(Option<Bytes>, Bytes, Path)>),
    ClientReInvite(CallId, Option<(Bytes, Path)>),
    /// Our BYE ends a call, or only tidies up a fork.
    ClientBye(Option<CallId>),
    ClientCancel,
    /// Our REFER, with its `CSeq`.
    ClientRefer(CallId, u32),
    ClientNotify,
    Probe(u64),
}

#[derive(Debug)]
struct Transaction {
    purpose: Purpose,
    path: Path,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// INVITE received or sent, no 2xx yet.
    Early,
    /// 2xx sent or received.
    Established,
    /// BYE sent, its answer awaited. `EndReason` is told when it is there.
    Closing,
}

#[derive(Debug)]
struct Call {
    phase: Phase,
    /// `None` only while our own INVITE is unanswered.
    dialog: Option<Dialog>,
    /// The session description that we sent last.
    local_session: Option<SessionDescription>,
    /// The peer's INVITE or re-INVITE that waits for our final response.
    server_invite: Option<ServerInvite>,
    /// Our 2xx that waits for its ACK.
    pending_ack: Option<PendingAck>,
    /// Our INVITE or re-INVITE that waits for its final response.
    client_invite: Option<ClientInvite>,
    /// Our REFER whose outcome is awaited.
    referral: Option<Referral>,
    /// A hang-up that has to wait for the ACK (RFC 3261 §15).
    hangup: Option<EndReason>,
}

#[derive(Debug)]
struct Connection {
    peer: std::net::SocketAddr,
    inbound: bool,
}

/// The endpoint's state.
pub(super) struct Core {
    config: Arc<EndpointConfig>,
    host: String,
    port: u16,
    layer: TransactionLayer,
    timers: TimerQueue<TimerKey, Duration>,
    transactions: HashMap<(Side, TransactionKey), Transaction>,
    calls: HashMap<CallId, Call>,
    dialogs: HashMap<DialogKey, CallId>,
    /// `Call-ID` and `From` tag of the calls to us, to know a merged request (RFC 3261 §8.2.2.2).
    callers: HashMap<(Bytes, Option<Bytes>), CallId>,
    connections: HashMap<ConnectionId, Connection>,
    rates: RateTable,
    tags: reply::TagSecret,
    outputs: VecDeque<Output>,
    draining: bool,
    next_number: u64,
    stats: Stats,
}

impl Core {
    /// A core that names itself `host:port` in `Via` and `Contact`.
    pub(super) fn new(config: Arc<EndpointConfig>, host: String, port: u16) -> Self {
        let timers = Timers { t1: config.timers.t1, t2: config.timers.t2, t4: config.timers.t4 };
        Self {
            layer: TransactionLayer::new(timers),
            rates: RateTable::new(config.limits.source_rate, config.limits.host_rate),
            config,
            host,
            port,
            timers: TimerQueue::new(),
            transactions: HashMap::new(),
            calls: HashMap::new(),
            dialogs: HashMap::new(),
            callers: HashMap::new(),
            connections: HashMap::new(),
            tags: reply::TagSecret::default(),
            outputs: VecDeque::new(),
            draining: false,
            next_number: 0,
            stats: Stats::default(),
        }
    }

    /// The next thing to be done.
    pub(super) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeouts`](Self::handle_timeouts) is due.
    pub(super) fn deadline(&mut self) -> Option<Duration> {
        self.timers.next_deadline()
    }

    /// Fires what is due.
    pub(super) fn handle_timeouts(&mut self, now: Duration) {
        for key in self.timers.take_due(now) {
            match key {
                TimerKey::Transaction(side, key, timer) => {
                    let outputs = self.layer.on_timer(&key, timer);
                    self.perform(now, side, &key, outputs);
                }
                TimerKey::Call(call, timer) => self.call_timeout(now, call, timer),
                TimerKey::ReInviteGuard(key) => {
                    let outputs = self.layer.on_transport_error(&key);
                    self.perform(now, Side::Client, &key, outputs);
                }
            }
        }
    }

    /// Refuses new calls and answers OPTIONS with 503 from now on; calls in progress go on.
    pub(super) fn drain(&mut self) {
        self.draining = true;
    }

    pub(super) fn stats(&self) -> Stats {
        Stats { calls: self.calls.len(), transactions: self.transactions.len(), connections: self.connections.len(), ..self.stats }
    }

    /// Whether nothing is left to do: no call and no transaction.
    pub(super) fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.transactions.is_empty()
    }

    /// Takes a datagram.
    pub(super) fn receive_datagram(&mut self, now: Duration, datagram: Bytes, from: std::net::SocketAddr) {
        let source = Source { address: from, connection: None };
        // CRLF and zero bytes keep a NAT binding open (RFC 5626 §4.4.1 and custom); they ask for nothing.
        if datagram.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) || !self.admits(now, source) {
            return;
        }
        match parse_datagram(datagram.clone(), &self.parser_limits()) {
            Ok(message) => self.receive(now, message, source),
            Err(error) => {
                self.stats.malformed += 1;
                tracing::debug!(%from, %error, "malformed datagram");
                if let Some(reply) = reply::to_malformed(&datagram) {
                    self.outputs.push_back(Output::Datagram { to: from, bytes: Bytes::from(reply) });
                }
            }
        }
    }

    /// Takes a message that a connection delivered.
    pub(super) fn receive_message(&mut self, now: Duration, message: Message, connection: ConnectionId) {
        let Some(peer) = self.connections.get(&connection).map(|connection| connection.peer) else {
            return;
        };
        let source = Source { address: peer, connection: Some(connection) };
        if self.admits(now, source) {
            self.receive(now, message, source);
        }
    }

    pub(super) fn parser_limits(&self) -> ParserLimits {
        let bytes_max = self.config.limits.message_bytes_max;
        ParserLimits { max_message_bytes: bytes_max, max_body_bytes: bytes_max, ..ParserLimits::datagram() }
    }

    fn admits(&mut self, now: Duration, source: Source) -> bool {
        self.stats.received += 1;
        if !self.config.admission.source(source.address, source.transport()) {
            self.stats.not_admitted += 1;
            return false;
        }
        if !self.rates.admits(now, source.address) {
            self.stats.rate_limited += 1;
            return false;
        }
        true
    }

    /// A connection is gone, or could not be opened. What was bound to it fails, or is sent anew over another one.
    pub(super) fn disconnected(&mut self, now: Duration, connection: ConnectionId, malformed: bool) {
        self.stats.malformed += u64::from(malformed);
        if self.connections.remove(&connection).is_none() {
            return;
        }
        let bound: Vec<(Side, TransactionKey)> = self
            .transactions
            .iter()
            .filter(|((side, _), transaction)| {
                let can_redial = matches!(transaction.path, Path::Tcp { redial: Some(_), .. });
                transaction.path.uses(connection) && (*side == Side::Client || !can_redial)
            })
            .map(|(key, _)| key.clone())
            .collect();
        for (side, key) in bound {
            let outputs = self.layer.on_transport_error(&key);
            self.perform(now, side, &key, outputs);
        }
    }

    fn receive(&mut self, now: Duration, message: Message, source: Source) {
        let mut request = match message {
            Message::Request(request) => request,
            Message::Response(response) => return self.receive_response(now, response),
        };
        apply_received_and_rport(&mut request, source.address);
        if let Some(key) = TransactionKey::from_request(&request)
            && self.layer.server_state(&key).is_some()
        {
            if let Dispatch::Matched { key, outputs } = self.layer.receive(Message::Request(request), source.transport().reliability()) {
                self.perform(now, Side::Server, &key, outputs);
            }
            return;
        }
        if request.method == Method::Ack {
            self.receive_ack(now, &request);
        } else if let Err(refusal) = self.dispatch(now, &request, source) {
            self.answer_stateless(&request, source, &refusal);
        }
    }

    fn receive_response(&mut self, now: Duration, response: Response) {
        if let Dispatch::Matched { key, outputs } = self.layer.receive(Message::Response(response), sipx_sip::Reliability::Unreliable) {
            self.perform(now, Side::Client, &key, outputs);
        }
    }

    /// Gives a new request to whom it concerns. An error is a final answer for which nothing is kept.
    fn dispatch(&mut self, now: Duration, request: &Request, source: Source) -> Result<(), Refusal> {
        screen::request(request, self.config.takes_refer)?;
        match request.method {
            Method::Cancel => self.receive_cancel(now, request, source),
            _ if DialogKey::of_request(request).is_some() => self.receive_in_dialog(now, request, source),
            Method::Invite => self.receive_invite(now, request, source),
            Method::Options if self.draining => Err(Refusal::new(503).with("Retry-After", "60")),
            Method::Options => Err(self.capabilities()),
            // BYE without a tag belongs to no dialog.
            _ => Err(Refusal::new(481)),
        }
    }

    /// 200 to OPTIONS (RFC 3261 §11.2), which is answered as statelessly as a refusal.
    fn capabilities(&self) -> Refusal {
        Refusal::new(200)
            .with("Allow", reply::ALLOW)
            .with("Accept", crate::sdp::CONTENT_TYPE)
            .with("Accept-Encoding", "identity")
            .with("Supported", "")
            .with("Contact", self.contact(Transport::Udp))
    }

    fn perform(&mut self, now: Duration, side: Side, key: &TransactionKey, outputs: Vec<sipx_sip::Output>) {
        use sipx_sip::Output as Do;
        for output in outputs {
            match output {
                Do::Send(message) => self.transmit_in(side, key, message.to_bytes()),
                Do::SetTimer { timer, after } => self.timers.set(TimerKey::Transaction(side, key.clone(), timer), now, after),
                Do::ClearTimer(timer) => self.timers.forget(&TimerKey::Transaction(side, key.clone(), timer)),
                Do::ToTu(event) => self.on_transaction_event(now, side, key, *event),
                Do::Terminated(_) => {
                    for timer in Timer::ALL {
                        self.timers.forget(&TimerKey::Transaction(side, key.clone(), timer));
                    }
                    self.timers.forget(&TimerKey::ReInviteGuard(key.clone()));
                    self.transactions.remove(&(side, key.clone()));
                }
                _ => {}
            }
        }
    }

    fn on_transaction_event(&mut self, now: Duration, side: Side, key: &TransactionKey, event: TuEvent) {
        match (side, event) {
            (Side::Server, TuEvent::Ack(ack)) => self.receive_ack(now, &ack),
            (Side::Server, TuEvent::TransportError) => self.server_failed(key),
            (Side::Client, TuEvent::Response(response)) => self.client_response(now, key, &response),
            (Side::Client, TuEvent::Timeout) => self.client_failed(now, key, EndReason::PeerLost),
            (Side::Client, TuEvent::TransportError) => self.client_failed(now, key, EndReason::TransportFailed),
            // The request itself was taken when its transaction was made; a refusal without an ACK needs no more care.
            _ => {}
        }
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn emit(&mut self, call: CallId, event: CallEvent) {
        self.outputs.push_back(Output::Event { call, event });
    }

    fn set_timer(&mut self, now: Duration, call: CallId, timer: CallTimer, after: Duration) {
        self.timers.set(TimerKey::Call(call, timer), now, after);
    }

    fn clear_timer(&mut self, call: CallId, timer: CallTimer) {
        self.timers.forget(&TimerKey::Call(call, timer));
    }

    /// Forgets a call and tells its handle why.
    fn end(&mut self, id: CallId, reason: EndReason) {
        let Some(call) = self.calls.remove(&id) else {
            return;
        };
        for timer in CALL_TIMERS {
            self.clear_timer(id, timer);
        }
        if let Some(dialog) = call.dialog {
            self.dialogs.remove(&dialog.key);
            self.callers.remove(&(dialog.key.call_id.clone(), dialog.remote_tag.clone()));
        }
        self.emit(id, CallEvent::Ended(reason));
    }
}
