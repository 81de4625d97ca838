//! A confirmation sent again: to its patient's number, to whoever knows two things, a few times a day.

use frontdesk_clinic::ClinicStore;
use frontdesk_clinic::booking::{PrepareError, Refusal, ResendBy, Resent, SecondFactor};
use frontdesk_clinic::outbox::NoticeStatus;

use super::outbox::{book, telling_clinic};
use super::support::TestDatabase;
use super::wishes::{at, key, refusal, wish};

const SLOT: &str = "2026-12-01T09:00";
const TEXTS: &str = "SELECT count(*) FROM outbox WHERE channel = 'sms'";

async fn resend(clinic: &ClinicStore, key: &str, caller: usize, second: SecondFactor) -> Result<Resent, PrepareError> {
    clinic.resend_confirmation("again", key, &wish(SLOT, caller).phone, &second, ResendBy::Text).await
}

fn name(caller: usize) -> SecondFactor {
    SecondFactor::Name(format!("patient number{caller}").into())
}

#[tokio::test]
async fn it_goes_once_a_tool_call_and_a_few_times_a_day() {
    let test = TestDatabase::new().await;
    let clinic = telling_clinic(&test);
    let booked = book(&clinic, "one", SLOT, 1).await;
    book(&clinic, "two", "2026-12-03T09:00", 1).await;
    let first = resend(&clinic, "t1", 1, name(1)).await.unwrap();
    assert_eq!((first.start, first.zone.name(), first.earlier), (at(SLOT), "America/New_York", Some(NoticeStatus::Pending)));
    assert_eq!(resend(&clinic, "t1", 1, name(1)).await.unwrap(), first);
    assert_eq!(test.count(TEXTS).await, 3, "two bookings, one repetition");
    sqlx::query("UPDATE outbox SET status = 'delivered'").execute(&test.admin).await.unwrap();
    let code = || SecondFactor::Code(booked.confirmation_code.to_lowercase());
    assert_eq!(resend(&clinic, "t2", 1, code()).await.unwrap().earlier, Some(NoticeStatus::Delivered));
    resend(&clinic, "t3", 1, code()).await.unwrap();
    assert_eq!(refusal(resend(&clinic, "t4", 1, code()).await.unwrap_err()), Refusal::SentTooOften);
    assert!(resend(&clinic, "t3", 1, code()).await.is_ok(), "what was promised stays promised");
    assert_eq!(test.count(TEXTS).await, 5);
    assert_eq!(test.count("SELECT count(*) FROM audit_events WHERE action = 'confirmation.resent'").await, 3);
    let channels = test.count("SELECT count(*) FROM outbox WHERE channel <> 'sms'").await;
    assert_eq!(channels, 2, "nobody else is told again");
}

#[tokio::test]
async fn whoever_does_not_know_both_is_told_nothing_and_guesses_are_counted() {
    let test = TestDatabase::new().await;
    let clinic = telling_clinic(&test);
    let booked = book(&clinic, "one", SLOT, 1).await;
    let code = || SecondFactor::Code(booked.confirmation_code.clone());
    assert_eq!(refusal(resend(&clinic, "t1", 2, code()).await.unwrap_err()), Refusal::NotFound);
    assert_eq!(refusal(resend(&clinic, "t2", 1, name(2)).await.unwrap_err()), Refusal::UnknownPatient);
    assert_eq!(test.count("SELECT count(*) FROM audit_events WHERE action = 'identification.failed'").await, 2);
    for guess in 0..4 {
        resend(&clinic, &format!("g{guess}"), 1, name(9)).await.unwrap_err();
    }
    assert_eq!(refusal(resend(&clinic, "t3", 1, code()).await.unwrap_err()), Refusal::TooManyAttempts);
    assert_eq!(test.count(TEXTS).await, 1);
}

#[tokio::test]
async fn what_was_cancelled_or_never_told_is_not_confirmed() {
    let test = TestDatabase::new().await;
    let clinic = telling_clinic(&test);
    let booked = book(&clinic, "one", SLOT, 1).await;
    assert_eq!(refusal(resend(&test.clinic(), "t0", 1, name(1)).await.unwrap_err()), Refusal::NoMessages);
    let prepared = clinic.prepare_cancellation("two", &booked.confirmation_code, &wish(SLOT, 1).phone).await.unwrap();
    clinic.commit_cancellation(&key("two", "c1"), &prepared.cancellation).await.unwrap();
    assert_eq!(refusal(resend(&clinic, "t1", 1, name(1)).await.unwrap_err()), Refusal::NothingToCome);
    let code = SecondFactor::Code(booked.confirmation_code.clone());
    assert_eq!(refusal(resend(&clinic, "t2", 1, code).await.unwrap_err()), Refusal::AlreadyCancelled);
}
