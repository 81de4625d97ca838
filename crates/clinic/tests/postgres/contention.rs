//! Two hundred callers want one slot, twenty times over: one has it, and everyone else is told so and what there is instead.

use frontdesk_clinic::booking::{Booking, CommitError, PrepareError, Refusal, Settled};
use frontdesk_clinic::{ClinicStore, Database, DatabaseOptions, PractitionerId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;

use super::support::{TestDatabase, clinic};
use super::wishes::{at, key, wish};

const CALLERS: usize = 200;
const SEEDS: u64 = 20;
const SLOT: &str = "2026-12-01T10:00";

/// How a caller comes to the slot.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Holds it first.
    Held,
    /// Confirms long after the hold ran out and was given away: only the constraint stands between the callers.
    Late,
}

fn pool(test: &TestDatabase) -> Database {
    let mut options = DatabaseOptions::new(&test.url);
    options.connections_max = 10;
    // The callers' patience, on a machine that may be busy with other tests.
    options.acquire_timeout = std::time::Duration::from_secs(30);
    Database::open(&options).unwrap()
}

fn booking(caller: usize) -> Booking {
    let wish = wish(SLOT, caller);
    Booking {
        start: wish.start,
        duration_minutes: wish.duration_minutes,
        practitioner: PractitionerId::new("dr-lovelace").unwrap(),
        service: None,
        patient_name: wish.patient_name,
        phone: wish.phone,
        place: None,
    }
}

/// One caller's try, made again as long as the database asks for patience: `None` is a booking.
async fn call(clinic: ClinicStore, caller: usize, way: Way, patience: u32) -> Option<Refusal> {
    for _ in 0..patience {
        tokio::task::yield_now().await;
    }
    let call = format!("call-{caller}");
    let mut booking = booking(caller);
    for _ in 0..20 {
        if matches!(way, Way::Held) {
            match clinic.prepare_booking(&call, &wish(SLOT, caller)).await {
                Ok(prepared) => booking = prepared.booking,
                Err(PrepareError::Refused(refusal)) => return Some(refusal),
                Err(PrepareError::Database(error)) if error.is_retryable() => continue,
                Err(error) => panic!("{error}"),
            }
        }
        match clinic.commit_booking(&key(&call, "c1"), &booking).await {
            Ok(Settled::Done(_)) => return None,
            Ok(Settled::Refused(refusal)) => return Some(refusal),
            Err(CommitError::Database(error) | CommitError::OutcomeUnknown(error)) if error.is_retryable() => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("twenty tries were not enough")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_callers_one_slot_twenty_seeds() {
    let test = TestDatabase::new().await;
    let database = pool(&test);
    for seed in 0..SEEDS {
        let mut rng = StdRng::seed_from_u64(seed);
        // From all of them late to all of them with a hold.
        let late = f64::from(u32::try_from(seed).unwrap()) / f64::from(u32::try_from(SEEDS - 1).unwrap());
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let way = if rng.random_bool(late) { Way::Late } else { Way::Held };
            callers.spawn(call(clinic(database.clone(), "demo"), caller, way, rng.random_range(0..50)));
        }
        let outcomes = callers.join_all().await;
        let refusals: Vec<&Refusal> = outcomes.iter().flatten().collect();
        assert_eq!(refusals.len(), CALLERS - 1, "seed {seed}");
        for refusal in refusals {
            let Refusal::SlotTaken { alternatives } = refusal else { panic!("seed {seed}: {refusal:?}") };
            assert_eq!(alternatives.len(), 3, "seed {seed}");
            assert!(alternatives.iter().all(|slot| slot.start != at(SLOT)), "seed {seed}: {alternatives:?}");
        }
        assert_eq!(test.count("SELECT count(*) FROM appointments").await, 1, "seed {seed}");
        assert_eq!(test.count("SELECT count(*) FROM audit_events WHERE action = 'appointment.booked'").await, 1, "seed {seed}");
        sqlx::raw_sql(
            "TRUNCATE appointments, tool_commits, patients CASCADE; ALTER TABLE audit_events DISABLE TRIGGER USER; DELETE FROM audit_events",
        )
        .execute(&test.admin)
        .await
        .unwrap();
    }
    database.close().await;
    assert_eq!(test.count("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await, 0);
}
