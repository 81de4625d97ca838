//! Connections that are lost around COMMIT: never a false failure, never a second booking.

use frontdesk_clinic::ClinicStore;
use frontdesk_clinic::booking::{CommitError, PrepareError, Settled};

use super::support::proxy::{Loss, Proxy};
use super::support::{TestDatabase, clinic, open};
use super::wishes::{key, wish};

const SLOT: &str = "2026-12-01T09:00";
const BOOKED: &str = "SELECT count(*) FROM appointments WHERE status = 'booked'";

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_to_be_done() {
    for loss in [Loss::AfterServer, Loss::BeforeServer] {
        let test = TestDatabase::new().await;
        let proxy = Proxy::in_front_of(&test.url).await;
        let clinic = clinic(open(&proxy.url(&test.url)), "demo");
        let prepared = clinic.prepare_booking("call", &wish(SLOT, 1)).await.unwrap();
        proxy.lose_next_commit(loss);
        let settled = clinic.commit_booking(&key("call", "c1"), &prepared.booking).await.unwrap();
        assert!(matches!(settled, Settled::Done(_)), "{loss:?}: {settled:?}");
        assert_eq!(proxy.lost(), 1);
        assert_eq!(test.count(BOOKED).await, 1, "{loss:?}");
        assert_eq!(clinic.commit_booking(&key("call", "c1"), &prepared.booking).await.unwrap(), settled);
    }
}

#[tokio::test]
async fn a_commit_that_cannot_be_looked_up_is_unknown_and_later_known() {
    for (loss, committed) in [(Loss::AfterServer, 1), (Loss::BeforeServer, 0)] {
        let test = TestDatabase::new().await;
        let proxy = Proxy::in_front_of(&test.url).await;
        let clinic = clinic(open(&proxy.url(&test.url)), "demo");
        let prepared = clinic.prepare_booking("call", &wish(SLOT, 1)).await.unwrap();
        proxy.refuse_after_loss();
        proxy.lose_next_commit(loss);
        let error = clinic.commit_booking(&key("call", "c1"), &prepared.booking).await.unwrap_err();
        assert!(matches!(error, CommitError::OutcomeUnknown(_)), "{loss:?}: {error}");
        assert_eq!(test.count(BOOKED).await, committed, "{loss:?}");
        proxy.admit();
        let settled = clinic.commit_booking(&key("call", "c1"), &prepared.booking).await.unwrap();
        assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
        assert_eq!(test.count(BOOKED).await, 1);
    }
}

/// It is done, and that is all that can be known: neither a second booking nor a denial.
#[tokio::test]
async fn a_result_that_cannot_be_read_is_unknown_not_undone() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let prepared = clinic.prepare_booking("call", &wish(SLOT, 1)).await.unwrap();
    clinic.commit_booking(&key("call", "c1"), &prepared.booking).await.unwrap();
    sqlx::query("UPDATE tool_commits SET result_sealed = '\\x01'").execute(&test.admin).await.unwrap();
    let error = clinic.commit_booking(&key("call", "c1"), &prepared.booking).await.unwrap_err();
    assert!(matches!(error, CommitError::OutcomeUnknown(ref error) if !error.is_retryable()), "{error}");
    assert_eq!(test.count(BOOKED).await, 1);
}

#[tokio::test]
async fn every_step_may_fail_before_the_server_saw_it_and_be_repeated() {
    lose_every_message_in_turn(Loss::BeforeServer).await;
}

#[tokio::test]
async fn every_step_may_fail_after_the_server_did_it_and_be_repeated() {
    lose_every_message_in_turn(Loss::AfterServer).await;
}

/// Every message of a booking and of a cancellation is lost in turn. Whoever asks again until he is answered has one booking,
/// then one cancellation, and one line of each in the audit log.
async fn lose_every_message_in_turn(loss: Loss) {
    let test = TestDatabase::new().await;
    let proxy = Proxy::in_front_of(&test.url).await;
    let clinic = clinic(open(&proxy.url(&test.url)), "demo");
    let mut rounds = 0;
    loop {
        proxy.lose_message(rounds, loss);
        let call = format!("call-{rounds}");
        book_and_cancel(&clinic, &call).await;
        rounds += 1;
        let done = "SELECT count(*) FROM appointments WHERE status = 'cancelled'";
        let told = "SELECT count(*) FILTER (WHERE action = 'appointment.booked') * 1000
                    + count(*) FILTER (WHERE action = 'appointment.cancelled') FROM audit_events";
        let expected = i64::try_from(rounds).unwrap();
        assert_eq!(test.count(done).await, expected, "{loss:?}, message {rounds}");
        assert_eq!(test.count(told).await, expected * 1001, "{loss:?}, message {rounds}");
        assert_eq!(test.count("SELECT count(*) FROM appointments WHERE status <> 'cancelled'").await, 0);
        if proxy.disarm() {
            break;
        }
    }
    assert_eq!(proxy.lost(), rounds - 1);
    assert!(rounds > 20, "{rounds} messages were lost in turn");
}

/// Books and cancels like a caller who is asked to wait and tries again.
async fn book_and_cancel(clinic: &ClinicStore, call: &str) {
    let wish = wish(SLOT, 1);
    let prepared = insist(|| clinic.prepare_booking(call, &wish), prepare_is_retryable).await;
    let book = key(call, "c1");
    let booked = insist(|| clinic.commit_booking(&book, &prepared.booking), commit_is_retryable).await;
    let Settled::Done(booked) = booked else { panic!("{booked:?}") };
    let find = || clinic.prepare_cancellation(call, &booked.confirmation_code, &wish.phone);
    let found = insist(find, prepare_is_retryable).await;
    let cancel = key(call, "c2");
    let cancelled = insist(|| clinic.commit_cancellation(&cancel, &found.cancellation), commit_is_retryable).await;
    assert!(matches!(cancelled, Settled::Done(_)), "{cancelled:?}");
}

async fn insist<T, E: std::fmt::Display, F: Future<Output = Result<T, E>>>(attempt: impl Fn() -> F, may_retry: impl Fn(&E) -> bool) -> T {
    for _ in 0..50 {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => assert!(may_retry(&error), "{error}"),
        }
    }
    panic!("fifty attempts were not enough")
}

fn prepare_is_retryable(error: &PrepareError) -> bool {
    matches!(error, PrepareError::Database(error) if error.is_retryable())
}

fn commit_is_retryable(error: &CommitError) -> bool {
    matches!(error, CommitError::Database(error) | CommitError::OutcomeUnknown(error) if error.is_retryable())
}

#[tokio::test]
async fn with_the_database_gone_before_the_commit_nothing_was_done() {
    let test = TestDatabase::new().await;
    let mut proxy = Proxy::in_front_of(&test.url).await;
    let mut options = frontdesk_clinic::DatabaseOptions::new(proxy.url(&test.url));
    options.acquire_timeout = std::time::Duration::from_millis(300);
    let clinic = clinic(frontdesk_clinic::Database::open(&options).unwrap(), "demo");
    let prepared = clinic.prepare_booking("call", &wish(SLOT, 1)).await.unwrap();
    proxy.stop().await;
    let error = clinic.commit_booking(&key("call", "c1"), &prepared.booking).await.unwrap_err();
    assert!(matches!(error, CommitError::Database(ref error) if error.is_retryable()), "{error}");
    assert_eq!(test.count(BOOKED).await, 0);
}

/// The server kills its sessions again and again while callers book; whatever is acknowledged is there, and once.
#[tokio::test]
async fn sessions_killed_at_random_lose_and_double_nothing() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let killer = tokio::spawn({
        let admin = test.admin.clone();
        async move {
            loop {
                let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                            WHERE datname = current_database() AND application_name = 'frontdesk' AND random() < 0.3";
                let _: Result<i64, _> = sqlx::query_scalar(kill).fetch_one(&admin).await;
                tokio::time::sleep(std::time::Duration::from_millis(rand::random_range(3..25))).await;
            }
        }
    });
    let mut acknowledged = 0;
    for (number, start) in ["09:00", "09:30", "10:00", "10:30", "11:00", "11:30", "12:00", "13:30", "14:00", "14:30"].iter().enumerate() {
        let call = format!("call-{number}");
        let wish = wish(&format!("2026-12-01T{start}"), number);
        let prepared = insist(|| clinic.prepare_booking(&call, &wish), prepare_is_retryable).await;
        let key = key(&call, "c1");
        let settled = insist(|| clinic.commit_booking(&key, &prepared.booking), commit_is_retryable).await;
        assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
        acknowledged += 1;
    }
    killer.abort();
    assert_eq!(test.count(BOOKED).await, acknowledged);
    assert_eq!(test.count("SELECT count(*) FROM audit_events WHERE action = 'appointment.booked'").await, acknowledged);
}
