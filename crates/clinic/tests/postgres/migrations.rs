//! Migrations: repeated, at the same moment, by a login with few rights, and against a server that is not there.

use frontdesk_clinic::config::import;
use frontdesk_clinic::migrate::{MigrateError, newest_version};
use frontdesk_clinic::{Database, migrate};
use sqlx::{AssertSqlSafe, Executor};
use tokio::task::JoinSet;

use super::support::{TestDatabase, clinic, demo_tenant, open, url_of};
use super::wishes::wish;

fn unique(what: &str) -> String {
    format!("clinic_{what}_{}", uuid::Uuid::now_v7().simple())
}

#[tokio::test]
async fn many_databases_migrate_at_the_same_moment() {
    let test = TestDatabase::new().await;
    let names: Vec<String> = (0..4).map(|_| unique("test")).collect();
    let mut migrations = JoinSet::new();
    for name in &names {
        test.admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        let url = url_of(&test.url, name);
        // Two programs at the same database, four databases of the same cluster.
        for _ in 0..2 {
            let url = url.clone();
            migrations.spawn(async move { migrate(&url).await.unwrap() });
        }
    }
    let versions = migrations.join_all().await;
    for name in &names {
        test.admin.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();
    }
    assert_eq!(versions, [newest_version(); 8]);
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let test = TestDatabase::new().await;
    test.clinic().prepare_booking("call", &wish("2026-12-01T09:00", 1)).await.unwrap();
    let catalogue =
        "SELECT hashtextextended(string_agg(c::text, '' ORDER BY oid), 0) FROM pg_class c WHERE relnamespace = 'public'::regnamespace";
    let before = test.count(catalogue).await;
    for _ in 0..2 {
        assert_eq!(migrate(&test.url).await.unwrap(), newest_version());
    }
    assert_eq!(test.count(catalogue).await, before);
    assert_eq!(test.count("SELECT count(*) FROM appointments").await, 1);
}

/// The database's owner, who is no superuser, migrates and imports; afterwards the application has what it needs.
#[tokio::test]
async fn a_login_that_is_no_superuser_can_migrate() {
    let test = TestDatabase::new().await;
    let (login, database) = (unique("migrator"), unique("test"));
    for statement in [
        format!("CREATE ROLE {login} LOGIN PASSWORD 'p' CREATEROLE"),
        // The roles exist in this cluster already, made by another.
        format!("GRANT frontdesk_owner, frontdesk_app TO {login}"),
        format!("CREATE DATABASE {database} OWNER {login}"),
    ] {
        test.admin.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    let (_, host) = test.url.rsplit_once('@').unwrap();
    let url = url_of(&format!("postgres://{login}:p@{host}"), &database);
    let migrated = migrate(&url).await;
    let imported = import(&url, &demo_tenant()).await;
    let app = open(&url);
    let checked = app.check().await;
    let prepared = clinic(app.clone(), "demo").prepare_booking("call", &wish("2026-12-01T09:00", 1)).await;
    app.close().await;
    for statement in [format!("DROP DATABASE {database} WITH (FORCE)"), format!("DROP ROLE {login}")] {
        test.admin.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    assert_eq!(migrated.unwrap(), newest_version());
    imported.unwrap();
    checked.unwrap();
    prepared.unwrap();
}

#[tokio::test]
async fn a_database_that_was_not_migrated_says_so() {
    let test = TestDatabase::new().await;
    let name = unique("test");
    test.admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    let database: Database = open(&url_of(&test.url, &name));
    let error = database.check().await.unwrap_err();
    database.close().await;
    test.admin.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();
    assert!(!error.is_retryable() && error.to_string().ends_with("run `frontdesk migrate`"), "{error}");
}

#[tokio::test]
async fn an_older_schema_is_refused_and_a_newer_one_is_not() {
    let test = TestDatabase::new().await;
    let database = test.database();
    database.check().await.unwrap();
    let newer =
        "INSERT INTO _sqlx_migrations SELECT version + 1, description, now(), true, '', 0 FROM _sqlx_migrations ORDER BY 1 DESC LIMIT 1";
    sqlx::query(newer).execute(&test.admin).await.unwrap();
    database.check().await.unwrap();
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version >= $1").bind(newest_version()).execute(&test.admin).await.unwrap();
    let error = database.check().await.unwrap_err().to_string();
    // The numbers of migrations need not follow each other.
    let (has, needs) = (test.count("SELECT max(version) FROM _sqlx_migrations").await, newest_version());
    assert!(has < needs);
    assert!(error.ends_with(&format!("the schema is at version {has}, expected {needs} or later: run `frontdesk migrate`")), "{error}");
}

#[tokio::test]
async fn nobody_there_to_migrate_is_one_clear_error() {
    let error = migrate("postgres://nobody:secret@127.0.0.1:1/none").await.unwrap_err();
    assert!(matches!(error, MigrateError::Connect(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
}
