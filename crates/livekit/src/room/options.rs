//! How a room is joined.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use frontdesk_audio::SampleRate;

/// Settings of one participant. Made by [`RoomOptions::new`]; every field may be changed before joining.
#[derive(Clone)]
pub struct RoomOptions {
    /// The server, e.g. `ws://127.0.0.1:7880`.
    pub url: String,
    /// The participant's access token.
    pub token: String,
    /// Rate to which remote audio is decoded: 8, 12, 16, 24 or 48 kHz.
    pub subscribe_rate: SampleRate,
    /// Remote audio is handed over as Opus packets, as they come, and not decoded.
    pub encoded_audio: bool,
    /// Remote audio that stays away this long is replaced by silence in real time, so that a listener's clock goes on (a
    /// sender with discontinuous transmission sends nothing between words). `None` leaves gaps out.
    pub fill_silence_after: Option<Duration>,
    /// Events that may wait for the application; further ones are dropped and counted ([`super::RoomEvent::Lagged`]).
    pub event_capacity: usize,
    /// Frames of one remote track that may wait; the oldest is dropped and counted.
    pub audio_capacity_frames: usize,
    /// Local UDP addresses for media. Empty: loopback for a server on loopback, else every interface; those with IPv6 addresses as
    /// well if this machine has a way to the IPv6 internet.
    pub udp_addresses: Vec<String>,
    /// Whether media goes through a TURN server only, as it must where nothing but the TURN server is let through.
    pub relay_only: bool,
    /// TLS towards TURN servers. `None`: whom the system trusts is trusted, as for `wss`.
    pub turn_tls: Option<Arc<rustls::ClientConfig>>,
    /// Bound of the first signal connection.
    pub connect_timeout: Duration,
    /// How long a dropped signal connection is resumed before the room counts as lost. Media does not need it: a room goes on without, for
    /// as long as media passes ([`Self::media_timeout`]), for example while LiveKit's nodes are without their Redis.
    pub resume_window: Duration,
    /// How long media may take to connect, or stay disconnected, before the room counts as lost.
    pub media_timeout: Duration,
}

/// As long as a Redis may take to be restarted or replaced.
pub(crate) const RESUME_WINDOW: Duration = Duration::from_secs(300);

impl RoomOptions {
    /// Settings that suit a telephone agent: 16 kHz, silence filled in after 80 ms.
    pub fn new(url: impl Into<String>, token: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: token.into(),
            subscribe_rate: SampleRate::HZ_16000,
            encoded_audio: false,
            fill_silence_after: Some(Duration::from_millis(80)),
            event_capacity: 256,
            audio_capacity_frames: 100,
            udp_addresses: Vec::new(),
            relay_only: false,
            turn_tls: None,
            connect_timeout: Duration::from_secs(5),
            resume_window: RESUME_WINDOW,
            media_timeout: Duration::from_secs(20),
        }
    }
}

impl fmt::Debug for RoomOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomOptions")
            .field("url", &self.url)
            .field("subscribe_rate", &self.subscribe_rate)
            .field("resume_window", &self.resume_window)
            .finish_non_exhaustive()
    }
}
