//! What receivers say later has one effect, whenever and however often it comes.

use frontdesk_clinic::TenantId;
use frontdesk_clinic::outbox::{Delivered, Receipts};
use uuid::Uuid;

use super::outbox::{book, telling_clinic};
use super::support::TestDatabase;

fn demo() -> TenantId {
    TenantId::new("demo").unwrap()
}

/// A text message that was sent as SM1.
async fn sent(test: &TestDatabase) -> Uuid {
    book(&telling_clinic(test), "one", "2026-12-01T09:00", 1).await;
    sqlx::query_scalar(
        "UPDATE outbox SET status = 'sent', attempts = 1, tries = 1, provider_id = 'SM1' WHERE channel = 'sms' RETURNING notice_id",
    )
    .fetch_one(&test.admin)
    .await
    .unwrap()
}

async fn status(test: &TestDatabase) -> (String, Option<String>) {
    sqlx::query_as("SELECT status, last_error FROM outbox WHERE channel = 'sms'").fetch_one(&test.admin).await.unwrap()
}

#[tokio::test]
async fn a_receipt_counts_once() {
    let test = TestDatabase::new().await;
    let notice = sent(&test).await;
    let receipts = Receipts::new(test.database());
    assert!(!receipts.heed(&demo(), notice, "SM2", Delivered::Yes).await.unwrap(), "of another message");
    assert!(!receipts.heed(&TenantId::new("other").unwrap(), notice, "SM1", Delivered::Yes).await.unwrap(), "of another clinic");
    assert!(!receipts.heed(&demo(), Uuid::now_v7(), "SM1", Delivered::Yes).await.unwrap(), "of no notice");
    assert_eq!(status(&test).await.0, "sent");
    assert!(receipts.heed(&demo(), notice, "SM1", Delivered::Yes).await.unwrap());
    for late in [Delivered::Yes, Delivered::No(Some(30003))] {
        assert!(!receipts.heed(&demo(), notice, "SM1", late).await.unwrap());
    }
    assert_eq!(status(&test).await, ("delivered".into(), None));
    assert_eq!(test.count("SELECT count(*) FROM audit_events WHERE action LIKE 'notice.%'").await, 1);
}

#[tokio::test]
async fn what_could_not_be_delivered_says_why_and_may_be_asked_for_again() {
    let test = TestDatabase::new().await;
    let notice = sent(&test).await;
    let receipts = Receipts::new(test.database());
    assert!(receipts.heed(&demo(), notice, "SM1", Delivered::No(Some(30003))).await.unwrap());
    assert_eq!(status(&test).await, ("failed".into(), Some("undelivered.30003".into())));
    assert_eq!(test.clinic().retry_notices(&[notice]).await.unwrap(), 1);
    assert_eq!(status(&test).await.0, "pending");
}

#[tokio::test]
async fn a_receipt_may_be_faster_than_its_sender() {
    let test = TestDatabase::new().await;
    let notice = sent(&test).await;
    sqlx::query(
        "UPDATE outbox SET status = 'sending', provider_id = NULL, lease_token = gen_random_uuid(), lease_until = now() + interval '1 h'
         WHERE channel = 'sms'",
    )
    .execute(&test.admin)
    .await
    .unwrap();
    assert!(Receipts::new(test.database()).heed(&demo(), notice, "SM1", Delivered::Yes).await.unwrap());
    assert_eq!(status(&test).await.0, "delivered");
}

#[tokio::test]
async fn forgeries_are_written_down_a_few_times_a_minute() {
    let test = TestDatabase::new().await;
    let receipts = Receipts::new(test.database());
    for _ in 0..30 {
        receipts.refuse(Some(&demo())).await.unwrap();
    }
    receipts.refuse(Some(&TenantId::new("nobody").unwrap())).await.unwrap();
    receipts.refuse(None).await.unwrap();
    assert_eq!(test.count("SELECT count(*) FROM audit_events WHERE action = 'webhook.refused'").await, 10);
}
