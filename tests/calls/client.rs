//! LiveKit's own Python client, which is libwebrtc, as the caller in a room: voice both ways, transcripts, state, data, keys and RPC.
//!
//! The script is `client/caller.py`. A participant of ours joins late, and sees what reaches others of what the client sends.

use std::process::Stdio;
use std::time::Duration;

use frontdesk_audio::SampleRate;
use frontdesk_conversation::Speaker as Side;
use frontdesk_livekit::api::{AgentDispatch, NewRoom, ParticipantToken};
use frontdesk_livekit::room::{DisconnectReason, OutgoingData, Room, RoomEvent, RoomOptions};
use frontdesk_simulators::stack::find_upward;
use frontdesk_simulators::voice::{Speaker, Voice};
use serde_json::Value;
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::clinic;
use crate::desk::{Desk, DeskOptions};
use crate::documents::said;
use crate::people::WISH;
use crate::run;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);
const CALLER: &str = "python";
const ROOM: &str = "official-client";
/// What the caller types in the end.
const TYPED: &str = "What are your opening hours?";

/// Where `scripts/setup --only client` puts the client.
fn client() -> String {
    let found = find_upward("var/lib/livekit-client/installed").expect("the Python client is missing: run scripts/setup --only client");
    found.parent().expect("a file has a folder").display().to_string()
}

async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// The first event of the room that `pick` takes.
async fn find<T>(what: &str, events: &mut mpsc::Receiver<RoomEvent>, mut pick: impl FnMut(RoomEvent) -> Option<T>) -> T {
    within(what, async {
        loop {
            let event = events.recv().await.unwrap_or_else(|| panic!("{what}: the room ended"));
            if let Some(found) = pick(event) {
                return found;
            }
        }
    })
    .await
}

/// Says something to the caller by a data packet.
async fn tell(witness: &Room, text: &'static str) {
    let payload = text.as_bytes().into();
    let data = OutgoingData { payload, topic: "of-the-test".into(), reliable: true, destinations: vec![CALLER.into()] };
    witness.send_data(data).await.expect("sent");
}

/// Watches what the client sends, and calls its method.
async fn witness(witness: Room, mut events: mpsc::Receiver<RoomEvent>) {
    within("data", witness.data_connected()).await.expect("the room goes on");
    tell(&witness, "the witness is there").await;
    let digit = find("the key", &mut events, |event| match event {
        RoomEvent::Dtmf(dtmf) if dtmf.sender == CALLER => Some(dtmf.digit),
        _ => None,
    });
    assert_eq!(digit.await, '5');
    let data = find("the caller's data", &mut events, |event| match event {
        RoomEvent::Data(data) if data.sender == CALLER => Some((data.topic, data.payload, data.reliable)),
        _ => None,
    });
    assert_eq!(data.await, ("of-the-test".to_owned(), "caller's data".into(), true));
    let wait = Duration::from_secs(20);
    assert_eq!(witness.perform_rpc(CALLER, "greet", "Ann", wait).await, Ok("hello Ann".to_owned()));
    let unknown = witness.perform_rpc(CALLER, "no.such.method", "", wait).await;
    assert_eq!(unknown.map_err(|error| error.code), Err(1400));
    let nobody = witness.perform_rpc("nobody", "greet", "", wait).await;
    assert_eq!(nobody.map_err(|error| error.code), Err(1401));
    tell(&witness, "the method was called").await;
    find("the caller's leave", &mut events, |event| match event {
        RoomEvent::ParticipantLeft { participant, .. } if participant.identity == CALLER => Some(()),
        RoomEvent::Ended(_) => Some(()),
        _ => None,
    })
    .await;
    witness.leave(DisconnectReason::ClientInitiated).await;
}

/// Checks a line of the transcript as the client saw it.
fn line<'a>(report: &'a Value, name: &str, from: &Value) -> &'a str {
    let line = &report[name];
    assert_eq!(&line["from"], from, "{name}: {line}");
    let attributes = &line["attributes"];
    assert_eq!(attributes["lk.transcription_final"], "true", "{name}: {line}");
    for attribute in ["lk.segment_id", "lk.transcribed_track_id"] {
        assert!(attributes[attribute].as_str().is_some_and(|value| !value.is_empty()), "{name}: {line}");
    }
    line["text"].as_str().expect("a text")
}

#[test]
fn the_official_client_talks_with_the_agent() {
    run(async {
        let client = client();
        let desk = Desk::open(DeskOptions::default()).await;
        let livekit = &desk.shared.livekit;
        let api = desk.api();
        api.create_room(&NewRoom { name: ROOM.into(), ..NewRoom::default() }).await.expect("a room");
        let folder = tempfile::tempdir().expect("a folder");
        let speech = folder.path().join("speech.raw");
        let samples = Speaker::new(Voice::caller()).render(WISH, SampleRate::HZ_16000).expect("espeak-ng is there");
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        std::fs::write(&speech, bytes).expect("written");

        let mut token = ParticipantToken::new(ROOM, CALLER);
        token.attributes.insert("frontdesk.tenant".into(), clinic::TENANT.into());
        let python = Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/calls/client/caller.py"))
            .env("PYTHONPATH", client)
            .env("FRONTDESK_URL", livekit.url())
            .env("FRONTDESK_TOKEN", api.participant_token(&token).expect("a token"))
            .env("FRONTDESK_SPEECH", &speech)
            .env("FRONTDESK_GREETING", clinic::GREETING)
            .env("FRONTDESK_TYPED", TYPED)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("python3 runs");
        let present = async |identity: &str| {
            let there = api.list_participants(ROOM).await.expect("the room is there");
            there.iter().any(|participant| participant.identity.starts_with(identity))
        };
        within("the caller", async {
            while !present(CALLER).await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        api.create_dispatch(ROOM, &AgentDispatch::new(&desk.agent, "")).await.expect("a dispatch");
        within("the agent", async {
            while !present("agent-").await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        // Whoever joins now is not taken for the caller.
        let token = api.participant_token(&ParticipantToken::new(ROOM, "witness")).expect("a token");
        let (room, events) = within("joining", Room::connect(RoomOptions::new(livekit.url(), token))).await.expect("joins");
        let watching = tokio::spawn(witness(room, events));
        let output = within("the client", python.wait_with_output()).await.expect("it ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        within("the witness", watching).await.expect("the witness saw everything");

        let agent = &report["agent"];
        assert!(line(&report, "greeting", agent).contains(clinic::GREETING));
        assert_eq!(report["greeting"]["attributes"]["lk.transcribed_track_id"], report["agent_track"]);
        assert_eq!(line(&report, "understood", &CALLER.into()), WISH);
        assert!(!line(&report, "answered", agent).is_empty() && !line(&report, "typed", agent).is_empty());
        let states: Vec<&str> = report["states"].as_array().expect("states").iter().filter_map(Value::as_str).collect();
        assert!(["speaking", "listening"].iter().all(|state| states.contains(state)), "{states:?}");
        assert_eq!(report["state"]["call_id"], ROOM);
        assert!(["listening", "thinking", "speaking"].iter().any(|state| report["state"]["state"] == *state), "{report}");
        assert_eq!(report["refused"], 1400);
        // The first may be there before the client knows its sender.
        assert_eq!(report["data"][0][2], "the witness is there");
        assert_eq!(report["data"][1], serde_json::json!(["witness", "of-the-test", "the method was called"]));

        let record = desk.records(1).await.remove(0);
        assert_eq!(record.call_id, ROOM);
        let heard = said(&record, Side::Caller);
        assert!(heard.contains(&WISH) && heard.iter().any(|line| line.contains(TYPED)), "{heard:?}");
        desk.close().await;
    });
}
