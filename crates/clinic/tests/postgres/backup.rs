//! A dump, restored elsewhere: it verifies, opens with the same keys, and goes on.

use std::process::Stdio;

use frontdesk_agent::store::CallStore;
use frontdesk_clinic::audit::{Fault, KeptHead, head, seal_all, verify};
use frontdesk_clinic::booking::Settled;
use frontdesk_clinic::{PgCallStore, TenantId, migrate};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::process::Command;

use super::calls::record;
use super::support::{TestDatabase, clinic, open, url_of};
use super::wishes::{key, wish};

/// Copies a database as docs/data.md says: pg_dump, then pg_restore into an empty one.
async fn dump_and_restore(from: &str, to: &str) {
    let mut dump = Command::new("pg_dump")
        .args(["--format=custom", "--dbname", from])
        .stdout(Stdio::piped())
        .spawn()
        .expect("pg_dump is there: it comes with Postgres's client programs");
    let archive: Stdio = dump.stdout.take().unwrap().try_into().unwrap();
    let restored = Command::new("pg_restore").args(["--exit-on-error", "--dbname", to]).stdin(archive).status().await.unwrap();
    assert!(dump.wait().await.unwrap().success() && restored.success());
}

#[tokio::test]
async fn a_restored_backup_verifies_opens_and_goes_on() {
    let test = TestDatabase::new().await;
    let tenant = TenantId::new("demo").unwrap();
    let before = test.clinic();
    let prepared = before.prepare_booking("one", &wish("2026-12-01T09:00", 1)).await.unwrap();
    let booked = before.commit_booking(&key("one", "c1"), &prepared.booking).await.unwrap();
    PgCallStore::new(before.clone()).finish(&record("one", "demo")).await.unwrap();
    seal_all(&test.database()).await.unwrap();
    let kept: KeptHead = head(&test.database(), &tenant).await.unwrap().unwrap().into();
    // One that the backup still finds waiting.
    PgCallStore::new(before.clone()).audit("one", "turn.committed", None).await.unwrap();

    let name = format!("clinic_test_{}", uuid::Uuid::now_v7().simple());
    test.admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    let url = url_of(&test.url, &name);
    dump_and_restore(&test.url, &url).await;
    migrate(&url).await.unwrap();
    let database = open(&url);
    let clinic = clinic(database.clone(), "demo");
    let found = verify(&database, &tenant, Some(&kept)).await.unwrap();
    let again = clinic.commit_booking(&key("one", "c1"), &prepared.booking).await;
    let loaded = PgCallStore::new(clinic.clone()).load_record("one").await;
    let sealed = seal_all(&database).await;
    let went_on = verify(&database, &tenant, Some(&kept)).await.unwrap();
    // The chain that went on without the backup is another one, and its newer head says so.
    seal_all(&test.database()).await.unwrap();
    PgCallStore::new(before).audit("one", "turn.committed", Some("2")).await.unwrap();
    seal_all(&test.database()).await.unwrap();
    let newer: KeptHead = head(&test.database(), &tenant).await.unwrap().unwrap().into();
    let lost = verify(&database, &tenant, Some(&newer)).await.unwrap();
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let rewritten = admin.execute("SET ROLE frontdesk_owner; SET app.tenant_id = 'demo'; DELETE FROM audit_seals").await;
    admin.close().await.unwrap();
    database.close().await;
    test.admin.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();

    assert_eq!((found.fault, found.tail.count), (None, 1));
    assert!(matches!(booked, Settled::Done(_)));
    assert_eq!(again.unwrap(), booked, "keys of commits are restored, too");
    assert_eq!(loaded.unwrap(), Some(record("one", "demo")));
    assert_eq!(sealed.unwrap(), 2, "the one that waited, and the reading of the record");
    assert_eq!((went_on.fault, went_on.tail.count), (None, 0));
    assert_eq!(lost.fault, Some(Fault::OtherChain { kept: newer }));
    assert!(rewritten.is_err(), "triggers and rights are restored, too");
}
