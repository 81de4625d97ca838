//! What a call writes into the log holds nothing of its caller.

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use frontdesk_audio::SampleRate;
use frontdesk_livekit::api::{AgentDispatch, NewRoom};
use frontdesk_livekit::room::{DisconnectReason, RoomEvent, RoomOptions};
use frontdesk_livekit::worker::{JobContext, JobFailure, Worker, WorkerOptions};
use support::server::Server;
use support::{Events, join_sip, within};
use tokio_util::sync::CancellationToken;

const NUMBER: &str = "+15550100777";
const SAID: &str = "my name is Ada";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("unpoisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A job that reads slowly, so that events are dropped and told in the log, and that fails.
async fn job(context: JobContext) -> Result<(), JobFailure> {
    let options = RoomOptions { event_capacity: 1, ..RoomOptions::new(&context.url, &context.token) };
    tracing::info!(?context, ?options, "job");
    let (room, mut events): (_, Events) = support::connect(options).await;
    tracing::info!(?room, participants = ?room.participants(), "joined");
    let _audio = room.publish_audio(SampleRate::HZ_16000).await;
    room.set_attributes([("note".to_string(), SAID.to_string())].into()).await.map_err(|error| JobFailure(error.to_string()))?;
    let ended = |event| {
        tracing::info!(?event, "event");
        matches!(event, RoomEvent::Ended(_)).then_some(())
    };
    events.find("the end", ended).await;
    Err(JobFailure("as told".into()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_number_and_no_word_reaches_the_log() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false).with_writer(move || writer.clone()).init();
    let server = Server::start().await;
    let api = support::api(&server.url());
    let worker = Worker::new(WorkerOptions::new(server.url(), support::credentials(), "frontdesk"));
    let (mut health, shutdown) = (worker.health(), CancellationToken::new());
    let token = shutdown.clone();
    let running = tokio::spawn(async move { worker.run(Arc::new(job), token).await });
    within("registering", health.wait_for(|health| health.worker_id.is_some())).await.unwrap();

    let room = format!("call_{NUMBER}_x");
    let agents = vec![AgentDispatch::new("frontdesk", SAID)];
    let (caller, mut events) = join_sip(&server.url(), &room, &format!("sip_{NUMBER}"), &[("sip.phoneNumber", NUMBER)]).await;
    api.create_room(&NewRoom { name: room.clone(), agents, ..NewRoom::default() }).await.unwrap();
    let _agent = events.audio().await;
    caller.data_connected().await.unwrap();
    for digit in NUMBER.chars().skip(1) {
        caller.send_dtmf(digit).await.unwrap();
        caller.send_text("lk.chat", &Default::default(), SAID).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    caller.leave(DisconnectReason::ClientInitiated).await;
    api.delete_room(&room).await.unwrap();
    shutdown.cancel();
    within("draining", running).await.unwrap().unwrap();

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("job failed") && log.contains("registered with LiveKit"), "{log}");
    for secret in [&NUMBER[1..], "5550100", SAID, support::server::SECRET, "eyJ"] {
        let found: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
        assert!(found.is_empty(), "{secret} is in the log: {found:#?}");
    }
}
