//! Eight calls at once at one clinic: what they share is a pool, a calendar and nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;

use frontdesk_agent::store::{CallStart, CallStore};
use frontdesk_clinic::booking::{Refusal, Settled};
use frontdesk_clinic::{ClinicStore, Database, DatabaseOptions, PgCallStore, PractitionerId};
use frontdesk_conversation::ToolError;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::calls::record;
use super::support::{TestDatabase, clinic, now};
use super::tools::{Call, done};
use super::wishes::{key, refusal, wish};

const CALLS: usize = 8;
/// The half hours of a Tuesday on which Doctor Lovelace works and Doctor Okafor does not.
const TUESDAY: [&str; CALLS] = ["09:00", "09:30", "10:00", "10:30", "11:00", "11:30", "12:00", "13:30"];
const BOOKED: &str = "SELECT count(*) FROM appointments WHERE status = 'booked'";

/// A pool as the program opens it, with its own patience, but of this size.
fn pool(test: &TestDatabase, connections_max: u32) -> Database {
    let mut options = DatabaseOptions::new(&test.url);
    options.connections_max = connections_max;
    Database::open(&options).unwrap()
}

/// What a whole call asks of the database; the slot that it got in the end.
async fn whole_call(clinic: ClinicStore, number: usize, start: &str, barrier: Arc<Barrier>) -> String {
    let call_id = format!("call-{number}");
    let call = Call::at(&clinic, &call_id);
    let store = PgCallStore::new(clinic);
    barrier.wait().await;
    store.begin(&CallStart { call_id: call_id.clone(), tenant_id: "demo".into(), started_at: now(), is_resumed: false }).await.unwrap();
    let (noted, found) = tokio::join!(
        call.run("note_intent", json!({"intent": "book"})),
        call.run("find_slots", json!({"window_start": "2026-12-01", "practitioner": "Lovelace"})),
    );
    noted.unwrap();
    assert!(!found.unwrap()["slots"].as_array().unwrap().is_empty());
    let booked = book(&call, number, format!("2026-12-01T{start}")).await;
    // The state of a turn is stored while the next tool runs.
    let (saved, covered) = tokio::join!(
        store.save_state(&call_id, b"{}"),
        call.run("check_insurance_coverage", json!({"payer": "Northwind Health", "plan": "Gold", "procedure_code": "99213"})),
    );
    saved.unwrap();
    covered.unwrap();
    store.finish(&record(&call_id, "demo")).await.unwrap();
    booked["start"].as_str().unwrap().to_owned()
}

/// Books the time, or else the first alternative that is offered.
async fn book(call: &Call, number: usize, mut start: String) -> Value {
    let tool = call.tools.get("book_appointment").unwrap();
    for _ in 0..4 * CALLS {
        let wish = json!({"start": start, "patient_name": format!("Patient Number{number}"),
                          "phone": format!("202555{number:04}"), "practitioner": "Lovelace"});
        match tool.prepare(&call.context, wish).await {
            Ok(prepared) => return done(tool.commit(&call.context, "c1", prepared.arguments).await),
            Err(error) => start = first_alternative(error),
        }
    }
    panic!("call {number} was sent from slot to slot")
}

fn first_alternative(error: ToolError) -> String {
    assert_eq!(error.code, "slot_taken", "{error:?}");
    error.details.unwrap()["alternatives"][0]["start"].as_str().unwrap().to_owned()
}

/// The starts that eight calls got, each wishing for the one at its place.
async fn eight_calls(test: &TestDatabase, connections_max: u32, wishes: [&'static str; CALLS]) -> Vec<String> {
    let database = pool(test, connections_max);
    let barrier = Arc::new(Barrier::new(CALLS));
    let mut calls = JoinSet::new();
    for (number, start) in wishes.into_iter().enumerate() {
        calls.spawn(whole_call(clinic(database.clone(), "demo"), number, start, Arc::clone(&barrier)));
    }
    let mut starts = calls.join_all().await;
    starts.sort();
    // A server process reports what it counted when it ends at the latest.
    database.close().await;
    assert_eq!(deadlocks(test).await, 0);
    starts
}

async fn deadlocks(test: &TestDatabase) -> i64 {
    test.count("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_calls_book_eight_slots() {
    // The configuration's default, and so few that calls have to wait for one another.
    for connections_max in [10, 2] {
        let test = TestDatabase::new().await;
        let starts = eight_calls(&test, connections_max, TUESDAY).await;
        assert_eq!(starts, TUESDAY.map(|start| format!("2026-12-01T{start}")));
        assert_eq!(test.count(BOOKED).await, 8);
        assert_eq!(test.count("SELECT count(DISTINCT confirmation_code) FROM appointments").await, 8);
        assert_eq!(test.count("SELECT count(*) FROM call_records").await, 8);
        assert_eq!(test.count("SELECT count(*) FROM call_states").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_calls_want_the_same_slot_and_each_ends_with_one_of_its_own() {
    let test = TestDatabase::new().await;
    let starts = eight_calls(&test, 10, ["10:00"; CALLS]).await;
    assert_eq!(starts.iter().collect::<BTreeSet<_>>().len(), CALLS, "{starts:?}");
    assert!(starts.contains(&"2026-12-01T10:00".to_owned()), "{starts:?}");
    assert_eq!(test.count(BOOKED).await, 8);
    assert_eq!(test.count("SELECT count(*) FROM appointments WHERE status = 'held'").await, 0);
}

/// The same patient by two telephones, once with each practitioner, again and again: the transactions queue up in the same
/// order instead of waiting for each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_patient_in_two_calls_is_in_one_place() {
    let test = TestDatabase::new().await;
    let database = pool(&test, 10);
    let clinic = clinic(database.clone(), "demo");
    let with = |practitioner: &str| {
        // Wednesday: both work.
        let mut wish = wish("2026-12-02T09:00", 1);
        wish.practitioner = Some(PractitionerId::new(practitioner).unwrap());
        wish
    };
    // So that the patient is known.
    let earlier = clinic.prepare_booking("earlier", &wish("2026-12-01T09:00", 1)).await.unwrap();
    assert!(matches!(clinic.commit_booking(&key("earlier", "c1"), &earlier.booking).await, Ok(Settled::Done(_))));
    for round in 0..10 {
        let (one, two) = (format!("one-{round}"), format!("two-{round}"));
        let (lovelace, okafor) = (with("dr-lovelace"), with("dr-okafor"));
        let (first, second) = tokio::join!(clinic.prepare_booking(&one, &lovelace), clinic.prepare_booking(&two, &okafor));
        let (held, refused) = match (first, second) {
            (Ok(held), Err(refused)) => ((one, held), refused),
            (Err(refused), Ok(held)) => ((two, held), refused),
            other => panic!("{other:?}"),
        };
        assert_eq!(refusal(refused), Refusal::PatientBusy);
        let (call_id, held) = held;
        assert!(matches!(clinic.commit_booking(&key(&call_id, "c1"), &held.booking).await, Ok(Settled::Done(_))));
        sqlx::query("DELETE FROM appointments WHERE call_id <> 'earlier'").execute(&test.admin).await.unwrap();
    }
    database.close().await;
    assert_eq!(deadlocks(&test).await, 0);
}
