//! The room's side of one call: who is heard, what is dispatched, and all tasks that work for the call.

use std::sync::Arc;
use std::time::Duration;

use frontdesk_livekit::api::{AgentDispatch, ApiError, LiveKit};
use frontdesk_livekit::room::{AudioPublisher, DisconnectReason, EndReason, Participant, ParticipantKind, RemoteAudio, Room, RoomEvent};
use frontdesk_telephony::rtp::{RtpEvent, RtpEvents};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::attributes::CALL_STATUS;
use crate::downlink::Downlink;
use crate::mixer::SourceId;
use crate::rooms::{Joined, Parting, RoomLease};
use crate::watch::{Action, AgentWatch, Leave};

/// Keys of the caller that may wait to be sent; more are lost.
const KEYS_MAX: usize = 32;

/// What the call is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Somebody is heard.
    Heard,
    /// An agent was dispatched again: so many times in all.
    Redispatched(u32),
    /// Nobody came in time.
    GiveUp,
    /// A key to be pressed on the caller's side.
    Key(char),
    /// Nothing came from the caller for too long.
    MediaTimedOut,
    /// The room is over.
    Ended(EndReason),
}

/// How a task ended.
enum Done {
    Track(String),
    Dispatched(Option<String>),
    MediaTimedOut,
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
    downlink: Arc<Downlink>,
    sources: SourceId,
    tasks: JoinSet<Done>,
}

impl RoomSide {
    pub(crate) fn new(joined: Joined, api: Arc<LiveKit>, agent: AgentDispatch, watch: AgentWatch) -> Self {
        let Joined { room, events, lease } = joined;
        let (downlink, tasks) = (Arc::default(), JoinSet::new());
        Self { room, events, lease, api, agent, dispatch_ids: Vec::new(), watch, downlink, sources: 0, tasks }
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

    pub(crate) fn dispatches(&self) -> u32 {
        self.watch.dispatches()
    }

    /// The next thing that the call must know. Cancel-safe.
    ///
    /// # Panics
    /// If one of the call's tasks panicked, so that the call ends as a whole.
    pub(crate) async fn next(&mut self) -> Notice {
        loop {
            let deadline = self.watch.deadline();
            let notice = tokio::select! {
                biased;
                event = self.events.recv() => self.on_event(event),
                Some(done) = self.tasks.join_next() => self.on_done(done),
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => self.on_deadline(),
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
            Some(RoomEvent::Lagged { .. }) => {
                self.watch.reconcile(&self.room.participants(), Instant::now());
                None
            }
            Some(RoomEvent::Ended(reason)) => Some(Notice::Ended(reason)),
            Some(_) => None,
            None => Some(Notice::Ended(self.room.end_reason().unwrap_or(EndReason::SignalLost))),
        }
    }

    fn on_track(&mut self, audio: RemoteAudio) -> Option<Notice> {
        let identity = audio.participant_identity().to_owned();
        let kind = self.room.participants().into_iter().find(|other| other.identity == identity).map(|other| other.kind);
        if kind == Some(ParticipantKind::Sip) {
            return None;
        }
        let is_surplus = self.watch.dispatches() > 1 && self.watch.is_heard() && !self.watch.hears(&identity);
        if is_surplus && kind == Some(ParticipantKind::Agent) {
            tracing::warn!("an agent came that another one has replaced; it is removed");
            self.remove(vec![identity]);
            return None;
        }
        self.sources += 1;
        let first = !self.watch.is_heard();
        self.watch.heard(audio.track_sid().to_owned(), identity);
        self.tasks.spawn(read(audio, self.downlink.clone(), self.sources));
        first.then_some(Notice::Heard)
    }

    fn on_left(&mut self, participant: &Participant, reason: DisconnectReason) {
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
            Ok(Done::Dispatched(id)) => {
                self.dispatch_ids.extend(id);
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
        let (api, room, agent) = (self.api.clone(), self.room.name().to_owned(), self.agent.clone());
        let stale = self.stale_agents();
        let withdrawn = std::mem::take(&mut self.dispatch_ids);
        self.tasks.spawn(async move {
            for identity in &stale {
                tolerate("remove a stale agent", api.remove_participant(&room, identity).await);
            }
            for id in &withdrawn {
                tolerate("withdraw a dispatch", api.delete_dispatch(&room, id).await);
            }
            match api.create_dispatch(&room, &agent).await {
                Ok(id) => Done::Dispatched(Some(id)),
                Err(error) => {
                    tracing::warn!(%error, "no agent can be dispatched");
                    Done::Dispatched(None)
                }
            }
        });
    }

    fn stale_agents(&self) -> Vec<String> {
        let others = self.room.participants().into_iter();
        others
            .filter(|other| other.kind == ParticipantKind::Agent && !self.watch.hears(&other.identity))
            .map(|other| other.identity)
            .collect()
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

/// A request whose failure changes nothing for the call.
fn tolerate(what: &str, result: Result<(), ApiError>) {
    match result {
        Ok(()) | Err(ApiError::NotFound { .. }) => {}
        Err(error) => tracing::warn!(%error, "cannot {what}"),
    }
}

async fn read(mut audio: RemoteAudio, downlink: Arc<Downlink>, source: SourceId) -> Done {
    while let Some(frame) = audio.recv().await {
        downlink.push(source, &frame.samples);
    }
    downlink.end(source);
    Done::Track(audio.track_sid().to_owned())
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
