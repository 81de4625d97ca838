//! A history of random operations from eight tasks, with connections killed and answers lost at COMMIT, checked against what each
//! task was told: no two appointments overlap, nothing acknowledged is lost, and nobody is refused without a reason.
//!
//! Every task has patients of its own, so it knows all that may happen to them; slots are shared. A logical clock ticks at each
//! question and each answer. "Taken" is a true answer if somebody may have had the slot at some moment between the two, "free" is
//! a false one if somebody certainly had it all the time.
//!
//! `FRONTDESK_HISTORY_OPS` sets the number of operations, `FRONTDESK_SEED` the seed; the interleaving is the machine's own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use frontdesk_clinic::booking::{BookingWish, CommitError, PrepareError, Refusal, RescheduleWish, Settled};
use frontdesk_clinic::slots::{FindError, SlotQuery, When};
use frontdesk_clinic::{ClinicStore, Clock, Database, DatabaseOptions, PhoneNumber, PractitionerId};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use sqlx::Row;
use tokio::task::JoinSet;

use super::support::proxy::{Loss, Proxy};
use super::support::{TestDatabase, clinic, now};
use super::wishes::{at, key};

const TASKS: usize = 8;
const PATIENTS: usize = 3;
const OPERATIONS: usize = 500;
/// One operation in so many comes with a fault.
const FAULT_EVERY: u32 = 12;

/// Half an hour of one practitioner's. Both work on Wednesday, 2 December, and Lovelace on Thursday as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct SlotId {
    practitioner: &'static str,
    start: &'static str,
}

fn slots() -> Vec<SlotId> {
    let wednesday =
        ["2026-12-02T09:00", "2026-12-02T09:30", "2026-12-02T10:00", "2026-12-02T10:30", "2026-12-02T11:00", "2026-12-02T11:30"];
    let thursday = ["2026-12-03T09:00", "2026-12-03T09:30", "2026-12-03T10:00", "2026-12-03T13:30", "2026-12-03T14:00", "2026-12-03T14:30"];
    let of = |practitioner, starts: [&'static str; 6]| starts.map(|start| SlotId { practitioner, start });
    [of("dr-lovelace", wednesday), of("dr-okafor", wednesday), of("dr-lovelace", thursday)].concat()
}

/// That a slot may have been, or certainly was, somebody's.
#[derive(Debug, Clone, Copy)]
struct Tenure {
    task: usize,
    from: u64,
    until: Option<u64>,
}

/// What is known of all slots, by all tasks.
#[derive(Default)]
struct Ledger {
    clock: AtomicU64,
    possible: Mutex<HashMap<SlotId, Vec<Tenure>>>,
    certain: Mutex<HashMap<SlotId, Vec<Tenure>>>,
}

impl Ledger {
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn begin(tenures: &Mutex<HashMap<SlotId, Vec<Tenure>>>, slot: SlotId, task: usize, from: u64) {
        tenures.lock().unwrap().entry(slot).or_default().push(Tenure { task, from, until: None });
    }

    fn end(tenures: &Mutex<HashMap<SlotId, Vec<Tenure>>>, slot: SlotId, task: usize, until: u64) {
        for tenure in tenures.lock().unwrap().entry(slot).or_default().iter_mut().filter(|tenure| tenure.task == task) {
            tenure.until.get_or_insert(until);
        }
    }

    /// Whether anybody else, or the task's own appointment, may have had the slot between two moments.
    fn may_be_taken(&self, slot: SlotId, except: Option<usize>, from: u64, to: u64) -> bool {
        let possible = self.possible.lock().unwrap();
        possible.get(&slot).is_some_and(|tenures| {
            tenures.iter().any(|one| Some(one.task) != except && one.from <= to && one.until.is_none_or(|until| until >= from))
        })
    }

    fn is_certainly_taken(&self, slot: SlotId, from: u64, to: u64) -> bool {
        let certain = self.certain.lock().unwrap();
        certain.get(&slot).is_some_and(|tenures| tenures.iter().any(|one| one.from < from && one.until.is_none_or(|until| until > to)))
    }
}

/// An appointment that was acknowledged.
#[derive(Debug, Clone)]
struct Mine {
    id: uuid::Uuid,
    code: String,
    patient: usize,
    slot: SlotId,
}

struct Task {
    number: usize,
    clinic: ClinicStore,
    ledger: Arc<Ledger>,
    rng: StdRng,
    slots: Vec<SlotId>,
    mine: Vec<Mine>,
    /// Slots that this call may hold.
    holds: Vec<SlotId>,
    operations: usize,
    counts: [usize; 4],
}

fn phone(task: usize, patient: usize) -> PhoneNumber {
    PhoneNumber::parse(&format!("+1202555{task:02}{patient:02}"), "1").unwrap()
}

fn practitioner(slot: SlotId) -> PractitionerId {
    PractitionerId::new(slot.practitioner).unwrap()
}

impl Task {
    fn call(&self) -> String {
        format!("task-{}", self.number)
    }

    async fn operate(&mut self) {
        self.operations += 1;
        let slot = *self.slots.choose(&mut self.rng).unwrap();
        let own = (!self.mine.is_empty()).then(|| self.rng.random_range(0..self.mine.len()));
        match (self.rng.random_range(0..10), own) {
            (0..4, _) | (_, None) => self.book(slot).await,
            (4..6, Some(own)) => self.cancel(own).await,
            (6..8, Some(own)) => self.move_to(own, slot).await,
            _ => self.find(slot).await,
        }
    }

    /// What a prepared slot means for the ledger: it is held from the question on, and what was held before is not.
    fn holds(&mut self, slot: SlotId, answered: u64) {
        for old in std::mem::take(&mut self.holds) {
            // Not where it has an appointment as well.
            if old != slot && !self.mine.iter().any(|mine| mine.slot == old) {
                Ledger::end(&self.ledger.possible, old, self.number, answered);
            }
        }
        self.holds.push(slot);
    }

    fn refused(&self, what: &str, refusal: &Refusal, slot: SlotId, patient: usize, asked: u64) {
        let answered = self.ledger.tick();
        let is_mine = self.mine.iter().any(|mine| mine.slot == slot);
        match refusal {
            Refusal::SlotTaken { .. } => {
                let reason = is_mine || self.ledger.may_be_taken(slot, Some(self.number), asked, answered);
                assert!(reason, "{what} {slot:?} by task {}: refused, and nobody had it", self.number);
            }
            Refusal::PatientBusy => {
                let reason = self.mine.iter().any(|mine| mine.patient == patient && mine.slot.start == slot.start);
                assert!(reason, "{what} {slot:?} by task {}: patient {patient} is nowhere else: {:?}", self.number, self.mine);
            }
            other => panic!("{what} {slot:?} by task {}: {other:?}", self.number),
        }
    }

    async fn book(&mut self, slot: SlotId) {
        self.counts[0] += 1;
        let patient = self.rng.random_range(0..PATIENTS);
        let wish = BookingWish {
            start: at(slot.start),
            duration_minutes: 30,
            practitioner: Some(practitioner(slot)),
            service: None,
            location: None,
            patient_name: format!("Patient {} of {}", ["A", "B", "C"][patient], self.number).into(),
            phone: phone(self.number, patient),
        };
        let call = self.call();
        let asked = self.ledger.tick();
        Ledger::begin(&self.ledger.possible, slot, self.number, asked);
        let prepared = match insist(|| self.clinic.prepare_booking(&call, &wish)).await {
            Ok(prepared) => prepared,
            Err(refusal) => return self.not_prepared("book", &refusal, slot, patient, asked),
        };
        let answered = self.ledger.tick();
        self.holds(slot, answered);
        let key = key(&call, &format!("c{}", self.operations));
        match insist(|| self.clinic.commit_booking(&key, &prepared.booking)).await.unwrap() {
            Settled::Done(booked) => {
                let answered = self.ledger.tick();
                self.holds.clear();
                Ledger::begin(&self.ledger.certain, slot, self.number, answered);
                self.mine.push(Mine { id: booked.appointment.0, code: booked.confirmation_code, patient, slot });
            }
            Settled::Refused(refusal) => self.refused("commit", &refusal, slot, patient, asked),
        }
    }

    /// A refused question holds nothing; but an earlier try of it, whose answer was lost, may have.
    fn not_prepared(&mut self, what: &str, refusal: &Refusal, slot: SlotId, patient: usize, asked: u64) {
        if *refusal != Refusal::SameTime {
            self.refused(what, refusal, slot, patient, asked);
        }
        self.holds.push(slot);
    }

    async fn cancel(&mut self, own: usize) {
        self.counts[1] += 1;
        let mine = self.mine[own].clone();
        let (call, phone) = (self.call(), phone(self.number, mine.patient));
        let prepared = insist(|| self.clinic.prepare_cancellation(&call, &mine.code, &phone)).await.unwrap();
        let key = key(&call, &format!("c{}", self.operations));
        Ledger::end(&self.ledger.certain, mine.slot, self.number, self.ledger.tick());
        let settled = insist(|| self.clinic.commit_cancellation(&key, &prepared.cancellation)).await.unwrap();
        assert!(matches!(settled, Settled::Done(_)), "{mine:?}: {settled:?}");
        self.gave_up(own);
    }

    /// The slot of an appointment is nobody's any more, unless the call holds it.
    fn gave_up(&mut self, own: usize) {
        let mine = self.mine.swap_remove(own);
        if !self.holds.contains(&mine.slot) {
            Ledger::end(&self.ledger.possible, mine.slot, self.number, self.ledger.tick());
        }
    }

    async fn move_to(&mut self, own: usize, slot: SlotId) {
        self.counts[2] += 1;
        let mine = self.mine[own].clone();
        let call = self.call();
        let wish = RescheduleWish {
            confirmation_code: mine.code.clone(),
            phone: phone(self.number, mine.patient),
            start: at(slot.start),
            practitioner: Some(practitioner(slot)),
        };
        let asked = self.ledger.tick();
        Ledger::begin(&self.ledger.possible, slot, self.number, asked);
        let prepared = match insist(|| self.clinic.prepare_reschedule(&call, &wish)).await {
            Ok(prepared) => prepared,
            Err(refusal) => return self.not_prepared("move", &refusal, slot, mine.patient, asked),
        };
        let answered = self.ledger.tick();
        self.holds(slot, answered);
        let key = key(&call, &format!("c{}", self.operations));
        Ledger::end(&self.ledger.certain, mine.slot, self.number, self.ledger.tick());
        match insist(|| self.clinic.commit_reschedule(&key, &prepared.reschedule)).await.unwrap() {
            Settled::Done(moved) => {
                assert_eq!((moved.appointment.0, &moved.confirmation_code), (mine.id, &mine.code));
                let answered = self.ledger.tick();
                self.holds.clear();
                self.gave_up(own);
                Ledger::begin(&self.ledger.certain, slot, self.number, answered);
                self.mine.push(Mine { slot, ..mine });
            }
            Settled::Refused(refusal) => {
                // The old time was never given up.
                Ledger::begin(&self.ledger.certain, mine.slot, self.number, self.ledger.tick());
                self.refused("commit of move", &refusal, slot, mine.patient, asked);
            }
        }
    }

    async fn find(&mut self, slot: SlotId) {
        self.counts[3] += 1;
        let when = When::Exact(at(slot.start));
        let query = SlotQuery { when, duration_minutes: 30, practitioner: Some(practitioner(slot)), service: None, location: None };
        let call = self.call();
        let asked = self.ledger.tick();
        let found = insist(|| self.clinic.find_slots(&call, &query)).await.unwrap();
        let answered = self.ledger.tick();
        match found.exact.unwrap().unwrap() {
            true => assert!(!self.ledger.is_certainly_taken(slot, asked, answered), "{slot:?} was told to be free"),
            false => assert!(self.ledger.may_be_taken(slot, None, asked, answered), "{slot:?} was told to be taken"),
        }
    }
}

/// What may be asked again.
trait Retry: Sized + std::fmt::Display {
    fn settle(self) -> Result<Refusal, Self>;
}

impl Retry for PrepareError {
    fn settle(self) -> Result<Refusal, Self> {
        if let Self::Refused(refusal) = self { Ok(refusal) } else { Err(self) }
    }
}

impl Retry for CommitError {
    fn settle(self) -> Result<Refusal, Self> {
        Err(self)
    }
}

impl Retry for FindError {
    fn settle(self) -> Result<Refusal, Self> {
        Err(self)
    }
}

/// Asks until there is an answer: a refusal is one, a lost connection is none.
async fn insist<T, E: Retry, F: Future<Output = Result<T, E>>>(ask: impl Fn() -> F) -> Result<T, Refusal> {
    let mut last = String::new();
    for _ in 0..100 {
        match ask().await.map_err(Retry::settle) {
            Ok(value) => return Ok(value),
            Err(Ok(refusal)) => return Err(refusal),
            Err(Err(error)) => last = error.to_string(),
        }
    }
    panic!("a hundred tries were not enough: {last}")
}

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
        let mut task = Task {
            number,
            clinic: clinic(database.clone(), "demo").with_clock(Clock::Fixed(now())),
            ledger: Arc::clone(&ledger),
            rng: StdRng::seed_from_u64(seed.wrapping_add(number as u64)),
            slots: slots(),
            mine: Vec::new(),
            holds: Vec::new(),
            operations: 0,
            counts: [0; 4],
        };
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
    let counts = tasks.iter().fold([0; 4], |sum, task| [0, 1, 2, 3].map(|at| sum[at] + task.counts[at]));
    println!("booked, cancelled, moved, sought: {counts:?}; connections lost at COMMIT: {}", proxy.lost());
    assert!(proxy.lost() > 0);
    check(&test, &tasks).await;
}

/// The database holds exactly what was acknowledged, and no two appointments overlap.
async fn check(test: &TestDatabase, tasks: &[Task]) {
    let mut told: Vec<(uuid::Uuid, &str, DateTime<Utc>, &str)> = tasks
        .iter()
        .flat_map(|task| &task.mine)
        .map(|mine| (mine.id, mine.slot.practitioner, at(mine.slot.start), mine.code.as_str()))
        .collect();
    told.sort();
    let rows = sqlx::query(
        "SELECT appointment_id, practitioner_id, lower(during) AS start, confirmation_code FROM appointments
         WHERE status = 'booked' ORDER BY appointment_id",
    )
    .fetch_all(&test.admin)
    .await
    .unwrap();
    let stored: Vec<(uuid::Uuid, &str, DateTime<Utc>, &str)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    assert_eq!(told, stored, "what was acknowledged and what is there");
    let overlaps = "SELECT count(*) FROM appointments a JOIN appointments b
                    ON a.appointment_id < b.appointment_id AND a.during && b.during AND a.status = 'booked' AND b.status = 'booked'
                       AND (a.practitioner_id = b.practitioner_id OR a.patient_id = b.patient_id)";
    assert_eq!(test.count(overlaps).await, 0);
    let unknown = "SELECT count(*) FROM tool_commits WHERE outcome = 'pending'";
    assert_eq!(test.count(unknown).await, 0);
}
