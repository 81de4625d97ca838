//! Agents that vanish in the middle of a call.

use std::process::Stdio;
use std::time::{Duration, Instant};

use frontdesk_bridge::{BridgeConfig, BridgeEvent, CallOutcome};
use frontdesk_livekit::Credentials;
use frontdesk_livekit::api::NewRoom;
use frontdesk_livekit::room::{DisconnectReason, RoomEvent};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::{Desk, HEARD, Phone, Talk, Workers, clip, find_clip, run_agent, within};

fn redispatched(event: BridgeEvent) -> Option<u32> {
    match event {
        BridgeEvent::Redispatched { dispatches, .. } => Some(dispatches),
        _ => None,
    }
}

#[tokio::test]
async fn an_agent_that_is_lost_is_replaced_by_another() {
    let Talk { mut desk, mut workers, mut line, agent: first, speaking } = Talk::begin(|_| {}).await;
    desk.api.remove_participant(&first.job.room, &first.job.participant_identity).await.expect("the agent is there");
    assert_eq!(desk.event("another dispatch", redispatched).await, 2);
    drop(speaking);
    let second = workers.join().await;
    assert_eq!((second.job.room.as_str(), second.job.metadata.as_str()), (first.job.room.as_str(), "{\"tenant\":\"demo\"}"));
    let moment = clip("moment.wav");
    let mut heard = line.hears_where("a word of patience", |window| window.iter().any(|sample| sample.unsigned_abs() > 6000)).await;
    let _speaking = second.speak(700.0).await;
    heard.extend(
        line.hears_where("the second agent", |window| crate::support::is_tone(window, 700.0, frontdesk_audio::SampleRate::HZ_8000)).await,
    );
    assert!(find_clip(&heard, &moment) > 0.1, "the caller was asked for patience");
    line.hang_up().await;
    let report = desk.report().await;
    assert_eq!((report.outcome, report.dispatches), (CallOutcome::CallerHungUp, 2));
    desk.finish().await;
}

#[tokio::test]
async fn an_agent_that_leaves_without_ending_the_room_is_replaced() {
    let Talk { mut desk, mut workers, mut line, agent: first, speaking } = Talk::begin(|_| {}).await;
    drop(speaking);
    first.room.leave(DisconnectReason::ClientInitiated).await;
    let second = workers.join().await;
    let _speaking = second.speak(700.0).await;
    line.hears(700.0).await;
    line.hang_up().await;
    assert_eq!(desk.report().await.outcome, CallOutcome::CallerHungUp);
    desk.finish().await;
}

#[tokio::test]
async fn when_no_other_agent_comes_the_caller_hears_so() {
    let adjust = |config: &mut BridgeConfig| {
        (config.waits.agent, config.waits.redispatches) = (Duration::from_millis(700), 1);
        config.waits.absence_max = Duration::from_secs(4);
    };
    let Talk { mut desk, mut workers, mut line, agent, speaking } = Talk::begin(adjust).await;
    desk.api.remove_participant(&agent.job.room, &agent.job.participant_identity).await.expect("the agent is there");
    drop((speaking, agent));
    // Those who come say nothing, which is as good as nobody.
    workers.ignore().await;
    let heard = line.is_hung_up().await;
    assert!(find_clip(&heard, &clip("unavailable.wav")) > HEARD);
    assert_eq!(desk.report().await.outcome, CallOutcome::AgentLost);
    desk.finish().await;
}

#[tokio::test]
async fn a_removed_agent_that_deletes_the_room_does_not_cut_the_caller_off() {
    let adjust = |config: &mut BridgeConfig| config.waits.agent = Duration::from_secs(2);
    let Talk { mut desk, mut workers, mut line, mut agent, speaking } = Talk::begin(adjust).await;
    agent.room.leave(DisconnectReason::ClientInitiated).await;
    drop(speaking);
    // The next one says nothing.
    let mut stuck = workers.join().await;
    stuck.find("its removal", |event| matches!(event, RoomEvent::Ended(_)).then_some(())).await;
    desk.api.delete_room(&agent.job.room).await.expect("the room is there");
    let heard = line.is_hung_up().await;
    assert!(find_clip(&heard, &clip("unavailable.wav")) > HEARD);
    assert_eq!(desk.report().await.outcome, CallOutcome::AgentLost);
    agent.find("the end", |event| matches!(event, RoomEvent::Ended(_)).then_some(())).await;
    desk.finish().await;
}

#[tokio::test]
async fn a_room_that_comes_back_after_its_end_is_deleted_again() {
    let Talk { mut desk, mut workers, mut line, agent: first, speaking } = Talk::begin(|_| {}).await;
    desk.api.remove_participant(&first.job.room, &first.job.participant_identity).await.expect("the agent is there");
    drop(speaking);
    let second = workers.join().await;
    let speaking = second.speak(700.0).await;
    line.hears(700.0).await;
    second.room.leave(DisconnectReason::ClientInitiated).await;
    drop(speaking);
    desk.api.delete_room(&first.job.room).await.expect("the room is there");
    line.is_hung_up().await;
    desk.report().await;
    // As the server does when the news of a dispatch arrives late. Left alone, it would stay for five minutes.
    desk.api.create_room(&NewRoom { name: first.job.room.clone(), ..NewRoom::default() }).await.expect("a room");
    desk.finish().await;
}

/// Where [`an_agents_process`] finds the server; without it, it does nothing.
const AGENT_URL: &str = "FRONTDESK_TEST_AGENT_URL";
const AGENT_KEY: &str = "FRONTDESK_TEST_AGENT_KEY";
const AGENT_SECRET: &str = "FRONTDESK_TEST_AGENT_SECRET";

/// The body of the process that [`an_agent_whose_process_is_killed_is_replaced_within_seconds`] kills.
#[tokio::test]
async fn an_agents_process() {
    let variable = |name| std::env::var(name).ok();
    if let (Some(url), Some(key), Some(secret)) = (variable(AGENT_URL), variable(AGENT_KEY), variable(AGENT_SECRET)) {
        run_agent(&url, Credentials::new(key, secret), 440.0).await;
    }
}

async fn spawn_agent(desk: &Desk) -> (Child, tokio::io::Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(std::env::current_exe().expect("the test's own program"))
        .args(["--exact", "vanish::an_agents_process", "--nocapture"])
        .env(AGENT_URL, desk.server.url())
        .env(AGENT_KEY, desk.server.api_key())
        .env(AGENT_SECRET, desk.server.api_secret())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the agent's process starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    says(&mut lines, "registered").await;
    (child, lines)
}

async fn says(lines: &mut tokio::io::Lines<BufReader<ChildStdout>>, word: &str) {
    within(word, async {
        while let Some(line) = lines.next_line().await.expect("its output") {
            if line.contains(word) {
                return;
            }
        }
        panic!("the agent's process ended before it was {word}");
    })
    .await;
}

#[tokio::test]
async fn an_agent_whose_process_is_killed_is_replaced_within_seconds() {
    let mut desk = Desk::start(|_| {}).await;
    let (mut process, mut lines) = spawn_agent(&desk).await;
    let call = Phone::new().await.dial(desk.address()).await;
    let mut line = call.answered().await;
    says(&mut lines, "speaking").await;
    line.hears(440.0).await;
    let mut workers = Workers::register(&desk).await;
    process.kill().await.expect("it can be killed");
    let killed = Instant::now();
    let agent = workers.join().await;
    let _speaking = agent.speak(700.0).await;
    line.hears(700.0).await;
    let silent = killed.elapsed();
    println!("another agent is heard {silent:?} after the first was killed");
    assert!(silent < Duration::from_secs(8), "{silent:?}: LiveKit alone takes 20 s");
    line.hang_up().await;
    let report = desk.report().await;
    assert_eq!((report.outcome, report.dispatches), (CallOutcome::CallerHungUp, 2));
    desk.finish().await;
}
