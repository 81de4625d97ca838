//! Postgres away, behind a proxy: the tools say so and offer a message, nothing is confirmed that is not there, and the pool is
//! whole again as soon as the server is.
//!
//! How soon is not asserted by a clock. Everything goes through a pool with the default wait for a connection (2 s), and the first
//! attempt after the return has to succeed: it could not, if it took longer. The times are printed.

use std::time::Duration;

use frontdesk_clinic::booking::Settled;
use frontdesk_clinic::{Database, DatabaseOptions};
use frontdesk_conversation::{CommitOutcome, ToolError};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::support::proxy::Proxy;
use super::support::{TestDatabase, clinic};
use super::tools::{Call, done};
use super::wishes::{key, wish};

const BOOKED: &str = "SELECT count(*) FROM appointments WHERE status = 'booked'";
/// Connections of the pool, all of them in use when the server goes.
const CONNECTIONS: u32 = 6;

/// A pool as a worker has it, but smaller.
fn pool(url: &str) -> Database {
    let mut options = DatabaseOptions::new(url);
    options.connections_max = CONNECTIONS;
    Database::open(&options).unwrap()
}

/// As many callers ask at once as the pool has connections; whether all were answered at their first attempt.
async fn everybody_is_answered(database: &Database) -> bool {
    let mut callers = JoinSet::new();
    for number in 0..CONNECTIONS {
        let clinic = clinic(database.clone(), "demo");
        callers.spawn(async move { clinic.audited_of_call(&format!("call-{number}")).await });
    }
    callers.join_all().await.into_iter().all(|answer| answer.inspect_err(|error| println!("{error}")).is_ok())
}

fn offers_a_message(error: &ToolError) {
    assert_eq!((error.code.as_str(), error.retryable), ("unavailable", true), "{}", error.message);
    for said in ["cannot be reached at the moment", "nothing was changed", "take a message"] {
        assert!(error.message.contains(said), "{}", error.message);
    }
}

#[tokio::test]
async fn while_it_is_away_nothing_is_confirmed_and_a_message_is_offered() {
    let test = TestDatabase::new().await;
    let mut proxy = Proxy::in_front_of(&test.url).await;
    let mut options = DatabaseOptions::new(proxy.url(&test.url));
    // Refused connections are tried again until then; nobody waits for the answer here.
    options.acquire_timeout = Duration::from_millis(200);
    let clinic = clinic(Database::open(&options).unwrap(), "demo");
    let call = Call::at(&clinic, "one");
    let book = call.tools.get("book_appointment").unwrap();
    let arguments = json!({"start": "2026-12-01T09:00", "patient_name": "Jane Miller", "phone": "202-555-0143"});
    let prepared = book.prepare(&call.context, arguments.clone()).await.unwrap();

    proxy.stop().await;
    for (tool, arguments) in [
        ("find_slots", json!({"when": "tomorrow morning"})),
        ("list_appointments", json!({"phone": "202-555-0143", "patient_name": "Jane Miller"})),
    ] {
        offers_a_message(&call.run(tool, arguments).await.unwrap_err());
    }
    offers_a_message(&book.prepare(&call.context, arguments).await.unwrap_err());
    match book.commit(&call.context, "c1", prepared.arguments.clone()).await {
        CommitOutcome::Refused(error) => offers_a_message(&error),
        other => panic!("{other:?}"),
    }
    assert_eq!(test.count(BOOKED).await, 0);

    // The caller has waited: the same yes, under the same key, and the slot is still his.
    proxy.start().await;
    done(book.commit(&call.context, "c1", prepared.arguments).await);
    assert_eq!(test.count(BOOKED).await, 1);
}

#[tokio::test]
async fn a_server_that_comes_back_is_used_at_the_first_attempt() {
    let test = TestDatabase::new().await;
    let mut proxy = Proxy::in_front_of(&test.url).await;
    let database = pool(&proxy.url(&test.url));
    for round in 0..3 {
        assert!(everybody_is_answered(&database).await);
        proxy.stop().await;
        let began = Instant::now();
        proxy.start().await;
        assert!(everybody_is_answered(&database).await, "round {round}");
        println!("cut: {CONNECTIONS} callers answered {:?} after the return", began.elapsed());
    }
}

#[tokio::test]
async fn a_server_that_held_still_goes_on_where_it_was() {
    let test = TestDatabase::new().await;
    let proxy = Proxy::in_front_of(&test.url).await;
    let clinic = clinic(pool(&proxy.url(&test.url)), "demo");
    let prepared = clinic.prepare_booking("call", &wish("2026-12-01T09:00", 1)).await.unwrap();
    proxy.stall();
    let waiting = tokio::spawn(async move {
        let settled = clinic.commit_booking(&key("call", "c1"), &prepared.booking).await;
        (clinic, settled)
    });
    let began = Instant::now();
    // Past the time in which an idle connection has to answer: another is opened, which is held up as well.
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(test.count(BOOKED).await, 0);
    proxy.flow();
    let (clinic, settled) = waiting.await.unwrap();
    assert!(matches!(settled, Ok(Settled::Done(_))), "{settled:?}");
    println!("stalled: booked {:?} after the question", began.elapsed());
    assert_eq!(clinic.audited_of_call("call").await.unwrap().get("appointment.booked"), Some(&1));
}

/// What is said on the open connections vanishes, and they stay open: TCP would wait a quarter of an hour for an answer.
#[tokio::test]
async fn connections_that_lead_nowhere_are_given_up_all_at_once() {
    let test = TestDatabase::new().await;
    let proxy = Proxy::in_front_of(&test.url).await;
    let database = pool(&proxy.url(&test.url));
    assert!(everybody_is_answered(&database).await);
    // Idle ones: the first to be asked says nothing, and the others need not be asked.
    proxy.forget();
    let began = Instant::now();
    assert!(everybody_is_answered(&database).await);
    println!("forgotten while idle: {CONNECTIONS} callers answered after {:?}", began.elapsed());

    // And one with a question under way, whose caller then hangs up: the pool gets it back and has to notice by itself. It is the only
    // one, so nobody would be answered while the pool waits for it.
    let mut options = DatabaseOptions::new(proxy.url(&test.url));
    options.connections_max = 1;
    let database = Database::open(&options).unwrap();
    let mut lock = test.admin.begin().await.unwrap();
    sqlx::query("LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let in_line = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let waits = async {
        while test.count(in_line).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    let clinic = clinic(database.clone(), "demo");
    tokio::select! {
        biased;
        () = waits => {}
        answer = clinic.audited_of_call("call") => panic!("answered although the table is locked: {answer:?}"),
    }
    proxy.forget();
    lock.rollback().await.unwrap();
    let began = Instant::now();
    clinic.audited_of_call("call").await.unwrap();
    println!("forgotten while in use: answered after {:?}", began.elapsed());
}
