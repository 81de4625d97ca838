//! A real LiveKit server (or two) for one test, tones, and a TCP proxy that can be cut.

#![allow(dead_code, unreachable_pub, clippy::allow_attributes, reason = "each test file uses a part of this")]

pub mod cluster;
pub mod endpoint;
pub mod proxy;
pub mod server;
pub mod tone;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use frontdesk_livekit::Credentials;
use frontdesk_livekit::api::{LiveKit, ParticipantToken};
use frontdesk_livekit::room::{ParticipantKind, RemoteAudio, Room, RoomEvent, RoomOptions};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use tokio::sync::mpsc;

/// Longest wait for anything in a test.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn credentials() -> Credentials {
    Credentials::new(server::KEY, server::SECRET)
}

pub fn api(url: &str) -> LiveKit {
    LiveKit::new(url, credentials()).expect("a valid address")
}

/// Options to join `room` as `identity`.
pub fn options(url: &str, room: &str, identity: &str) -> RoomOptions {
    options_as(url, ParticipantToken::new(room, identity))
}

pub fn options_as(url: &str, token: ParticipantToken) -> RoomOptions {
    let jwt = api(url).participant_token(&token).expect("a token");
    // Without filling, what is heard does not depend on how busy this machine is.
    RoomOptions { fill_silence_after: None, ..RoomOptions::new(url, jwt) }
}

/// The same token, which the server takes for so long and no longer: it allows a minute's difference of clocks.
pub fn expiring(token: &str, left: Duration) -> String {
    const LEEWAY_S: u64 = 60;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let parts: Vec<&str> = token.split('.').collect();
    let claims = URL_SAFE_NO_PAD.decode(parts[1]).expect("base64");
    let mut claims: serde_json::Value = serde_json::from_slice(&claims).expect("JSON");
    claims["exp"] = (now - LEEWAY_S + left.as_secs()).into();
    let signed = format!("{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mut mac = Hmac::<Sha256>::new_from_slice(server::SECRET.as_bytes()).expect("any length");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

pub async fn join(url: &str, room: &str, identity: &str) -> (Room, Events) {
    connect(options(url, room, identity)).await
}

pub async fn join_sip(url: &str, room: &str, identity: &str, attributes: &[(&str, &str)]) -> (Room, Events) {
    let mut token = ParticipantToken::new(room, identity);
    token.kind = ParticipantKind::Sip;
    token.attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    connect(options_as(url, token)).await
}

pub async fn connect(options: RoomOptions) -> (Room, Events) {
    let (room, events) = within("joining", Room::connect(options)).await.expect("joins");
    (room, Events { receiver: events, subscribed: false })
}

/// A room's events, to be searched.
pub struct Events {
    pub receiver: mpsc::Receiver<RoomEvent>,
    subscribed: bool,
}

impl Events {
    /// The first event that `pick` takes; others are passed over.
    pub async fn find<T>(&mut self, what: &str, mut pick: impl FnMut(RoomEvent) -> Option<T>) -> T {
        within(what, async {
            loop {
                let event = self.receiver.recv().await.unwrap_or_else(|| panic!("{what}: the events ended"));
                self.subscribed |= matches!(event, RoomEvent::LocalTrackSubscribed { .. });
                if let Some(found) = pick(event) {
                    return found;
                }
            }
        })
        .await
    }

    pub async fn audio(&mut self) -> RemoteAudio {
        self.find("a remote track", |event| match event {
            RoomEvent::AudioTrack(audio) => Some(audio),
            _ => None,
        })
        .await
    }

    /// Waits until our track is subscribed, or returns at once if that was passed over before.
    pub async fn subscribed(&mut self) {
        if !self.subscribed {
            let is_it = |event| matches!(event, RoomEvent::LocalTrackSubscribed { .. }).then_some(());
            self.find("our track to be subscribed", is_it).await;
        }
    }
}

pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Waits until `condition` holds; for states that no event announces.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
