//! What is past its time: notices that were sent, and the audit log's oldest years, after which the chain still verifies.

use frontdesk_clinic::audit::{Fault, KeptHead, head, seal_all, verify};
use frontdesk_clinic::config::import;
use frontdesk_clinic::records::{RetiredYears, retire_audit, run_retention};
use frontdesk_clinic::{DbError, Owner, TenantId};
use sqlx::AssertSqlSafe;

use super::outbox::{book, telling_clinic};
use super::support::{TestDatabase, other_tenant};

fn demo() -> TenantId {
    TenantId::new("demo").unwrap()
}

async fn owner(test: &TestDatabase) -> Owner {
    Owner::connect(&test.url, "cli:tests").await.unwrap()
}

#[tokio::test]
async fn notices_are_forgotten_after_their_days_and_not_before_they_were_sent() {
    let test = TestDatabase::new().await;
    let clinic = telling_clinic(&test);
    for (number, slot) in ["09:00", "09:30", "10:00"].iter().enumerate() {
        book(&clinic, &format!("call-{number}"), &format!("2026-12-01T{slot}"), number).await;
    }
    sqlx::raw_sql(
        "UPDATE outbox SET status = 'sent', updated_at = now() - interval '91 days' WHERE call_id = 'call-0';
         UPDATE outbox SET status = 'sent', updated_at = now() - interval '89 days' WHERE call_id = 'call-1' AND channel = 'sms';
         UPDATE outbox SET status = 'dead', updated_at = now() - interval '5 years' WHERE call_id = 'call-1' AND channel = 'csv';
         UPDATE outbox SET updated_at = now() - interval '9 years' WHERE call_id = 'call-2'",
    )
    .execute(&test.admin)
    .await
    .unwrap();
    let mut owner = owner(&test).await;
    for (is_dry, forgotten, left) in [(true, 2, 6), (false, 2, 4), (false, 0, 4)] {
        let retained = run_retention(&mut owner, &demo(), is_dry).await.unwrap();
        assert_eq!((retained.notices, test.count("SELECT count(*) FROM outbox").await), (forgotten, left), "dry: {is_dry}");
    }
    assert_eq!(test.count("SELECT count(*) FROM outbox WHERE call_id = 'call-0'").await, 0);
    // On hold, even what was sent long ago stays.
    sqlx::raw_sql(
        "INSERT INTO legal_holds VALUES ('demo', 'call', 'call-1');
         UPDATE outbox SET updated_at = now() - interval '9 years' WHERE call_id = 'call-1'",
    )
    .execute(&test.admin)
    .await
    .unwrap();
    assert_eq!(run_retention(&mut owner, &demo(), false).await.unwrap().notices, 0);
}

/// Gives the log a partition for the time before 2016, and events in it: six of the demo clinic's, around one of today's.
async fn old_years(test: &TestDatabase) {
    sqlx::raw_sql(
        "ALTER TABLE audit_events DETACH PARTITION audit_events_first;
         CREATE TABLE audit_events_old PARTITION OF audit_events FOR VALUES FROM (MINVALUE) TO ('2016-01-01 00:00Z');
         ALTER TABLE audit_events_old OWNER TO frontdesk_owner;
         DO $$ BEGIN
             EXECUTE format('ALTER TABLE audit_events ATTACH PARTITION audit_events_first FOR VALUES FROM (%L) TO (%L)', '2016-01-01 00:00Z',
                            date_trunc('year', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + interval '1 year');
         END $$;
         -- The import's event has to be the chain's first: it becomes an old one.
         SET session_replication_role = replica;
         UPDATE audit_events SET at = '2014-05-01' WHERE tenant_id = 'demo';
         UPDATE audit_pending SET event_at = '2014-05-01' WHERE tenant_id = 'demo';
         SET session_replication_role = DEFAULT;
         INSERT INTO audit_events (tenant_id, at, actor, action, subject)
         SELECT 'demo', '2015-06-01', 'agent', 'old.one', n::text FROM generate_series(1, 3) n;
         INSERT INTO audit_events (tenant_id, actor, action) VALUES ('demo', 'agent', 'new.one');
         INSERT INTO audit_events (tenant_id, at, actor, action) SELECT 'demo', '2015-12-31', 'agent', 'late.one' FROM generate_series(1, 2);
         INSERT INTO audit_events (tenant_id, actor, action) VALUES ('demo', 'agent', 'new.two')",
    )
    .execute(&test.admin)
    .await
    .unwrap();
}

#[tokio::test]
async fn after_the_oldest_years_are_retired_the_chain_verifies_from_its_anchor() {
    let test = TestDatabase::new().await;
    old_years(&test).await;
    import(&test.url, &other_tenant()).await.unwrap();
    let database = test.database();
    let mut owner = owner(&test).await;
    // What is not sealed is needed.
    assert!(retire_audit(&mut owner, false).await.unwrap().is_held);
    seal_all(&database).await.unwrap();
    let kept: KeptHead = head(&database, &demo()).await.unwrap().unwrap().into();

    let old = RetiredYears { partition: "audit_events_old".into(), events: 6 };
    for is_dry in [true, false] {
        let done = retire_audit(&mut owner, is_dry).await.unwrap();
        assert_eq!((done.retired, done.is_held), (vec![old.clone()], false));
        let left = test.count("SELECT count(*) FROM audit_events WHERE at < '2016-01-01'").await;
        assert_eq!(left, if is_dry { 6 } else { 0 });
    }
    assert_eq!(retire_audit(&mut owner, false).await.unwrap().retired, [], "what is left is younger");

    seal_all(&database).await.unwrap();
    let verdict = verify(&database, &demo(), Some(&kept)).await.unwrap();
    assert_eq!((verdict.retired, verdict.fault), (4, None));
    // Two of today's, the two late ones' places, and the note of the retirement.
    assert_eq!((verdict.verified, verdict.tail.count), (5, 0));
    let other = verify(&database, &TenantId::new("other").unwrap(), None).await.unwrap();
    assert_eq!((other.retired, other.verified, other.fault), (0, 2, None));
    assert_eq!(test.count("SELECT count(*) FROM audit_events WHERE action = 'audit.retired'").await, 2);
}

#[tokio::test]
async fn nothing_is_cut_from_the_chain_but_behind_an_anchor() {
    let test = TestDatabase::new().await;
    old_years(&test).await;
    let database = test.database();
    seal_all(&database).await.unwrap();
    let as_owner = |statement: &'static str| {
        let admin = test.admin.clone();
        async move {
            let mut transaction = admin.begin().await.unwrap();
            sqlx::raw_sql("SET LOCAL ROLE frontdesk_owner; SET LOCAL app.tenant_id = 'demo'").execute(&mut *transaction).await.unwrap();
            let done = sqlx::query(AssertSqlSafe(statement)).execute(&mut *transaction).await;
            transaction.commit().await.unwrap();
            done.map_err(DbError::from)
        }
    };
    for statement in ["DELETE FROM audit_seals WHERE sequence = 1", "UPDATE audit_seals SET hash = sha256('') WHERE sequence = 1"] {
        assert!(matches!(as_owner(statement).await, Err(DbError::Refused { code, .. }) if code == "42501"), "{statement}");
    }
    retire_audit(&mut owner(&test).await, false).await.unwrap();
    for statement in [
        "DELETE FROM audit_seals WHERE sequence = 8",
        "DELETE FROM audit_anchors",
        "UPDATE audit_anchors SET hash = sha256('')",
        "TRUNCATE audit_anchors",
    ] {
        assert!(matches!(as_owner(statement).await, Err(DbError::Refused { code, .. }) if code == "42501"), "{statement}");
    }
    // A superuser can; then the verifier says so.
    let forged =
        "SET session_replication_role = replica; DELETE FROM audit_seals WHERE sequence = 5; SET session_replication_role = DEFAULT";
    sqlx::raw_sql(forged).execute(&test.admin).await.unwrap();
    let verdict = verify(&database, &demo(), None).await.unwrap();
    assert!(matches!(verdict.fault, Some(Fault::SealDeleted { sequence: 1 })), "{verdict:?}");
}

#[tokio::test]
async fn what_is_on_legal_hold_keeps_its_years() {
    let test = TestDatabase::new().await;
    old_years(&test).await;
    sqlx::raw_sql(
        "INSERT INTO audit_events (tenant_id, at, call_id, actor, action) VALUES ('demo', '2015-07-01', 'held-call', 'agent', 'old.held');
         INSERT INTO legal_holds VALUES ('demo', 'call', 'held-call')",
    )
    .execute(&test.admin)
    .await
    .unwrap();
    seal_all(&test.database()).await.unwrap();
    let mut owner = owner(&test).await;
    let done = retire_audit(&mut owner, false).await.unwrap();
    assert_eq!((done.retired.len(), done.is_held), (0, true));
    sqlx::query("DELETE FROM legal_holds").execute(&test.admin).await.unwrap();
    assert_eq!(retire_audit(&mut owner, false).await.unwrap().retired.len(), 1);
}
