//! The task that owns an endpoint: sockets, connections and the clock around [`Core`].

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::call::{IncomingCall, Line};
use super::config::Refusal;
use super::core::Core;
use super::event::{CallError, CallEvent, CallId, InviteError, OutgoingInvite, Output, ReInviteError, ReferError, Stats};
use super::flow::{ConnectionId, Transport};
use super::stream::{self, Closed, StreamEvent, StreamWriter};
use crate::sdp::SessionDescription;

/// Events that wait for a call's handle. A peer cannot cause so many at once; a handle that never reads loses the rest.
const EVENTS_MAX: usize = 32;
/// Datagrams read at a stretch, before commands and timers have their turn.
const DATAGRAMS_MAX: usize = 64;
/// How often calls whose handle is gone are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// How long an endpoint without handles waits for the answers to its BYEs.
const HANDLES_GONE: Duration = Duration::from_secs(2);

/// What handles ask of the endpoint's task.
#[derive(Debug)]
pub(super) enum Command {
    Progress { call: CallId, status: u16, reply: oneshot::Sender<Result<(), CallError>> },
    Accept { call: CallId, session: SessionDescription, reply: oneshot::Sender<Result<(), CallError>> },
    Reject { call: CallId, refusal: Refusal, reply: oneshot::Sender<Result<(), CallError>> },
    RepeatSession(CallId),
    Hangup { call: CallId, reply: oneshot::Sender<Result<(), CallError>> },
    ReInvite { call: CallId, session: SessionDescription, reply: oneshot::Sender<Result<(), ReInviteError>> },
    Refer { call: CallId, target: String, wait: Duration, reply: oneshot::Sender<Result<(), ReferError>> },
    NotifyRefer { call: CallId, id: u32, status: u16, reply: oneshot::Sender<Result<(), ReferError>> },
    Invite { invite: Box<OutgoingInvite>, reply: oneshot::Sender<Result<Line, InviteError>> },
    Abandon(CallId),
    Probe { target: SocketAddr, transport: Transport, reply: oneshot::Sender<Option<u16>> },
    Stats(oneshot::Sender<Stats>),
    Drain,
    Shutdown { within: Duration, done: oneshot::Sender<()> },
}

pub(super) struct Driver {
    pub(super) core: Core,
    pub(super) udp: UdpSocket,
    pub(super) tcp: TcpListener,
    pub(super) commands: mpsc::Receiver<Command>,
    /// For the lines of new calls; weak, so that the endpoint ends when its last handle does.
    pub(super) line: mpsc::WeakSender<Command>,
    pub(super) incoming: mpsc::Sender<IncomingCall>,
    pub(super) started: Instant,
    state: State,
}

struct State {
    calls: HashMap<CallId, mpsc::Sender<CallEvent>>,
    connections: HashMap<ConnectionId, StreamWriter>,
    probes: HashMap<u64, oneshot::Sender<Option<u16>>>,
    next_probe: u64,
    has_handles: bool,
    streams: mpsc::Sender<StreamEvent>,
    stream_events: mpsc::Receiver<StreamEvent>,
    shutdown: Option<(Instant, Option<oneshot::Sender<()>>)>,
    buffer: Vec<u8>,
}

impl Driver {
    pub(super) fn new(
        core: Core,
        udp: UdpSocket,
        tcp: TcpListener,
        commands: (mpsc::WeakSender<Command>, mpsc::Receiver<Command>),
        incoming: mpsc::Sender<IncomingCall>,
    ) -> Self {
        let (streams, stream_events) = mpsc::channel(256);
        let state = State {
            calls: HashMap::new(),
            connections: HashMap::new(),
            probes: HashMap::new(),
            next_probe: 0,
            has_handles: true,
            streams,
            stream_events,
            shutdown: None,
            buffer: vec![0; 65_536],
        };
        Self { core, udp, tcp, line: commands.0, commands: commands.1, incoming, started: Instant::now(), state }
    }

    pub(super) async fn run(mut self) {
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.perform();
            if self.is_done() {
                break;
            }
            let deadline = self.core.deadline().map(|due| self.started + due);
            tokio::select! {
                received = self.udp.recv_from(&mut self.state.buffer) => self.datagrams(received),
                command = self.commands.recv(), if self.state.has_handles => match command {
                    Some(command) => self.command(command),
                    // The last handle is gone; so is everyone who could answer or end a call.
                    None => {
                        self.state.has_handles = false;
                        self.shutdown(HANDLES_GONE, None);
                    }
                },
                Some(event) = self.state.stream_events.recv() => self.stream_event(event),
                accepted = self.tcp.accept() => self.accepted(accepted).await,
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    let now = self.now();
                    self.core.handle_timeouts(now);
                }
                _ = sweep.tick() => self.sweep(),
            }
        }
        if let Some((_, Some(done))) = self.state.shutdown.take() {
            let _nobody_waits = done.send(());
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn is_done(&self) -> bool {
        self.state.shutdown.as_ref().is_some_and(|(until, _)| self.core.is_idle() || Instant::now() >= *until)
    }

    fn datagrams(&mut self, first: std::io::Result<(usize, SocketAddr)>) {
        let now = self.now();
        let mut received = first;
        for _ in 0..DATAGRAMS_MAX {
            // Errors here are ICMP messages about datagrams sent before; they concern no one.
            if let Ok((length, from)) = received {
                self.core.receive_datagram(now, Bytes::copy_from_slice(&self.state.buffer[..length]), from);
            }
            received = match self.udp.try_recv_from(&mut self.state.buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                received => received,
            };
        }
        // The one that was read but not taken.
        if let Ok((length, from)) = received {
            self.core.receive_datagram(now, Bytes::copy_from_slice(&self.state.buffer[..length]), from);
        }
    }

    async fn accepted(&mut self, accepted: std::io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((stream, peer)) => {
                if let Some(id) = self.core.connected(peer) {
                    let writer = stream::serve(id, stream, self.core.parser_limits(), self.state.streams.clone());
                    self.state.connections.insert(id, writer);
                }
            }
            Err(error) => {
                // Out of descriptors, most likely: accepting again at once would spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    fn stream_event(&mut self, event: StreamEvent) {
        let now = self.now();
        match event {
            StreamEvent::Message(connection, message) => self.core.receive_message(now, *message, connection),
            StreamEvent::Closed(connection, why) => {
                self.state.connections.remove(&connection);
                self.core.disconnected(now, connection, why == Closed::Malformed);
            }
        }
    }

    /// Ends calls whose handle vanished without being able to say so, and the process's interest in old probes.
    fn sweep(&mut self) {
        let now = self.now();
        let gone: Vec<CallId> = self.state.calls.iter().filter(|(_, events)| events.is_closed()).map(|(id, _)| *id).collect();
        for call in gone {
            self.core.abandon(now, call);
        }
        self.state.probes.retain(|_, reply| !reply.is_closed());
    }

    fn shutdown(&mut self, within: Duration, done: Option<oneshot::Sender<()>>) {
        let now = self.now();
        self.core.close_all(now);
        let until = Instant::now() + within;
        let earlier = self.state.shutdown.take().and_then(|(_, done)| done);
        self.state.shutdown = Some((until, done.or(earlier)));
    }

    fn command(&mut self, command: Command) {
        let now = self.now();
        // A reply that nobody waits for is no error: the handle was dropped, and that is told separately.
        match command {
            Command::Progress { call, status, reply } => drop(reply.send(self.core.progress(now, call, status))),
            Command::Accept { call, session, reply } => drop(reply.send(self.core.accept(now, call, session))),
            Command::Reject { call, refusal, reply } => drop(reply.send(self.core.reject(now, call, &refusal))),
            Command::RepeatSession(call) => self.core.repeat_session(now, call),
            Command::Hangup { call, reply } => drop(reply.send(self.core.hangup(now, call))),
            Command::ReInvite { call, session, reply } => drop(reply.send(self.core.reinvite(now, call, session))),
            Command::Refer { call, target, wait, reply } => drop(reply.send(self.core.refer(now, call, &target, wait))),
            Command::NotifyRefer { call, id, status, reply } => drop(reply.send(self.core.notify_refer(now, call, id, status))),
            Command::Invite { invite, reply } => {
                let placed = self.core.invite(now, *invite).and_then(|id| self.add_line(id).ok_or(InviteError::EndpointClosed));
                drop(reply.send(placed));
            }
            Command::Abandon(call) => self.core.abandon(now, call),
            Command::Probe { target, transport, reply } => {
                self.state.next_probe += 1;
                self.state.probes.insert(self.state.next_probe, reply);
                self.core.probe(now, self.state.next_probe, target, transport);
            }
            Command::Stats(reply) => drop(reply.send(self.core.stats())),
            Command::Drain => self.core.drain(),
            Command::Shutdown { within, done } => self.shutdown(within, Some(done)),
        }
    }

    fn add_line(&mut self, id: CallId) -> Option<Line> {
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        self.state.calls.insert(id, events);
        Some(Line::new(id, self.line.upgrade()?, receiver))
    }

    /// Does what the core wants done.
    fn perform(&mut self) {
        while let Some(output) = self.core.poll() {
            match output {
                // A full socket buffer loses the datagram like any network does; SIP sends it again.
                Output::Datagram { to, bytes } => drop(self.udp.try_send_to(&bytes, to)),
                Output::Connect { connection, to } => {
                    let writer = stream::open(connection, to, self.core.parser_limits(), self.state.streams.clone());
                    self.state.connections.insert(connection, writer);
                }
                Output::Write { connection, bytes } => self.write(connection, bytes),
                Output::Incoming { call, invite } => self.offer(call, invite),
                Output::Event { call, event } => self.event(call, event),
                Output::Probed { probe, status } => {
                    if let Some(reply) = self.state.probes.remove(&probe) {
                        let _nobody_waits = reply.send(status);
                    }
                }
            }
        }
    }

    fn write(&mut self, connection: ConnectionId, bytes: Bytes) {
        let accepted = self.state.connections.get(&connection).is_some_and(|writer| writer.try_send(bytes).is_ok());
        if !accepted {
            // A peer that does not read is as good as gone. Its task reports the end when the writer is dropped.
            self.state.connections.remove(&connection);
        }
    }

    fn offer(&mut self, call: CallId, invite: std::sync::Arc<super::party::Invite>) {
        let Some(line) = self.add_line(call) else {
            return;
        };
        if self.incoming.try_send(IncomingCall { invite, line }).is_err() {
            tracing::warn!(%call, "nobody takes calls; refused");
            let now = self.now();
            let _over = self.core.reject(now, call, &Refusal::new(503).with("Retry-After", "10"));
        }
    }

    fn event(&mut self, call: CallId, event: CallEvent) {
        let is_last = matches!(event, CallEvent::Ended(_));
        let Some(events) = self.state.calls.get(&call) else {
            return;
        };
        if let Err(mpsc::error::TrySendError::Full(event)) = events.try_send(event) {
            tracing::warn!(%call, "the call's events are not read");
            if is_last {
                // The end is never lost: it waits for room in a task of its own.
                let events = events.clone();
                tokio::spawn(async move {
                    let _handle_gone = events.send(event).await;
                });
            }
        }
        if is_last {
            self.state.calls.remove(&call);
        }
    }
}
