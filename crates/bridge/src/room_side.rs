//! The room's side of one call: who is heard, what is dispatched, and all tasks that work for the call.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use frontdesk_livekit::api::{AgentDispatch, LiveKit, tolerate};
use frontdesk_livekit::room::{
    AudioPublisher, DataMessage, DisconnectReason, EndReason, OutgoingData, Participant, ParticipantKind, RemoteAudio, Room, RoomEvent,
};
use frontdesk_livekit::{pulse, transfer};
use frontdesk_telephony::rtp::{RtpEvent, RtpEvents};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::attributes::CALL_STATUS;
use crate::downlink::Downlink;
use crate::heartbeat::Heartbeats;
use crate::mixer::SourceId;
use crate::pulse::Pulse;
use crate::replacement::Replacement;
use crate::rooms::{Joined, Parting, RoomLease};
use crate::watch::{Action, AgentWatch, Leave};

/// Keys of the caller that may wait to be sent; more are lost.
const KEYS_MAX: usize = 32;

/// What the call is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Somebody is heard.
    Heard,
    /// An agent was dispatched again: so many times in all.
    Redispatched(u32),
    /// Nobody came in time.
    GiveUp,
    /// A key to be pressed on the caller's side.
    Key(char),
    /// An agent, by its identity, wants the caller handed to somebody else.
    Transfer(String, transfer::Request),
    /// The agent hangs up, and could not delete the room.
    HangUp,
    /// Nothing came from the caller for too long.
    MediaTimedOut,
    /// The room is over.
    Ended(EndReason),
}

/// How a task ended.
enum Done {
    Track(String),
    Stalled(RemoteAudio, SourceId),
    Dispatched(Option<String>),
    MediaTimedOut,
    /// No beat of this participant comes, and the server answers, or does not.
    BeatsStopped(String, bool),
    Nothing,
}

/// See the module's documentation.
pub(crate) struct RoomSide {
    room: Arc<Room>,
    events: mpsc::Receiver<RoomEvent>,
    lease: RoomLease,
    api: Arc<LiveKit>,
    agent: AgentDispatch,
    /// Dispatches that we made besides the first.
    dispatch_ids: Vec<String>,
    watch: AgentWatch,
    stall: Duration,
    beats: Heartbeats,
    downlink: Arc<Downlink>,
    sources: SourceId,
    /// Whose audio we had.
    once_heard: BTreeSet<String>,
    /// An agent was removed from the room, and no other is heard yet.
    orphaned: Arc<AtomicBool>,
    tasks: JoinSet<Done>,
}

impl RoomSide {
    pub(crate) fn new(joined: Joined, api: Arc<LiveKit>, agent: AgentDispatch, watch: AgentWatch, stall: Duration) -> Self {
        let Joined { room, events, lease } = joined;
        let (downlink, tasks) = (Arc::default(), JoinSet::new());
        Self {
            room,
            events,
            lease,
            api,
            agent,
            dispatch_ids: Vec::new(),
            watch,
            stall,
            beats: Heartbeats::new(stall),
            downlink,
            sources: 0,
            once_heard: BTreeSet::new(),
            orphaned: Arc::default(),
            tasks,
        }
    }

    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    pub(crate) fn downlink(&self) -> &Arc<Downlink> {
        &self.downlink
    }

    pub(crate) fn is_heard(&self) -> bool {
        self.watch.is_heard()
    }

    /// Whether an agent was removed because it was not heard any more, and no other is there: what it does to the room
    /// afterwards is not meant for the caller.
    pub(crate) fn is_orphaned(&self) -> bool {
        self.orphaned.load(Ordering::Relaxed)
    }

    pub(crate) fn dispatches(&self) -> u32 {
        self.watch.dispatches()
    }

    /// The next thing that the call must know. Cancel-safe.
    ///
    /// # Panics
    /// If one of the call's tasks panicked, so that the call ends as a whole.
    pub(crate) async fn next(&mut self) -> Notice {
        loop {
            let (deadline, beats_due) = (self.watch.deadline(), self.beats.deadline());
            let notice = tokio::select! {
                biased;
                event = self.events.recv() => self.on_event(event),
                Some(done) = self.tasks.join_next() => self.on_done(done),
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => self.on_deadline(),
                () = tokio::time::sleep_until(beats_due.unwrap_or_else(Instant::now)), if beats_due.is_some() => {
                    self.look_for_the_silent();
                    None
                }
            };
            if let Some(notice) = notice {
                return notice;
            }
        }
    }

    fn on_event(&mut self, event: Option<RoomEvent>) -> Option<Notice> {
        match event {
            Some(RoomEvent::AudioTrack(audio)) => self.on_track(audio),
            Some(RoomEvent::ParticipantLeft { participant, reason }) => {
                self.on_left(&participant, reason);
                None
            }
            Some(RoomEvent::Dtmf(dtmf)) => Some(Notice::Key(dtmf.digit)),
            Some(RoomEvent::Data(data)) => self.on_data(data),
            Some(RoomEvent::Lagged { .. }) => {
                self.watch.reconcile(&self.room.participants(), Instant::now());
                None
            }
            Some(RoomEvent::Ended(reason)) => Some(Notice::Ended(reason)),
            Some(_) => None,
            None => Some(Notice::Ended(self.room.end_reason().unwrap_or(EndReason::SignalLost))),
        }
    }

    /// Agents have stopped beating. If our own line to the server is cut, they are not to blame.
    fn look_for_the_silent(&mut self) {
        for identity in self.beats.stopped(Instant::now()) {
            let (api, room) = (self.api.clone(), self.room.name().to_owned());
            self.tasks.spawn(async move { Done::BeatsStopped(identity, api.list_participants(&room).await.is_ok()) });
        }
    }

    fn on_beats_stopped(&mut self, identity: &str, server_answers: bool) {
        let now = Instant::now();
        if !server_answers && self.beats.excuse(identity, now) {
            return;
        }
        if self.beats.has_stopped(identity) && self.watch.left(identity, Leave::Lost, now) {
            tracing::warn!(stall_ms = self.stall.as_millis(), server_answers, "the agent has vanished: it gives no sign of life any more");
        }
    }

    /// Only an agent may have the caller transferred, or hang up on him.
    fn on_data(&mut self, data: DataMessage) -> Option<Notice> {
        if data.topic == pulse::PULSE_TOPIC {
            if data.payload == pulse::HANG_UP {
                return (self.is_agent(&data.sender) && self.watch.hears(&data.sender)).then_some(Notice::HangUp);
            }
            self.beats.beat(&data.sender, Instant::now());
            return None;
        }
        let request = transfer::Request::parse(&data.payload).filter(|_| data.topic == transfer::TRANSFER_TOPIC)?;
        let is_agent = self.is_agent(&data.sender);
        if !is_agent {
            tracing::warn!("somebody who is no agent wants the caller transferred; refused");
        }
        is_agent.then_some(Notice::Transfer(data.sender, request))
    }

    fn is_agent(&self, identity: &str) -> bool {
        self.room.participants().iter().any(|other| other.identity == identity && other.kind == ParticipantKind::Agent)
    }

    /// Tells an agent what came of its transfer.
    pub(crate) fn tell_transfer(&mut self, agent: String, reply: transfer::Reply) {
        let room = self.room.clone();
        self.tasks.spawn(async move {
            let (payload, topic) = (reply.to_bytes(), transfer::TRANSFER_TOPIC.to_owned());
            if let Err(error) = room.send_data(OutgoingData { payload, topic, reliable: true, destinations: vec![agent] }).await {
                tracing::warn!(%error, "the agent does not hear what came of its transfer");
            }
            Done::Nothing
        });
    }

    fn on_track(&mut self, audio: RemoteAudio) -> Option<Notice> {
        let identity = audio.participant_identity().to_owned();
        let kind = self.room.participants().into_iter().find(|other| other.identity == identity).map(|other| other.kind);
        let is_surplus = self.watch.dispatches() > 1 && self.watch.is_heard() && !self.watch.hears(&identity);
        if is_surplus && kind == Some(ParticipantKind::Agent) {
            tracing::warn!("an agent came that another one has replaced; it is removed");
            self.remove(vec![identity]);
            return None;
        }
        self.sources += 1;
        let first = !self.watch.is_heard();
        self.orphaned.store(false, Ordering::Relaxed);
        self.once_heard.insert(identity.clone());
        self.watch.heard(audio.track_sid().to_owned(), identity);
        self.read(audio, self.sources, Pulse::new(self.stall));
        first.then_some(Notice::Heard)
    }

    fn read(&mut self, audio: RemoteAudio, source: SourceId, pulse: Pulse) {
        let reader = Reader { downlink: self.downlink.clone(), api: self.api.clone(), room: self.room.clone(), source };
        self.tasks.spawn(reader.run(audio, pulse));
    }

    /// The server answers, but nothing comes from a sender that sends even when it is silent. The server takes much longer to
    /// notice that its process is gone.
    fn on_stalled(&mut self, audio: RemoteAudio, source: SourceId) {
        // Silence of one that beats means silence.
        if !self.beats.knows(audio.participant_identity()) && self.watch.left(audio.participant_identity(), Leave::Lost, Instant::now()) {
            tracing::warn!(stall_ms = self.stall.as_millis(), "the agent has vanished: it sends nothing any more");
        }
        self.read(audio, source, Pulse::off());
    }

    fn on_left(&mut self, participant: &Participant, reason: DisconnectReason) {
        self.beats.left(&participant.identity);
        if participant.kind != ParticipantKind::Agent && !self.watch.hears(&participant.identity) {
            return;
        }
        let leave = match reason {
            DisconnectReason::ClientInitiated => Leave::Orderly,
            DisconnectReason::ParticipantRemoved => Leave::Removed,
            _ => Leave::Lost,
        };
        if self.watch.left(&participant.identity, leave, Instant::now()) {
            tracing::info!(?reason, "the agent has left");
        }
    }

    fn on_done(&mut self, done: Result<Done, JoinError>) -> Option<Notice> {
        match done {
            Ok(Done::Track(sid)) => {
                self.watch.track_ended(&sid, Instant::now());
                None
            }
            Ok(Done::Stalled(audio, source)) => {
                self.on_stalled(audio, source);
                None
            }
            Ok(Done::Dispatched(id)) => {
                self.dispatch_ids.extend(id);
                None
            }
            Ok(Done::BeatsStopped(identity, server_answers)) => {
                self.on_beats_stopped(&identity, server_answers);
                None
            }
            Ok(Done::MediaTimedOut) => Some(Notice::MediaTimedOut),
            Ok(Done::Nothing) => None,
            Err(error) => {
                if let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
                None
            }
        }
    }

    fn on_deadline(&mut self) -> Option<Notice> {
        match self.watch.tick(Instant::now())? {
            Action::GiveUp => Some(Notice::GiveUp),
            Action::Dispatch => {
                tracing::warn!(dispatches = self.watch.dispatches(), "no agent is heard; one is dispatched again");
                self.dispatch();
                Some(Notice::Redispatched(self.watch.dispatches()))
            }
        }
    }

    /// Removes agents that are not heard, withdraws their dispatches, and asks for another agent.
    fn dispatch(&mut self) {
        self.lease.redispatched();
        let replacement = Replacement {
            api: self.api.clone(),
            room: self.room.clone(),
            agent: self.agent.clone(),
            once_heard: self.once_heard.clone(),
            withdrawn: std::mem::take(&mut self.dispatch_ids),
            orphaned: self.orphaned.clone(),
        };
        self.tasks.spawn(async move { Done::Dispatched(replacement.run().await) });
    }

    fn remove(&mut self, identities: Vec<String>) {
        let (api, room) = (self.api.clone(), self.room.name().to_owned());
        self.tasks.spawn(async move {
            for identity in &identities {
                tolerate("remove an agent", api.remove_participant(&room, identity).await);
            }
            Done::Nothing
        });
    }

    /// The call is answered: what the caller says goes to the room from now on.
    pub(crate) fn start_uplink(&mut self, events: RtpEvents, publisher: AudioPublisher) {
        let (keys, pressed) = mpsc::channel(KEYS_MAX);
        self.tasks.spawn(uplink(events, publisher, keys));
        self.tasks.spawn(send_keys(self.room.clone(), pressed));
        let room = self.room.clone();
        self.tasks.spawn(async move {
            let status = [(CALL_STATUS.to_owned(), "active".to_owned())];
            if let Err(error) = room.set_attributes(status.into()).await {
                tracing::debug!(%error, "the call's status is not told");
            }
            Done::Nothing
        });
    }

    /// After the room has ended: waits until what was received has been handed on, for at most `limit`.
    pub(crate) async fn drain(&mut self, limit: Duration) {
        let drained = async {
            while self.watch.is_heard() {
                match self.tasks.join_next().await {
                    Some(done) => drop(self.on_done(done)),
                    None => return,
                }
            }
        };
        // Whatever is not there by now is not worth the wait.
        let _in_time = tokio::time::timeout(limit, drained).await;
    }

    /// Ends all tasks; leaves and ends the room in the background.
    pub(crate) fn close(mut self, parting: Parting) {
        self.tasks.abort_all();
        self.lease.close(self.room, parting);
    }
}

/// What reads a remote track.
struct Reader {
    downlink: Arc<Downlink>,
    api: Arc<LiveKit>,
    room: Arc<Room>,
    source: SourceId,
}

impl Reader {
    /// Hands the audio on to its end, or until it stalls although the server answers.
    async fn run(self, mut audio: RemoteAudio, mut pulse: Pulse) -> Done {
        loop {
            let deadline = pulse.deadline();
            let received = tokio::select! {
                biased;
                frame = audio.recv() => Some(frame),
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => None,
            };
            let frame = match received {
                Some(Some(frame)) => frame,
                Some(None) => {
                    self.downlink.end(self.source);
                    return Done::Track(audio.track_sid().to_owned());
                }
                None => {
                    // If our own line to the server is cut, the agent is not to blame.
                    let server_answers = self.api.list_participants(self.room.name()).await.is_ok();
                    match audio.try_recv() {
                        Some(frame) => frame,
                        None if server_answers => return Done::Stalled(audio, self.source),
                        None => {
                            pulse.wait_on(Instant::now());
                            continue;
                        }
                    }
                }
            };
            pulse.beat(Instant::now(), &frame.samples);
            self.downlink.push(self.source, &frame.samples);
        }
    }
}

async fn uplink(mut events: RtpEvents, mut publisher: AudioPublisher, keys: mpsc::Sender<char>) -> Done {
    while let Some(event) = events.recv().await {
        match event {
            RtpEvent::Audio(frame) => {
                // The publisher counts what it could not send.
                if let Err(error) = publisher.write(&frame.samples) {
                    tracing::trace!(%error, "frame not sent");
                }
            }
            RtpEvent::Dtmf { digit, .. } => {
                if keys.try_send(digit.key()).is_err() {
                    tracing::warn!("a key is lost: the room does not take them");
                }
            }
            RtpEvent::TimedOut => return Done::MediaTimedOut,
        }
    }
    Done::Nothing
}

async fn send_keys(room: Arc<Room>, mut pressed: mpsc::Receiver<char>) -> Done {
    while let Some(key) = pressed.recv().await {
        if let Err(error) = room.send_dtmf(key).await {
            tracing::warn!(%error, "a key is lost");
        }
    }
    Done::Nothing
}
