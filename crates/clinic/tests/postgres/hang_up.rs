//! Callers who hang up at the worst moment: the booking is there and recorded, or it is not there.

use std::pin::pin;
use std::task::Poll;

use frontdesk_agent::store::CallStore;
use frontdesk_clinic::PgCallStore;
use frontdesk_clinic::booking::{Refusal, Settled};
use sqlx::Executor;

use super::calls::record;
use super::support::TestDatabase;
use super::wishes::{key, wish};

const SLOT: &str = "2026-12-01T09:00";
const BOOKED: &str = "SELECT count(*) FROM appointments WHERE status = 'booked'";

#[tokio::test]
async fn between_the_read_back_and_the_yes_the_slot_becomes_free_at_once() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    clinic.prepare_booking("one", &wish(SLOT, 1)).await.unwrap();
    clinic.prepare_booking("two", &wish(SLOT, 2)).await.unwrap_err();
    PgCallStore::new(clinic.clone()).finish(&record("one", "demo")).await.unwrap();
    assert_eq!(test.count("SELECT count(*) FROM appointments").await, 0);
    clinic.prepare_booking("two", &wish(SLOT, 2)).await.unwrap();
}

/// The caller said yes and hung up; the call's record was stored before the commit began.
#[tokio::test]
async fn a_commit_after_the_end_of_the_call_books_what_is_still_free() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let calls = PgCallStore::new(clinic.clone());
    let prepared = clinic.prepare_booking("one", &wish(SLOT, 1)).await.unwrap();
    calls.finish(&record("one", "demo")).await.unwrap();
    let settled = clinic.commit_booking(&key("one", "c1"), &prepared.booking).await.unwrap();
    assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
    let overtaken = clinic.prepare_booking("two", &wish("2026-12-01T10:00", 2)).await.unwrap();
    calls.finish(&record("two", "demo")).await.unwrap();
    clinic.prepare_booking("three", &wish("2026-12-01T10:00", 3)).await.unwrap();
    let settled = clinic.commit_booking(&key("two", "c1"), &overtaken.booking).await.unwrap();
    assert!(matches!(settled, Settled::Refused(Refusal::SlotTaken { .. })), "{settled:?}");
    assert_eq!(test.count(BOOKED).await, 1);
}

/// The end of the call gives up its hold in the very moment in which the commit turns it into an appointment.
#[tokio::test]
async fn in_the_middle_of_the_commit_the_booking_stays() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let calls = PgCallStore::new(clinic.clone());
    for (round, start) in ["09:00", "09:30", "10:00", "10:30", "11:00", "11:30", "12:00"].into_iter().enumerate() {
        let call = format!("call-{round}");
        let prepared = clinic.prepare_booking(&call, &wish(&format!("2026-12-01T{start}"), round)).await.unwrap();
        let (key, record) = (key(&call, "c1"), record(&call, "demo"));
        let (settled, finished) = tokio::join!(clinic.commit_booking(&key, &prepared.booking), calls.finish(&record));
        finished.unwrap();
        assert!(matches!(settled, Ok(Settled::Done(_))), "{settled:?}");
    }
    assert_eq!(test.count(BOOKED).await, 7);
    assert_eq!(test.count("SELECT count(*) FROM appointments WHERE status = 'held'").await, 0);
}

/// Polls a future so many times at most, then drops it.
async fn abandon_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| match left.checked_sub(1) {
        None => Poll::Ready(None),
        Some(fewer) => {
            left = fewer;
            future.as_mut().poll(context).map(Some)
        }
    })
    .await
}

/// A commit is abandoned at each of its steps in turn, as by a call's task that is ended: appointment and result under the
/// key are both there or both not, and who asks again has one appointment.
#[tokio::test]
async fn a_commit_that_is_abandoned_at_any_step_is_whole_or_not_there() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let (mut polls, mut abandoned) = (0, 0);
    loop {
        let prepared = clinic.prepare_booking("call", &wish(SLOT, 1)).await.unwrap();
        let key = key("call", "c1");
        let finished = abandon_after(polls, clinic.commit_booking(&key, &prepared.booking)).await;
        let torn = "SELECT abs((SELECT count(*) FROM appointments WHERE status = 'booked')
                               - (SELECT count(*) FROM tool_commits WHERE outcome = 'done'))";
        assert_eq!(test.count(torn).await, 0, "after {polls} polls");
        let settled = clinic.commit_booking(&key, &prepared.booking).await.unwrap();
        assert!(matches!(settled, Settled::Done(_)), "after {polls} polls: {settled:?}");
        assert_eq!(test.count(BOOKED).await, 1, "after {polls} polls");
        test.admin.execute("DELETE FROM appointments; DELETE FROM tool_commits").await.unwrap();
        // A database that has answered before it was asked again takes a commit through several steps in one poll.
        match finished {
            Some(finished) => {
                assert_eq!(finished, Ok(settled));
                if polls > 5 {
                    break;
                }
            }
            None => abandoned += 1,
        }
        polls += 1;
    }
    assert!(abandoned > 1, "abandoned in the middle of {abandoned} of {polls} tries");
}
