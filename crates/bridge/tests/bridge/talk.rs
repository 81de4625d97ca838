//! How calls end when all goes well.

use std::time::Duration;

use frontdesk_bridge::CallOutcome;
use frontdesk_livekit::room::{DisconnectReason, EndReason, RoomEvent};

use crate::support::Talk;

fn room_end(event: RoomEvent) -> Option<EndReason> {
    match event {
        RoomEvent::Ended(reason) => Some(reason),
        _ => None,
    }
}

#[tokio::test]
async fn a_caller_who_hangs_up_leaves_the_room_and_the_room_ends() {
    let Talk { mut desk, workers: _workers, line, mut agent, speaking: _speaking } =
        Talk::begin(|config| config.waits.room_linger = Duration::from_secs(1)).await;
    line.hang_up().await;
    let mut told = false;
    let reason = agent
        .find("the caller leaves", |event| match event {
            RoomEvent::ParticipantUpdated(caller) => {
                told |= caller.attribute("sip.callStatus") == Some("hangup");
                None
            }
            RoomEvent::ParticipantLeft { reason, .. } => Some(reason),
            _ => None,
        })
        .await;
    assert_eq!((told, reason), (true, DisconnectReason::ClientInitiated));
    // The agent may finish, but not for ever.
    let end = agent.find("the end of the room", room_end).await;
    assert!(matches!(end, EndReason::Server(DisconnectReason::RoomDeleted | DisconnectReason::RoomClosed)), "{end:?}");
    let report = desk.report().await;
    assert_eq!(report.outcome, CallOutcome::CallerHungUp);
    assert!(report.rtp.is_some_and(|rtp| rtp.sent.packets > 10), "{report:?}");
    desk.finish().await;
}

#[tokio::test]
async fn an_agent_hangs_up_by_deleting_the_room() {
    let Talk { mut desk, workers: _workers, mut line, agent, speaking: _speaking } = Talk::begin(|_| {}).await;
    desk.api.delete_room(&agent.job.room).await.expect("the room is there");
    line.is_hung_up().await;
    assert_eq!(desk.report().await.outcome, CallOutcome::AgentHungUp);
    desk.finish().await;
}

#[tokio::test]
async fn an_agent_hangs_up_by_leaving_and_deleting_the_room() {
    let Talk { mut desk, workers: _workers, mut line, agent, speaking } = Talk::begin(|_| {}).await;
    drop(speaking);
    agent.room.leave(DisconnectReason::ClientInitiated).await;
    desk.api.delete_room(&agent.job.room).await.expect("the room is there");
    line.is_hung_up().await;
    let report = desk.report().await;
    assert_eq!((report.outcome, report.dispatches), (CallOutcome::AgentHungUp, 1), "nobody is called in to a call that ends");
    desk.finish().await;
}

#[tokio::test]
async fn an_agent_hangs_up_by_removing_the_caller() {
    let Talk { mut desk, workers: _workers, mut line, agent, speaking: _speaking } =
        Talk::begin(|config| config.waits.room_linger = Duration::from_millis(300)).await;
    desk.api.remove_participant(&agent.job.room, &agent.caller().identity).await.expect("the caller is there");
    line.is_hung_up().await;
    assert_eq!(desk.report().await.outcome, CallOutcome::AgentHungUp);
    desk.finish().await;
}

#[tokio::test]
async fn a_dead_line_is_hung_up() {
    let adjust = |config: &mut frontdesk_bridge::BridgeConfig| {
        config.waits.silence = Duration::from_millis(500);
        config.waits.room_linger = Duration::from_millis(300);
    };
    let Talk { mut desk, workers: _workers, mut line, agent: _agent, speaking: _speaking } = Talk::begin(adjust).await;
    line.rtp = None;
    line.is_hung_up().await;
    assert_eq!(desk.report().await.outcome, CallOutcome::MediaTimedOut);
    desk.finish().await;
}
