//! The application's handle of a room.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use frontdesk_audio::SampleRate;
use livekit_protocol as proto;
use proto::data_packet::Value;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::audio_out::AudioPublisher;
use super::engine::{Command, Shared, Started, dtmf_code, start};
use super::error::{AttributeError, ConnectError, DataError, PublishError, RoomClosed};
use super::event::{EndReason, RoomEvent};
use super::ice::SkippedIceServer;
use super::options::RoomOptions;
use super::participant::{DisconnectReason, Participant};
use super::rpc::{self, RpcError, RpcRequest};
use super::streams;
use crate::api::random_id;

/// Largest payload of one packet, on either channel: it fits one SCTP message that every client takes.
pub const DATA_LIMIT_BYTES: usize = 15_000;
/// Largest text of one stream.
const TEXT_LIMIT_BYTES: usize = 64 * 1024;
/// How long publishing may take, the media connection included.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the server may take to acknowledge attributes.
const ATTRIBUTES_TIMEOUT: Duration = Duration::from_secs(5);
/// How long leaving may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(15);

/// A packet to send.
#[derive(Clone, Default)]
pub struct OutgoingData {
    /// The content, at most [`DATA_LIMIT_BYTES`].
    pub payload: Bytes,
    /// Topic, may be empty.
    pub topic: String,
    /// Over the reliable or the lossy channel.
    pub reliable: bool,
    /// Identities of the receivers; empty means everybody.
    pub destinations: Vec<String>,
}

impl fmt::Debug for OutgoingData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingData").field("topic", &self.topic).field("size_bytes", &self.payload.len()).finish_non_exhaustive()
    }
}

/// A joined room. Dropping it leaves in the background; [`Room::leave`] leaves and waits.
pub struct Room {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    tasks: TaskTracker,
    _leave_on_drop: DropGuard,
}

impl Room {
    /// Joins. Events come from the receiver until [`RoomEvent::Ended`], after which it is closed.
    ///
    /// # Errors
    /// [`ConnectError`], within `connect_timeout` and a few seconds for the server to let us in.
    pub async fn connect(options: RoomOptions) -> Result<(Self, mpsc::Receiver<RoomEvent>), ConnectError> {
        let cancel = CancellationToken::new();
        let leave_on_drop = cancel.clone().drop_guard();
        let tasks = TaskTracker::new();
        let Started { shared, commands, events } = start(options, cancel, tasks.clone()).await?;
        tasks.close();
        Ok((Self { shared, commands, tasks, _leave_on_drop: leave_on_drop }, events))
    }

    /// The room's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.room_name
    }

    /// The server's id of the room; may be empty at first.
    #[must_use]
    pub fn sid(&self) -> &str {
        &self.shared.room_sid
    }

    /// Ourselves, as the server last described us.
    #[must_use]
    pub fn local_participant(&self) -> Participant {
        self.shared.roster().local().clone()
    }

    /// The others who are in the room now.
    #[must_use]
    pub fn participants(&self) -> Vec<Participant> {
        self.shared.roster().others()
    }

    /// Waits until both media connections have been up once.
    ///
    /// # Errors
    /// [`RoomClosed`] if the room ends before.
    pub async fn media_connected(&self) -> Result<(), RoomClosed> {
        let mut up = self.shared.media_up.subscribe();
        let mut ended = self.shared.ended.subscribe();
        tokio::select! {
            up = up.wait_for(|up| *up) => up.map(drop).map_err(|_| RoomClosed),
            _ = ended.wait_for(Option::is_some) => Err(RoomClosed),
        }
    }

    /// ICE servers that LiveKit offered and that media cannot go through here. Told in the log once, too.
    #[must_use]
    pub fn skipped_ice_servers(&self) -> &[SkippedIceServer] {
        &self.shared.skipped_ice_servers
    }

    /// Waits until data can be sent and received. What others send before is lost to us.
    ///
    /// # Errors
    /// [`DataError::NotOpen`] or [`DataError::Closed`].
    pub async fn data_connected(&self) -> Result<(), DataError> {
        self.shared.data.connected().await
    }

    /// Why the room is over, once it is.
    #[must_use]
    pub fn end_reason(&self) -> Option<EndReason> {
        *self.shared.ended.borrow()
    }

    /// Publishes our one audio track; returns when frames reach the server. The caller then writes one frame of 20 ms
    /// every 20 ms at `rate` (8, 12, 16, 24 or 48 kHz).
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn publish_audio(&self, rate: SampleRate) -> Result<AudioPublisher, PublishError> {
        let (reply, result) = oneshot::channel();
        let command = Command::Publish { rate, reply };
        self.commands.send(command).await.map_err(|_| RoomClosed)?;
        match tokio::time::timeout(PUBLISH_TIMEOUT, result).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(RoomClosed.into()),
            Err(_) if !*self.shared.media_up.borrow() => Err(PublishError::NoMedia { limit_ms: PUBLISH_TIMEOUT.as_millis() }),
            Err(_) => Err(PublishError::Timeout { limit_ms: PUBLISH_TIMEOUT.as_millis() }),
        }
    }

    /// Sets attributes of ourselves; an empty value removes one. Waits for the server's word, also across a resumption.
    ///
    /// # Errors
    /// [`AttributeError`].
    pub async fn set_attributes(&self, attributes: BTreeMap<String, String>) -> Result<(), AttributeError> {
        let (reply, result) = oneshot::channel();
        let command = Command::SetAttributes { attributes, reply };
        self.commands.send(command).await.map_err(|_| RoomClosed)?;
        match tokio::time::timeout(ATTRIBUTES_TIMEOUT, result).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(RoomClosed.into()),
            Err(_) => Err(AttributeError::Timeout),
        }
    }

    /// Sends a packet.
    ///
    /// # Errors
    /// [`DataError`].
    pub async fn send_data(&self, data: OutgoingData) -> Result<(), DataError> {
        if data.payload.len() > DATA_LIMIT_BYTES {
            return Err(DataError::TooLarge { size_bytes: data.payload.len(), limit_bytes: DATA_LIMIT_BYTES });
        }
        let user =
            proto::UserPacket { payload: data.payload.into(), topic: (!data.topic.is_empty()).then_some(data.topic), ..Default::default() };
        let identity = self.shared.roster().local().identity.clone();
        self.send_packet(identity, data.reliable, data.destinations, Value::User(user)).await
    }

    /// Sends a text stream to everybody and returns its id. Topics: `lk.chat`, `lk.transcription`.
    ///
    /// # Errors
    /// [`DataError`]; of a stream that breaks off in the middle, receivers see nothing.
    pub async fn send_text(&self, topic: &str, attributes: &BTreeMap<String, String>, text: &str) -> Result<String, DataError> {
        let identity = self.shared.roster().local().identity.clone();
        self.send_text_as(&identity, topic, attributes, text).await
    }

    /// As [`Room::send_text`], on behalf of another participant; the server lets agents do so, for transcripts.
    ///
    /// # Errors
    /// As [`Room::send_text`].
    pub async fn send_text_as(
        &self,
        identity: &str,
        topic: &str,
        attributes: &BTreeMap<String, String>,
        text: &str,
    ) -> Result<String, DataError> {
        if text.len() > TEXT_LIMIT_BYTES {
            return Err(DataError::TooLarge { size_bytes: text.len(), limit_bytes: TEXT_LIMIT_BYTES });
        }
        let stream_id = random_id("text_");
        for value in streams::packets(&stream_id, topic, attributes, text) {
            self.send_packet(identity.to_owned(), true, Vec::new(), value).await?;
        }
        Ok(stream_id)
    }

    /// Sends a telephone key, as LiveKit's SIP service takes and gives them.
    ///
    /// # Errors
    /// [`DataError::NotDtmf`] or any other [`DataError`].
    pub async fn send_dtmf(&self, digit: char) -> Result<(), DataError> {
        let code = dtmf_code(digit).ok_or(DataError::NotDtmf(digit))?;
        let dtmf = proto::SipDtmf { code, digit: digit.to_ascii_uppercase().to_string() };
        let identity = self.shared.roster().local().identity.clone();
        self.send_packet(identity, true, Vec::new(), Value::SipDtmf(dtmf)).await
    }

    /// Calls a method of another participant and waits for its answer: 7 s for the acknowledgement, then `response_timeout`.
    ///
    /// # Errors
    /// [`RpcError`]: the callee's, or one of LiveKit's codes.
    pub async fn perform_rpc(
        &self,
        destination: &str,
        method: &str,
        payload: &str,
        response_timeout: Duration,
    ) -> Result<String, RpcError> {
        if payload.len() > rpc::RPC_PAYLOAD_BYTES_MAX {
            return Err(RpcError::of(RpcError::REQUEST_PAYLOAD_TOO_LARGE));
        }
        if !self.participants().iter().any(|participant| participant.identity == destination) {
            return Err(RpcError::of(RpcError::RECIPIENT_NOT_FOUND));
        }
        let id = random_id("rpc_");
        let Some(expected) = self.shared.rpc.expect(&id, destination) else { return Err(RpcError::of(RpcError::SEND_FAILED)) };
        let rpc::Expected { acknowledged, mut answer } = expected;
        let request = rpc::request(&id, method, payload, response_timeout);
        let _forgotten = self.shared.rpc.forgetting(id);
        let identity = self.shared.roster().local().identity.clone();
        if let Err(error) = self.send_packet(identity, true, vec![destination.to_owned()], request).await {
            tracing::debug!(%error, "a method could not be called");
            return Err(RpcError::of(RpcError::SEND_FAILED));
        }
        let lost = || RpcError::of(RpcError::RECIPIENT_DISCONNECTED);
        tokio::select! {
            biased;
            // Some answer faster than they acknowledge.
            answered = &mut answer => return answered.unwrap_or_else(|_| Err(lost())),
            acknowledged = tokio::time::timeout(rpc::ACK_MAX, acknowledged) => if acknowledged.is_err() {
                return Err(RpcError::of(RpcError::CONNECTION_TIMEOUT));
            },
        }
        match tokio::time::timeout(response_timeout, answer).await {
            Ok(answered) => answered.unwrap_or_else(|_| Err(lost())),
            Err(_) => Err(RpcError::of(RpcError::RESPONSE_TIMEOUT)),
        }
    }

    /// Answers a call of one of our methods.
    ///
    /// # Errors
    /// [`DataError`]; its caller then runs into his time-out.
    pub async fn answer_rpc(&self, request: &RpcRequest, outcome: Result<String, RpcError>) -> Result<(), DataError> {
        let identity = self.shared.roster().local().identity.clone();
        self.send_packet(identity, true, vec![request.caller.clone()], rpc::answer(&request.id, outcome)).await
    }

    /// Leaves: unpublishes, tells the server why, closes all connections and awaits all tasks. Idempotent, bounded.
    pub async fn leave(&self, reason: DisconnectReason) {
        let left = async {
            // Fails if the engine has ended already, which is as good.
            let _ = self.commands.send(Command::Leave { reason }).await;
            self.tasks.wait().await;
        };
        if tokio::time::timeout(LEAVE_TIMEOUT, left).await.is_err() {
            tracing::warn!("leaving the room takes too long; it goes on in the background");
            self.shared.cancel.cancel();
        }
    }

    async fn send_packet(
        &self,
        participant_identity: String,
        reliable: bool,
        destination_identities: Vec<String>,
        value: Value,
    ) -> Result<(), DataError> {
        let packet = proto::DataPacket { destination_identities, participant_identity, value: Some(value), ..Default::default() };
        self.shared.data.send(reliable, &packet).await
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("sid", &self.shared.room_sid).field("ended", &self.end_reason()).finish_non_exhaustive()
    }
}
