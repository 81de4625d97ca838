//! LiveKit on two nodes that share a Redis: the bridge is connected to one of them, the worker to the other, and a call's room is at
//! either. What callers hear when Redis is away, or the node of their room dies.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use frontdesk_conversation::EndReason;
use frontdesk_simulators::caller::{CallEnd, CallerEvent, Reactive, Scripted};
use frontdesk_simulators::stack::{LiveKitOptions, LiveKitServer, Redis};

use crate::calls::{UntilTold, booking, farewell};
use crate::desk::{Desk, DeskOptions};
use crate::documents::{codes, transcript};
use crate::lost::asked;
use crate::network::{assert_called_back, assert_registers_again, assert_told, length};
use crate::people::{GOODBYE, PEOPLE, SECOND, WISH};
use crate::run;

/// The workers' node, and what it shares with the bridge's.
#[derive(Debug)]
pub(crate) struct OtherNode {
    pub(crate) livekit: LiveKitServer,
    pub(crate) redis: Redis,
    /// The id of the workers' node.
    id: String,
}

impl OtherNode {
    /// Starts the bridge's node and the workers'.
    pub(crate) async fn start(folder: &Path) -> (LiveKitServer, Self) {
        let redis = Redis::start(folder).await.expect("Redis starts");
        let mut options = LiveKitOptions::new(folder.join("livekit.log"));
        options.redis = Some(redis.address());
        let first = LiveKitServer::start(options.clone()).await.expect("LiveKit server starts");
        let known = redis.nodes().await.expect("Redis answers");
        options.log = folder.join("livekit-other.log");
        let livekit = LiveKitServer::start(options).await.expect("LiveKit server starts");
        let id = redis.nodes().await.expect("Redis answers").into_iter().find(|id| !known.contains(id)).expect("it has registered");
        (first, Self { livekit, redis, id })
    }

    /// Whether it holds the only room that there is; else the bridge's node does.
    async fn holds_the_room(&self) -> bool {
        let rooms = self.redis.rooms().await.expect("Redis answers");
        let [room] = rooms.as_slice() else { panic!("one call is under way: {rooms:?}") };
        self.redis.node_of(room).await.expect("Redis answers").as_ref() == Some(&self.id)
    }
}

/// The other node of a desk that has its servers alone.
fn other(desk: &mut Desk) -> &mut OtherNode {
    Arc::get_mut(&mut desk.shared).expect("the desk has the servers alone").other_node.as_mut().expect("two nodes")
}

/// The bridge's node of such a desk, or the workers'.
fn node(desk: &mut Desk, is_the_bridges: bool) -> &mut LiveKitServer {
    let shared = Arc::get_mut(&mut desk.shared).expect("the desk has the servers alone");
    if is_the_bridges { &mut shared.livekit } else { &mut shared.other_node.as_mut().expect("two nodes").livekit }
}

/// From the caller's goodbye until the bridge has hung up, with the agent's goodbye between, although the room cannot be deleted.
const HANG_UP_MAX: Duration = Duration::from_secs(10);
/// How long the bridge waits for signs of life (3 s, and three times as long again while nobody answers it), sends for another agent
/// (15 s) and says its announcement (5 s), on a busy machine.
const TOLD_MAX: Duration = Duration::from_secs(45);
/// The longest that an agent may wait for a caller's word; asked then whether he is there, a silent caller has as long again. Other
/// callers take half of that to book without Redis and to be answered when it is back.
const AWAY: Duration = Duration::from_secs(120);
/// How long the silent caller would wait.
const SILENT_MAX: Duration = Duration::from_secs(360);
/// How long LiveKit's nodes may take to be as before: they try to reach Redis now and then, and to reach each other.
const BACK_MAX: Duration = Duration::from_secs(60);

/// Calls until an agent answers; before, calls may be refused or hear the announcement.
async fn assert_answers_within(desk: &Desk, limit: Duration) {
    let since = Instant::now();
    let by_agents = || desk.bridge.log_text().matches("\"by_agent\":true").count();
    let before = by_agents();
    loop {
        let asked = since.elapsed();
        // He goes by what he hears: whoever would read along must find the room first, which takes its time now.
        let outcome = desk.place(Scripted::saying([GOODBYE])).answered().await;
        if let Some(outcome) = outcome.filter(|_| by_agents() > before) {
            assert_eq!(outcome.end, CallEnd::Agent, "{:?}\n{}", outcome.turns, desk.tails());
            println!("an agent answers calls again that come {asked:?} later");
            return;
        }
        assert!(since.elapsed() < limit, "no agent answers:\n{}", desk.tails());
    }
}

#[test]
fn without_redis_calls_go_on_to_their_ends_and_new_ones_are_refused_until_it_is_back() {
    run(async {
        let mut desk = Desk::open(DeskOptions { away_s: AWAY.as_secs_f64(), is_clustered: true, ..DeskOptions::default() }).await;
        let person = &PEOPLE[0];
        // He says nothing.
        let mut options = desk.new_options(Reactive::new());
        (options.habits.silence_max, options.habits.duration_max) = (SILENT_MAX, SILENT_MAX);
        let mut waiting = desk.place_with(options);
        waiting.until("an answer", |event| matches!(event, CallerEvent::Answered { .. })).await;
        let answered = Instant::now();
        let hang_up = Arc::new(AtomicBool::new(false));
        let mut leaving = desk.place(UntilTold { inner: Reactive::new(), hang_up: Arc::clone(&hang_up) });
        leaving.until("an answer", |event| matches!(event, CallerEvent::Answered { .. })).await;
        let mut call = desk.place(booking(person, WISH, SECOND));
        call.until("he introduces himself", |event| matches!(event, CallerEvent::Spoke { text } if *text == person.introduction())).await;
        other(&mut desk).redis.kill().await;
        let killed = Instant::now();
        assert_eq!(desk.place(farewell()).refused().await, 503);
        println!("without Redis a new call is refused after {:?}", killed.elapsed());

        // One hangs up, of which his agent hears in the room itself.
        hang_up.store(true, Ordering::Relaxed);
        let left = Instant::now();
        assert_eq!(leaving.outcome().await.end, CallEnd::Caller);
        let record = desk.records(1).await.remove(0);
        println!("a caller hangs up without Redis; his agent's record is there {:?} later", left.elapsed());
        assert_eq!(record.outcome, EndReason::CallerHungUp, "{}", transcript(&record));

        // The other books, and the agent hangs up, which it tells the bridge in the room itself.
        call.until("he says goodbye", |event| matches!(event, CallerEvent::Spoke { text } if text == GOODBYE)).await;
        let outcome = call.hung_up_by_agent().await;
        let last_sound = outcome.turns.last().expect("he spoke").last_sound;
        let hung_up = length(&outcome) - last_sound;
        println!("he books without Redis; the agent hangs up {hung_up:?} after his goodbye, {:?} after the kill", killed.elapsed());
        assert!(hung_up < HANG_UP_MAX, "{:?}\n{}", outcome.turns, desk.tails());
        let records = desk.records(2).await;
        let record = records.iter().find(|record| record.outcome == EndReason::Completed).expect("the call was completed");
        let [appointment] = desk.appointments().await.try_into().expect("one appointment");
        assert_eq!(codes(record), [appointment.code]);

        other(&mut desk).redis.restart().await.expect("it starts again");
        assert_answers_within(&desk, BACK_MAX).await;

        // Without Redis once more. Of an agent that is lost now nobody can be told, and no other can be had; the caller is not left in silence all the same.
        other(&mut desk).redis.kill().await;
        desk.worker.kill().await.expect("it can be killed");
        let lost = Instant::now();
        let outcome = waiting.outcome().await;
        let ended = (answered + outcome.duration).checked_duration_since(lost);
        println!("a caller whose agent is lost without Redis is told and hung up on after {ended:?}");
        assert_eq!(outcome.end, CallEnd::Agent, "{:?}\n{}", outcome.turns, desk.tails());
        assert!(ended.is_some_and(|ended| ended < TOLD_MAX), "{ended:?} {outcome:?}\n{}", desk.tails());
        assert_told(&outcome, answered, lost, &desk);

        desk.close_bridge().await;
    });
}

#[test]
fn a_caller_books_while_a_node_dies_that_does_not_hold_his_room() {
    run(async {
        let mut desk = Desk::open(DeskOptions { is_clustered: true, ..DeskOptions::default() }).await;
        let person = &PEOPLE[0];
        let mut call = desk.place(booking(person, WISH, SECOND));
        call.until("he introduces himself", |event| matches!(event, CallerEvent::Spoke { text } if *text == person.introduction())).await;
        let is_the_bridges = other(&mut desk).holds_the_room().await;
        node(&mut desk, is_the_bridges).kill().await;
        let killed = Instant::now();
        let outcome = call.hung_up_by_agent().await;
        let whose = if is_the_bridges { "bridge's" } else { "workers'" };
        println!("the {whose} node, which did not hold the room, was killed: the caller has booked {:?} after it", killed.elapsed());
        let record = desk.records(1).await.remove(0);
        assert_eq!(record.outcome, EndReason::Completed, "{:?}\n{}", outcome.turns, transcript(&record));
        let [appointment] = desk.appointments().await.try_into().expect("one appointment");
        assert_eq!(codes(&record), [appointment.code]);
        node(&mut desk, is_the_bridges).restart().await.expect("it starts again");
        assert_answers_within(&desk, BACK_MAX).await;
        desk.close().await;
    });
}

#[test]
fn callers_at_one_node_are_answered_by_a_worker_at_another_until_the_node_of_their_room_dies() {
    run(async {
        let mut desk = Desk::open(DeskOptions { away_s: 60.0, is_clustered: true, ..DeskOptions::default() }).await;
        let call = asked(&desk, &PEOPLE[2..3]).await.remove(0);
        let at_the_worker = other(&mut desk).holds_the_room().await;
        node(&mut desk, !at_the_worker).kill().await;
        let killed = Instant::now();
        let outcome = call.placed.outcome().await;
        let ended = call.answered + length(&outcome) - killed;
        let whose = if at_the_worker { "workers'" } else { "bridge's" };
        println!("the {whose} node, which held the room, was killed: the call has ended {ended:?} after it");
        assert_eq!(outcome.end, CallEnd::Agent, "{:?}\n{}", outcome.turns, desk.tails());
        assert_told(&outcome, call.answered, killed, &desk);
        assert!(ended < TOLD_MAX, "{ended:?}");
        node(&mut desk, !at_the_worker).restart().await.expect("it starts again");
        desk.worker.logged("the call goes on at another worker; nothing more is stored", BACK_MAX).await.expect("it gives the call up");
        if at_the_worker {
            assert_registers_again(&desk).await;
        }
        assert_answers_within(&desk, BACK_MAX).await;
        assert_called_back(&desk, &["failed", "completed"]).await;
        desk.close().await;
    });
}
