//! The audit log's chain: sealed without gaps whoever writes and seals, and no row altered unnoticed.

use std::borrow::Cow;
use std::time::Duration;

use frontdesk_agent::store::CallStore;
use frontdesk_clinic::audit::{Fault, KeptHead, SecurityEvent, Verdict, head, run_sealer, seal_all, verify};
use frontdesk_clinic::config::import;
use frontdesk_clinic::migrate::MIGRATOR;
use frontdesk_clinic::{Database, PgCallStore, TenantId, migrate};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::support::{TestDatabase, clinic, open, other_tenant, url_of};

fn demo() -> TenantId {
    TenantId::new("demo").unwrap()
}

/// So many events of calls, one transaction each.
async fn write(database: &Database, tenant: &str, call_id: &str, count: usize) {
    let calls = PgCallStore::new(clinic(database.clone(), tenant));
    for number in 0..count {
        calls.audit(call_id, "turn.committed", Some(&number.to_string())).await.unwrap();
    }
}

async fn verdict(database: &Database) -> Verdict {
    verify(database, &demo(), None).await.unwrap()
}

#[tokio::test]
async fn many_writers_and_several_sealers_make_one_chain_without_gaps() {
    let test = TestDatabase::new().await;
    import(&test.url, &other_tenant()).await.unwrap();
    let database = test.database();
    let mut stops = Vec::new();
    let mut sealers = JoinSet::new();
    for _ in 0..3 {
        let (stop, stopped) = oneshot::channel::<()>();
        stops.push(stop);
        // A pool of its own, like another worker.
        let database = test.database();
        sealers.spawn(async move { run_sealer(database, async { drop(stopped.await) }).await });
    }
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let database = database.clone();
        let tenant = if writer % 4 == 0 { "other" } else { "demo" };
        writers.spawn(async move { write(&database, tenant, &format!("call-{writer}"), 20).await });
    }
    // Meanwhile the chain is sound at any moment.
    while !writers.is_empty() {
        writers.join_next().await.unwrap().unwrap();
        assert_eq!(verdict(&database).await.fault, None);
    }
    drop(stops);
    sealers.join_all().await;
    for (tenant, events) in [("demo", 6 * 20 + 1), ("other", 2 * 20 + 1)] {
        // One more is the import's.
        let verdict = verify(&database, &TenantId::new(tenant).unwrap(), None).await.unwrap();
        assert_eq!((verdict.verified, verdict.tail.count, verdict.fault), (events, 0, None), "{tenant}");
    }
    assert_eq!(test.count("SELECT count(*) FROM audit_seals s JOIN audit_events USING (tenant_id, event_id)").await, 162);
}

#[tokio::test]
async fn a_transaction_that_commits_late_is_sealed_all_the_same() {
    let test = TestDatabase::new().await;
    let database = test.database();
    let mut slow = PgConnection::connect(&test.url).await.unwrap();
    let mut transaction = slow.begin().await.unwrap();
    transaction.execute("INSERT INTO audit_events (tenant_id, actor, action) VALUES ('demo', 'system', 'slow')").await.unwrap();
    write(&database, "demo", "call", 3).await;
    seal_all(&database).await.unwrap();
    assert_eq!(verdict(&database).await.verified, 4);
    transaction.commit().await.unwrap();
    let waiting = verdict(&database).await;
    assert_eq!((waiting.verified, waiting.tail.count, waiting.fault), (4, 1, None));
    assert!(waiting.tail.oldest_age.is_some());
    assert_eq!(seal_all(&database).await.unwrap(), 1);
    let last =
        test.count("SELECT event_id - (SELECT max(event_id) FROM audit_events) FROM audit_seals ORDER BY sequence DESC LIMIT 1").await;
    assert!(last < 0, "its number is the last although its id is not");
    assert_eq!(verdict(&database).await.fault, None);
}

#[tokio::test]
async fn a_running_sealer_seals_by_itself_and_once_more_when_it_stops() {
    let test = TestDatabase::new().await;
    let database = test.database();
    let (stop, stopped) = oneshot::channel::<()>();
    let sealer = tokio::spawn(run_sealer(test.database(), async { drop(stopped.await) }));
    write(&database, "demo", "call", 2).await;
    let sealed = async { while verdict(&database).await.tail.count > 0 {} };
    tokio::time::timeout(Duration::from_secs(30), sealed).await.expect("the sealer seals");
    write(&database, "demo", "call", 1).await;
    drop(stop);
    sealer.await.unwrap();
    let verdict = verdict(&database).await;
    assert_eq!((verdict.verified, verdict.tail.count, verdict.fault), (4, 0, None));
}

/// What is wrong after a superuser did this with all triggers off.
async fn after(test: &TestDatabase, statement: &str) -> Option<Fault> {
    let mut vandal = PgConnection::connect(&test.url).await.unwrap();
    vandal.execute("SET session_replication_role = replica").await.unwrap();
    vandal.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
    let fault = verdict(&test.database()).await.fault;
    for table in ["audit_events", "audit_seals", "audit_pending"] {
        let overriding = if table == "audit_events" { "OVERRIDING SYSTEM VALUE" } else { "" };
        let restore = format!("DELETE FROM {table}; INSERT INTO {table} {overriding} SELECT * FROM saved_{table}");
        sqlx::raw_sql(AssertSqlSafe(restore)).execute(&mut vandal).await.unwrap();
    }
    fault
}

#[tokio::test]
async fn whatever_a_superuser_alters_is_named() {
    let test = TestDatabase::new().await;
    let database = test.database();
    write(&database, "demo", "call", 8).await;
    seal_all(&database).await.unwrap();
    write(&database, "demo", "call", 1).await;
    for table in ["audit_events", "audit_seals", "audit_pending"] {
        test.admin.execute(AssertSqlSafe(format!("CREATE TABLE saved_{table} AS TABLE {table}"))).await.unwrap();
    }
    assert_eq!(verdict(&database).await.fault, None);
    // The import's event and eight of the call's are sealed, and their ids follow the order; the tenth waits.
    let first = test.count("SELECT min(event_id) FROM audit_events").await;
    let id = |sequence: i64| first + sequence - 1;
    let changed = |sequence| Some(Fault::Changed { sequence, event_id: id(sequence) });
    let five = id(5);
    for column in [
        "action = 'x'",
        "actor = 'caller'",
        "at = at + interval '1 microsecond'",
        "at = at + interval '2 years'",
        "call_id = NULL",
        "subject = '9'",
        "principal = 'login:nobody'",
        "purpose = 'none'",
    ] {
        assert_eq!(after(&test, &format!("UPDATE audit_events SET {column} WHERE event_id = {five}")).await, changed(5), "{column}");
    }
    let swap = format!(
        "UPDATE audit_events e SET subject = o.subject FROM audit_events o
         WHERE (e.event_id, o.event_id) IN (({five}, {six}), ({six}, {five}))",
        six = id(6)
    );
    assert_eq!(after(&test, &swap).await, changed(5));
    let swap = "UPDATE audit_seals s SET event_id = o.event_id, event_at = o.event_at FROM audit_seals o
                WHERE (s.sequence, o.sequence) IN ((3, 4), (4, 3))";
    let deferred = format!("ALTER TABLE audit_seals DROP CONSTRAINT audit_seals_once; {swap}");
    let fault = {
        let fault = after(&test, &format!("DO $$ BEGIN {deferred}; END $$")).await;
        test.admin.execute("ALTER TABLE audit_seals ADD CONSTRAINT audit_seals_once UNIQUE (tenant_id, event_id)").await.unwrap();
        fault
    };
    assert_eq!(fault, Some(Fault::Changed { sequence: 3, event_id: id(4) }));
    let deleted = Some(Fault::Deleted { sequence: 5, event_id: five });
    assert_eq!(after(&test, &format!("DELETE FROM audit_events WHERE event_id = {five}")).await, deleted);
    assert_eq!(after(&test, "DELETE FROM audit_seals WHERE sequence = 5").await, Some(Fault::SealDeleted { sequence: 5 }));
    assert_eq!(after(&test, "UPDATE audit_seals SET hash = sha256('') WHERE sequence = 5").await, changed(5));
    assert_eq!(after(&test, "DELETE FROM audit_seals WHERE sequence > 7").await, Some(Fault::Inserted { event_id: id(8) }));
    let inserted = "INSERT INTO audit_events (tenant_id, event_id, at, actor, action) OVERRIDING SYSTEM VALUE
                    SELECT tenant_id, 999999, at, 'agent', 'x' FROM audit_events LIMIT 1";
    assert_eq!(after(&test, inserted).await, Some(Fault::Inserted { event_id: 999_999 }));
    // The same id once more, which only another partition lets in.
    let twin = format!(
        "INSERT INTO audit_events (tenant_id, event_id, at, actor, action) OVERRIDING SYSTEM VALUE
         VALUES ('demo', {five}, '2028-02-29', 'agent', 'x')"
    );
    assert_eq!(after(&test, &twin).await, Some(Fault::Inserted { event_id: five }));
    let waiting = format!("DELETE FROM audit_events WHERE event_id = {}", id(10));
    assert_eq!(after(&test, &waiting).await, Some(Fault::DeletedUnsealed { event_id: id(10) }));
    let stopped = after(&test, "DELETE FROM audit_pending").await;
    assert_eq!(stopped, Some(Fault::Inserted { event_id: id(10) }));
    assert_eq!(verdict(&database).await.fault, None, "restored");
}

#[tokio::test]
async fn a_chain_cut_short_or_rewritten_is_told_by_a_head_kept_elsewhere() {
    let test = TestDatabase::new().await;
    let database = test.database();
    write(&database, "demo", "call", 5).await;
    seal_all(&database).await.unwrap();
    let kept: KeptHead = head(&database, &demo()).await.unwrap().unwrap().into();
    write(&database, "demo", "call", 2).await;
    seal_all(&database).await.unwrap();
    assert_eq!(verify(&database, &demo(), Some(&kept)).await.unwrap().fault, None, "a chain that went on contains it");
    let mut vandal = PgConnection::connect(&test.url).await.unwrap();
    vandal.execute("SET session_replication_role = replica").await.unwrap();
    let cut = "DELETE FROM audit_events e USING audit_seals s WHERE s.event_id = e.event_id AND s.sequence > 5;
               DELETE FROM audit_seals WHERE sequence > 5";
    sqlx::raw_sql(cut).execute(&mut vandal).await.unwrap();
    assert_eq!(verdict(&database).await.fault, None, "a shorter chain is sound in itself");
    assert_eq!(verify(&database, &demo(), Some(&kept)).await.unwrap().fault, Some(Fault::OtherChain { kept }));
    let rewrite = "INSERT INTO audit_pending SELECT tenant_id, event_id, event_at FROM audit_seals;
                   DELETE FROM audit_seals; UPDATE audit_events SET subject = 'other'";
    sqlx::raw_sql(rewrite).execute(&mut vandal).await.unwrap();
    write(&database, "demo", "call", 3).await;
    seal_all(&database).await.unwrap();
    assert_eq!(verdict(&database).await.fault, None, "so is one that was rewritten");
    assert_eq!(verify(&database, &demo(), Some(&kept)).await.unwrap().fault, Some(Fault::OtherChain { kept }));
}

#[tokio::test]
async fn events_name_who_acts_and_the_login_cannot_be_left_out() {
    let test = TestDatabase::new().await;
    let mut options = frontdesk_clinic::DatabaseOptions::new(&test.url);
    options.principal = "cli:jane o'neil".into();
    write(&Database::open(&options).unwrap(), "demo", "call", 1).await;
    write(&test.database(), "demo", "call", 1).await;
    let principals: Vec<String> = sqlx::query_scalar("SELECT principal FROM audit_events WHERE call_id = 'call' ORDER BY event_id")
        .fetch_all(&test.admin)
        .await
        .unwrap();
    let login: String = sqlx::query_scalar("SELECT session_user::text").fetch_one(&test.admin).await.unwrap();
    assert_eq!(principals, [format!("cli:jane-o-neil login:{login}"), format!("login:{login}")]);
}

#[tokio::test]
async fn security_has_events_of_its_own() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    for event in [SecurityEvent::BadSignature, SecurityEvent::AccessRefused] {
        clinic.note_security(event, Some("status callback")).await.unwrap();
    }
    let actions: Vec<String> = sqlx::query_scalar("SELECT action FROM audit_events WHERE action LIKE 'security.%' ORDER BY event_id")
        .fetch_all(&test.admin)
        .await
        .unwrap();
    // The first is the import of the template's clinic.
    assert_eq!(actions, ["security.configuration_changed", "security.bad_signature", "security.access_refused"]);
}

/// The log of the release before is kept, found by everybody, and sealed.
#[tokio::test]
async fn a_log_from_before_the_chain_is_taken_over() {
    let test = TestDatabase::new().await;
    let name = format!("clinic_test_{}", uuid::Uuid::now_v7().simple());
    test.admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    let url = url_of(&test.url, &name);
    let before = MIGRATOR.iter().filter(|migration| migration.version < 9).cloned().collect();
    let before = Migrator { migrations: Cow::Owned(before), ..Migrator::DEFAULT };
    let mut old = PgConnection::connect(&url).await.unwrap();
    before.run_direct(None, &mut old, false).await.unwrap();
    let rows = "INSERT INTO tenants (tenant_id, name, zone, language, currency, slot_minutes, lead_minutes, horizon_days)
                VALUES ('demo', 'Demo', 'UTC', 'en', 'USD', 15, 60, 90);
                INSERT INTO audit_events (tenant_id, call_id, actor, action) VALUES
                    ('demo', 'old', 'agent', 'identification.failed'), ('demo', 'old', 'agent', 'slot.held')";
    sqlx::raw_sql(rows).execute(&mut old).await.unwrap();
    old.close().await.unwrap();
    migrate(&url).await.unwrap();
    let database = open(&url);
    write(&database, "demo", "old", 1).await;
    let sealed = seal_all(&database).await;
    let verdict = verify(&database, &demo(), None).await;
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let ids: Vec<i64> = sqlx::query_scalar("SELECT event_id FROM audit_events ORDER BY 1").fetch_all(&mut admin).await.unwrap();
    admin.close().await.unwrap();
    database.close().await;
    test.admin.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();
    assert_eq!(sealed.unwrap(), 3);
    assert_eq!(verdict.unwrap().fault, None);
    assert_eq!(ids, [1, 2, 3], "ids go on where they were");
}
