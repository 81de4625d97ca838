//! The task that runs a call's media, and its handles.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use frontdesk_audio::jitter::JitterConfig;
use frontdesk_audio::pace::Ticker;
use frontdesk_audio::{Frame, SampleRate};
use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::dtmf::Digit;
use super::latch::Latch;
use super::ports::MediaSocket;
use super::queue::SendQueue;
use super::receiver::{Patience, Receiver};
use super::sender::Sender;
use super::{ReceiveStats, RtpEvent, SendStats, rtcp};
use crate::sdp::RemoteMedia;

/// Events that wait to be taken: 1.3 s of audio.
const EVENTS_MAX: usize = 64;
/// Keys and the time-out that wait beside them; more are lost.
const URGENT_MAX: usize = 32;
/// Packets read at a stretch, before the next tick has its turn.
const PACKETS_MAX: usize = 32;
const SAMPLES_PER_MS: usize = 8;

/// Settings of a session.
#[derive(Debug, Clone, Copy)]
pub struct RtpOptions {
    /// How long to wait for the first packet.
    pub first_packet_max: Duration,
    /// How long the line may be silent after it.
    pub silence_max: Duration,
    /// Audio that may wait to be sent, in milliseconds; [`RtpSession::write`] waits for room.
    pub queue_max_ms: u32,
    /// Audio gathered before a talk spurt begins, in milliseconds. It covers the unevenness of a writer that works in
    /// real time; 0 for one that writes whole utterances.
    pub prebuffer_ms: u32,
    /// The jitter buffer.
    pub jitter: JitterConfig,
    /// Learn the peer's address from whoever sends first, not only from hosts that the signalling named.
    pub any_host: bool,
}

impl Default for RtpOptions {
    fn default() -> Self {
        Self {
            first_packet_max: Duration::from_secs(30),
            silence_max: Duration::from_secs(15),
            queue_max_ms: 1000,
            prebuffer_ms: 40,
            jitter: JitterConfig::g711(),
            any_host: false,
        }
    }
}

/// The session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the media session has ended")]
pub struct SessionClosed;

/// Counters of a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RtpStats {
    /// What was sent.
    pub sent: SendStats,
    /// What came in.
    pub received: ReceiveStats,
}

enum Command {
    Update(RemoteMedia),
    Press { digit: Digit, duration_ms: u32 },
}

struct Shared {
    queue: Mutex<SendQueue>,
    /// Told when the queue has room again, and at the end.
    room: Notify,
    stats: Mutex<RtpStats>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, SendQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sending end and the control of a call's media. Clones control the same session; it ends with the last.
#[derive(Clone)]
pub struct RtpSession {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
}

/// The receiving end of a call's media.
#[derive(Debug)]
pub struct RtpEvents {
    events: mpsc::Receiver<RtpEvent>,
}

impl RtpEvents {
    /// The next event; `None` when the session has ended. Cancel-safe. Audio not taken within a second is lost.
    pub async fn recv(&mut self) -> Option<RtpEvent> {
        self.events.recv().await
    }
}

impl RtpSession {
    /// Starts the stream that was agreed. `signalling` is the host that the peer's SIP came from.
    #[must_use]
    pub fn start(socket: MediaSocket, remote: &RemoteMedia, signalling: IpAddr, options: RtpOptions) -> (Self, RtpEvents) {
        let queue = SendQueue::new(samples(options.queue_max_ms), samples(options.prebuffer_ms));
        let shared = Arc::new(Shared { queue: Mutex::new(queue), room: Notify::new(), stats: Mutex::default() });
        let (commands, receiver) = mpsc::channel(16);
        let (events, taken) = mpsc::channel(EVENTS_MAX);
        let patience = Patience { first_packet_max: options.first_packet_max, silence_max: options.silence_max };
        let latch = Latch::new(remote.address, signalling, options.any_host);
        let mut task = Task {
            socket,
            shared: Arc::clone(&shared),
            events,
            urgent: VecDeque::new(),
            untaken: 0,
            sender: Sender::new(remote.codec, remote.payload_type, remote.telephone_event, remote.direction.sends()),
            receiver: Receiver::new(latch, options.jitter, patience),
            expected: remote.address,
            signalling,
            any_host: options.any_host,
            started: Instant::now(),
            report_due: Instant::now() + rtcp::INTERVAL,
        };
        task.update(remote);
        tokio::spawn(task.run(receiver));
        (Self { shared, commands }, RtpEvents { events: taken })
    }

    /// Queues samples at 8 kHz, in order, waiting for room as needed.
    ///
    /// # Errors
    /// [`SessionClosed`]; what was queued before may have been sent.
    pub async fn write(&self, mut pcm: &[i16]) -> Result<(), SessionClosed> {
        loop {
            let room = self.shared.room.notified();
            if self.commands.is_closed() {
                return Err(SessionClosed);
            }
            let taken = self.shared.queue().push(pcm);
            pcm = &pcm[taken..];
            if pcm.is_empty() {
                return Ok(());
            }
            tokio::select! {
                () = room => {}
                () = self.commands.closed() => return Err(SessionClosed),
            }
        }
    }

    /// Queues as many samples as there is room for, and returns how many.
    #[must_use = "samples beyond the number returned were not queued"]
    pub fn try_write(&self, pcm: &[i16]) -> usize {
        self.shared.queue().push(pcm)
    }

    /// Drops what is queued; returns how much. What was sent before is with the peer.
    pub fn clear(&self) -> Duration {
        let dropped = self.shared.queue().clear();
        self.shared.room.notify_waiters();
        duration(dropped)
    }

    /// How much is queued.
    #[must_use]
    pub fn queued(&self) -> Duration {
        duration(self.shared.queue().len())
    }

    /// Sends a key as a telephone-event of this length. Ignored if the peer did not agree to events.
    ///
    /// # Errors
    /// [`SessionClosed`].
    pub async fn press(&self, digit: Digit, duration_ms: u32) -> Result<(), SessionClosed> {
        self.commands.send(Command::Press { digit, duration_ms }).await.map_err(|_| SessionClosed)
    }

    /// Goes on with the stream as agreed anew (re-INVITE). The peer's address is learned anew only if it changed.
    ///
    /// # Errors
    /// [`SessionClosed`].
    pub async fn update(&self, remote: RemoteMedia) -> Result<(), SessionClosed> {
        self.commands.send(Command::Update(remote)).await.map_err(|_| SessionClosed)
    }

    /// Counters, at most 20 ms old.
    #[must_use]
    pub fn stats(&self) -> RtpStats {
        *self.shared.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for RtpSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RtpSession").finish_non_exhaustive()
    }
}

fn samples(ms: u32) -> usize {
    usize::try_from(ms).unwrap_or(usize::MAX / SAMPLES_PER_MS) * SAMPLES_PER_MS
}

fn duration(samples: usize) -> Duration {
    SampleRate::HZ_8000.duration(samples)
}

struct Task {
    socket: MediaSocket,
    shared: Arc<Shared>,
    events: mpsc::Sender<RtpEvent>,
    /// Keys and the time-out, which must not be lost because audio is not taken.
    urgent: VecDeque<RtpEvent>,
    untaken: u64,
    sender: Sender,
    receiver: Receiver,
    expected: Option<std::net::SocketAddr>,
    signalling: IpAddr,
    any_host: bool,
    started: Instant,
    report_due: Instant,
}

impl Task {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut ticker = Ticker::new();
        let mut buffer = [0_u8; 2048];
        let mut ignored = [0_u8; 2048];
        loop {
            tokio::select! {
                biased;
                missed = ticker.tick() => self.tick(missed),
                command = commands.recv() => match command {
                    Some(Command::Update(remote)) => self.update(&remote),
                    Some(Command::Press { digit, duration_ms }) => {
                        if !self.sender.press(digit, duration_ms) {
                            tracing::debug!("a key could not be sent");
                        }
                    }
                    None => break,
                },
                received = self.socket.rtp.recv_from(&mut buffer) => self.packets(received, &mut buffer),
                // Reports of the peer are read only so that they do not pile up. An error is an ICMP message: the
                // peer has no RTCP port, which is common.
                _ = receive_rtcp(self.socket.rtcp.as_ref(), &mut ignored) => {}
            }
        }
        let bye = rtcp::goodbye(self.sender.ssrc(), self.sender.timestamp(), self.sender.stats(), SystemTime::now());
        self.send_rtcp(&bye);
        self.shared.room.notify_waiters();
    }

    fn update(&mut self, remote: &RemoteMedia) {
        let (codec, payload_type, events) = (remote.codec, remote.payload_type, remote.telephone_event);
        self.sender.reconfigure(codec, payload_type, events, remote.direction.sends());
        self.receiver.reconfigure(self.started.elapsed(), codec, payload_type, events, remote.direction.receives());
        if remote.address.is_some() && remote.address != self.expected {
            self.expected = remote.address;
            self.receiver.relatch(Latch::new(remote.address, self.signalling, self.any_host));
        }
    }

    fn tick(&mut self, missed: u32) {
        let now = self.started.elapsed();
        if let Some(target) = self.receiver.target() {
            let packet = self.sender.tick(missed, &mut self.shared.queue());
            self.shared.room.notify_waiters();
            if let Some(packet) = packet {
                // A full socket buffer loses the packet, as the network may.
                let _lost = self.socket.rtp.try_send_to(&packet, target);
            }
        }
        // Missed ticks are missed frames too: the peer's audio is on its own clock and must not pile up.
        for _ in 0..=missed.min(10) {
            let tick = self.receiver.tick(now);
            if let Some(samples) = tick.frame {
                self.tell_audio(samples);
            }
            if let Some((digit, duration_ms)) = tick.key {
                self.tell(RtpEvent::Dtmf { digit, duration_ms });
            }
            if tick.timed_out {
                self.tell(RtpEvent::TimedOut);
            }
        }
        self.flush_urgent();
        if Instant::now() >= self.report_due {
            self.report_due += rtcp::INTERVAL;
            let report = rtcp::report(self.sender.ssrc(), self.sender.timestamp(), self.sender.stats(), SystemTime::now());
            self.send_rtcp(&report);
        }
        let received = ReceiveStats { untaken: self.untaken, ..self.receiver.stats() };
        let stats = RtpStats { sent: self.sender.stats(), received };
        *self.shared.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    fn packets(&mut self, first: std::io::Result<(usize, std::net::SocketAddr)>, buffer: &mut [u8]) {
        let now = self.started.elapsed();
        let mut received = first;
        for n in 0..PACKETS_MAX {
            match received {
                Ok((length, from)) => {
                    if let Some((digit, duration_ms)) = self.receiver.receive(now, &buffer[..length], from) {
                        self.tell(RtpEvent::Dtmf { digit, duration_ms });
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                // An ICMP message about a packet sent before: the peer's port may not be open yet.
                Err(_) => {}
            }
            if n + 1 < PACKETS_MAX {
                received = self.socket.rtp.try_recv_from(buffer);
            } else {
                return;
            }
        }
    }

    fn send_rtcp(&self, bytes: &[u8]) {
        let (Some(socket), Some(target)) = (&self.socket.rtcp, self.receiver.target()) else {
            return;
        };
        if let Some(port) = target.port().checked_add(1) {
            let _lost = socket.try_send_to(bytes, std::net::SocketAddr::new(target.ip(), port));
        }
    }

    fn tell_audio(&mut self, samples: Vec<i16>) {
        let event = RtpEvent::Audio(Frame { rate: SampleRate::HZ_8000, samples });
        if self.events.try_send(event).is_err() {
            self.untaken += 1;
        }
    }

    fn tell(&mut self, event: RtpEvent) {
        if self.urgent.len() < URGENT_MAX {
            self.urgent.push_back(event);
        } else {
            self.untaken += 1;
        }
        self.flush_urgent();
    }

    fn flush_urgent(&mut self) {
        while let Some(event) = self.urgent.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
                self.urgent.push_front(event);
                return;
            }
        }
    }
}

async fn receive_rtcp(socket: Option<&UdpSocket>, buffer: &mut [u8]) {
    match socket {
        Some(socket) => drop(socket.recv_from(buffer).await),
        None => std::future::pending().await,
    }
}
