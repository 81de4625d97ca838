//! How a bridge goes down.

use std::time::{Duration, Instant};

use frontdesk_bridge::CallOutcome;
use frontdesk_telephony::sip::Transport;
use tokio_util::sync::CancellationToken;

use crate::support::{Desk, Phone, Workers, eventually, within};

#[tokio::test]
async fn a_bridge_that_drains_finishes_its_calls_and_takes_no_more() {
    let desk = Desk::start(|config| config.waits.room_linger = Duration::from_secs(1)).await;
    let mut workers = Workers::register(&desk).await;
    let phone = Phone::new().await;
    let (address, mut events) = (desk.address(), desk.bridge.events());
    let call = phone.dial(address).await;
    let mut agent = workers.join().await;
    let mut audio = agent.audio().await;
    let _speaking = agent.speak(440.0).await;
    let mut line = call.answered().await;
    let shutdown = CancellationToken::new();
    let Desk { bridge, api, log, server, .. } = desk;
    let running = tokio::spawn(bridge.run_until(shutdown.clone(), Duration::from_secs(60)));
    shutdown.cancel();
    eventually("OPTIONS tell", async || phone.endpoint.options(address, Transport::Udp).await == Some(503)).await;
    assert_eq!(phone.dial(address).await.refused().await, 503);
    // The call goes on, both ways.
    let _saying = line.say(800.0);
    line.hears(440.0).await;
    agent.hears(&mut audio, 800.0).await;
    assert!(!running.is_finished());
    line.hang_up().await;
    within("the bridge stops", running).await.expect("no panic");
    let ended = loop {
        if let frontdesk_bridge::BridgeEvent::Ended(report) = events.recv().await.expect("the event was sent") {
            break report;
        }
    };
    assert_eq!(ended.outcome, CallOutcome::CallerHungUp);
    eventually("no room is left", async || api.list_rooms(&[]).await.expect("the server answers").is_empty()).await;
    log.assert_private();
    drop(server);
}

#[tokio::test]
async fn calls_that_outlast_the_time_to_drain_are_hung_up() {
    let desk = Desk::start(|_| {}).await;
    let mut workers = Workers::register(&desk).await;
    let phone = Phone::new().await;
    let call = phone.dial(desk.address()).await;
    let agent = workers.join().await;
    let _speaking = agent.speak(440.0).await;
    let mut line = call.answered().await;
    let mut ringing = phone.dial(desk.address()).await;
    ringing.rings().await;
    let shutdown = CancellationToken::new();
    let Desk { bridge, api, log, server, .. } = desk;
    let running = tokio::spawn(bridge.run_until(shutdown.clone(), Duration::from_millis(300)));
    shutdown.cancel();
    let began = Instant::now();
    line.is_hung_up().await;
    assert_eq!(ringing.refused().await, 503);
    within("the bridge stops", running).await.expect("no panic");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    eventually("no room is left", async || api.list_rooms(&[]).await.expect("the server answers").is_empty()).await;
    log.assert_private();
    drop(server);
}

#[tokio::test]
async fn a_bridge_that_is_dropped_hangs_up() {
    let desk = Desk::start(|config| config.waits.room_linger = Duration::from_secs(1)).await;
    let mut workers = Workers::register(&desk).await;
    let call = Phone::new().await.dial(desk.address()).await;
    let agent = workers.join().await;
    let _speaking = agent.speak(440.0).await;
    let mut line = call.answered().await;
    let Desk { bridge, api, log, server, .. } = desk;
    drop(bridge);
    line.is_hung_up().await;
    eventually("no room is left", async || api.list_rooms(&[]).await.expect("the server answers").is_empty()).await;
    log.assert_private();
    drop(server);
}
