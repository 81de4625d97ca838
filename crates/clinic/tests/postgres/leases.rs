//! Leases: one holder at a time, by the database's clock, whatever the workers do.

use std::sync::Arc;
use std::time::Duration;

use frontdesk_agent::store::{CallStore, StoreError};
use frontdesk_clinic::booking::{CommitError, PrepareError};
use frontdesk_clinic::leases::{Claim, Lease, LeaseOptions, LeasedCall, Leases, Orphan, TakeOver, Watcher};
use frontdesk_clinic::{Database, DatabaseOptions, DbError, PgCallStore, TenantId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::Connection;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::calls::record;
use super::support::TestDatabase;
use super::wishes::{key, wish};

/// Longer than any of these tests takes: no lease expires by itself.
const LONG: Duration = Duration::from_secs(600);

fn call(id: &str, worker: &str) -> LeasedCall {
    let (tenant, room_sid, participant) = (TenantId::new("demo").unwrap(), format!("RM_{id}"), format!("agent-{worker}"));
    LeasedCall { tenant, call_id: id.into(), room_sid, participant, watched_by: Watcher::Rescue }
}

fn worker(test: &TestDatabase, name: &str) -> Leases {
    let mut options = LeaseOptions::new(name, "project");
    options.lasting = LONG;
    Leases::new(test.database(), options)
}

/// The lease and whether it was taken over; everybody who ever had it is gone from the room.
async fn claim(leases: &Leases, call: LeasedCall) -> (Arc<Lease>, bool) {
    match leases.claim(call, |_| false).await {
        Claim::New(lease) => (lease, false),
        Claim::TakenOver(lease, _) => (lease, true),
        other => panic!("{other:?}"),
    }
}

/// What a worker does with a lease.
fn store(test: &TestDatabase, lease: &Arc<Lease>) -> PgCallStore {
    PgCallStore::new(test.clinic().with_lease(Arc::clone(lease)))
}

async fn expire(test: &TestDatabase) {
    sqlx::query("UPDATE call_leases SET expires_at = now() - interval '1 second'").execute(&test.admin).await.unwrap();
}

fn is_lost(result: Result<(), StoreError>) -> bool {
    match result {
        Ok(()) => false,
        Err(StoreError::LeaseLost) => true,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn whoever_lost_the_call_writes_nothing_more() {
    let test = TestDatabase::new().await;
    let (first, second) = (worker(&test, "first"), worker(&test, "second"));
    let (old, resumed) = claim(&first, call("c", "1")).await;
    assert!(!resumed && old.epoch() == Some(1));
    store(&test, &old).save_state("c", b"\"one\"").await.unwrap();
    let clinic = test.clinic().with_lease(Arc::clone(&old));
    let prepared = clinic.prepare_booking("c", &wish("2026-12-01T09:00", 4711)).await.unwrap();

    // The holder is gone from the room, though it still renews.
    let (new, resumed) = claim(&second, call("c", "2")).await;
    assert!(resumed && new.epoch() == Some(2));
    assert_eq!(store(&test, &new).load_state("c").await.unwrap().as_deref(), Some(&b"\"one\""[..]));
    store(&test, &new).save_state("c", b"\"two\"").await.unwrap();

    assert!(!old.lost().is_cancelled(), "nobody has told it");
    let error = clinic.commit_booking(&key("c", "1"), &prepared.booking).await.unwrap_err();
    assert_eq!(error, CommitError::Database(DbError::LeaseLost));
    assert!(old.lost().is_cancelled(), "its own write has");
    let calls = store(&test, &old);
    assert!(is_lost(calls.save_state("c", b"\"stale\"").await));
    assert!(is_lost(calls.audit("c", "step.stale", None).await));
    assert!(is_lost(calls.finish(&record("c", "demo")).await));
    assert!(matches!(clinic.note_intent("c", "1", frontdesk_clinic::messages::Intent::Book).await, Err(DbError::LeaseLost)));
    let left = "SELECT (SELECT count(*) FROM call_records) + (SELECT count(*) FROM intents) + (SELECT count(*) FROM tool_commits)
                + (SELECT count(*) FROM appointments WHERE status = 'booked')";
    assert_eq!(test.count(left).await, 0);
    assert_eq!(store(&test, &new).load_state("c").await.unwrap().as_deref(), Some(&b"\"two\""[..]));

    // The same booking under the same key, by the one who has the call.
    test.clinic().with_lease(Arc::clone(&new)).commit_booking(&key("c", "1"), &prepared.booking).await.unwrap();
    store(&test, &new).finish(&record("c", "demo")).await.unwrap();
    assert_eq!(test.count("SELECT count(*) FROM call_leases WHERE released_at IS NOT NULL AND worker IS NULL").await, 1);
    assert!(!new.lost().is_cancelled());
    second.renew().await.unwrap();
    assert!(!new.lost().is_cancelled(), "what it has ended itself is not lost");
}

#[tokio::test]
async fn a_lease_expires_by_the_databases_clock_and_a_renewal_tells_who_lost_it() {
    let test = TestDatabase::new().await;
    let mut options = LeaseOptions::new("short", "project");
    options.lasting = Duration::from_millis(150);
    let (short, second) = (Leases::new(test.database(), options), worker(&test, "second"));
    let (old, _) = claim(&short, call("c", "1")).await;
    // Present, but its lease runs out while the other waits for it.
    let Claim::TakenOver(new, ago) = second.claim(call("c", "2"), |_| true).await else { panic!("it runs out") };
    assert_eq!(new.epoch(), Some(2));
    assert!(ago >= Duration::from_millis(150), "{ago:?}");
    short.renew().await.unwrap();
    assert!(old.lost().is_cancelled());
    second.renew().await.unwrap();
    assert!(!new.lost().is_cancelled());
    let mut impatient = LeaseOptions::new("third", "project");
    (impatient.lasting, impatient.renew_every) = (Duration::from_millis(50), Duration::from_millis(50));
    let third = Leases::new(test.database(), impatient).claim(call("c", "3"), |_| true).await;
    assert!(matches!(third, Claim::Held), "whoever is there and renews keeps the call: {third:?}");
    // Let go, it need not be waited for.
    test.clinic().with_lease(Arc::clone(&new)).yield_lease().await.unwrap();
    assert!(new.lost().is_cancelled());
    let (third, resumed) = claim(&worker(&test, "third"), call("c", "3")).await;
    assert!(resumed && third.epoch() == Some(3));
}

#[tokio::test]
async fn a_hundred_calls_of_two_clinics_are_renewed_in_one_statement() {
    let test = TestDatabase::new().await;
    frontdesk_clinic::config::import(&test.url, &super::support::other_tenant()).await.unwrap();
    let leases = worker(&test, "one");
    let mut held = Vec::new();
    for number in 0..100 {
        let tenant = if number % 2 == 0 { "demo" } else { "other" };
        let call = LeasedCall { tenant: TenantId::new(tenant).unwrap(), ..call(&format!("c{number}"), "1") };
        held.push(claim(&leases, call).await.0);
    }
    expire(&test).await;
    leases.renew().await.unwrap();
    // One transaction wrote them all, and autocommit makes one of each statement.
    assert_eq!(test.count("SELECT count(DISTINCT xmin::text) FROM call_leases").await, 1);
    assert_eq!(test.count("SELECT count(*) FROM call_leases WHERE expires_at > now() + interval '5 minutes'").await, 100);
    assert!(held.iter().all(|lease| !lease.lost().is_cancelled()));
    // What nobody holds any more is not renewed.
    held.truncate(40);
    expire(&test).await;
    leases.renew().await.unwrap();
    assert_eq!(test.count("SELECT count(*) FROM call_leases WHERE expires_at > now()").await, 40);
}

#[tokio::test]
async fn a_commit_under_way_neither_holds_up_the_renewal_nor_loses_the_call() {
    let test = TestDatabase::new().await;
    let leases = worker(&test, "one");
    let (busy, _) = claim(&leases, call("busy", "1")).await;
    let (other, _) = claim(&leases, call("other", "1")).await;
    expire(&test).await;
    let mut connection = sqlx::PgConnection::connect(&test.url).await.unwrap();
    let mut committing = connection.begin().await.unwrap();
    sqlx::query("SELECT FROM call_leases WHERE call_id = 'busy' FOR SHARE").execute(&mut *committing).await.unwrap();
    let taken = worker(&test, "rescue").take_over_now(TakeOver::default()).await.unwrap();
    let taken: Vec<&str> = taken.iter().map(|orphan| orphan.call.call_id.as_str()).collect();
    assert_eq!(taken, ["other"], "what is being committed is not stolen");
    leases.renew().await.unwrap();
    assert!(!busy.lost().is_cancelled() && other.lost().is_cancelled());
    committing.rollback().await.unwrap();
    leases.renew().await.unwrap();
    assert_eq!(test.count("SELECT count(*) FROM call_leases WHERE worker = 'one' AND expires_at > now()").await, 1);
}

#[tokio::test]
async fn calls_without_a_worker_are_taken_once_and_only_by_who_has_reached_postgres_for_a_lease_time() {
    let test = TestDatabase::new().await;
    let dead = worker(&test, "dead");
    let (old, _) = claim(&dead, call("c", "1")).await;
    let bridged = LeasedCall { watched_by: Watcher::Bridge, ..call("bridged", "1") };
    let (_bridged, _) = claim(&dead, bridged).await;
    let (_alive, _) = claim(&worker(&test, "alive"), call("alive", "1")).await;
    sqlx::query("UPDATE call_leases SET expires_at = now() - interval '1 second' WHERE worker = 'dead'")
        .execute(&test.admin)
        .await
        .unwrap();

    let mut options = LeaseOptions::new("rescue", "project");
    (options.lasting, options.renew_every) = (Duration::from_millis(200), Duration::from_millis(20));
    let rescue = Leases::new(test.database(), options);
    assert!(rescue.take_over(TakeOver::default()).await.unwrap().is_empty(), "it does not know how long Postgres has been there");
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (rescue, stop) = (rescue.clone(), stop.clone());
        async move { rescue.run(stop).await }
    });
    let began = std::time::Instant::now();
    let taken: Vec<Orphan> = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let taken = rescue.take_over(TakeOver::default()).await.unwrap();
            if !taken.is_empty() {
                return taken;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert!(began.elapsed() >= Duration::from_millis(200));
    stop.cancel();
    running.await.unwrap();
    let [orphan] = taken.as_slice() else { panic!("{taken:?}") };
    assert_eq!((orphan.call.call_id.as_str(), orphan.epoch, orphan.attempts), ("c", 2, 1));
    assert_eq!((orphan.call.participant.as_str(), orphan.call.room_sid.as_str()), ("agent-1", "RM_c"));
    assert!(orphan.orphaned_for >= Duration::from_secs(1), "{:?}", orphan.orphaned_for);
    assert!(rescue.take_over_now(TakeOver::default()).await.unwrap().is_empty(), "it is being seen to");
    assert!(is_lost(store(&test, &old).save_state("c", b"1").await));

    // Nobody came: found again, with one more attempt; the bridge's call only once its patience is over.
    expire(&test).await;
    let again = rescue.take_over_now(TakeOver { bridge_patience: Duration::ZERO, ..TakeOver::default() }).await.unwrap();
    let mut seen: Vec<_> = again.iter().map(|orphan| (orphan.call.call_id.as_str(), orphan.attempts, orphan.epoch)).collect();
    seen.sort_unstable();
    assert_eq!(seen, [("alive", 1, 2), ("bridged", 1, 2), ("c", 2, 3)]);
    // An agent comes, and whoever took the call writes nothing more for it.
    let waiting = again.into_iter().find(|orphan| orphan.call.call_id == "c").unwrap();
    let (new, resumed) = claim(&worker(&test, "next"), call("c", "2")).await;
    assert!(resumed && new.epoch() == Some(4));
    let late = PgCallStore::new(waiting.store(test.clinic()));
    assert!(is_lost(late.finish(&record("c", "demo")).await));
    let other_project = Leases::new(test.database(), LeaseOptions::new("stranger", "another"));
    expire(&test).await;
    assert!(other_project.take_over_now(TakeOver::default()).await.unwrap().is_empty(), "another project's rooms are out of reach");
}

#[tokio::test]
async fn without_a_database_a_call_has_no_lease_and_books_nothing_until_it_has_one() {
    let test = TestDatabase::new().await;
    let mut nowhere = DatabaseOptions::new("postgres://nobody@127.0.0.1:1/none");
    nowhere.acquire_timeout = Duration::from_millis(50);
    let away = Leases::new(Database::open(&nowhere).unwrap(), LeaseOptions::new("away", "project"));
    let Claim::Unleased(lease) = away.claim(call("c", "1"), |_| true).await else { panic!("there is no database") };
    assert_eq!(lease.epoch(), None);
    let clinic = test.clinic().with_lease(Arc::clone(&lease));
    let error = clinic.prepare_booking("c", &wish("2026-12-01T09:00", 4711)).await.unwrap_err();
    assert!(matches!(error, PrepareError::Database(DbError::Unleased)), "{error:?}");
    // The record of such a call is kept all the same.
    store(&test, &lease).save_state("c", b"1").await.unwrap();
    assert!(!lease.lost().is_cancelled());
    // Unless somebody has the call.
    let (_theirs, _) = claim(&worker(&test, "other"), call("c", "2")).await;
    assert!(is_lost(store(&test, &lease).save_state("c", b"2").await));
}

/// Workers claim, write, renew, stall and are forgotten in every order: as soon as one has the call, the number of writes of all
/// those before it never changes again.
#[tokio::test]
async fn random_interleavings_never_let_two_workers_write() {
    let test = Arc::new(TestDatabase::new().await);
    let mut workers = JoinSet::new();
    for number in 0..4_u64 {
        let test = Arc::clone(&test);
        workers.spawn(async move {
            let mut random = StdRng::seed_from_u64(number);
            let mut frozen: Vec<(i64, i64)> = Vec::new();
            let (mut written, mut refused) = (0_u32, 0_u32);
            for round in 0..6 {
                let leases = worker(&test, &format!("w{number}-{round}"));
                let (lease, _) = claim(&leases, call("c", &format!("{number}-{round}"))).await;
                let epoch = lease.epoch().unwrap();
                frozen.push((epoch, writes_before(&test, epoch).await));
                let calls = store(&test, &lease);
                for _ in 0..random.random_range(1..8) {
                    let subject = epoch.to_string();
                    let lost = match random.random_range(0..3) {
                        0 => leases.renew().await.map(|()| lease.lost().is_cancelled()).unwrap(),
                        1 => is_lost(calls.save_state("c", subject.as_bytes()).await),
                        _ => is_lost(calls.audit("c", "step.done", Some(&subject)).await),
                    };
                    assert!(!lost || lease.lost().is_cancelled());
                    (written, refused) = if lost { (written, refused + 1) } else { (written + 1, refused) };
                }
            }
            (frozen, written, refused)
        });
    }
    let all = workers.join_all().await;
    let mut epochs: Vec<i64> = Vec::new();
    for (frozen, ..) in &all {
        for &(epoch, before) in frozen {
            epochs.push(epoch);
            assert_eq!(writes_before(&test, epoch).await, before, "somebody wrote after epoch {epoch} had begun");
        }
    }
    epochs.sort_unstable();
    assert_eq!(epochs, (1..=24).collect::<Vec<i64>>(), "each claim has an epoch of its own");
    let (written, refused): (u32, u32) = all.iter().fold((0, 0), |(w, r), (_, written, refused)| (w + written, r + refused));
    println!("{written} acts of holders, {refused} of those who had lost the call");
    assert!(written > 0 && refused > 0, "both must occur for this to mean anything: {written} {refused}");
    let state: i64 = test.count("SELECT epoch FROM call_states").await;
    assert!(state >= 1);
}

async fn writes_before(test: &TestDatabase, epoch: i64) -> i64 {
    let count = "SELECT count(*) FROM audit_events WHERE action = 'step.done' AND subject::bigint < $1";
    sqlx::query_scalar(count).bind(epoch).fetch_one(&test.admin).await.unwrap()
}
