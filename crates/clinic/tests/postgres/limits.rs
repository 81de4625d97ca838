//! A clinic's limits on calls, over several workers: each gate stands for a worker's process.

use std::time::Duration;

use frontdesk_clinic::config::Limits;
use frontdesk_clinic::limits::{Busy, Gate, Pass};
use frontdesk_clinic::{Database, DatabaseOptions};
use tokio::task::JoinSet;

use super::support::proxy::Proxy;
use super::support::{TestDatabase, clinic};

const fn at_once(calls: u32) -> Limits {
    Limits { calls_at_once: Some(calls), new_calls_per_minute: None, busy: None, call_duration_max_s: None }
}

fn refusal(admitted: Result<Pass, Busy>) -> Option<Busy> {
    admitted.err()
}

#[tokio::test]
async fn what_one_worker_has_counts_for_the_other() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let (one, other) = (Gate::default(), Gate::default());
    let limits = at_once(2);
    let first = one.admit(&clinic, &limits, "a").await.unwrap();
    let second = other.admit(&clinic, &limits, "b").await.unwrap();
    assert_eq!(refusal(other.admit(&clinic, &limits, "c").await), Some(Busy::CallsAtOnce));
    // A call that is counted is admitted again: a worker that takes it over needs no second place.
    drop(one.admit(&clinic, &limits, "b").await.unwrap());
    first.give_back().await;
    let third = other.admit(&clinic, &limits, "c").await;
    assert!(third.is_ok());
    // Nobody gives back what a dead worker had; its time runs out.
    drop(second);
    assert_eq!(refusal(one.admit(&clinic, &limits, "d").await), Some(Busy::CallsAtOnce));
    sqlx::query("UPDATE live_calls SET expires_at = now() WHERE call_id = 'b'").execute(&test.admin).await.unwrap();
    assert!(one.admit(&clinic, &limits, "d").await.is_ok());
}

#[tokio::test]
async fn of_many_at_once_exactly_as_many_are_admitted_as_there_are_places() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let gates = [Gate::default(), Gate::default(), Gate::default()];
    let mut callers = JoinSet::new();
    for number in 0..24 {
        let (gate, clinic) = (gates[number % gates.len()].clone(), clinic.clone());
        callers.spawn(async move { gate.admit(&clinic, &at_once(5), &format!("call-{number}")).await });
    }
    // Kept until all have asked.
    let answers = callers.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 5);
    assert_eq!(test.count("SELECT count(*) FROM live_calls").await, 5);
}

#[tokio::test]
async fn calls_that_begin_in_a_minute_are_counted_whether_they_have_ended_or_not() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let limits = Limits { new_calls_per_minute: Some(3), ..Limits::default() };
    let (one, other) = (Gate::default(), Gate::default());
    let mut admitted = 0;
    for number in 0..5 {
        // The clock may turn to another minute in between.
        sqlx::query("UPDATE call_starts SET minute = date_trunc('minute', now())").execute(&test.admin).await.unwrap();
        let gate = if number % 2 == 0 { &one } else { &other };
        match gate.admit(&clinic, &limits, &format!("call-{number}")).await {
            Ok(pass) => {
                admitted += 1;
                pass.give_back().await;
            }
            Err(busy) => assert_eq!(busy, Busy::NewCalls),
        }
    }
    assert_eq!(admitted, 3);
    sqlx::query("UPDATE call_starts SET minute = minute - interval '1 min'").execute(&test.admin).await.unwrap();
    assert!(one.admit(&clinic, &limits, "later").await.is_ok());
    assert_eq!(test.count("SELECT count(*) FROM call_starts").await, 1, "what is past is forgotten");
}

#[tokio::test]
async fn without_a_database_a_worker_keeps_to_the_limit_by_itself() {
    let test = TestDatabase::new().await;
    let mut proxy = Proxy::in_front_of(&test.url).await;
    proxy.stop().await;
    let mut options = DatabaseOptions::new(proxy.url(&test.url));
    options.acquire_timeout = Duration::from_millis(100);
    let clinic = clinic(Database::open(&options).unwrap(), "demo");
    let gate = Gate::default();
    let limits = Limits { new_calls_per_minute: Some(3), ..at_once(2) };
    let first = gate.admit(&clinic, &limits, "a").await.unwrap();
    let second = gate.admit(&clinic, &limits, "b").await.unwrap();
    assert_eq!(refusal(gate.admit(&clinic, &limits, "c").await), Some(Busy::CallsAtOnce));
    first.give_back().await;
    assert!(gate.admit(&clinic, &limits, "d").await.is_ok());
    assert_eq!(refusal(gate.admit(&clinic, &limits, "e").await), Some(Busy::NewCalls));
    drop(second);
}

#[tokio::test]
async fn a_call_that_goes_on_keeps_its_place() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let gate = Gate::default();
    let pass = gate.admit(&clinic, &at_once(1), "a").await.unwrap();
    // As if its worker had not been heard of for long.
    sqlx::query("UPDATE live_calls SET expires_at = now()").execute(&test.admin).await.unwrap();
    let renewed = async {
        while test.count("SELECT count(*) FROM live_calls WHERE expires_at > now()").await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::pin!(renewed);
    let keeping = pass.keep();
    tokio::pin!(keeping);
    // The wait for the renewal is over at once; the database's answers come in their own time.
    tokio::time::pause();
    tokio::select! {
        biased;
        never = &mut keeping => match never {},
        () = tokio::time::advance(Duration::from_secs(21)) => {}
    }
    tokio::time::resume();
    tokio::select! {
        never = &mut keeping => match never {},
        () = &mut renewed => {}
    }
    assert_eq!(refusal(Gate::default().admit(&clinic, &at_once(1), "b").await), Some(Busy::CallsAtOnce));
}
