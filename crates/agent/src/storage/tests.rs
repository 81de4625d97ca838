//! Storing keeps order, keeps up, and gives up in time.

use std::time::Duration;

use chrono::Utc;
use frontdesk_conversation::{Config, Conversation};
use tokio::time::Instant;

use super::*;
use crate::testing::FakeStore;

fn storage(store: &FakeStore) -> (Storage, StorageTask, Incidents) {
    let incidents = Incidents::default();
    let start = CallStart { call_id: "call-1".into(), tenant_id: "demo".into(), started_at: Utc::now(), is_resumed: false };
    let (storage, task) = Storage::new(Some(Arc::new(store.clone())), start, incidents.clone());
    (storage, task.expect("there is a store"), incidents)
}

fn state() -> StoredState {
    Conversation::new(Config::default()).state()
}

#[tokio::test(start_paused = true)]
async fn audits_keep_their_order_and_only_the_newest_state_waits() {
    let store = FakeStore::default();
    store.set_delay(Duration::from_millis(100));
    let (storage, task, incidents) = storage(&store);
    let task = tokio::spawn(task.run());
    for n in 0..10 {
        storage.state(state());
        storage.audit(format!("act {n}"), None);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(storage);
    task.await.expect("it ends once everything is stored");
    assert_eq!(store.audits(), (0..10).map(|n| format!("act {n}")).collect::<Vec<_>>());
    assert!((1..=3).contains(&store.states()), "{} states", store.states());
    assert_eq!(incidents.list(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_costs_a_bounded_time() {
    let store = FakeStore::default();
    store.set_delay(Duration::from_secs(3600));
    let (storage, task, incidents) = storage(&store);
    storage.state(state());
    storage.audit("act".into(), None);
    drop(storage);
    let began = Instant::now();
    task.run().await;
    assert!(began.elapsed() <= 3 * STATEMENT_MAX);
    let mut incidents = incidents.list();
    incidents.sort();
    assert_eq!(incidents, ["store: audit unavailable", "store: begin unavailable", "store: save_state unavailable"]);
}

#[tokio::test(start_paused = true)]
async fn audits_that_find_no_room_are_noted() {
    let (storage, _task, incidents) = storage(&FakeStore::default());
    for n in 0..AUDIT_QUEUE + 2 {
        storage.audit(format!("act {n}"), None);
    }
    assert_eq!(incidents.list(), ["store: an audit event was lost (2 times)"]);
}
