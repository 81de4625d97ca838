//! The sign of life of an agent: an empty data packet to the caller's participant, twice a second.
//!
//! LiveKit takes about 20 s to notice that an agent's process was killed, and never that one is stalled. Gaps in its audio tell
//! nothing either, since silence need not be sent. So agents of ours beat as long as their runtime turns, and our bridge takes one
//! that has stopped for gone. Sent unreliably: a lost beat is followed by the next, and a stalled connection must not let old
//! beats pile up.
//!
//! An agent that hangs up deletes the room, for which LiveKit's nodes need their Redis. If that fails, it tells our bridge the same way,
//! which needs nothing but the room itself; else its caller would stay in a silent line. Our bridge tells the agents so that the caller
//! has hung up, besides leaving; else they would speak to an empty line until nobody answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::room::{OutgoingData, Room};

/// Topic of beats.
pub const PULSE_TOPIC: &str = "frontdesk.pulse";
/// What is sent in the place of a beat by an agent that hangs up when the room cannot be deleted, and by the bridge when the caller has.
pub const HANG_UP: &[u8] = b"0";
/// How long that may take: a connection that does not take it is lost, which ends the call as well.
const HANG_UP_MAX: Duration = Duration::from_secs(1);
/// Between two beats.
pub const PULSE_EVERY: Duration = Duration::from_millis(500);

/// Beats for `caller` until the guard is dropped.
pub fn start(room: Arc<Room>, caller: String) -> DropGuard {
    let stop = CancellationToken::new();
    tokio::spawn(stop.clone().run_until_cancelled_owned(beat(room, caller)));
    stop.drop_guard()
}

/// Tells others in the room that the call is over: an agent its caller, the bridge its agents. Takes a second at most.
pub async fn hang_up(room: &Room, others: Vec<String>) {
    let (payload, topic) = (Bytes::from_static(HANG_UP), PULSE_TOPIC.to_owned());
    let told = room.send_data(OutgoingData { payload, topic, reliable: true, destinations: others });
    match tokio::time::timeout(HANG_UP_MAX, told).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the others in the room are not told that the call is over"),
        Err(_) => tracing::warn!(limit_ms = HANG_UP_MAX.as_millis(), "the others in the room are not told in time that the call is over"),
    }
}

async fn beat(room: Arc<Room>, caller: String) {
    let mut every = interval(PULSE_EVERY);
    // What was missed is missed.
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let (payload, topic) = (Bytes::from_static(b"1"), PULSE_TOPIC.to_owned());
        let data = OutgoingData { payload, topic, reliable: false, destinations: vec![caller.clone()] };
        if let Err(error) = room.send_data(data).await {
            tracing::trace!(%error, "a beat was not sent");
        }
    }
}
