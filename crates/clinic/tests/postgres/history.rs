//! A history of random operations from eight tasks, with connections killed and answers lost at COMMIT, checked against what each
//! task was told: no two appointments overlap, nothing acknowledged is lost, and nobody is refused without a reason.
//!
//! Every task has patients of its own, so it knows all that may happen to them; slots are shared. What the answers add up to, `ledger`
//! judges; what the database holds in the end, `check` does. That they would notice is shown on databases that lack a constraint.
//!
//! `FRONTDESK_HISTORY_OPS` sets the number of operations, `FRONTDESK_SEED` the seed; the interleaving is the machine's own.

mod check;
mod ledger;
mod task;

use std::sync::Arc;

use frontdesk_clinic::booking::Settled;
use frontdesk_clinic::{ClinicStore, Clock, CommitKey, Database, DatabaseOptions};
use rand::Rng;
use rand::rngs::StdRng;
use tokio::task::JoinSet;

use self::check::{Told, check};
use self::ledger::{Ledger, Violation};
use self::task::Task;
use super::support::proxy::{Loss, Proxy};
use super::support::{TestDatabase, clinic, now};
use super::wishes::{key, wish};

const TASKS: usize = 8;
const OPERATIONS: usize = 500;
/// One operation in so many comes with a fault.
const FAULT_EVERY: u32 = 12;

/// Loses an answer at COMMIT, or kills some of the server's sessions.
async fn fault(rng: &mut StdRng, proxy: &Proxy, test: &TestDatabase) {
    match rng.random_range(0..3) {
        0 => proxy.lose_next_commit(Loss::AfterServer),
        1 => proxy.lose_next_commit(Loss::BeforeServer),
        _ => {
            let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                        WHERE datname = current_database() AND application_name = 'frontdesk' AND random() < 0.3";
            test.count(kill).await;
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}: a number is expected")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_histories_hold_what_was_told() {
    let operations = setting("FRONTDESK_HISTORY_OPS").map_or(OPERATIONS, |count| usize::try_from(count).unwrap());
    let seed = setting("FRONTDESK_SEED").unwrap_or_else(rand::random);
    println!("seed {seed}, {operations} operations (FRONTDESK_SEED, FRONTDESK_HISTORY_OPS)");
    let test = Arc::new(TestDatabase::new().await);
    let proxy = Arc::new(Proxy::in_front_of(&test.url).await);
    let mut options = DatabaseOptions::new(proxy.url(&test.url));
    options.connections_max = 10;
    options.acquire_timeout = std::time::Duration::from_secs(10);
    let database = Database::open(&options).unwrap();
    let ledger = Arc::new(Ledger::default());
    let mut tasks = JoinSet::new();
    for number in 0..TASKS {
        let clinic = clinic(database.clone(), "demo").with_clock(Clock::Fixed(now()));
        let mut task = Task::new(number, clinic, Arc::clone(&ledger), seed);
        let (proxy, test) = (Arc::clone(&proxy), Arc::clone(&test));
        tasks.spawn(async move {
            for _ in 0..operations.div_ceil(TASKS) {
                if task.rng.random_ratio(1, FAULT_EVERY) {
                    fault(&mut task.rng, &proxy, &test).await;
                }
                task.operate().await;
            }
            task
        });
    }
    let tasks = tasks.join_all().await;
    proxy.disarm();
    database.close().await;
    let sum = |at: usize| tasks.iter().map(|task| task.counts[at]).sum::<usize>();
    let counts: Vec<usize> = (0..7).map(sum).collect();
    println!("booked, cancelled, moved, sought, held, joined, left: {counts:?}; connections lost at COMMIT: {}", proxy.lost());
    assert!(proxy.lost() > 0);
    assert_eq!(ledger.violations(), []);
    assert_eq!(check(&test, &Told::by(&tasks)).await, []);
}

/// Books for the n-th caller, whose hold runs out before his yes; another holds the slot, and both confirm.
async fn two_confirm_one_slot(test: &TestDatabase, keys: [CommitKey; 2]) -> (Told, usize) {
    let clinic: ClinicStore = test.clinic();
    let mut told = Told::default();
    let mut refused = 0;
    let first = clinic.prepare_booking(&keys[0].call_id, &wish(SLOT, 0)).await.unwrap();
    sqlx::query("UPDATE appointments SET hold_expires_at = now() - interval '1 s'").execute(&test.admin).await.unwrap();
    let second = clinic.prepare_booking(&keys[1].call_id, &wish(SLOT, 1)).await.unwrap();
    for (key, prepared) in keys.iter().zip([second, first]) {
        match clinic.commit_booking(key, &prepared.booking).await.unwrap() {
            Settled::Done(booked) => told.appointments.push(check::Appointment::of(&booked)),
            Settled::Refused(_) => refused += 1,
        }
    }
    told.appointments.sort();
    (told, refused)
}

const SLOT: &str = "2026-12-01T09:00";

#[tokio::test]
async fn the_checker_is_silent_while_the_constraints_hold() {
    let test = TestDatabase::new().await;
    let (told, refused) = two_confirm_one_slot(&test, [key("two", "c1"), key("one", "c1")]).await;
    assert_eq!((told.appointments.len(), refused), (1, 1));
    assert_eq!(check(&test, &told).await, []);
}

#[tokio::test]
async fn without_the_exclusion_constraint_the_checker_finds_the_overlap() {
    let test = TestDatabase::new().await;
    sqlx::query("ALTER TABLE appointments DROP CONSTRAINT appointments_practitioner_free").execute(&test.admin).await.unwrap();
    let (told, refused) = two_confirm_one_slot(&test, [key("two", "c1"), key("one", "c1")]).await;
    assert_eq!((told.appointments.len(), refused), (2, 0));
    let found = check(&test, &told).await;
    assert!(matches!(found[..], [Violation::Overlap(_)]), "{found:?}");
}

/// The key is what keeps a confirmation that is repeated from having its effect twice.
#[tokio::test]
async fn without_the_unique_key_the_checker_finds_the_double() {
    let test = TestDatabase::new().await;
    for statement in [
        "ALTER TABLE tool_commits DROP CONSTRAINT tool_commits_pkey",
        "ALTER TABLE appointments DROP CONSTRAINT appointments_practitioner_free",
        "ALTER TABLE appointments DROP CONSTRAINT appointments_patient_free",
    ] {
        sqlx::query(statement).execute(&test.admin).await.unwrap();
    }
    let clinic = test.clinic();
    let prepared = clinic.prepare_booking("one", &wish(SLOT, 0)).await.unwrap();
    let mut told = Told::default();
    for _ in 0..2 {
        let settled = clinic.commit_booking(&key("one", "c1"), &prepared.booking).await.unwrap();
        let Settled::Done(booked) = settled else { panic!("{settled:?}") };
        // The caller knows of one: the answer to the first attempt was lost.
        told.appointments = vec![check::Appointment::of(&booked)];
    }
    let found = check(&test, &told).await;
    assert!(found.iter().any(|one| matches!(one, Violation::Unacknowledged(_))), "{found:?}");
    assert!(found.iter().any(|one| matches!(one, Violation::Overlap(_))), "{found:?}");
}

#[tokio::test]
async fn the_checker_finds_what_was_lost() {
    let test = TestDatabase::new().await;
    let (told, _) = two_confirm_one_slot(&test, [key("two", "c1"), key("one", "c1")]).await;
    sqlx::query("DELETE FROM appointments").execute(&test.admin).await.unwrap();
    let found = check(&test, &told).await;
    assert!(matches!(found[..], [Violation::Lost(_)]), "{found:?}");
}
