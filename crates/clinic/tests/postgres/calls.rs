//! Stored states and records of calls, and what happens to them while Postgres is away.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use frontdesk_agent::CallRecord;
use frontdesk_agent::record::{RECORD_VERSION, RecordLine};
use frontdesk_agent::store::{CallStart, CallStore, StoreError};
use frontdesk_clinic::{ClinicStore, Database, DatabaseOptions, Keyring, PgCallStore, PhoneNumber};
use frontdesk_conversation::{EndReason, Speaker};

use super::support::proxy::Proxy;
use super::support::{TestDatabase, clinic, now};
use super::wishes::wish;

/// A record as a call leaves it.
pub(crate) fn record(call_id: &str, tenant_id: &str) -> CallRecord {
    let line = RecordLine {
        speaker: Speaker::Caller,
        text: "canary transcript".into(),
        start_ms: 0,
        end_ms: 900,
        interrupted: false,
        confidence: Some(0.9),
    };
    CallRecord {
        schema_version: RECORD_VERSION,
        call_id: call_id.into(),
        tenant_id: tenant_id.into(),
        started_at: now(),
        ended_at: now() + TimeDelta::seconds(61),
        duration_ms: 61_000,
        language: Some("en".into()),
        outcome: EndReason::Completed,
        transcript: vec![line],
        intents: Vec::new(),
        asked_for: std::collections::BTreeMap::new(),
        summary: None,
        fields: Vec::new(),
        tools: Vec::new(),
        hand_offs: Vec::new(),
        turns: Vec::new(),
        latency_misses: std::collections::BTreeMap::new(),
        interruptions: 0,
        misunderstood: 0,
        transfers: Vec::new(),
        usage: Vec::new(),
        cost: None,
        recording: None,
        incidents: Vec::new(),
    }
}

fn start(call_id: &str, tenant_id: &str) -> CallStart {
    CallStart { call_id: call_id.into(), tenant_id: tenant_id.into(), started_at: now(), is_resumed: false }
}

#[tokio::test]
async fn a_call_from_beginning_to_record() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let calls = PgCallStore::new(clinic.clone());
    calls.begin(&start("one", "demo")).await.unwrap();
    assert_eq!(calls.load_state("one").await.unwrap(), None);
    calls.save_state("one", b"{\"v\":1}").await.unwrap();
    calls.save_state("one", b"{\"v\":2}").await.unwrap();
    assert_eq!(calls.load_state("one").await.unwrap().as_deref(), Some(&b"{\"v\":2}"[..]));
    assert_eq!(test.count("SELECT revision FROM call_states").await, 2);
    clinic.prepare_booking("one", &wish("2026-12-01T09:00", 1)).await.unwrap();
    calls.audit("one", "turn.committed", Some("7")).await.unwrap();
    calls.finish(&record("one", "demo")).await.unwrap();
    assert_eq!(calls.load_record("one").await.unwrap(), Some(record("one", "demo")));
    assert_eq!(calls.load_state("one").await.unwrap(), None, "the record replaces the state");
    assert_eq!(test.count("SELECT count(*) FROM appointments").await, 0, "the hold went with the call");
    let actions: Vec<String> =
        sqlx::query_scalar("SELECT action FROM audit_events WHERE call_id = 'one' ORDER BY event_id").fetch_all(&test.admin).await.unwrap();
    assert_eq!(actions, ["call.began", "slot.held", "turn.committed", "call.recorded", "record.read"]);
}

#[tokio::test]
async fn a_caller_who_could_not_be_served_leaves_one_message_with_his_number() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let phone = PhoneNumber::parse("+15550130000", "1").unwrap();
    let calls = PgCallStore::new(clinic.clone()).calling_from(Some(phone.clone()));
    let with = |call_id: &str, outcome| CallRecord { outcome, ..record(call_id, "demo") };
    for _ in 0..2 {
        calls.finish(&with("one", EndReason::Failed)).await.unwrap();
    }
    let messages = clinic.messages_of_call("one").await.unwrap();
    assert_eq!(messages.iter().map(|message| message.phone.clone()).collect::<Vec<_>>(), [Some(phone)]);
    assert!(messages[0].text.expose().ends_with("Please call back."));
    for outcome in [EndReason::Completed, EndReason::Transferred, EndReason::CallerHungUp, EndReason::CallerAway, EndReason::Stopped] {
        calls.finish(&with(outcome.as_str(), outcome)).await.unwrap();
        assert!(clinic.messages_of_call(outcome.as_str()).await.unwrap().is_empty(), "{outcome:?}");
    }
    PgCallStore::new(clinic.clone()).finish(&with("withheld", EndReason::Failed)).await.unwrap();
    assert_eq!(clinic.messages_of_call("withheld").await.unwrap()[0].phone, None);
}

#[tokio::test]
async fn a_record_is_stored_once_and_never_altered() {
    let test = TestDatabase::new().await;
    let calls = PgCallStore::new(test.clinic());
    calls.finish(&record("one", "demo")).await.unwrap();
    let mut other = record("one", "demo");
    other.interruptions = 9;
    calls.finish(&other).await.unwrap();
    assert_eq!(calls.load_record("one").await.unwrap().unwrap().interruptions, 0);
    assert_eq!(test.count("SELECT count(*) FROM audit_events WHERE action = 'call.recorded'").await, 1);
}

#[tokio::test]
async fn a_foreign_call_is_refused() {
    let test = TestDatabase::new().await;
    let calls = PgCallStore::new(test.clinic());
    assert!(matches!(calls.begin(&start("one", "other")).await, Err(StoreError::Refused(_))));
    assert!(matches!(calls.finish(&record("one", "other")).await, Err(StoreError::Refused(_))));
}

#[tokio::test]
async fn a_state_under_another_key_is_unreadable_and_says_so() {
    let test = TestDatabase::new().await;
    PgCallStore::new(test.clinic()).save_state("one", b"{}").await.unwrap();
    let other = Keyring::from_master([8; 32]);
    let clinic = ClinicStore::new(test.database(), std::sync::Arc::new(other), test.clinic().tenant().clone());
    let error = PgCallStore::new(clinic).load_state("one").await.unwrap_err();
    assert!(matches!(error, StoreError::Unreadable { ref call_id, .. } if call_id == "one"), "{error}");
}

#[tokio::test]
async fn what_was_altered_in_the_database_is_noticed() {
    let test = TestDatabase::new().await;
    let calls = PgCallStore::new(test.clinic());
    calls.save_state("one", b"{}").await.unwrap();
    calls.finish(&record("two", "demo")).await.unwrap();
    for alter in [
        "UPDATE call_states SET state_sealed = set_byte(state_sealed, 31, get_byte(state_sealed, 31) # 1)",
        "UPDATE call_states SET state_sealed = substring(state_sealed FOR 20)",
        "UPDATE call_states SET state_sealed = ''",
        // Another column's value: well sealed, in the wrong place.
        "UPDATE call_states SET state_sealed = (SELECT record_sealed FROM call_records)",
    ] {
        sqlx::query(alter).execute(&test.admin).await.unwrap();
        let error = calls.load_state("one").await.unwrap_err();
        assert!(matches!(error, StoreError::Unreadable { .. }), "{alter}: {error}");
    }
    sqlx::query("UPDATE call_records SET record_sealed = '\\x01'").execute(&test.admin).await.unwrap();
    assert!(matches!(calls.load_record("two").await.unwrap_err(), StoreError::Unreadable { .. }));
}

#[tokio::test]
async fn postgres_away_is_noticed_soon_and_healed_soon() {
    let test = TestDatabase::new().await;
    let mut proxy = Proxy::in_front_of(&test.url).await;
    let database = Database::open(&DatabaseOptions::new(proxy.url(&test.url))).unwrap();
    let calls = PgCallStore::new(clinic(database, "demo"));
    calls.save_state("one", b"{}").await.unwrap();
    proxy.stop().await;
    for _ in 0..2 {
        let asked = Instant::now();
        let error = calls.save_state("one", b"{}").await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    }
    proxy.start().await;
    let back = Instant::now();
    while calls.save_state("one", b"{}").await.is_err() {
        assert!(back.elapsed() < Duration::from_secs(2), "still not healthy");
    }
}
