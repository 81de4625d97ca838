//! A developer in a browser: the link of `frontdesk dev` brings the agent, and `frontdesk connect` brings it without a dispatch.

use std::time::Duration;

use frontdesk_livekit::Credentials;
use frontdesk_livekit::api::{LiveKit, ParticipantToken};
use frontdesk_livekit::room::{DisconnectReason, Room, RoomEvent, RoomOptions};
use frontdesk_simulators::stack::{Process, ProcessOptions};
use tokio::sync::mpsc;

use crate::desk::worker_options;
use crate::shared::Shared;
use crate::{clinic, run};

const PATIENCE: Duration = Duration::from_secs(60);

async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// A worker's environment with another command and a database of its own.
fn with_command(mut options: ProcessOptions, command: &str) -> ProcessOptions {
    options.arguments[0] = command.into();
    options
}

async fn greeted(events: &mut mpsc::Receiver<RoomEvent>) {
    let greeting = async {
        loop {
            match events.recv().await.expect("the room goes on") {
                RoomEvent::Text(text) if text.topic == "lk.transcription" && text.text.contains(clinic::GREETING) => return,
                _ => {}
            }
        }
    };
    within("the greeting", greeting).await;
}

/// The token of a link: what stands behind `token=`, which no character of is escaped.
fn token(log: &str) -> String {
    let link = log.lines().find(|line| line.contains("talk with")).unwrap_or_else(|| panic!("no link in\n{log}"));
    assert!(link.contains(clinic::TENANT) && link.contains("liveKitUrl=ws%3A%2F%2F127.0.0.1"), "{link}");
    link.split("token=").nth(1).expect("a token").trim().to_owned()
}

#[test]
fn a_link_brings_the_agent_into_a_room_of_its_own() {
    run(async {
        let shared = Shared::get().await;
        let folder = tempfile::tempdir().expect("a folder");
        let database = shared.template.duplicate().await.expect("a database of its own");
        let options = worker_options(&shared, &database, folder.path()).variable("FRONTDESK_AGENT_NAME", "playground");
        let mut worker = Process::spawn(&with_command(options, "dev")).expect("it starts");
        worker.logged("registered with LiveKit", PATIENCE).await.expect("it gets ready");
        let options = RoomOptions::new(shared.livekit.url(), token(&worker.log_text()));
        let (room, mut events) = within("joining", Room::connect(options)).await.expect("joins");
        assert!(room.name().starts_with("playground-"), "{}", room.name());
        greeted(&mut events).await;
        room.leave(DisconnectReason::ClientInitiated).await;
        let status = worker.stop(PATIENCE).await.expect("it ends");
        assert!(status.success(), "{status}:\n{}", worker.log_tail());
    });
}

#[test]
fn an_agent_is_brought_into_a_room_without_a_dispatch() {
    run(async {
        let shared = Shared::get().await;
        let folder = tempfile::tempdir().expect("a folder");
        let database = shared.template.duplicate().await.expect("a database of its own");
        let server = LiveKit::new(&shared.livekit.url(), Credentials::new(shared.livekit.api_key(), shared.livekit.api_secret()));
        let server = server.expect("an address");
        let jwt = server.participant_token(&ParticipantToken::new("undispatched", "visitor")).expect("a token");
        let joined = Room::connect(RoomOptions::new(shared.livekit.url(), jwt));
        let (room, mut events) = within("joining", joined).await.expect("joins");
        let options = with_command(worker_options(&shared, &database, folder.path()), "connect");
        let options = options.argument("--room").argument("undispatched").argument("--tenant").argument(clinic::TENANT);
        let options = options.variable("FRONTDESK_CALLS_DIR", folder.path().join("calls").display().to_string());
        let mut agent = Process::spawn(&options).expect("it starts");
        greeted(&mut events).await;
        room.leave(DisconnectReason::ClientInitiated).await;
        let status = agent.ended(PATIENCE).await.expect("it ends with the call");
        assert!(status.success(), "{status}:\n{}", agent.log_text());
        let record = std::fs::read_to_string(folder.path().join("calls/undispatched.json")).expect("a record");
        // What of the greeting was heard by then depends on the machine.
        let record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
        assert_eq!((&record["outcome"], &record["tenant_id"]), (&"caller_hung_up".into(), &clinic::TENANT.into()), "{record}");
    });
}
