//! How calls end: a silent caller, one who hangs up while the booking is being written, and a worker that is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use frontdesk_agent::CallRecord;
use frontdesk_agent::record::RecordTool;
use frontdesk_conversation::{CONFIRM_TOOL, EndReason, Speaker, ToolStatus};
use frontdesk_simulators::caller::{CallEnd, CallerEvent, CallerOptions, Scripted};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::time::{Instant, sleep};

use crate::calls::{UntilTold, booking, farewell};
use crate::clinic;
use crate::desk::{Desk, DeskOptions};
use crate::documents::{Appointment, appointments, codes, said, transcript};
use crate::people::{GOODBYE, PEOPLE, SECOND, YES};
use crate::{Scenarios, run};

#[test]
fn a_caller_who_says_nothing_is_asked_and_then_left() {
    run(async {
        let desk = Desk::open(DeskOptions { away_s: 4.0, ..DeskOptions::default() }).await;
        let options = CallerOptions::new(desk.sip, "+15550130000", clinic::NUMBER, Scripted::silent());
        let outcome = desk.place_with(options).hung_up_by_agent().await;
        assert!(outcome.turns.is_empty());
        let record = desk.records(1).await.remove(0);
        assert_eq!(record.outcome, EndReason::CallerAway);
        assert_eq!(said(&record, Speaker::Caller), Vec::<&str>::new());
        let agent = said(&record, Speaker::Agent);
        let [greeting, question, goodbye] = agent.as_slice() else { panic!("three sentences: {agent:?}") };
        assert_eq!(*greeting, clinic::GREETING);
        assert!(question.contains("still there") && goodbye.contains("Goodbye"), "{agent:?}");
        assert_eq!(desk.appointments().await, []);
        assert_eq!((record.intents.len(), record.tools.len()), (0, 0));
        desk.close().await;
    });
}

/// So many calls go on while their worker is told to stop.
const CALLS_AT_ONCE: usize = 4;

/// Nobody reads or writes appointments while this is held.
struct Lock(PgConnection);

impl Lock {
    async fn take(desk: &Desk) -> Self {
        let mut connection = desk.database.connect().await.expect("the database is there");
        connection.execute("BEGIN; LOCK TABLE appointments IN ACCESS EXCLUSIVE MODE").await.expect("locked");
        Self(connection)
    }

    /// Waits until the worker waits for the lock.
    async fn until_wanted(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let query = "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database \
                     WHERE NOT granted AND relation = 'appointments'::regclass AND datname = current_database()";
        while sqlx::query_scalar::<_, i64>(query).fetch_one(&mut self.0).await.expect("an answer") == 0 {
            assert!(Instant::now() < deadline, "the worker did not begin to commit");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn release(self) {
        self.0.close().await.expect("closed, which rolls back");
    }
}

/// When the lock is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Release {
    AfterTheHangUp,
    AfterTheRecord,
}

/// What came of a caller who hung up while his booking waited in the database.
struct HungUp {
    record: CallRecord,
    appointments: Vec<Appointment>,
    logs: String,
}

async fn hung_up_during_the_commit(release: Release) -> &'static HungUp {
    static HUNG_UP: Scenarios<Release, HungUp> = Scenarios::new();
    let hung_up = HUNG_UP.get(release, &[Release::AfterTheHangUp, Release::AfterTheRecord], hang_up_during_the_commit).await;
    println!("{}\n{}", transcript(&hung_up.record), hung_up.logs);
    hung_up
}

async fn hang_up_during_the_commit(release: Release) -> HungUp {
    let desk = Desk::open(DeskOptions::default()).await;
    let hang_up = Arc::new(AtomicBool::new(false));
    let plan = UntilTold { inner: booking(&PEOPLE[3], PEOPLE[3].wish, SECOND), hang_up: Arc::clone(&hang_up) };
    let mut call = desk.place(plan);
    call.until("the caller agrees", |event| matches!(event, CallerEvent::Speaking { text } if text == YES)).await;
    let mut lock = Lock::take(&desk).await;
    lock.until_wanted().await;
    hang_up.store(true, Ordering::Relaxed);
    assert_eq!(call.outcome().await.end, CallEnd::Caller);
    let record = if release == Release::AfterTheHangUp {
        lock.release().await;
        desk.records(1).await.remove(0)
    } else {
        let record = desk.records(1).await.remove(0);
        lock.release().await;
        record
    };
    let logs = desk.tails();
    // What is still under way ends before the worker does.
    let database = desk.close_but_database().await;
    HungUp { record, appointments: appointments(&database).await, logs }
}

fn commit(record: &CallRecord) -> &RecordTool {
    record.tools.iter().find(|tool| tool.name == CONFIRM_TOOL).expect("the commit is in the record")
}

#[test]
fn a_booking_that_is_written_after_the_hang_up_is_recorded() {
    run(async {
        let HungUp { record, appointments, .. } = hung_up_during_the_commit(Release::AfterTheHangUp).await;
        assert_eq!((record.outcome, commit(record).status), (EndReason::CallerHungUp, ToolStatus::Done));
        let [appointment] = appointments.as_slice() else { panic!("one appointment: {appointments:?}") };
        assert_eq!((appointment.status.as_str(), codes(record)), ("booked", vec![appointment.code.clone()]));
    });
}

#[test]
fn a_booking_that_could_not_be_written_is_recorded_as_failed() {
    run(async {
        let HungUp { record, appointments, .. } = hung_up_during_the_commit(Release::AfterTheRecord).await;
        assert_eq!((record.outcome, commit(record).status), (EndReason::CallerHungUp, ToolStatus::Failed));
        assert_eq!((appointments.as_slice(), codes(record)), ([].as_slice(), Vec::new()));
    });
}

#[test]
fn a_worker_that_is_told_to_stop_finishes_its_calls_first() {
    run(async {
        let mut desk = Desk::open(DeskOptions::default()).await;
        let mut calls: Vec<_> = (0..CALLS_AT_ONCE).map(|_| desk.place(farewell())).collect();
        for call in &mut calls {
            call.until("the agent speaks", |event| matches!(event, CallerEvent::AgentBegan { .. })).await;
        }
        desk.worker.terminate();
        desk.worker.logged("the worker drains", Duration::from_secs(10)).await.expect("it says so");
        for call in calls {
            let outcome = call.hung_up_by_agent().await;
            assert_eq!(outcome.turns.len(), 1, "the call went on: {:?}", outcome.turns);
        }
        let status = desk.worker.ended(Duration::from_secs(20)).await.expect("it ends after its last call");
        assert!(status.success(), "{status}");
        for record in desk.records(CALLS_AT_ONCE).await {
            assert_eq!((record.outcome, said(&record, Speaker::Caller)), (EndReason::Completed, vec![GOODBYE]));
        }
        desk.close().await;
    });
}

#[test]
fn a_worker_that_is_told_twice_says_goodbye() {
    run(async {
        let mut desk = Desk::open(DeskOptions::default()).await;
        let mut call = desk.place_with(CallerOptions::new(desk.sip, "+15550130001", clinic::NUMBER, Scripted::silent()));
        call.until("the agent speaks", |event| matches!(event, CallerEvent::AgentBegan { .. })).await;
        // One after the other: signals that come at once are one.
        for said in ["the worker drains", "second signal"] {
            desk.worker.terminate();
            desk.worker.logged(said, Duration::from_secs(10)).await.expect("it says so");
        }
        call.hung_up_by_agent().await;
        let status = desk.worker.ended(Duration::from_secs(20)).await.expect("it ends after its last call");
        assert!(status.success(), "{status}");
        let record = desk.records(1).await.remove(0);
        assert_eq!(record.outcome, EndReason::Stopped);
        let agent = said(&record, Speaker::Agent);
        assert!(agent.last().is_some_and(|last| last.contains("have to end this call now")), "{agent:?}");
        desk.close().await;
    });
}
