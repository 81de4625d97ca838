//! The calls of the demo: placed, watched, printed.

use std::net::SocketAddr;
use std::time::Duration;

use frontdesk_simulators::caller::{CallOutcome, Caller, CallerEvent, CallerOptions, ObserverOptions, RoomObserver, RoomSight};
use frontdesk_simulators::voice::Voice;
use tokio::sync::mpsc;

use super::super::CommandError;
use super::guest::Guest;
use super::show::{millis, spoken};

/// The number that is dialled; it stands in `sip/demo.toml` and in the demo clinic's configuration.
const DIALLED: &str = "+15550100";
/// Everything that any caller may say, for the recogniser.
pub(super) fn utterances(callers: usize) -> Vec<String> {
    let mut all: Vec<String> = (0..callers).flat_map(|caller| Guest::new(caller).texts().map(str::to_owned).collect::<Vec<_>>()).collect();
    all.sort();
    all.dedup();
    all
}

/// Where a call goes and who may watch it.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) target: SocketAddr,
    pub(super) livekit: ObserverOptions,
    /// Whether several call at once, so that each line of the transcript needs its caller's number.
    pub(super) is_shared: bool,
}

/// Places one call and prints its transcript as it grows.
pub(super) async fn call(number: usize, line: Line) -> Result<CallOutcome, CommandError> {
    let from = format!("+1555013{number:04}");
    let label = line.is_shared.then_some(number + 1);
    let mut options = CallerOptions::new(line.target, from.clone(), DIALLED, Guest::new(number));
    let (events, receiver) = mpsc::channel(64);
    let (words, agent_words) = mpsc::channel(64);
    options.agent_words = Some(agent_words);
    let observer = ObserverOptions { caller_number: from, ..line.livekit };
    let watching = tokio::spawn(watch(label, observer, receiver, words));
    let outcome = Caller::new(Voice::caller()).call(options, events).await;
    // The observer ends with the room; what it still has to print belongs before what follows.
    let _ended = tokio::time::timeout(Duration::from_secs(5), watching).await;
    outcome.map_err(|error| CommandError::new(format!("caller {}: {error}", number + 1)))
}

/// Prints what is heard and how long it took, and tells the caller the agent's words.
async fn watch(label: Option<usize>, observer: ObserverOptions, mut events: mpsc::Receiver<CallerEvent>, words: mpsc::Sender<String>) {
    let looking = RoomObserver::watch(&observer);
    tokio::pin!(looking);
    let mut room: Option<(RoomObserver, mpsc::Receiver<RoomSight>)> = None;
    let (mut gap, mut calling, mut watching) = (None, true, true);
    while calling || (watching && room.is_some()) {
        tokio::select! {
            found = &mut looking, if watching && room.is_none() => match found {
                Ok(found) => room = Some(found),
                Err(error) => {
                    watching = false;
                    println!("  (no live transcript: {error})");
                }
            },
            sight = next(&mut room), if room.is_some() && watching => match sight {
                Some(RoomSight::Line(line)) if line.is_final => {
                    let took = if line.is_agent { gap.take() } else { None };
                    if line.is_agent {
                        // A caller who has hung up needs no words.
                        let _untold = words.try_send(line.text.clone());
                    }
                    let remark = took.map_or_else(String::new, |gap| format!("[{} after the caller's last sound]", millis(gap)));
                    spoken(label, if line.is_agent { "agent" } else { "caller" }, &line.text, &remark);
                }
                Some(RoomSight::Ended) | None => watching = false,
                Some(_) => {}
            },
            event = events.recv(), if calling => match event {
                Some(CallerEvent::Ringing { after }) => spoken(label, "·", &format!("ringing after {}", millis(after)), ""),
                Some(CallerEvent::Answered { after }) => spoken(label, "·", &format!("answered after {}", millis(after)), ""),
                Some(CallerEvent::AgentBegan { gap: Some(measured) }) => gap = Some(measured),
                Some(CallerEvent::Transferred { target, status }) => spoken(label, "·", &format!("transfer to {target}: {status}"), ""),
                Some(CallerEvent::Ended(end)) => spoken(label, "·", &format!("call ended by {}", ended_by(&end)), ""),
                Some(_) => {}
                None => calling = false,
            },
        }
    }
}

async fn next(room: &mut Option<(RoomObserver, mpsc::Receiver<RoomSight>)>) -> Option<RoomSight> {
    match room {
        Some((_, sights)) => sights.recv().await,
        None => std::future::pending().await,
    }
}

fn ended_by(end: &frontdesk_simulators::caller::CallEnd) -> &'static str {
    use frontdesk_simulators::caller::CallEnd;
    match end {
        CallEnd::Caller => "the caller",
        CallEnd::Agent => "the agent",
        CallEnd::Lost(_) => "a lost connection",
    }
}
