//! The two data channels of a participant, and who reads them.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use livekit_protocol as proto;
use prost::Message as _;
use rtc::shared::error::Error as RtcError;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelInit};

use super::error::{DataError, RoomClosed};
use super::peer::Peer;

/// Labels that server and clients agree on.
const RELIABLE: &str = "_reliable";
const LOSSY: &str = "_lossy";
/// How long sending waits for the channels to open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// A packet and whether it came reliably.
pub(super) type Incoming = (bool, proto::DataPacket);

/// Which ways are open.
#[derive(Debug, Clone, Copy, Default)]
struct Open {
    reliable: bool,
    lossy: bool,
    /// The server's reliable channel to us.
    receiving: bool,
}

/// The sending channels, on the publisher, and whether the server's is there too.
pub(super) struct DataChannels {
    reliable: Arc<dyn DataChannel>,
    lossy: Arc<dyn DataChannel>,
    open: watch::Sender<Open>,
    cancel: CancellationToken,
}

impl DataChannels {
    /// Creates both channels; before the first offer, which then carries them.
    pub(super) async fn create(publisher: &Peer, cancel: CancellationToken) -> webrtc::error::Result<Arc<Self>> {
        let connection = publisher.connection();
        let reliable = connection.create_data_channel(RELIABLE, None).await?;
        let unreliable = RTCDataChannelInit { ordered: false, max_retransmits: Some(0), ..RTCDataChannelInit::default() };
        let lossy = connection.create_data_channel(LOSSY, Some(unreliable)).await?;
        Ok(Arc::new(Self { reliable, lossy, open: watch::Sender::default(), cancel }))
    }

    pub(super) fn both(&self) -> [(bool, Arc<dyn DataChannel>); 2] {
        [(true, self.reliable.clone()), (false, self.lossy.clone())]
    }

    fn opened(&self, reliable: bool) {
        self.open.send_modify(|open| if reliable { open.reliable = true } else { open.lossy = true });
    }

    /// Sends one packet. Waits for the channel to open, never for the other side.
    pub(super) async fn send(&self, reliable: bool, packet: &proto::DataPacket) -> Result<(), DataError> {
        self.wait_for(|open| if reliable { open.reliable } else { open.lossy }).await?;
        let channel = if reliable { &self.reliable } else { &self.lossy };
        let data = BytesMut::from(packet.encode_to_vec().as_slice());
        channel.try_send(data).await.map_err(|error| match error {
            RtcError::ErrSendBufferFull => DataError::Full,
            RtcError::ErrDataChannelClosed => DataError::Closed(RoomClosed),
            other => DataError::Media(other.to_string()),
        })
    }

    /// Waits until data can be sent and received.
    pub(super) async fn connected(&self) -> Result<(), DataError> {
        self.wait_for(|open| open.reliable && open.lossy && open.receiving).await
    }

    async fn wait_for(&self, is_open: impl FnMut(&Open) -> bool) -> Result<(), DataError> {
        let mut open = self.open.subscribe();
        let waited = tokio::select! {
            () = self.cancel.cancelled() => return Err(RoomClosed.into()),
            waited = tokio::time::timeout(OPEN_TIMEOUT, open.wait_for(is_open)) => waited,
        };
        match waited {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(RoomClosed.into()),
            Err(_) => Err(DataError::NotOpen { limit_ms: OPEN_TIMEOUT.as_millis() }),
        }
    }
}

/// Reads one of our own channels; nothing comes on it but its opening, unless the server chooses to use it.
pub(super) async fn read_own(
    channels: Arc<DataChannels>,
    reliable: bool,
    channel: Arc<dyn DataChannel>,
    packets: mpsc::Sender<Incoming>,
    cancel: CancellationToken,
) {
    read(channel, reliable, &packets, &cancel, || channels.opened(reliable)).await;
}

/// Reads a channel that the server opened.
pub(super) async fn read_remote(
    channels: Arc<DataChannels>,
    channel: Arc<dyn DataChannel>,
    packets: mpsc::Sender<Incoming>,
    cancel: CancellationToken,
) {
    let reliable = match channel.label().await.as_deref() {
        Ok(RELIABLE) => true,
        Ok(LOSSY) => false,
        // `_data_track` and whatever comes later.
        _ => return,
    };
    if reliable {
        channels.open.send_modify(|open| open.receiving = true);
    }
    read(channel, reliable, &packets, &cancel, || {}).await;
}

async fn read(
    channel: Arc<dyn DataChannel>,
    reliable: bool,
    packets: &mpsc::Sender<Incoming>,
    cancel: &CancellationToken,
    on_open: impl Fn(),
) {
    loop {
        let event = tokio::select! {
            () = cancel.cancelled() => break,
            event = channel.poll() => event,
        };
        let message = match event {
            Some(DataChannelEvent::OnOpen) => {
                on_open();
                continue;
            }
            Some(DataChannelEvent::OnMessage(message)) => message,
            Some(DataChannelEvent::OnClose) | None => break,
            Some(_) => continue,
        };
        match proto::DataPacket::decode(&message.data[..]) {
            // Waiting holds SCTP's receive window back: the sender slows down, nothing is lost or piled up.
            Ok(packet) => tokio::select! {
                () = cancel.cancelled() => break,
                sent = packets.send((reliable, packet)) => if sent.is_err() { break },
            },
            Err(error) => tracing::debug!(%error, "malformed data packet ignored"),
        }
    }
}
