//! One of the participant's two peer connections: we offer on the *publisher*, the server offers on the *subscriber*.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use livekit_protocol as proto;
use rtc::interceptor::Registry;
use rtc::peer_connection::configuration::interceptor_registry::configure_rtcp_reports;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_OPUS, MediaEngine};
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodec, RTCRtpCodecParameters, RtpCodecKind};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceCandidateInit, RTCPeerConnectionIceEvent,
    RTCPeerConnectionState, RTCSessionDescription, SettingEngineBuilder,
};

use super::audio_out::OPUS_PAYLOAD_TYPE;
use super::detour::{self, Detours, TcpCandidate};
use super::ice::IceSettings;
use super::sockets::PacketRuntime;

/// Candidates that may wait for the remote description.
const WAITING_CANDIDATES_MAX: usize = 64;
/// Bytes of data that may wait for the other side before sending fails.
const DATA_BUFFER_BYTES: usize = 1 << 20;
/// How long a connection may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Publisher,
    Subscriber,
}

impl Side {
    pub(super) const fn target(self) -> proto::SignalTarget {
        match self {
            Self::Publisher => proto::SignalTarget::Publisher,
            Self::Subscriber => proto::SignalTarget::Subscriber,
        }
    }
}

/// What a connection tells the engine.
pub(super) enum PeerEvent {
    /// A local candidate as JSON.
    Candidate(Side, String),
    State(Side, RTCPeerConnectionState),
    /// The stream that carried media has broken; without it ICE notices much later.
    StreamLost(Side),
    Channel(Arc<dyn DataChannel>),
    Track(Arc<dyn TrackRemote>),
}

impl fmt::Debug for PeerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Candidate(side, _) => write!(f, "Candidate({side:?})"),
            Self::State(side, state) => write!(f, "State({side:?}, {state})"),
            Self::StreamLost(side) => write!(f, "StreamLost({side:?})"),
            Self::Channel(_) => f.write_str("Channel"),
            Self::Track(_) => f.write_str("Track"),
        }
    }
}

/// Hands callbacks over to the engine. They run on the connection's driver, which must never wait for the engine, since
/// the engine waits for the driver.
struct Handler {
    side: Side,
    detours: Arc<Detours>,
    events: mpsc::Sender<PeerEvent>,
}

impl Handler {
    fn tell(&self, event: PeerEvent) {
        if let Err(error) = self.events.try_send(event) {
            tracing::debug!(%error, "peer event dropped");
        }
    }
}

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let json = event.candidate.to_json().ok().and_then(|init| serde_json::to_string(&init).ok());
        if let Some(json) = json {
            self.tell(PeerEvent::Candidate(self.side, json));
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.detours.set_connected(state == RTCPeerConnectionState::Connected);
        self.tell(PeerEvent::State(self.side, state));
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        self.tell(PeerEvent::Channel(channel));
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        self.tell(PeerEvent::Track(track));
    }
}

/// Opus as browsers and LiveKit offer it (RFC 7587 section 7).
pub(super) fn opus_codec() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.into(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1".into(),
        rtcp_feedback: Vec::new(),
    }
}

/// One connection and what must wait for its remote description.
pub(super) struct Peer {
    side: Side,
    connection: Arc<dyn PeerConnection>,
    waiting: Vec<RTCIceCandidateInit>,
    described: bool,
    pub(super) state: RTCPeerConnectionState,
    /// The stream that carried media has broken, which the connection does not know yet.
    pub(super) is_stream_lost: bool,
    ice: IceSettings,
    detours: Arc<Detours>,
    /// Ends the detours.
    cancel: DropGuard,
}

impl Peer {
    pub(super) async fn new(
        side: Side,
        ice: IceSettings,
        udp_addresses: Vec<String>,
        events: mpsc::Sender<PeerEvent>,
        tasks: TaskTracker,
    ) -> webrtc::error::Result<Self> {
        let cancel = CancellationToken::new();
        let detours = Detours::new(side, &udp_addresses, ice.tls.clone(), events.clone(), tasks, cancel.clone());
        let cancel = cancel.drop_guard();
        let configuration = ice.configuration(|target| detours.turn_server(target));
        let mut media = MediaEngine::default();
        let opus = RTCRtpCodecParameters { rtp_codec: opus_codec(), payload_type: OPUS_PAYLOAD_TYPE };
        media.register_codec(opus, RtpCodecKind::Audio)?;
        // Retransmission and the estimation of bandwidth are for video; each would wake every connection ten times a second.
        let interceptors = configure_rtcp_reports(Registry::new());
        let connection = PeerConnectionBuilder::new()
            .with_runtime(Arc::new(PacketRuntime(detours.clone())))
            .with_setting_engine(ice_settings())
            .with_configuration(configuration)
            .with_media_engine(media)
            .with_interceptor_registry(interceptors)
            .with_handler(Arc::new(Handler { side, detours: detours.clone(), events }))
            .with_udp_addrs(udp_addresses)
            .with_data_channel_send_buffer_limit(DATA_BUFFER_BYTES)
            .build()
            .await?;
        Ok(Self {
            side,
            connection: Arc::new(connection),
            waiting: Vec::new(),
            described: false,
            state: RTCPeerConnectionState::New,
            is_stream_lost: false,
            ice,
            detours,
            cancel,
        })
    }

    pub(super) fn connection(&self) -> &Arc<dyn PeerConnection> {
        &self.connection
    }

    pub(super) fn is_connected(&self) -> bool {
        self.state == RTCPeerConnectionState::Connected && !self.is_stream_lost
    }

    /// A new local offer, set.
    pub(super) async fn offer(&mut self, restart_ice: bool) -> webrtc::error::Result<String> {
        if restart_ice {
            self.renew_turn().await?;
            self.connection.restart_ice().await?;
            self.is_stream_lost = false;
        }
        let offer = self.connection.create_offer(None).await?;
        let sdp = offer.sdp.clone();
        self.connection.set_local_description(offer).await?;
        Ok(sdp)
    }

    /// Asks TURN servers anew when ICE restarts after the loss of their streams.
    async fn renew_turn(&self) -> webrtc::error::Result<()> {
        if !self.detours.take_turn_lost() {
            return Ok(());
        }
        self.connection.set_configuration(self.ice.configuration(|target| self.detours.turn_server(target))).await
    }

    /// Takes the answer to our offer.
    pub(super) async fn accept(&mut self, sdp: String) -> webrtc::error::Result<()> {
        let _our_own_restart = self.detours.begin_run(detour::ufrag(&sdp).unwrap_or_default());
        let candidates: Vec<TcpCandidate> = TcpCandidate::of_description(&sdp).collect();
        self.connection.set_remote_description(RTCSessionDescription::answer(sdp)?).await?;
        self.described(candidates).await;
        Ok(())
    }

    /// Takes the server's offer and returns our answer.
    pub(super) async fn answer(&mut self, sdp: String) -> webrtc::error::Result<String> {
        if self.detours.begin_run(detour::ufrag(&sdp).unwrap_or_default()) {
            self.renew_turn().await?;
            self.is_stream_lost = false;
        }
        let candidates: Vec<TcpCandidate> = TcpCandidate::of_description(&sdp).collect();
        self.connection.set_remote_description(RTCSessionDescription::offer(sdp)?).await?;
        self.described(candidates).await;
        let answer = self.connection.create_answer(None).await?;
        let sdp = answer.sdp.clone();
        self.connection.set_local_description(answer).await?;
        Ok(sdp)
    }

    /// Takes a remote candidate as JSON; the server's may come before its description.
    pub(super) async fn add_candidate(&mut self, json: &str) {
        let Ok(candidate) = serde_json::from_str::<RTCIceCandidateInit>(json) else {
            tracing::debug!(side = ?self.side, "malformed ICE candidate ignored");
            return;
        };
        if self.described {
            self.add(candidate).await;
        } else if self.waiting.len() < WAITING_CANDIDATES_MAX {
            self.waiting.push(candidate);
        }
    }

    /// The description in effect on our side.
    pub(super) async fn local_sdp(&self) -> Option<String> {
        self.connection.local_description().await.map(|description| description.sdp)
    }

    pub(super) async fn close(self) {
        match tokio::time::timeout(CLOSE_TIMEOUT, self.connection.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(side = ?self.side, %error, "peer connection closed with an error"),
            Err(_) => tracing::warn!(side = ?self.side, "peer connection did not close in time"),
        }
        // Not before: what closing says may go through a stream.
        drop(self.cancel);
    }

    /// The other side is described: candidates of the description and those that waited for it are added.
    async fn described(&mut self, over_tcp: Vec<TcpCandidate>) {
        self.described = true;
        for candidate in over_tcp {
            // All media goes through the first section's transport (BUNDLE, RFC 9143).
            let init = RTCIceCandidateInit { sdp_mline_index: Some(0), ..Default::default() };
            self.detours.try_candidate(self.connection.clone(), init, candidate);
        }
        for candidate in std::mem::take(&mut self.waiting) {
            self.add(candidate).await;
        }
    }

    async fn add(&self, candidate: RTCIceCandidateInit) {
        if detour::is_tcp(&candidate.candidate) {
            // The stack would dial, and have no candidate of its own to pair it with.
            if let Some(over_tcp) = TcpCandidate::parse(&candidate.candidate) {
                self.detours.try_candidate(self.connection.clone(), candidate, over_tcp);
            }
            return;
        }
        if let Err(error) = self.connection.add_ice_candidate(candidate).await {
            tracing::debug!(side = ?self.side, %error, "ICE candidate refused");
        }
    }
}

/// The defaults cost calls more than a second: when the server's check beats its trickled candidate, the remote candidate is
/// peer-reflexive and the agent waits 1 s before it nominates; and checks run on a 200 ms tick (both measured).
fn ice_settings() -> webrtc::peer_connection::SettingEngine {
    let no_wait = Some(Duration::ZERO);
    SettingEngineBuilder::new()
        .with_prflx_acceptance_min_wait(no_wait)
        .with_srflx_acceptance_min_wait(no_wait)
        .with_ice_connection_attempts(Some(Duration::from_millis(20)), Some(70))
        .build()
}

#[cfg(test)]
mod tests {
    use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;

    use super::*;

    async fn peer(side: Side) -> Peer {
        let (events, _) = mpsc::channel(16);
        let addresses = vec!["127.0.0.1:0".to_owned()];
        Peer::new(side, IceSettings::default(), addresses, events, TaskTracker::new()).await.unwrap()
    }

    /// Somebody turns a camera on: the server offers video beside the caller's voice, and video alone is declined.
    #[tokio::test]
    async fn video_is_declined_and_audio_taken() {
        let mut media = MediaEngine::default();
        media.register_default_codecs().unwrap();
        let interceptors = register_default_interceptors(Registry::new(), &mut media).unwrap();
        let (events, _receiver) = mpsc::channel(16);
        let detours = Detours::new(Side::Publisher, &[], None, events.clone(), TaskTracker::new(), CancellationToken::new());
        let server = PeerConnectionBuilder::new()
            .with_media_engine(media)
            .with_interceptor_registry(interceptors)
            .with_handler(Arc::new(Handler { side: Side::Publisher, detours, events }))
            .with_udp_addrs(vec!["127.0.0.1:0".to_owned()])
            .build()
            .await
            .unwrap();
        server.add_transceiver_from_kind(RtpCodecKind::Audio, None).await.unwrap();
        server.add_transceiver_from_kind(RtpCodecKind::Video, None).await.unwrap();
        let offer = server.create_offer(None).await.unwrap();
        let answer = peer(Side::Subscriber).await.answer(offer.sdp).await.unwrap();
        let section = |kind: &str| answer.split("m=").find(|section| section.starts_with(kind)).map(str::to_owned).unwrap_or_default();
        assert!(section("audio").contains("opus"), "{answer}");
        let video = section("video");
        assert!(video.starts_with("video 0 ") || video.contains("a=inactive"), "{answer}");
        server.close().await.unwrap();
    }

    #[tokio::test]
    async fn malformed_candidates_and_descriptions_do_no_harm() {
        let mut peer = peer(Side::Subscriber).await;
        for json in ["", "{}", "[]", "{\"candidate\":\"nonsense\"}"] {
            peer.add_candidate(json).await;
        }
        for sdp in ["", "v=0", "nonsense"] {
            assert!(peer.answer(sdp.to_owned()).await.is_err(), "{sdp}");
        }
        for _ in 0..1000 {
            peer.add_candidate("{\"candidate\":\"candidate:1 1 udp 1 127.0.0.1 9 typ host\"}").await;
        }
        assert!(peer.waiting.len() <= WAITING_CANDIDATES_MAX);
        peer.close().await;
    }
}
