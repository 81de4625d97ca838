//! Keys of patients and calls: one each, wrapped anew while others work, gone for good when destroyed.

use std::sync::Arc;

use frontdesk_agent::store::{CallStore, StoreError};
use frontdesk_clinic::audit::{seal_all, verify};
use frontdesk_clinic::booking::Settled;
use frontdesk_clinic::crypto::Place;
use frontdesk_clinic::records::{VersionUse, key_status, rotate_keys};
use frontdesk_clinic::{ClinicStore, Clock, DbError, Keyring, Owner, PgCallStore, Sealed, TenantId};
use sqlx::{AssertSqlSafe, Executor};
use tokio::task::JoinSet;

use super::calls::record;
use super::support::{TestDatabase, now};
use super::wishes::{key, wish};

const SUBJECTS: &str = "SELECT count(*) FROM subject_keys";

fn demo() -> TenantId {
    TenantId::new("demo").unwrap()
}

/// Keys of these versions; the index key is always the same.
fn versions(versions: &[u8]) -> Keyring {
    Keyring::new(versions.iter().map(|version| (u16::from(*version), [*version; 32])), [0; 32]).unwrap()
}

fn clinic(test: &TestDatabase, keys: &Arc<Keyring>) -> ClinicStore {
    ClinicStore::new(test.database(), Arc::clone(keys), demo()).with_clock(Clock::Fixed(now()))
}

/// A call that books, with state and record.
async fn call(clinic: &ClinicStore, number: usize, start: &str) {
    let call_id = format!("call-{number}");
    let calls = PgCallStore::new(clinic.clone());
    calls.save_state(&call_id, b"{\"said\":1}").await.unwrap();
    let prepared = clinic.prepare_booking(&call_id, &wish(start, number)).await.unwrap();
    let settled = clinic.commit_booking(&key(&call_id, "c1"), &prepared.booking).await.unwrap();
    assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
    calls.finish(&record(&call_id, "demo")).await.unwrap();
}

/// Everything that the call left opens.
async fn reads_back(clinic: &ClinicStore, number: usize) {
    let call_id = format!("call-{number}");
    assert_eq!(PgCallStore::new(clinic.clone()).load_record(&call_id).await.unwrap(), Some(record(&call_id, "demo")));
    let booked = clinic.appointments_of_call(&call_id).await.unwrap();
    assert_eq!(booked[0].patient_name.expose(), &format!("Patient Number{number}"));
}

#[tokio::test]
async fn a_patient_and_a_call_have_a_key_each() {
    let test = TestDatabase::new().await;
    let keys = Arc::new(versions(&[1]));
    let clinic = clinic(&test, &keys);
    call(&clinic, 1, "2026-12-01T09:00").await;
    assert_eq!(test.count(SUBJECTS).await, 2);
    // The same patient by another call.
    let prepared = clinic.prepare_booking("call-2", &wish("2026-12-02T09:00", 1)).await.unwrap();
    clinic.commit_booking(&key("call-2", "c1"), &prepared.booking).await.unwrap();
    assert_eq!(test.count(SUBJECTS).await, 3);
    assert_eq!(test.count("SELECT count(DISTINCT substring(name_sealed FROM 4 FOR 16)) FROM patients").await, 1);
    assert_eq!(
        key_status(&test.database(), &demo()).await.unwrap().into_iter().collect::<Vec<_>>(),
        [(1, VersionUse { subject_keys: 3, values: 0 })]
    );
}

#[tokio::test]
async fn many_that_need_the_first_key_at_once_get_the_same() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let mut calls = JoinSet::new();
    for turn in 0..8 {
        let clinic = clinic.clone();
        calls.spawn(async move { PgCallStore::new(clinic).save_state("one", format!("{{\"turn\":{turn}}}").as_bytes()).await.unwrap() });
    }
    calls.join_all().await;
    assert_eq!(test.count(SUBJECTS).await, 1);
    assert!(PgCallStore::new(clinic).load_state("one").await.unwrap().is_some());
}

#[tokio::test]
async fn keys_are_wrapped_anew_while_calls_go_on() {
    let test = TestDatabase::new().await;
    let keys = Arc::new(versions(&[1]));
    let clinic = clinic(&test, &keys);
    let starts = ["09:00", "09:30", "10:00", "10:30", "11:00", "11:30", "12:00", "13:30"].map(|time| format!("2026-12-01T{time}"));
    for (number, start) in starts.iter().enumerate().take(4) {
        call(&clinic, number, start).await;
    }
    // A worker that does not know the new version yet goes on meanwhile, another takes it up.
    let late = ClinicStore::new(test.database(), Arc::new(versions(&[1, 2])), demo()).with_clock(Clock::Fixed(now()));
    keys.renew(&versions(&[1, 2])).unwrap();
    let mut owner = Owner::connect(&test.url, "cli:test").await.unwrap();
    let serving = async {
        for (number, start) in starts.iter().enumerate().skip(4) {
            call(if number % 2 == 0 { &clinic } else { &late }, number, start).await;
            reads_back(&clinic, number - 4).await;
        }
    };
    let (tenant, mut seen) = (demo(), Vec::new());
    let rotating = rotate_keys(&mut owner, &keys, &tenant, |state| seen.push(state));
    let ((), rotated) = tokio::join!(serving, rotating);
    let rotated = rotated.unwrap();
    assert_eq!((rotated.version, rotated.remaining), (2, 0));
    assert!(rotated.done >= 8, "{rotated:?}");
    assert_eq!(seen.last(), Some(&rotated));
    assert_eq!(test.count("SELECT count(*) FROM subject_keys WHERE master_version <> 2").await, 0);
    // The old master key is not needed any more.
    let new = ClinicStore::new(test.database(), Arc::new(versions(&[2])), demo()).with_clock(Clock::Fixed(now()));
    for number in 0..starts.len() {
        reads_back(&new, number).await;
    }
    let again = rotate_keys(&mut owner, &keys, &demo(), |_| panic!("nothing to do")).await.unwrap();
    assert_eq!((again.done, again.remaining), (0, 0));
    for action in ["security.key_rotation_began", "security.key_rotation_finished"] {
        let who: Vec<(String, String)> = sqlx::query_as("SELECT subject, principal FROM audit_events WHERE action = $1")
            .bind(action)
            .fetch_all(&test.admin)
            .await
            .unwrap();
        assert_eq!(who.len(), 1, "{action}");
        assert_eq!(who[0].0, "version 2");
        assert!(who[0].1.starts_with("cli:test login:"), "{who:?}");
    }
    seal_all(&test.database()).await.unwrap();
    assert_eq!(verify(&test.database(), &demo(), None).await.unwrap().fault, None);
}

#[tokio::test]
async fn a_rotation_that_was_interrupted_goes_on_where_it_was() {
    let test = TestDatabase::new().await;
    let keys = Arc::new(versions(&[1]));
    let calls = PgCallStore::new(clinic(&test, &keys));
    for number in 0..510 {
        calls.save_state(&format!("call-{number}"), b"{}").await.unwrap();
    }
    keys.renew(&versions(&[1, 2])).unwrap();
    let mut owner = Owner::connect(&test.url, "cli:test").await.unwrap();
    let interrupted = {
        let keys = keys.clone();
        // It stops at its first report, wherever the rest of its work would have gone on without a pause.
        tokio::spawn(async move { rotate_keys(&mut owner, &keys, &demo(), |_| panic!("interrupted")).await.unwrap() })
    };
    assert!(interrupted.await.unwrap_err().is_panic());
    let left = test.count("SELECT count(*) FROM subject_keys WHERE master_version = 1").await;
    assert_eq!(left, 10);
    assert!(calls.load_state("call-0").await.unwrap().is_some(), "both versions open meanwhile");
    let mut owner = Owner::connect(&test.url, "cli:test").await.unwrap();
    let rotated = rotate_keys(&mut owner, &keys, &demo(), |_| {}).await.unwrap();
    assert_eq!((rotated.done, rotated.remaining), (10, 0));
}

#[tokio::test]
async fn a_rotation_without_the_old_key_says_so_and_changes_nothing() {
    let test = TestDatabase::new().await;
    PgCallStore::new(clinic(&test, &Arc::new(versions(&[1])))).save_state("one", b"{}").await.unwrap();
    let mut owner = Owner::connect(&test.url, "cli:test").await.unwrap();
    let error = rotate_keys(&mut owner, &versions(&[2]), &demo(), |_| {}).await.unwrap_err();
    assert!(matches!(error, DbError::Unreadable { .. }) && error.to_string().contains("key version 1"), "{error}");
    assert_eq!(test.count("SELECT count(*) FROM subject_keys WHERE master_version = 1").await, 1);
}

#[tokio::test]
async fn what_an_earlier_release_sealed_stays_readable_and_is_counted() {
    let test = TestDatabase::new().await;
    let (old, keys) = (versions(&[1]), Arc::new(versions(&[1, 2])));
    let tenant = demo();
    let direct = Sealed::seal(&old, &Place::new(&tenant, "call_states", "state_sealed"), &"{\"v\":1}".to_string()).unwrap();
    sqlx::query("INSERT INTO call_states (tenant_id, call_id, revision, state_sealed) VALUES ('demo', 'old', 1, $1)")
        .bind(direct.as_bytes())
        .execute(&test.admin)
        .await
        .unwrap();
    let clinic = clinic(&test, &keys);
    assert_eq!(PgCallStore::new(clinic.clone()).load_state("old").await.unwrap().as_deref(), Some(&b"{\"v\":1}"[..]));
    call(&clinic, 1, "2026-12-01T09:00").await;
    let status: Vec<_> = key_status(&test.database(), &tenant).await.unwrap().into_iter().collect();
    assert_eq!(status, [(1, VersionUse { subject_keys: 0, values: 1 }), (2, VersionUse { subject_keys: 2, values: 0 })]);
}

#[tokio::test]
async fn a_destroyed_key_leaves_nothing_to_read() {
    let test = TestDatabase::new().await;
    let calls = PgCallStore::new(test.clinic());
    calls.save_state("one", b"{}").await.unwrap();
    calls.finish(&record("two", "demo")).await.unwrap();
    test.admin.execute("DELETE FROM subject_keys").await.unwrap();
    assert!(matches!(calls.load_state("one").await.unwrap_err(), StoreError::Unreadable { .. }));
    let error = calls.load_record("two").await.unwrap_err();
    assert!(error.to_string().contains("may have been erased"), "{error}");
}

#[tokio::test]
async fn a_workers_login_is_no_operator() {
    let test = TestDatabase::new().await;
    let login = format!("worker_{}", uuid::Uuid::now_v7().simple());
    test.admin.execute(AssertSqlSafe(format!("CREATE ROLE {login} LOGIN PASSWORD 'p' IN ROLE frontdesk_app"))).await.unwrap();
    let (_, host) = test.url.rsplit_once('@').unwrap();
    let error = Owner::connect(&format!("postgres://{login}:p@{host}"), "cli:test").await.unwrap_err();
    test.admin.execute(AssertSqlSafe(format!("DROP ROLE {login}"))).await.unwrap();
    assert!(error.to_string().contains("may act as frontdesk_owner"), "{error}");
}
