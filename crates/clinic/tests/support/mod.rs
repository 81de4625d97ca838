//! A database of its own for every test, cloned from a migrated template; and a proxy that loses connections on purpose.
//!
//! The server is the one of `FRONTDESK_TEST_DATABASE_URL` (a superuser's URL), else the project's cluster
//! (`scripts/postgres start`). Without either, tests fail and say so.

pub(crate) mod proxy;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use frontdesk_clinic::config::{import, load_tenant};
use frontdesk_clinic::{ClinicStore, Clock, Database, DatabaseOptions, Keyring, Tenant, TenantId, migrate};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// Every test has this time: Monday, 30 November 2026, seven in the morning in New York.
pub(crate) fn now() -> DateTime<Utc> {
    "2026-11-30T12:00:00Z".parse().unwrap()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn server_url() -> String {
    if let Ok(url) = std::env::var("FRONTDESK_TEST_DATABASE_URL") {
        return url;
    }
    let file = repository().join("var/postgres/url");
    match std::fs::read_to_string(&file) {
        Ok(url) => url.trim().into(),
        Err(error) => panic!(
            "no test database: FRONTDESK_TEST_DATABASE_URL is not set, and {} cannot be read ({error}). \
             Remedy: scripts/postgres start, or set the variable to a superuser's URL",
            file.display()
        ),
    }
}

/// The server's URL with another database's name, keeping its parameters.
pub(crate) fn url_of(server: &str, database: &str) -> String {
    let (rest, parameters) = server.split_once('?').map_or((server, String::new()), |(rest, query)| (rest, format!("?{query}")));
    let authority_end = rest.find("://").map_or(0, |at| at + 3);
    let path = rest[authority_end..].find('/').map_or(rest.len(), |at| authority_end + at);
    format!("{}/{database}{parameters}", &rest[..path])
}

async fn connect(url: &str) -> PgConnection {
    let options = PgConnectOptions::from_str(url).unwrap();
    match tokio::time::timeout(Duration::from_secs(20), PgConnection::connect_with(&options)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => panic!("the test database does not answer ({error}). Remedy: scripts/postgres start"),
        Err(_) => panic!("the test database does not answer within 20 s. Remedy: scripts/postgres start"),
    }
}

/// The name of a database in which all migrations have run and the demo clinic was imported; made by whoever comes first.
async fn template(server: &str) -> String {
    // The name follows from what is in it: a changed migration or tenant makes another template.
    let mut fingerprint = String::new();
    for migration in frontdesk_clinic::migrate::MIGRATOR.iter() {
        fingerprint.push_str(&format!("{:?}", migration.checksum));
    }
    for file in ["tenant.toml", "insurance.toml"] {
        fingerprint.push_str(&std::fs::read_to_string(demo_folder().join(file)).unwrap());
    }
    let name = format!("clinic_template_{}", &uuid::Uuid::from_u128(fold(&fingerprint)).simple());
    let mut admin = connect(server).await;
    // Session-level: held while the template is made, and gone with the connection whatever happens.
    admin.execute("SELECT pg_advisory_lock(hashtext('clinic test template'))").await.unwrap();
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)").bind(&name).fetch_one(&mut admin).await.unwrap();
    if !exists {
        let building = format!("{name}_building");
        admin.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {building} WITH (FORCE)"))).await.unwrap();
        admin.execute(AssertSqlSafe(format!("CREATE DATABASE {building}"))).await.unwrap();
        let url = url_of(server, &building);
        migrate(&url).await.unwrap();
        import(&url, &demo_tenant()).await.unwrap();
        admin.execute(AssertSqlSafe(format!("ALTER DATABASE {building} RENAME TO {name}"))).await.unwrap();
    }
    admin.close().await.unwrap();
    name
}

/// FNV-1a, 128 bits: stable across runs, which the standard hasher does not promise.
fn fold(text: &str) -> u128 {
    text.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}

fn demo_folder() -> PathBuf {
    repository().join("agent-config/demo")
}

/// The demo clinic.
pub(crate) fn demo_tenant() -> Tenant {
    load_tenant(&demo_folder()).unwrap()
}

/// The demo clinic under another id and number.
pub(crate) fn other_tenant() -> Tenant {
    Tenant { id: TenantId::new("other").unwrap(), dialled_numbers: vec!["+15550101".into()], ..demo_tenant() }
}

/// A database of this test's own; dropped with the value.
pub(crate) struct TestDatabase {
    server: String,
    name: String,
    /// The superuser's URL of the database.
    pub(crate) url: String,
    /// Connections of the superuser, whom row-level security does not bind.
    pub(crate) admin: PgPool,
}

impl TestDatabase {
    /// A fresh database, migrated, with the demo clinic in it.
    pub(crate) async fn new() -> Self {
        let server = server_url();
        let template = template(&server).await;
        let name = format!("clinic_test_{}", uuid::Uuid::now_v7().simple());
        let mut admin = connect(&server).await;
        admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE {template}"))).await.unwrap();
        admin.close().await.unwrap();
        let url = url_of(&server, &name);
        let admin = PgPoolOptions::new().max_connections(2).acquire_timeout(Duration::from_secs(20)).connect_lazy(&url).unwrap();
        Self { server, name, url, admin }
    }

    /// The application's pool; patient, because the machine may be busy with other tests.
    pub(crate) fn database(&self) -> Database {
        open(&self.url)
    }

    /// The demo clinic's view of it.
    pub(crate) fn clinic(&self) -> ClinicStore {
        clinic(self.database(), "demo")
    }

    /// What a statement of the superuser gives, as one number.
    pub(crate) async fn count(&self, statement: &'static str) -> i64 {
        sqlx::query_scalar(statement).fetch_one(&self.admin).await.unwrap()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A test's runtime may be shutting down, so the farewell has a thread and a runtime of its own.
        let farewell = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut admin = connect(&server).await;
                let _ = admin.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))).await;
            });
        });
        let _ = farewell.join();
    }
}

/// The application's pool behind a URL.
pub(crate) fn open(url: &str) -> Database {
    let mut options = DatabaseOptions::new(url);
    options.acquire_timeout = Duration::from_secs(10);
    Database::open(&options).unwrap()
}

/// A tenant's view with the tests' keys and time.
pub(crate) fn clinic(database: Database, tenant: &str) -> ClinicStore {
    ClinicStore::new(database, keys(), TenantId::new(tenant).unwrap()).with_clock(Clock::Fixed(now()))
}

/// The tests' keys.
pub(crate) fn keys() -> Arc<Keyring> {
    Arc::new(Keyring::from_master([7; 32]))
}
