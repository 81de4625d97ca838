//! A program of one's own has the health pages of `frontdesk start`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use frontdesk::agents::{Calls, Credentials, serve};
use frontdesk::config::{self, Sources};
use frontdesk_livekit::api::{AgentDispatch, LiveKit, NewRoom, ParticipantToken};
use frontdesk_livekit::room::{DisconnectReason, Room, RoomEvent, RoomOptions};
use frontdesk_simulators::stack::{LiveKitOptions, LiveKitServer, free_port};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::rooms::{find, within};

const AGENT: &str = "paged";

/// Status and body of a page; `None` while nobody listens.
async fn page(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    let status = text.split(' ').nth(1)?.parse().ok()?;
    Some((status, text.split_once("\r\n\r\n")?.1.to_owned()))
}

/// Waits until a page answers so.
async fn until(address: SocketAddr, path: &str, status: u16, word: &str) {
    within(path, async {
        loop {
            match page(address, path).await {
                Some((answered, body)) if answered == status && body.contains(word) => return,
                _ => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_turns_false_while_the_last_call_is_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = LiveKitServer::start(LiveKitOptions::new(folder.path().join("livekit.log"))).await.expect("LiveKit server starts");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().expect("a port")));
    let env = [
        ("LIVEKIT_URL", server.url()),
        ("LIVEKIT_API_KEY", server.api_key().to_owned()),
        ("LIVEKIT_API_SECRET", server.api_secret().to_owned()),
        ("FRONTDESK_HEALTH_LISTEN", address.to_string()),
    ];
    let env: BTreeMap<String, String> = env.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let config = config::load(&Sources { file: None, dir: folder.path().to_owned(), env, flags: Vec::new() }).expect("a configuration");
    let (shutdown, hurry) = (CancellationToken::new(), CancellationToken::new());
    let signals = (shutdown.clone(), hurry);
    // Nothing but LiveKit is looked at: these calls use no service.
    let program = tokio::spawn(async move { serve(AGENT, Calls::by_hand(super::relay::relay), &config, signals).await });
    until(address, "/ready", 200, "ready").await;
    until(address, "/health/detailed", 200, "livekit").await;
    let (_, detailed) = page(address, "/health/detailed").await.expect("it is served");
    assert!(!detailed.contains("speech_to_text") && !detailed.contains("postgres"), "{detailed}");
    until(address, "/worker", 200, AGENT).await;

    let api = LiveKit::new(&server.url(), Credentials::new(server.api_key(), server.api_secret())).expect("an address");
    api.create_room(&NewRoom { name: "room".into(), ..NewRoom::default() }).await.expect("a room");
    let token = api.participant_token(&ParticipantToken::new("room", "caller")).expect("a token");
    let (caller, mut events) = within("joining", Room::connect(RoomOptions::new(server.url(), token))).await.expect("joins");
    api.create_dispatch("room", &AgentDispatch::new(AGENT, "")).await.expect("a dispatch");
    let answered = |event| matches!(event, RoomEvent::AudioTrack(_)).then_some(());
    let _published = within("publishing", caller.publish_audio(frontdesk_audio::SampleRate::HZ_16000)).await.expect("it publishes");
    find("the agent's track", &mut events, answered).await;
    shutdown.cancel();
    until(address, "/ready", 503, "draining").await;
    until(address, "/", 200, "OK").await;
    caller.leave(DisconnectReason::ClientInitiated).await;
    within("the end", program).await.expect("it does not panic").expect("it ends well");
    assert!(page(address, "/ready").await.is_none(), "the pages end last");
    server.stop().await;
}
