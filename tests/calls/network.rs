//! The network between worker and LiveKit server fails, or LiveKit server does: what callers hear, and that nothing is done twice.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use frontdesk_conversation::{EndReason, Speaker};
use frontdesk_simulators::caller::{CallEnd, CallOutcome, CallerEvent};
use sqlx::Row as _;
use tokio::time::sleep;

use crate::calls::farewell;
use crate::clinic::GREETING;
use crate::desk::{Desk, DeskOptions};
use crate::documents::{said, sound, transcript};
use crate::lost::{Asked, TAKE_OVER_MAX, asked, audited, first_sound, heard_again};
use crate::people::{PEOPLE, WISH};
use crate::run;

/// Longer than the former agent is waited for, and at least 5 s; `make test-long` cuts for 20 s.
fn long_cut() -> Duration {
    let seconds = std::env::var("FRONTDESK_CUT_S").map_or(8, |text| text.parse().expect("FRONTDESK_CUT_S is a number"));
    Duration::from_secs(seconds)
}

/// Waits until the caller has heard that he was lost, and has him hang up; his call has one record, in which nothing stands twice.
async fn assert_goes_on(desk: &Desk, call: Asked, what: &str, cut: Instant) {
    let Asked { person, mut placed, answered, hang_up } = call;
    let heard = heard_again(desk, 1).await;
    // He answers when he has been asked again.
    let number = person.tells_number();
    placed.until("he tells his number", |event| matches!(event, CallerEvent::Speaking { text } if *text == number)).await;
    hang_up.store(true, Ordering::Relaxed);
    let outcome = placed.outcome().await;
    println!("{what}: the caller hears the agent again {:?} after the cut", first_sound(&outcome, answered, heard) - cut);
    assert_eq!(outcome.end, CallEnd::Caller, "{:?}\n{}", outcome.turns, desk.tails());
    let record = desk.records(1).await.remove(0);
    assert_eq!(record.outcome, EndReason::CallerHungUp, "{}", transcript(&record));
    let agent = said(&record, Speaker::Agent).join(" ");
    for sentence in [GREETING, "I lost you for a moment. You were giving me your phone number"] {
        assert_eq!(agent.matches(sentence).count(), 1, "{}", transcript(&record));
    }
    let words = format!("{WISH} {}", person.introduction());
    assert!(said(&record, Speaker::Caller).join(" ").starts_with(&words), "{}", transcript(&record));
    assert!(record.incidents.iter().any(|incident| incident.starts_with("worker: lost")), "{:?}", record.incidents);
    assert_eq!((audited(desk, "call.resumed").await, audited(desk, "call.recorded").await), (1, 1));
}

#[test]
fn a_worker_that_was_cut_off_for_long_finds_its_call_at_another_and_lets_it_be() {
    run(async {
        // A full worker is offered nothing while it cannot answer.
        let options = DeskOptions { away_s: 60.0, max_jobs: 1, has_network: true, ..DeskOptions::default() };
        let mut desk = Desk::open(options).await;
        let call = asked(&desk, &PEOPLE[1..2]).await.remove(0);
        let mut other = desk.hire_nearby("second").await;
        desk.network().cut();
        let cut = Instant::now();
        let (mended, told) = (
            async {
                sleep(long_cut()).await;
                desk.network().mend();
            },
            assert_goes_on(&desk, call, "cut off beside another worker", cut),
        );
        tokio::join!(mended, told);
        desk.worker.logged("the call goes on at another worker; nothing more is stored", TAKE_OVER_MAX).await.expect("it finds out");
        // Nor has it stored anything since.
        assert_eq!((audited(&desk, "call.resumed").await, audited(&desk, "call.recorded").await), (1, 1));
        // It is as good as before.
        assert!(other.stop(TAKE_OVER_MAX).await.expect("it ends").success());
        let next = desk.place(farewell()).hung_up_by_agent().await;
        assert!(next.greeted_after.is_some());
        desk.close().await;
    });
}

/// Long enough for the bridge to miss its agent (3 s), and not so long that it has given up by then.
const SHORT_CUT: Duration = Duration::from_secs(5);

#[test]
fn a_worker_that_was_cut_off_alone_is_its_own_successor() {
    run(async {
        let desk = Desk::open(DeskOptions { away_s: 60.0, has_network: true, ..DeskOptions::default() }).await;
        let call = asked(&desk, &PEOPLE[3..4]).await.remove(0);
        desk.network().cut();
        let cut = Instant::now();
        let mended = async {
            sleep(SHORT_CUT).await;
            desk.network().mend();
        };
        tokio::join!(mended, assert_goes_on(&desk, call, "cut off alone", cut));
        let next = desk.place(farewell()).hung_up_by_agent().await;
        assert!(next.greeted_after.is_some());
        desk.close().await;
    });
}

/// Longer than the bridge sends for an agent: it misses the former after 3 s and gives up 15 s later.
const LONG_CUT_ALONE: Duration = Duration::from_secs(20);
/// From the cut until the announcement is through, on a busy machine.
const TOLD_MAX: Duration = Duration::from_secs(35);

#[test]
fn a_worker_that_was_cut_off_alone_for_too_long_loses_its_call_whose_caller_is_told_and_called_back() {
    run(async {
        let mut desk = Desk::open(DeskOptions { away_s: 60.0, has_network: true, ..DeskOptions::default() }).await;
        let call = asked(&desk, &PEOPLE[4..5]).await.remove(0);
        desk.network().cut();
        let cut = Instant::now();
        let mended = async {
            sleep(LONG_CUT_ALONE.max(long_cut())).await;
            desk.network().mend();
        };
        let ((), outcome) = tokio::join!(mended, call.placed.outcome());
        let ended = call.answered + length(&outcome) - cut;
        println!("cut off alone for {:?}: the call has ended {ended:?} after the cut", LONG_CUT_ALONE.max(long_cut()));
        assert_eq!(outcome.end, CallEnd::Agent, "{:?}\n{}", outcome.turns, desk.tails());
        assert!(ended < TOLD_MAX, "{ended:?}");
        assert_told(&outcome, call.answered, cut, &desk);
        assert_gives_up(&mut desk).await;
        assert_called_back(&desk, &["failed", "completed"]).await;
        assert_eq!(audited(&desk, "call.resumed").await, 0);
        desk.close().await;
    });
}

#[test]
fn callers_of_a_livekit_server_that_restarts_are_told_and_called_back_and_the_next_call_is_as_before() {
    run(async {
        let mut desk = Desk::open(DeskOptions { away_s: 60.0, has_own_servers: true, ..DeskOptions::default() }).await;
        let call = asked(&desk, &PEOPLE[2..3]).await.remove(0);
        let restarted = Instant::now();
        let shared = Arc::get_mut(&mut desk.shared).expect("the desk has the servers alone");
        shared.livekit.restart().await.expect("it starts again");
        let outcome = call.placed.outcome().await;
        println!("LiveKit server restarted: the call has ended after {:?}", restarted.elapsed());
        assert_eq!(outcome.end, CallEnd::Agent);
        assert_told(&outcome, call.answered, restarted, &desk);

        // Both are back without being told.
        assert_registers_again(&desk).await;
        assert_gives_up(&mut desk).await;
        assert_called_back(&desk, &["failed", "completed"]).await;
        desk.close().await;
    });
}

/// Waits until the worker has registered for the second time.
pub(crate) async fn assert_registers_again(desk: &Desk) {
    let deadline = Instant::now() + TAKE_OVER_MAX;
    while desk.worker.log_text().matches("registered with LiveKit").count() < 2 {
        assert!(Instant::now() < deadline, "the worker does not register again:\n{}", desk.tails());
        sleep(Duration::from_millis(50)).await;
    }
}

/// The worker gives up the call that was lost, and answers the next.
pub(crate) async fn assert_gives_up(desk: &mut Desk) {
    desk.worker.logged("the call goes on at another worker; nothing more is stored", TAKE_OVER_MAX).await.expect("it gives the call up");
    let next = desk.place(farewell()).hung_up_by_agent().await;
    assert!(next.greeted_after.is_some());
}

/// Of a call that nobody has any more there is a record, and somebody calls back. `outcomes`: of all calls, oldest first.
pub(crate) async fn assert_called_back(desk: &Desk, expected: &[&str]) {
    // As if half a minute had passed, after which the workers take it for lost.
    let mut admin = desk.database.connect().await.expect("the database is there");
    let aged = "UPDATE call_leases SET expires_at = expires_at - interval '30 s', orphaned_at = orphaned_at - interval '30 s' \
                WHERE released_at IS NULL";
    // None is left to be aged where that much time has passed in truth.
    let aged = sqlx::query(aged).execute(&mut admin).await.expect("a writable table").rows_affected();
    assert!(aged <= 1, "{aged} calls are lost");
    let deadline = Instant::now() + TAKE_OVER_MAX;
    loop {
        let rows = sqlx::query("SELECT outcome FROM call_records ORDER BY started_at").fetch_all(&mut admin).await;
        let outcomes: Vec<String> = rows.expect("a readable table").iter().map(|row| row.get("outcome")).collect();
        if outcomes == expected {
            break;
        }
        assert!(Instant::now() < deadline, "the lost call has no record: {outcomes:?}\n{}", desk.tails());
        sleep(Duration::from_millis(50)).await;
    }
    let messages = sqlx::query("SELECT count(*) AS count FROM messages").fetch_one(&mut admin).await.expect("a readable table");
    assert_eq!(messages.get::<i64, _>("count"), 1, "somebody calls back");
}

/// How long the call lasted, from the answer on.
pub(crate) fn length(outcome: &CallOutcome) -> Duration {
    Duration::from_millis(outcome.recording.agent.len() as u64 / 8)
}

/// The caller was told something after that moment: more than two seconds of speech.
pub(crate) fn assert_told(outcome: &CallOutcome, answered: Instant, after: Instant, desk: &Desk) {
    let (since, recorded) = (usize::try_from((after - answered).as_millis() * 8).expect("a sample"), outcome.recording.agent.len());
    let told = sound(&outcome.recording.agent[since.min(recorded)..]);
    assert!(told > 16_000, "{told} samples of sound; {since} of {recorded}; {outcome:?}\n{}", desk.tails());
}
