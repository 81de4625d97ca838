//! The book in Postgres: how long a search for free times takes in a full calendar, and a booking while many arrive; and how fast the
//! audit log is verified.

mod audit;
mod clinic;
mod report;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use frontdesk_clinic::booking::Settled;
use frontdesk_clinic::schedule::when::Phrase;
use frontdesk_clinic::slots::{SlotQuery, When};
use frontdesk_clinic::{ClinicStore, CommitKey, PractitionerId};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::common::Failure;
use crate::common::machine::{Load, Watch};
use clinic::Book;

/// Bookings that may be under way at once; who comes then waits, and the wait counts.
const IN_FLIGHT_MAX: usize = 64;
/// Searches and bookings before anything is counted: connections and statements get warm.
const WARM_UP: usize = 50;
/// What callers say; resolved to a part of the calendar.
const PHRASES: [&str; 4] = ["next Tuesday morning", "tomorrow after three", "next week", "on Friday afternoon"];

/// How to measure the store.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Appointments in the book before the measurement, spread over a year.
    #[arg(long, default_value_t = 50_000)]
    appointments: usize,
    /// Practitioners who share them.
    #[arg(long, default_value_t = 20)]
    practitioners: usize,
    /// Searches, one after the other.
    #[arg(long, default_value_t = 2000)]
    searches: usize,
    /// Bookings a second, arriving by the clock whether or not the earlier ones are through.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// For so many seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Events in the audit log that is verified, besides those of the bookings.
    #[arg(long, default_value_t = 200_000)]
    audit_events: u32,
    /// Connections of the pool, as a worker has them.
    #[arg(long, default_value_t = 10)]
    connections: u32,
    /// Which random searches.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// For the clinic's configuration.
    #[arg(long, default_value = "var/bench/store")]
    dir: PathBuf,
    /// Where the results go.
    #[arg(long, default_value = "bench/RESULTS.md")]
    out: PathBuf,
}

/// The kinds of searches, each with what it took in microseconds.
pub(crate) type Searches = Vec<(&'static str, Vec<u64>)>;

/// What came of the bookings.
#[derive(Debug, Default)]
pub(crate) struct Bookings {
    /// From the moment each was due to its answer, in microseconds.
    pub(crate) took: Vec<u64>,
    /// Those that were not booked, each slot being free and asked for once.
    pub(crate) failed: Vec<String>,
    /// Most under way at once.
    pub(crate) in_flight_max: usize,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (checkout, dir) = crate::common::folders(&arguments.dir)?;
    println!("filling a book with {} appointments of {} practitioners", arguments.appointments, arguments.practitioners);
    let book = Book::fill(&dir, arguments.appointments, arguments.practitioners, arguments.connections).await?;
    println!("{} searches", arguments.searches);
    let watch = Watch::start();
    let searches = search(&book.store, arguments).await?;
    let search_load = watch.load();
    println!("{} bookings, {} a second", arguments.rate * arguments.seconds, arguments.rate);
    let watch = Watch::start();
    let bookings = arrive(&book, arguments).await?;
    let loads: [Load; 2] = [search_load, watch.load()];
    book.check(&bookings).await?;
    println!("{} audit events, sealed and verified", arguments.audit_events);
    let verification = audit::verify(&book, arguments.audit_events).await?;
    report::write(arguments, &checkout, (&searches, &bookings, verification), loads)
}

/// The kinds of searches in turn.
async fn search(store: &ClinicStore, arguments: &Arguments) -> Result<Searches, Failure> {
    const KINDS: [&str; 4] =
        ["anybody, any time within 12 months", "one practitioner, any time within 12 months", "in the caller's words", "one exact time"];
    let mut rng = StdRng::seed_from_u64(arguments.seed);
    let mut searches: Searches = KINDS.iter().map(|kind| (*kind, Vec::new())).collect();
    for n in 0..arguments.searches + WARM_UP {
        let kind = n % KINDS.len();
        let now = Utc::now();
        let practitioner = PractitionerId::new(clinic::practitioner(rng.random_range(0..arguments.practitioners))).map_err(Failure::new)?;
        let from = now + TimeDelta::hours(rng.random_range(0..24 * 300));
        let year = When::Window(Some(from), Some(now + TimeDelta::days(365)));
        let (when, practitioner) = match kind {
            0 => (year, None),
            1 => (year, Some(practitioner)),
            2 => {
                let phrase = PHRASES[rng.random_range(0..PHRASES.len())];
                (When::Said(Phrase::read(phrase).map_err(Failure::new)?), Some(practitioner))
            }
            _ => (When::Exact(clinic::slot(rng.random_range(2..300), rng.random_range(0..clinic::SLOTS_A_DAY))), None),
        };
        let query = SlotQuery { when, duration_minutes: 30, practitioner, service: None, location: None, department: None };
        let began = Instant::now();
        let found = store.find_slots("bench", &query).await.map_err(Failure::new)?;
        let took = micros(began.elapsed());
        if found.slots.is_empty() {
            return Err(Failure::new(format!("nothing was found for {query:?}: the book is not what it should be")));
        }
        if n >= WARM_UP {
            searches[kind].1.push(took);
        }
    }
    Ok(searches)
}

/// Bookings arrive by the clock; each is one that nobody else wants.
async fn arrive(book: &Book, arguments: &Arguments) -> Result<Bookings, Failure> {
    let free = book.free_slots(arguments.rate as usize * arguments.seconds as usize + WARM_UP)?;
    let places = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let (warm, counted) = free.split_at(WARM_UP);
    for (n, booking) in warm.iter().enumerate() {
        let key = CommitKey { call_id: format!("warm-{n}"), confirmation_id: "c1".into() };
        book.store.commit_booking(&key, booking).await.map_err(Failure::new)?;
    }
    let began = tokio::time::Instant::now();
    let mut tasks = JoinSet::new();
    let mut bookings = Bookings::default();
    for (n, booking) in counted.iter().cloned().enumerate() {
        let due = began + Duration::from_secs(1) * u32::try_from(n).unwrap_or(u32::MAX) / arguments.rate;
        tokio::time::sleep_until(due).await;
        let (store, place) = (book.store.clone(), Arc::clone(&places));
        tasks.spawn(async move {
            let _place = place.acquire_owned().await;
            let key = CommitKey { call_id: format!("call-{n}"), confirmation_id: "c1".into() };
            let settled = store.commit_booking(&key, &booking).await;
            let took = micros(due.elapsed());
            match settled {
                Ok(Settled::Done(_)) => Ok(took),
                Ok(Settled::Refused(refusal)) => Err(format!("refused: {refusal:?}")),
                Err(error) => Err(error.to_string()),
            }
        });
        bookings.in_flight_max = bookings.in_flight_max.max(IN_FLIGHT_MAX - places.available_permits());
    }
    while let Some(booked) = tasks.join_next().await {
        match booked.map_err(Failure::new)? {
            Ok(took) => bookings.took.push(took),
            Err(why) => bookings.failed.push(why),
        }
    }
    Ok(bookings)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
