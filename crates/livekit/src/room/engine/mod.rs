//! The task that owns a room: signalling, negotiation, and what is told to the application.

mod media;
mod session;
mod signal;
mod start;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use frontdesk_audio::{Frame, SampleRate};
use livekit_protocol as proto;
use livekit_signaling::{SignalClient, SignalEvent, SignalEvents};
use proto::signal_request::Message as Request;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::data::{DataChannels, Incoming};
use super::error::AttributeError;
use super::event::{EndReason, EventSink};
use super::ice::SkippedIceServer;
use super::options::RoomOptions;
use super::packets_in::EncodedPacket;
use super::participant::{DisconnectReason, Roster};
use super::peer::{Peer, PeerEvent};
use super::publication::{LocalTrack, Negotiation, PublishReply};
use super::queue::Queue;
use super::resume::{Flapping, HeldRequests, Resumed};
use super::rpc::Rpc;
use super::streams::TextStreams;
use crate::server_url::ServerUrl;

pub(super) use media::dtmf_code;
pub(super) use start::{Started, start};

/// How often bounds are looked after.
const HOUSEKEEPING: Duration = Duration::from_millis(500);
/// How long one signal message may take to be written.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// Attribute requests that may wait for the server's answer.
const PENDING_ATTRIBUTES_MAX: usize = 32;
/// Remote tracks that may wait for their participant to become known.
const WAITING_TRACKS_MAX: usize = 16;

/// What the application asks of the engine.
pub(super) enum Command {
    Publish { rate: SampleRate, reply: PublishReply },
    SetAttributes { attributes: BTreeMap<String, String>, reply: oneshot::Sender<Result<(), AttributeError>> },
    Leave { reason: DisconnectReason },
}

/// What the application's handle shares with the engine.
pub(super) struct Shared {
    pub(super) room_name: String,
    pub(super) room_sid: String,
    pub(super) roster: Mutex<Roster>,
    pub(super) data: Arc<DataChannels>,
    /// Servers of the join response that media cannot go through.
    pub(super) skipped_ice_servers: Vec<SkippedIceServer>,
    pub(super) rpc: Rpc,
    /// Whether both connections have been up.
    pub(super) media_up: watch::Sender<bool>,
    /// Set once, when the engine has torn everything down.
    pub(super) ended: watch::Sender<Option<EndReason>>,
    pub(super) cancel: CancellationToken,
}

impl Shared {
    pub(super) fn roster(&self) -> MutexGuard<'_, Roster> {
        // The roster is consistent after every single operation, so a poisoned lock is as good as a sound one.
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a remote track's audio goes.
enum RemoteQueue {
    Frames(Arc<Queue<Frame>>),
    Packets(Arc<Queue<EncodedPacket>>),
}

impl RemoteQueue {
    fn end(&self) {
        match self {
            Self::Frames(queue) => queue.end(),
            Self::Packets(queue) => queue.end(),
        }
    }
}

/// A track that we are subscribed to.
struct RemoteTrack {
    participant_sid: String,
    queue: RemoteQueue,
    cancel: CancellationToken,
    /// Whether packets have come, so that a task decodes them.
    started: bool,
    /// Whether the server has told that it is published.
    published: bool,
}

/// See the module's documentation.
pub(super) struct Engine {
    url: ServerUrl,
    options: RoomOptions,
    shared: Arc<Shared>,
    tasks: TaskTracker,
    /// Cancels tracks and channels; a child of the room's.
    media_cancel: CancellationToken,
    events: Option<EventSink>,
    commands: mpsc::Receiver<Command>,

    signal: Arc<SignalClient>,
    signal_events: SignalEvents,
    /// Set while the signal connection is being resumed.
    resuming: Option<oneshot::Receiver<Resumed>>,
    flapping: Flapping,
    held_requests: HeldRequests,
    /// The next participant update names everybody.
    expect_snapshot: bool,

    publisher: Peer,
    subscriber: Peer,
    peer_events: mpsc::Receiver<PeerEvent>,
    negotiation: Negotiation,
    /// Since when media is not up.
    media_down_since: Option<Instant>,

    local: Option<LocalTrack>,
    /// By the server's id of the track.
    remote_tracks: HashMap<String, RemoteTrack>,
    /// Ids of participant and track.
    waiting_tracks: Vec<(String, String)>,
    packets: mpsc::Receiver<Incoming>,
    packets_sender: mpsc::Sender<Incoming>,
    texts: TextStreams,
    pending_attributes: HashMap<u32, oneshot::Sender<Result<(), AttributeError>>>,
    started: Instant,
    /// Why it is over; set once.
    end: Option<EndReason>,
    leave_reason: DisconnectReason,
}

impl Engine {
    /// Runs until the room is over, then tears everything down.
    pub(super) async fn run(mut self) {
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        housekeeping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.end.is_none() {
            // Signal events before the resumption's result: the close that a restart causes must not count as a new one.
            tokio::select! {
                biased;
                () = self.shared.cancel.cancelled() => self.finish(EndReason::Left),
                event = self.signal_events.recv() => self.on_signal_event(event).await,
                Some(event) = self.peer_events.recv() => self.on_peer_event(event).await,
                command = self.commands.recv() => self.on_command(command).await,
                result = resumption(&mut self.resuming) => self.on_resumed(result).await,
                Some((reliable, packet)) = self.packets.recv() => self.on_packet(reliable, packet),
                _ = housekeeping.tick() => self.keep_house().await,
            }
        }
        self.tear_down().await;
    }

    fn finish(&mut self, reason: EndReason) {
        self.end.get_or_insert(reason);
    }

    /// Time since we joined, for the log.
    fn age_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn emit(&mut self, event: super::event::RoomEvent) {
        if let Some(events) = &mut self.events {
            events.emit(event);
        }
    }

    async fn on_signal_event(&mut self, event: Option<SignalEvent>) {
        match event {
            Some(SignalEvent::Message(message)) => self.on_message(*message).await,
            Some(SignalEvent::Close(_)) if self.resuming.is_some() => {}
            Some(SignalEvent::Close(why)) => {
                tracing::debug!(%why, "signal connection lost");
                self.begin_resume(proto::ReconnectReason::RrSignalDisconnected);
            }
            None => self.finish(EndReason::SignalLost),
        }
    }

    async fn on_command(&mut self, command: Option<Command>) {
        match command {
            Some(Command::Publish { rate, reply }) => self.publish(rate, reply).await,
            Some(Command::SetAttributes { attributes, reply }) => self.set_attributes(attributes, reply).await,
            Some(Command::Leave { reason }) => {
                self.leave_reason = reason;
                self.finish(EndReason::Left);
            }
            None => self.finish(EndReason::Left),
        }
    }

    /// Sends a signal message; while the connection is being resumed, what the resumed one must carry waits.
    async fn send(&mut self, request: Request) {
        if self.resuming.is_some() {
            self.held_requests.hold(request);
            return;
        }
        if tokio::time::timeout(SEND_TIMEOUT, self.signal.send(request)).await.is_err() {
            tracing::warn!("signal connection does not take messages");
        }
    }

    async fn set_attributes(&mut self, attributes: BTreeMap<String, String>, reply: oneshot::Sender<Result<(), AttributeError>>) {
        self.pending_attributes.retain(|_, reply| !reply.is_closed());
        if self.pending_attributes.len() >= PENDING_ATTRIBUTES_MAX {
            let _ = reply.send(Err(AttributeError::Timeout));
            return;
        }
        let request_id = self.signal.next_request_id();
        self.pending_attributes.insert(request_id, reply);
        let attributes = attributes.into_iter().collect();
        let update = proto::UpdateParticipantMetadata { attributes, request_id, ..Default::default() };
        self.send(Request::UpdateMetadata(update)).await;
    }
}

async fn resumption(resuming: &mut Option<oneshot::Receiver<Resumed>>) -> Resumed {
    match resuming {
        // The task is only dropped together with the room.
        Some(result) => result.await.unwrap_or(Err(EndReason::SignalLost)),
        None => std::future::pending().await,
    }
}
