//! Connections that are lost around COMMIT: never a false failure, never a second booking.

use frontdesk_clinic::booking::{CommitError, Settled};

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
    let test = TestDatabase::new().await;
    let mut proxy = Proxy::in_front_of(&test.url).await;
    let mut options = frontdesk_clinic::DatabaseOptions::new(proxy.url(&test.url));
    options.acquire_timeout = std::time::Duration::from_millis(300);
    let clinic = clinic(frontdesk_clinic::Database::open(&options).unwrap(), "demo");
    let prepared = clinic.prepare_booking("call", &wish(SLOT, 1)).await.unwrap();
    proxy.lose_next_commit(Loss::AfterServer);
    let commit = tokio::spawn({
        let (clinic, booking) = (clinic.clone(), prepared.booking.clone());
        async move { clinic.commit_booking(&key("call", "c1"), &booking).await }
    });
    while proxy.lost() == 0 {
        tokio::task::yield_now().await;
    }
    proxy.stop().await;
    match commit.await.unwrap() {
        Err(CommitError::OutcomeUnknown(_)) => {}
        // The look-up may have been faster than the proxy's stop.
        Ok(Settled::Done(_)) => {}
        other => panic!("{other:?}"),
    }
    proxy.start().await;
    let settled = loop {
        match clinic.commit_booking(&key("call", "c1"), &prepared.booking).await {
            Ok(settled) => break settled,
            Err(CommitError::Database(error) | CommitError::OutcomeUnknown(error)) => assert!(error.is_retryable(), "{error}"),
            Err(error) => panic!("{error}"),
        }
    };
    assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
    assert_eq!(test.count(BOOKED).await, 1);
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
        let prepared = loop {
            match clinic.prepare_booking(&call, &wish).await {
                Ok(prepared) => break prepared,
                Err(frontdesk_clinic::booking::PrepareError::Database(error)) => assert!(error.is_retryable(), "{error}"),
                Err(error) => panic!("{error}"),
            }
        };
        loop {
            match clinic.commit_booking(&key(&call, "c1"), &prepared.booking).await {
                Ok(Settled::Done(_)) => break,
                Ok(Settled::Refused(refusal)) => panic!("{refusal}"),
                Err(CommitError::Database(error) | CommitError::OutcomeUnknown(error)) => assert!(error.is_retryable(), "{error}"),
                Err(error) => panic!("{error}"),
            }
        }
        acknowledged += 1;
    }
    killer.abort();
    assert_eq!(test.count(BOOKED).await, acknowledged);
    assert_eq!(test.count("SELECT count(*) FROM audit_events WHERE action = 'appointment.booked'").await, acknowledged);
}
