//! No agent, no LiveKit: nobody is left ringing for ever, and nobody in silence.

use std::time::{Duration, Instant};

use frontdesk_bridge::{Bridge, BridgeConfig, BridgeEvent, CallOutcome, LiveKitServer, Waits};
use frontdesk_livekit::Credentials;
use frontdesk_livekit::room::{ParticipantKind, RoomEvent};
use tokio::net::TcpListener;

use crate::support::{Desk, HEARD, LOCAL, Log, PATIENCE, Phone, Talk, Workers, clip, config, eventually, find_clip, within};

/// Short, but long enough for a busy machine to join a room.
fn hasty(config: &mut BridgeConfig) {
    config.waits = Waits {
        agent: Duration::from_millis(600),
        redispatches: 1,
        ring_max: Duration::from_secs(5),
        room_linger: Duration::from_secs(1),
        ..Waits::default()
    };
}

#[tokio::test]
async fn without_an_agent_the_caller_hears_so_and_the_call_ends() {
    let mut desk = Desk::start(hasty).await;
    let began = Instant::now();
    let mut call = Phone::new().await.dial(desk.address()).await;
    call.rings().await;
    let mut line = call.answered().await;
    assert!(line.answered_after >= Duration::from_millis(1200), "dispatched twice before: {:?}", line.answered_after);
    assert!(line.answered_after < Duration::from_secs(6), "never endless ringing: {:?}", line.answered_after);
    let heard = line.is_hung_up().await;
    let found = find_clip(&heard, &clip("unavailable.wav"));
    assert!(found > HEARD, "{found} of the announcement was heard");
    assert!(began.elapsed() < PATIENCE);
    let report = desk.report().await;
    assert_eq!((report.outcome, report.dispatches), (CallOutcome::NoAgent, 2));
    let stats = desk.bridge.stats();
    assert_eq!((stats.answered, stats.announced), (0, 1));
    desk.finish().await;
}

#[tokio::test]
async fn a_worker_that_comes_late_gets_the_call() {
    let mut desk = Desk::start(|config| config.waits.agent = Duration::from_secs(2)).await;
    let mut call = Phone::new().await.dial(desk.address()).await;
    call.rings().await;
    let mut workers = Workers::register(&desk).await;
    let dispatches = desk
        .event("another dispatch", |event| match event {
            BridgeEvent::Redispatched { dispatches, .. } => Some(dispatches),
            _ => None,
        })
        .await;
    assert_eq!(dispatches, 2);
    let agent = workers.join().await;
    let _speaking = agent.speak(440.0).await;
    let mut line = call.answered().await;
    line.hears(440.0).await;
    line.hang_up().await;
    let report = desk.report().await;
    assert_eq!((report.outcome, report.dispatches), (CallOutcome::CallerHungUp, 2));
    desk.finish().await;
}

#[tokio::test]
async fn an_agent_that_does_not_speak_is_replaced() {
    let mut desk = Desk::start(|config| config.waits.agent = Duration::from_secs(2)).await;
    let mut workers = Workers::register(&desk).await;
    let mut call = Phone::new().await.dial(desk.address()).await;
    call.rings().await;
    let mut stuck = workers.join().await;
    let agent = workers.join().await;
    stuck.find("its removal", |event| matches!(event, RoomEvent::Ended(_)).then_some(())).await;
    let _speaking = agent.speak(440.0).await;
    call.answered().await.hang_up().await;
    let report = desk.report().await;
    assert_eq!((report.outcome, report.dispatches), (CallOutcome::CallerHungUp, 2));
    desk.finish().await;
}

#[tokio::test]
async fn an_agent_that_refuses_the_call_is_taken_at_its_word() {
    let mut desk = Desk::start(|_| {}).await;
    let mut workers = Workers::register(&desk).await;
    let mut call = Phone::new().await.dial(desk.address()).await;
    call.rings().await;
    let agent = workers.join().await;
    desk.api.delete_room(&agent.job.room).await.expect("the room is there");
    assert_eq!(call.refused().await, 486);
    assert_eq!(desk.report().await.outcome, CallOutcome::Refused(486));
    assert_eq!(workers.taken, 1);
    desk.finish().await;
}

/// A bridge without a LiveKit server of its own, and what a caller gets there.
async fn call_without_livekit(url: &str, credentials: Credentials, join: Duration) -> (Log, u16, Duration) {
    let log = Log::start();
    let mut config = config(LiveKitServer { url: url.to_owned(), credentials });
    config.waits.join = join;
    let bridge = Bridge::start(config).await.expect("LiveKit need not be up yet");
    let began = Instant::now();
    let status = Phone::new().await.dial(bridge.local_addr()).await.refused().await;
    let took = began.elapsed();
    eventually("the call is over", async || bridge.stats().active_calls == 0 && bridge.stats().media_ports == 0).await;
    eventually("the fault was told at the start", async || !log.lines(&["ERROR", "calls are answered 503"]).is_empty()).await;
    (log, status, took)
}

#[tokio::test]
async fn without_livekit_calls_are_refused_at_once() {
    let unused = TcpListener::bind((LOCAL, 0)).await.expect("a port").local_addr().expect("an address");
    let url = format!("ws://{unused}");
    let (log, status, took) = call_without_livekit(&url, Credentials::new("key", "secret"), Duration::from_secs(2)).await;
    assert_eq!(status, 503);
    assert!(took < Duration::from_secs(3), "{took:?}");
    let told = log.lines(&["ERROR", "no room for the call", &format!("no LiveKit server can be reached at {url}")]);
    assert_eq!(told.len(), 1, "{told:?}");
    log.assert_private();
}

#[tokio::test]
async fn a_livekit_that_does_not_answer_is_not_waited_for() {
    let silent = TcpListener::bind((LOCAL, 0)).await.expect("a port");
    let url = format!("ws://{}", silent.local_addr().expect("an address"));
    let (log, status, took) = call_without_livekit(&url, Credentials::new("key", "secret"), Duration::from_millis(800)).await;
    assert_eq!(status, 503);
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(log.lines(&["ERROR", "no room for the call", "within"]).len(), 1);
    log.assert_private();
}

#[tokio::test]
async fn a_wrong_secret_is_named() {
    let desk = Desk::start(|config| config.livekit.credentials = Credentials::new("devkey", "not the secret of the server at all")).await;
    assert_eq!(Phone::new().await.dial(desk.address()).await.refused().await, 503);
    let url = desk.server.url();
    let told = desk.log.lines(&["ERROR", "no room for the call", &format!("LiveKit at {url} refused the access token")]);
    assert_eq!(told.len(), 1, "{told:?}");
    eventually("the fault was told at the start", async || !desk.log.lines(&["ERROR", "calls are answered 503", &url]).is_empty()).await;
    assert!(desk.log.lines(&["not the secret"]).is_empty());
    desk.finish().await;
}

#[tokio::test]
async fn a_caller_whose_room_is_lost_is_told() {
    let Talk { mut desk, workers: _workers, mut line, agent: _agent, speaking: _speaking } =
        Talk::begin(|config| config.waits.room_media = Duration::from_secs(1)).await;
    desk.server.kill().await;
    let began = Instant::now();
    let heard = line.is_hung_up().await;
    println!("told and hung up after {:?}", began.elapsed());
    assert!(find_clip(&heard, &clip("unavailable.wav")) > HEARD);
    assert_eq!(desk.report().await.outcome, CallOutcome::RoomLost);
    within("LiveKit comes back", desk.server.restart()).await.expect("it starts again");
    desk.finish().await;
}

#[tokio::test]
async fn a_call_that_rings_survives_a_restart_of_livekit() {
    let mut desk = Desk::start(|config| config.waits.agent = Duration::from_secs(2)).await;
    let mut call = Phone::new().await.dial(desk.address()).await;
    call.rings().await;
    within("the restart", desk.server.restart()).await.expect("it starts again");
    let mut workers = Workers::register(&desk).await;
    // The attempt to resume makes the old room anew, without the caller. An agent that is called there finds nobody, and ends it.
    let agent = loop {
        let agent = workers.join().await;
        if agent.room.participants().iter().any(|other| other.kind == ParticipantKind::Sip) {
            break agent;
        }
        let _gone_before = desk.api.delete_room(&agent.job.room).await;
    };
    let _speaking = agent.speak(440.0).await;
    let mut line = call.answered().await;
    line.hears(440.0).await;
    line.hang_up().await;
    let report = desk.report().await;
    assert_eq!((report.outcome, report.call_id.as_str()), (CallOutcome::CallerHungUp, agent.job.room.as_str()), "in another room");
    assert_eq!(desk.log.lines(&["another room is made"]).len(), 1);
    desk.finish().await;
}

#[tokio::test]
async fn a_livekit_that_dies_while_it_rings_is_apologised_for() {
    let mut desk = Desk::start(|config| config.waits.room_media = Duration::from_secs(1)).await;
    let mut call = Phone::new().await.dial(desk.address()).await;
    call.rings().await;
    desk.server.kill().await;
    let heard = call.answered().await.is_hung_up().await;
    assert!(find_clip(&heard, &clip("unavailable.wav")) > HEARD);
    assert_eq!(desk.report().await.outcome, CallOutcome::NoAgent);
    within("LiveKit comes back", desk.server.restart()).await.expect("it starts again");
    desk.finish().await;
}
