//! What a room tells its application.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::audio_in::RemoteAudio;
use super::packets_in::RemotePackets;
use super::participant::{DisconnectReason, Participant};
use super::rpc::RpcRequest;

/// Something that happened in the room.
#[derive(Debug)]
#[non_exhaustive]
pub enum RoomEvent {
    /// Somebody joined after us. Those who were there before: [`super::Room::participants`].
    ParticipantJoined(Participant),
    /// Attributes, name, metadata or tracks changed.
    ParticipantUpdated(Participant),
    /// Somebody left.
    ParticipantLeft {
        /// As last known.
        participant: Participant,
        /// Why.
        reason: DisconnectReason,
    },
    /// We are subscribed to a remote audio track; its frames are read from the value, once its publisher sends any.
    AudioTrack(RemoteAudio),
    /// The same, of a room that hands audio over as it comes ([`super::RoomOptions::encoded_audio`]).
    EncodedTrack(RemotePackets),
    /// Another participant has subscribed to our track: what we say is heard. LiveKit's SIP service answers the call then.
    LocalTrackSubscribed {
        /// Our track.
        track_sid: String,
    },
    /// A data packet.
    Data(DataMessage),
    /// A whole text stream (`lk.chat`, `lk.transcription`, …).
    Text(TextMessage),
    /// A telephone key, from the SIP side.
    Dtmf(DtmfDigit),
    /// Another participant calls a method of ours; it waits for [`super::Room::answer_rpc`].
    Rpc(RpcRequest),
    /// Both media connections are up: what others say is heard from here on, and what we publish reaches them at once.
    MediaConnected,
    /// The signal connection dropped and is being resumed; media goes on.
    Reconnecting,
    /// The signal connection is back.
    Reconnected,
    /// So many events were dropped because the application did not take them in time; look at
    /// [`super::Room::participants`].
    Lagged {
        /// How many.
        missed: u64,
    },
    /// The last event: the room is over for us. It always fits into the channel.
    Ended(EndReason),
}

/// Why the room is over for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// [`super::Room::leave`] or a dropped [`super::Room`].
    Left,
    /// The server said so: the room was deleted, we were removed, another took our identity, …
    Server(DisconnectReason),
    /// Signalling was lost and could not be resumed.
    SignalLost,
    /// Signalling was lost, and the server does not let us back in: our token has expired or was revoked.
    Refused,
    /// Media did not connect, or was lost.
    MediaLost,
}

/// A data packet of another participant (or of the server API, when `sender` is empty).
#[derive(Clone, PartialEq, Eq)]
pub struct DataMessage {
    /// Identity of the sender.
    pub sender: String,
    /// Topic, if any.
    pub topic: String,
    /// Whether it came over the reliable channel.
    pub reliable: bool,
    /// The content.
    pub payload: Bytes,
}

impl fmt::Debug for DataMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataMessage").field("topic", &self.topic).field("size_bytes", &self.payload.len()).finish_non_exhaustive()
    }
}

/// A complete text stream.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct TextMessage {
    /// Identity of the sender.
    pub sender: String,
    /// Topic: `lk.chat`, `lk.transcription`, …
    pub topic: String,
    /// The stream's id.
    pub stream_id: String,
    /// Attributes of header and trailer together.
    pub attributes: BTreeMap<String, String>,
    /// The text.
    pub text: String,
}

impl fmt::Debug for TextMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextMessage").field("topic", &self.topic).field("size_bytes", &self.text.len()).finish_non_exhaustive()
    }
}

/// A pressed key. `Debug` hides which: it may belong to a member number or a date of birth.
#[derive(Clone, PartialEq, Eq)]
pub struct DtmfDigit {
    /// Identity of the sender.
    pub sender: String,
    /// `0`–`9`, `*`, `#`, `A`–`D`.
    pub digit: char,
}

impl fmt::Debug for DtmfDigit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DtmfDigit")
    }
}

/// The sending end of a room's events: never waits, counts what did not fit, and always has room for the last one.
#[derive(Debug)]
pub(super) struct EventSink {
    events: mpsc::Sender<RoomEvent>,
    last: mpsc::OwnedPermit<RoomEvent>,
    missed: u64,
}

impl EventSink {
    /// A channel for `capacity` events besides the last one.
    pub(super) fn channel(capacity: usize) -> (Self, mpsc::Receiver<RoomEvent>) {
        let (events, receiver) = mpsc::channel(capacity.max(1) + 1);
        let last = events.clone().try_reserve_owned().expect("a new channel has room for its first permit");
        (Self { events, last, missed: 0 }, receiver)
    }

    pub(super) fn emit(&mut self, event: RoomEvent) {
        if self.missed > 0 && self.events.try_send(RoomEvent::Lagged { missed: self.missed }).is_ok() {
            self.missed = 0;
        }
        if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
            self.missed += 1;
            tracing::warn!(missed = self.missed, ?event, "room event dropped: the application does not keep up");
        }
    }

    pub(super) fn end(self, reason: EndReason) {
        self.last.send(RoomEvent::Ended(reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_always_fits_and_losses_are_told() {
        let (mut sink, mut events) = EventSink::channel(2);
        for _ in 0..5 {
            sink.emit(RoomEvent::Reconnecting);
        }
        assert!(matches!(events.recv().await, Some(RoomEvent::Reconnecting)));
        assert!(matches!(events.recv().await, Some(RoomEvent::Reconnecting)));
        sink.emit(RoomEvent::Reconnected);
        sink.end(EndReason::SignalLost);
        assert!(matches!(events.recv().await, Some(RoomEvent::Lagged { missed: 3 })));
        assert!(matches!(events.recv().await, Some(RoomEvent::Reconnected)));
        assert!(matches!(events.recv().await, Some(RoomEvent::Ended(EndReason::SignalLost))));
        assert!(events.recv().await.is_none());
    }
}
