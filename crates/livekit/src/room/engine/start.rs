//! Joining: the signal connection, then both peer connections.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use livekit_protocol as proto;
use livekit_signaling::{CLIENT_PROTOCOL_DEFAULT, JOIN_RESPONSE_TIMEOUT, SignalClient, SignalError, SignalOptions};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Command, Engine, Shared};
use crate::room::data::{self, DataChannels};
use crate::room::error::ConnectError;
use crate::room::event::{EventSink, RoomEvent};
use crate::room::ice;
use crate::room::options::RoomOptions;
use crate::room::participant::{DisconnectReason, Roster};
use crate::room::peer::{Peer, Side};
use crate::room::publication::Negotiation;
use crate::room::resume::{Flapping, HeldRequests};
use crate::room::rpc::Rpc;
use crate::room::streams::TextStreams;
use crate::server_url::ServerUrl;

/// Signal protocol that this participant implements: from 18 on the data channels would be negotiated out of band.
const PROTOCOL_VERSION: u32 = 17;
/// Bound of a resumption's connection, so that leaving never waits long for one.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(5);
/// Commands that may wait for the engine.
const COMMANDS: usize = 32;
/// Candidates, states and tracks that may wait for the engine.
const PEER_EVENTS: usize = 256;
/// Data packets that may wait for the engine; beyond, the sender slows down.
const PACKETS: usize = 64;

/// A joined room.
pub(in crate::room) struct Started {
    pub(in crate::room) shared: Arc<Shared>,
    pub(in crate::room) commands: mpsc::Sender<Command>,
    pub(in crate::room) events: mpsc::Receiver<RoomEvent>,
}

/// Joins and spawns the engine onto `tasks`. Dropped in the middle, it leaves nothing behind that does not end by itself.
pub(in crate::room) async fn start(options: RoomOptions, cancel: CancellationToken, tasks: TaskTracker) -> Result<Started, ConnectError> {
    let url = ServerUrl::parse(&options.url)?;
    url.prepare_tls();
    crate::websocket::prepare_signalling();
    frontdesk_audio::opus::Decoder::new(options.subscribe_rate)?;
    let limit = options.connect_timeout + JOIN_RESPONSE_TIMEOUT;
    let connected = tokio::time::timeout(limit, join(&url, &options)).await;
    let (signal, joined, signal_events) = match connected {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => return Err(connect_error(&url, &options, error)),
        Err(_) => return Err(ConnectError::Timeout { url: url.to_string(), limit_ms: limit.as_millis() }),
    };
    // From here on a task owns the connection, so that it is closed even if the caller loses interest.
    let (reply, result) = oneshot::channel();
    let tracker = tasks.clone();
    tasks.spawn(async move {
        let signal = Arc::new(signal);
        match set_up(url, options, cancel, tracker, signal.clone(), joined, signal_events).await {
            Ok((engine, started)) => {
                // A caller who lost interest drops the handle, which cancels the engine.
                let _ = reply.send(Ok(started));
                engine.run().await;
            }
            Err(error) => {
                signal.close().await;
                let _ = reply.send(Err(ConnectError::Media(error.to_string())));
            }
        }
    });
    result.await.unwrap_or_else(|_| Err(ConnectError::Media("the room's task ended".to_owned())))
}

async fn join(
    url: &ServerUrl,
    options: &RoomOptions,
) -> Result<(SignalClient, proto::JoinResponse, livekit_signaling::SignalEvents), SignalError> {
    let mut signal = SignalOptions::default();
    signal.auto_subscribe = true;
    signal.single_peer_connection = false;
    signal.region_failover = true;
    signal.connect_timeout = options.connect_timeout.min(CONNECT_TIMEOUT_MAX);
    signal.protocol_version = PROTOCOL_VERSION;
    // Neither compressed data streams nor packet trailers are understood here.
    signal.client_capabilities = Vec::new();
    signal.client_protocol = CLIENT_PROTOCOL_DEFAULT;
    SignalClient::connect(&url.websocket(), &options.token, signal, None).await
}

fn connect_error(url: &ServerUrl, options: &RoomOptions, error: SignalError) -> ConnectError {
    let url = url.to_string();
    match error {
        // The body of a 401 repeats the token.
        SignalError::Client(status, _) | SignalError::Handshake { status } if matches!(status.as_u16(), 401 | 403) => {
            ConnectError::Unauthorized { url, status: status.as_u16() }
        }
        SignalError::Client(status, _) | SignalError::Handshake { status } | SignalError::Server(status, _) => {
            ConnectError::Refused { url, reason: format!("HTTP {status}") }
        }
        SignalError::Connection(reason) => ConnectError::Unreachable { url, reason },
        SignalError::Timeout(_) => ConnectError::Timeout { url, limit_ms: options.connect_timeout.as_millis() },
        SignalError::TokenFormat => ConnectError::Unauthorized { url, status: 401 },
        SignalError::RegionError(reason) => ConnectError::Unreachable { url, reason },
        other => ConnectError::Refused { url, reason: other.to_string() },
    }
}

async fn set_up(
    url: ServerUrl,
    options: RoomOptions,
    cancel: CancellationToken,
    tasks: TaskTracker,
    signal: Arc<SignalClient>,
    joined: proto::JoinResponse,
    signal_events: livekit_signaling::SignalEvents,
) -> webrtc::error::Result<(Engine, Started)> {
    let (peer_sender, peer_events) = mpsc::channel(PEER_EVENTS);
    let addresses = ice::udp_addresses(&url, &options);
    let (ice, skipped) = ice::settings(&url, &options, &joined);
    ice::warn_of(&skipped);
    let publisher = Peer::new(Side::Publisher, ice.clone(), addresses.clone(), peer_sender.clone(), tasks.clone()).await?;
    let subscriber = Peer::new(Side::Subscriber, ice, addresses, peer_sender, tasks.clone()).await?;
    let media_cancel = cancel.child_token();
    let channels = DataChannels::create(&publisher, media_cancel.clone()).await?;
    let (packets_sender, packets) = mpsc::channel(PACKETS);
    for (reliable, channel) in channels.both() {
        let (packets, cancel) = (packets_sender.clone(), media_cancel.clone());
        tasks.spawn(data::read_own(channels.clone(), reliable, channel, packets, cancel));
    }
    let room = joined.room.clone().unwrap_or_default();
    let local = joined.participant.clone().unwrap_or_default();
    let shared = Arc::new(Shared {
        room_name: room.name,
        room_sid: room.sid,
        roster: Mutex::new(Roster::new(&local, &joined.other_participants)),
        data: channels,
        rpc: Rpc::default(),
        media_up: watch::Sender::new(false),
        skipped_ice_servers: skipped,
        ended: watch::Sender::new(None),
        cancel,
    });
    let (sink, events) = EventSink::channel(options.event_capacity);
    let (commands_sender, commands) = mpsc::channel(COMMANDS);
    let now = Instant::now();
    let mut engine = Engine {
        url,
        options,
        shared: shared.clone(),
        tasks,
        media_cancel,
        events: Some(sink),
        commands,
        signal,
        signal_events,
        resuming: None,
        flapping: Flapping::default(),
        held_requests: HeldRequests::default(),
        expect_snapshot: false,
        publisher,
        subscriber,
        peer_events,
        negotiation: Negotiation::default(),
        media_down_since: Some(now),
        local: None,
        remote_tracks: std::collections::HashMap::new(),
        waiting_tracks: Vec::new(),
        packets,
        packets_sender,
        texts: TextStreams::default(),
        pending_attributes: std::collections::HashMap::new(),
        started: now,
        end: None,
        leave_reason: DisconnectReason::ClientInitiated,
    };
    // Offering the data channels at once brings the publishing connection up before there is a track: publishing later
    // costs a round trip, not a handshake.
    engine.negotiate(false).await;
    Ok((engine, Started { shared, commands: commands_sender, events }))
}
