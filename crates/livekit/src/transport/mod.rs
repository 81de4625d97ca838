//! The room of a job as the agent's [`Transport`].
//!
//! The same behind our own SIP bridge and LiveKit's: the caller is the participant of kind SIP (or, without one, any that is
//! no agent), publishing our track is what answers the call, and deleting the room is what hangs up. An agent that goes
//! away without deleting the room would leave its caller in silence, so a dropped transport deletes it as well. One that was cut off
//! from the room for good looks first whether the caller has another agent by now.

mod caller;
mod farewell;
mod methods;
mod options;
mod people;
mod signals;
mod stop;
mod transfer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use frontdesk_agent::transport::{AgentState, TranscriptLine, TransferOutcome, WhenPersonSpeaks};
use frontdesk_agent::{AudioSink, CallInfo, Pii, Transport, TransportError, TransportEvent};
use frontdesk_audio::pace::grid;
use frontdesk_audio::{Frame, SampleRate};
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::api::LiveKit;
use crate::pulse;
use crate::room::{AudioPublisher, DisconnectReason, EndReason, Participant, RemoteAudio, Room, RoomEvent, RoomOptions};
use crate::transfer::BRIDGE_ATTRIBUTE;
use crate::worker::JobContext;
use farewell::Farewell;
use methods::Desk;
use people::People;
use signals::Signals;
use stop::Stop;
use transfer::Transfers;

pub use methods::{RpcMethods, STATE_METHOD};
pub use options::TransportOptions;

/// What VAD and recognition want.
const CALLER_RATE: SampleRate = SampleRate::HZ_16000;
/// Topic of typed text.
const CHAT_TOPIC: &str = "lk.chat";

/// See the module's documentation.
#[derive(Debug)]
pub struct LiveKitTransport {
    room: Arc<Room>,
    events: mpsc::Receiver<RoomEvent>,
    options: TransportOptions,
    info: CallInfo,
    caller: Participant,
    audio: Option<RemoteAudio>,
    signals: Signals,
    transfers: Transfers,
    desk: Desk,
    /// What the agent does now.
    state: AgentState,
    people: People,
    /// Tracks that came before it was known who the caller is.
    early: Vec<RemoteAudio>,
    farewell: Farewell,
    stop: Stop,
    /// Tells our bridge that the agent is there, until it is dropped.
    pulse: Option<DropGuard>,
    assigned_at: Instant,
    over: bool,
}

impl LiveKitTransport {
    /// Joins the room of `job` and waits for its caller. `api` is what hangs up with.
    ///
    /// # Errors
    /// [`TransportError::Join`], [`TransportError::NoCaller`] within `caller_timeout`, or [`TransportError::Ended`] if the room
    /// or the job ends before.
    pub async fn join(job: &JobContext, api: Arc<LiveKit>, options: TransportOptions) -> Result<Self, TransportError> {
        let mut room_options = RoomOptions::new(&job.url, &job.token);
        room_options.subscribe_rate = CALLER_RATE;
        room_options.fill_silence_after = options.fill_silence_after;
        room_options.resume_window = options.resume_window;
        let connected = tokio::select! {
            () = job.stop.cancelled() => return Err(TransportError::Ended),
            connected = Room::connect(room_options) => connected,
        };
        let (room, mut events) = connected.map_err(|error| TransportError::Join(error.to_string()))?;
        let room = Arc::new(room);
        // From here on whoever fails leaves no room behind.
        let transfers = Transfers::new(Arc::clone(&api));
        let mut farewell = Farewell::new(Arc::clone(&api), room.clone(), job.room.clone());
        let mut audio = Vec::new();
        let found = tokio::select! {
            () = job.stop.cancelled() => Err(TransportError::Ended),
            found = caller::wait_for(&room, &mut events, &mut audio, options.caller_timeout) => found,
        };
        let caller = match found {
            Ok(caller) => caller,
            Err(error) => {
                farewell.say().await;
                return Err(error);
            }
        };
        let is_callers = |audio: &RemoteAudio| audio.participant_identity() == caller.identity;
        let (callers, early): (Vec<_>, Vec<_>) = audio.into_iter().partition(is_callers);
        let audio = callers.into_iter().next_back();
        let signals = Signals::start(room.clone(), caller.clone());
        let pulse = caller.attribute(BRIDGE_ATTRIBUTE).is_some().then(|| {
            farewell.is_told_to(caller.identity.clone());
            pulse::start(room.clone(), caller.identity.clone())
        });
        let info = caller::info(job, &caller);
        let stop = Stop::watch(job.stop.clone(), api, Arc::clone(&room));
        let desk = Desk::new(Arc::clone(&room), options.methods.clone(), info.call_id.clone());
        Ok(Self {
            room,
            events,
            options,
            info,
            caller,
            audio,
            signals,
            transfers,
            desk,
            state: AgentState::Initializing,
            people: People::default(),
            early,
            farewell,
            stop,
            pulse,
            assigned_at: job.assigned_at,
            over: false,
        })
    }

    /// The room, for what the trait does not offer.
    #[must_use]
    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Whether the caller came through our own bridge, which watches over its agent; LiveKit's SIP service does not.
    #[must_use]
    pub fn is_behind_our_bridge(&self) -> bool {
        self.caller.attribute(BRIDGE_ATTRIBUTE).is_some()
    }

    /// Fires when the call is to stop because its job is ([`JobContext::stop`]); not if that was told because the agent was removed from
    /// the room, which is an event: then the call is another's.
    #[must_use]
    pub fn stop(&self) -> CancellationToken {
        self.stop.here.clone()
    }

    /// The numbers, in E.164, of those whom the caller may be transferred to, by their names.
    pub fn set_transfer_numbers(&mut self, numbers: BTreeMap<String, String>) {
        self.transfers.set_numbers(numbers);
    }

    /// What the agent does from now on when a person joins the call and speaks.
    pub fn when_person_speaks(&mut self, what: WhenPersonSpeaks) {
        self.options.when_person_speaks = what;
    }

    /// What an event of the room means for the call, if anything.
    fn translate(&mut self, event: RoomEvent) -> Option<TransportEvent> {
        match event {
            RoomEvent::AudioTrack(audio) if self.is_caller(audio.participant_identity()) => {
                self.audio = Some(audio);
                None
            }
            RoomEvent::AudioTrack(audio) => self.person_speaks(audio.participant_identity()),
            RoomEvent::Rpc(request) => {
                self.desk.on_request(request, self.state);
                None
            }
            RoomEvent::Dtmf(dtmf) if self.is_caller(&dtmf.sender) => Some(TransportEvent::Dtmf(dtmf.digit)),
            RoomEvent::Data(data) if self.is_caller(&data.sender) && data.topic == pulse::PULSE_TOPIC => {
                (data.payload == pulse::HANG_UP).then_some(TransportEvent::CallerLeft)
            }
            RoomEvent::Data(data) if self.is_caller(&data.sender) => {
                self.transfers.on_data(&data);
                None
            }
            RoomEvent::Text(text) if text.topic == CHAT_TOPIC => Some(TransportEvent::Text(Pii::new(text.text))),
            RoomEvent::ParticipantUpdated(participant) if self.is_caller(&participant.identity) && caller::has_hung_up(&participant) => {
                Some(TransportEvent::CallerLeft)
            }
            RoomEvent::ParticipantLeft { participant, reason: DisconnectReason::RoomDeleted | DisconnectReason::RoomClosed }
                if self.is_caller(&participant.identity) =>
            {
                Some(TransportEvent::RoomClosed)
            }
            RoomEvent::ParticipantLeft { participant, reason: DisconnectReason::ParticipantRemoved }
                if self.is_caller(&participant.identity) =>
            {
                Some(TransportEvent::CallerRemoved)
            }
            // Who joins anew under the same identity replaces the old connection; a lost event may have been the leaving.
            RoomEvent::ParticipantLeft { .. } | RoomEvent::Lagged { .. } => {
                let present = self.room.participants().iter().any(|participant| self.is_caller(&participant.identity));
                if present { self.people_left() } else { Some(TransportEvent::CallerLeft) }
            }
            RoomEvent::LocalTrackSubscribed { .. } => {
                let subscribed_ms = u64::try_from(self.assigned_at.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(call = self.info.call_id, subscribed_ms, "the caller hears the agent");
                None
            }
            RoomEvent::Ended(reason) => {
                tracing::info!(?reason, "the room ended");
                let event = ended(reason);
                match event {
                    // The caller has, or will have, another agent: the room is not ours any more.
                    TransportEvent::Removed | TransportEvent::Replaced => self.farewell.leave_the_room_be(),
                    // He may have another one by now. If not, he is not left in silence.
                    TransportEvent::Disconnected | TransportEvent::ShutOut => self.farewell.end_only_what_nobody_serves(),
                    _ => {}
                }
                Some(event)
            }
            _ => None,
        }
    }

    fn is_caller(&self, identity: &str) -> bool {
        self.caller.identity == identity
    }
}

#[async_trait]
impl Transport for LiveKitTransport {
    fn info(&self) -> &CallInfo {
        &self.info
    }

    async fn answer(&mut self, rate: SampleRate) -> Result<Box<dyn AudioSink>, TransportError> {
        // A call that is answered before we hear the caller loses the caller's first word.
        if let Ok(Err(_)) = tokio::time::timeout(self.options.media_wait, self.room.media_connected()).await {
            return Err(TransportError::Ended);
        }
        let publisher = self.room.publish_audio(rate).await.map_err(|error| TransportError::Publish(error.to_string()))?;
        self.signals.agent_track(publisher.track_sid());
        Ok(Box::new(Sink { publisher, latency: self.options.latency }))
    }

    async fn next_event(&mut self) -> TransportEvent {
        while !self.over {
            if let Some(event) = self.early.pop().and_then(|audio| self.person_speaks(audio.participant_identity())) {
                self.over = event.end().is_some();
                return event;
            }
            let event = tokio::select! {
                biased;
                event = self.events.recv() => match event {
                    Some(event) => self.translate(event),
                    None => {
                        self.farewell.end_only_what_nobody_serves();
                        Some(TransportEvent::Disconnected)
                    }
                },
                () = self.stop.removed() => {
                    self.farewell.leave_the_room_be();
                    Some(TransportEvent::Removed)
                }
                frame = next_frame(&mut self.audio) => frame.map(TransportEvent::Audio),
            };
            if let Some(event) = event {
                self.over = event.end().is_some();
                return event;
            }
        }
        TransportEvent::Disconnected
    }

    async fn set_state(&mut self, state: AgentState) {
        self.state = state;
        self.signals.state(state);
    }

    async fn publish_transcript(&mut self, line: &TranscriptLine) {
        self.signals.transcript(line);
    }

    fn transfer(&mut self, target: &str) -> BoxFuture<'static, TransferOutcome> {
        self.transfers.begin(Arc::clone(&self.room), &self.caller, target)
    }

    async fn hang_up(&mut self) {
        self.over = true;
        self.signals.stop();
        self.desk.stop();
        self.pulse = None;
        self.farewell.say().await;
    }

    async fn leave(&mut self) {
        self.over = true;
        self.signals.stop();
        self.desk.stop();
        self.pulse = None;
        self.farewell.leave().await;
    }
}

/// What the end of the room means for the call.
const fn ended(reason: EndReason) -> TransportEvent {
    match reason {
        EndReason::Server(DisconnectReason::RoomDeleted | DisconnectReason::RoomClosed) => TransportEvent::RoomClosed,
        // The server knows our place in the room no more: whoever was cut off for long was removed meanwhile, and another agent
        // may have the call.
        EndReason::Server(DisconnectReason::ParticipantRemoved | DisconnectReason::StateMismatch) => TransportEvent::Removed,
        EndReason::Server(DisconnectReason::DuplicateIdentity) => TransportEvent::Replaced,
        EndReason::Refused => TransportEvent::ShutOut,
        _ => TransportEvent::Disconnected,
    }
}

/// The next frame; a track that has ended is forgotten, and without one this waits for ever.
async fn next_frame(audio: &mut Option<RemoteAudio>) -> Option<Frame> {
    let Some(track) = audio else { return std::future::pending().await };
    let frame = track.recv().await;
    if frame.is_none() {
        *audio = None;
    }
    frame
}

/// The agent's track.
struct Sink {
    publisher: AudioPublisher,
    latency: Duration,
}

impl AudioSink for Sink {
    fn write(&mut self, frame: &[i16]) {
        // The publisher counts what it could not send.
        if let Err(error) = self.publisher.write(frame) {
            tracing::trace!(%error, "frame not sent");
        }
    }

    fn starts_at(&self) -> tokio::time::Instant {
        grid::from(tokio::time::Instant::now())
    }

    fn latency(&self) -> Duration {
        self.latency
    }
}
