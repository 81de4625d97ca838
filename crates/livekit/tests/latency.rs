//! How long it takes from a job's assignment until the caller hears the agent, as the log tells it.

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};

use frontdesk_agent::{Transport, TransportEvent};
use frontdesk_audio::SampleRate;
use frontdesk_livekit::api::{AgentDispatch, LiveKit};
use frontdesk_livekit::transport::{LiveKitTransport, TransportOptions};
use frontdesk_livekit::worker::{JobContext, JobFailure, Worker, WorkerOptions};
use support::server::Server;
use support::{eventually, join_sip, tone, within};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::fmt::MakeWriter;

/// Calls one after the other.
const CALLS: usize = 15;

/// The log of the whole program, for which this test is alone in it.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<serde_json::Value> {
        let bytes = self.0.lock().expect("unpoisoned").clone();
        String::from_utf8(bytes).expect("text").lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("unpoisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Answers at once and stays until the call is over, as an agent with warm providers does.
async fn job(context: JobContext, api: Arc<LiveKit>) -> Result<(), JobFailure> {
    let failed = |error: frontdesk_agent::TransportError| JobFailure(error.to_string());
    let mut call = LiveKitTransport::join(&context, api, TransportOptions::default()).await.map_err(failed)?;
    let mut sink = call.answer(SampleRate::HZ_24000).await.map_err(failed)?;
    sink.write(&tone::sine(500.0, SampleRate::HZ_24000));
    while !matches!(call.next_event().await, TransportEvent::CallerLeft | TransportEvent::Disconnected) {}
    call.hang_up().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_caller_hears_the_agent_soon_and_the_log_says_when() {
    let log = Log::default();
    tracing_subscriber::fmt().json().flatten_event(true).with_max_level(tracing::Level::INFO).with_writer(log.clone()).init();
    let server = Server::start().await;
    let api = Arc::new(support::api(&server.url()));
    let worker = Worker::new(WorkerOptions::new(server.url(), support::credentials(), "frontdesk"));
    let (mut health, shutdown) = (worker.health(), CancellationToken::new());
    let (token, shared) = (shutdown.clone(), api.clone());
    let entry = move |context: JobContext| job(context, shared.clone());
    let running = tokio::spawn(async move { worker.run(Arc::new(entry), token).await });
    within("registering", health.wait_for(|health| health.worker_id.is_some())).await.expect("the worker runs");
    let said = |what: &str| {
        log.lines().iter().filter(|line| line["level"] == "INFO" && line["message"].as_str().is_some_and(|m| m.contains(what))).count()
    };
    assert_eq!(said("registered"), 1);

    for number in 0..CALLS {
        let room = format!("call-{number}");
        let (caller, mut events) = join_sip(&server.url(), &room, "sip_1", &[("sip.callID", "SCL_1")]).await;
        let out = caller.publish_audio(SampleRate::HZ_8000).await.expect("published");
        let _tone = tone::play(out, 440.0);
        api.create_dispatch(&room, &AgentDispatch::new("frontdesk", "")).await.expect("dispatched");
        let _agent = events.audio().await;
        eventually("the log to tell", async || said("the caller hears the agent") == number + 1).await;
        api.delete_room(&room).await.expect("deleted");
        within("the job's end", health.wait_for(|health| health.active_jobs == 0)).await.expect("the worker runs");
    }
    shutdown.cancel();
    within("draining", running).await.expect("no panic").expect("no failure");

    let told = log.lines();
    let told: Vec<_> = told.iter().filter(|line| line.get("subscribed_ms").is_some()).collect();
    for (number, line) in told.iter().enumerate() {
        assert_eq!((line["level"].as_str(), line["call"].as_str()), (Some("INFO"), Some(format!("call-{number}").as_str())));
    }
    let mut times: Vec<u64> = told.iter().map(|line| line["subscribed_ms"].as_u64().expect("a number")).collect();
    times.sort_unstable();
    println!("assignment to subscribed track: median {} ms, worst {} ms", times[CALLS / 2], times[CALLS - 1]);
    // How fast it is, the demo prints. Here the median must only show that no call in two runs into a timer.
    assert!(times[CALLS / 2] <= 1000, "{times:?}");
}
