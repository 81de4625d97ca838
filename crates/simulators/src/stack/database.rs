//! A fresh database on the project's cluster, dropped when its value is.

use std::str::FromStr as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::time::timeout;

use super::find::find_upward;

const URL_VARIABLE: &str = "FRONTDESK_TEST_DATABASE_URL";
const URL_FILE: &str = "var/postgres/url";
/// Names begin so; nobody else's do.
const PREFIX: &str = "frontdesk_scratch_";
/// A database of a program that was killed stays behind; the next program drops it after this long.
const STALE: Duration = Duration::from_secs(3600);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Cloning waits for others that clone from the same template.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// Nobody said where the cluster is.
    #[error("no database cluster: neither {URL_VARIABLE} nor {URL_FILE} in the working directory or above; remedy: scripts/postgres start")]
    Unknown,
    /// The URL cannot be read.
    #[error("{0} is no Postgres URL (its value is not shown, it holds a password)")]
    Url(&'static str),
    /// Nobody answers there, or not to this login.
    #[error("the database cluster cannot be reached: {0}; remedy: scripts/postgres start")]
    Connect(String),
    /// The server refused.
    #[error("the database cluster refused: {0}")]
    Refused(#[from] sqlx::Error),
}

/// A database of one's own. Dropped with the value, with all connections to it.
#[derive(Debug)]
pub struct Database {
    admin: PgConnectOptions,
    admin_url: String,
    name: String,
}

impl Database {
    /// An empty database.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn scratch() -> Result<Self, DatabaseError> {
        let admin_url = cluster_url()?;
        let admin = PgConnectOptions::from_str(&admin_url).map_err(|_| DatabaseError::Url(URL_VARIABLE))?;
        let mut connection = connect(&admin).await?;
        sweep(&mut connection).await;
        let made = create(&mut connection, admin, admin_url, None).await;
        close(connection).await;
        made
    }

    /// A copy of this database, which nobody may be connected to meanwhile: migrate one, then clone it for every test.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn duplicate(&self) -> Result<Self, DatabaseError> {
        let mut connection = connect(&self.admin).await?;
        let made = create(&mut connection, self.admin.clone(), self.admin_url.clone(), Some(&self.name)).await;
        close(connection).await;
        made
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The superuser's URL to it; holds a password.
    #[must_use]
    pub fn url(&self) -> String {
        with_database(&self.admin_url, &self.name)
    }

    /// A superuser's connection: row-level security does not bind it, so it sees every tenant's rows.
    ///
    /// # Errors
    /// [`DatabaseError::Connect`].
    pub async fn connect(&self) -> Result<PgConnection, DatabaseError> {
        connect(&self.admin.clone().database(&self.name)).await
    }

    /// Drops it now, with whoever is connected.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn drop_now(mut self) -> Result<(), DatabaseError> {
        let name = std::mem::take(&mut self.name);
        drop_database(&self.admin, &name).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (admin, name) = (self.admin.clone(), std::mem::take(&mut self.name));
        if name.is_empty() {
            return;
        }
        // A runtime of its own, because this may run where none is, or on one that is shutting down.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime
                && let Err(error) = runtime.block_on(drop_database(&admin, &name))
            {
                tracing::warn!(%error, name, "a scratch database stays behind for an hour");
            }
        });
        // A panic there has been printed already.
        let _panicked = dropping.join();
    }
}

fn cluster_url() -> Result<String, DatabaseError> {
    if let Some(url) = std::env::var(URL_VARIABLE).ok().filter(|url| !url.is_empty()) {
        return Ok(url);
    }
    let file = find_upward(URL_FILE).ok_or(DatabaseError::Unknown)?;
    let url = std::fs::read_to_string(file).map_err(|_| DatabaseError::Unknown)?;
    Ok(url.trim().to_owned())
}

/// The same URL with another database: the path between the authority and the parameters.
fn with_database(url: &str, name: &str) -> String {
    let (address, parameters) = url.split_once('?').map_or((url, String::new()), |(address, rest)| (address, format!("?{rest}")));
    let authority = address.find("://").map_or(0, |at| at + 3);
    let end = address[authority..].find('/').map_or(address.len(), |at| authority + at);
    format!("{}/{name}{parameters}", &address[..end])
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, DatabaseError> {
    match timeout(CONNECT_TIMEOUT, PgConnection::connect_with(options)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(DatabaseError::Connect(error.to_string())),
        Err(_) => Err(DatabaseError::Connect(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))),
    }
}

async fn close(connection: PgConnection) {
    // The work is done; whether the server reads the farewell does not matter.
    let _closed = timeout(CONNECT_TIMEOUT, connection.close()).await;
}

async fn execute(connection: &mut PgConnection, statement: String) -> Result<(), DatabaseError> {
    // Names are ours: letters, digits and underscores.
    match timeout(STATEMENT_TIMEOUT, connection.execute(sqlx::AssertSqlSafe(statement))).await {
        Ok(result) => Ok(result.map(drop)?),
        Err(_) => Err(DatabaseError::Connect(format!("no answer within {} s", STATEMENT_TIMEOUT.as_secs()))),
    }
}

async fn create(
    connection: &mut PgConnection,
    admin: PgConnectOptions,
    admin_url: String,
    template: Option<&str>,
) -> Result<Database, DatabaseError> {
    let name = format!("{PREFIX}{}_{:08x}", unix_s(), rand::random::<u32>());
    // template0 has no connections of others, which would make the statement fail.
    let template = template.unwrap_or("template0");
    execute(connection, format!("CREATE DATABASE {name} TEMPLATE {template}")).await?;
    Ok(Database { admin, admin_url, name })
}

async fn drop_database(admin: &PgConnectOptions, name: &str) -> Result<(), DatabaseError> {
    let mut connection = connect(admin).await?;
    let dropped = execute(&mut connection, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
    close(connection).await;
    dropped
}

/// Drops what killed programs left. Best effort: two may sweep at once.
async fn sweep(connection: &mut PgConnection) {
    let names: Vec<String> = sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE starts_with(datname::text, $1)")
        .bind(PREFIX)
        .fetch_all(&mut *connection)
        .await
        .unwrap_or_default();
    for name in names.iter().filter(|name| is_stale(name, unix_s())) {
        if let Err(error) = execute(connection, format!("DROP DATABASE IF EXISTS {name}")).await {
            tracing::debug!(%error, "a stale scratch database is still in use");
        }
    }
}

fn is_stale(name: &str, now_s: u64) -> bool {
    let made = name.strip_prefix(PREFIX).and_then(|rest| rest.split('_').next()).and_then(|seconds| seconds.parse::<u64>().ok());
    let is_ours = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_ours && made.is_some_and(|made| made + STALE.as_secs() < now_s)
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_url_is_replaced() {
        assert_eq!(with_database("postgres://u:p@h:1/postgres", "x"), "postgres://u:p@h:1/x");
        assert_eq!(with_database("postgres://u:p@h:1", "x"), "postgres://u:p@h:1/x");
        assert_eq!(with_database("postgres://u:p@h:1/a?sslmode=disable", "x"), "postgres://u:p@h:1/x?sslmode=disable");
    }

    #[test]
    fn only_old_databases_of_ours_are_stale() {
        assert!(is_stale("frontdesk_scratch_1000_0a", 1000 + STALE.as_secs() + 1));
        assert!(!is_stale("frontdesk_scratch_1000_0a", 2000));
        assert!(!is_stale("frontdesk_scratch_x_0a", u64::MAX));
        assert!(!is_stale("frontdesk_scratch_1_\"; DROP", u64::MAX));
        assert!(!is_stale("frontdesk", u64::MAX));
    }

    #[tokio::test]
    async fn a_database_is_made_cloned_and_dropped() {
        let first = Database::scratch().await.expect("the project's cluster runs (scripts/postgres start)");
        let mut connection = first.connect().await.expect("it is there");
        connection.execute("CREATE TABLE marks (mark int); INSERT INTO marks VALUES (7)").await.expect("it is writable");
        connection.close().await.expect("closes");
        let second = first.duplicate().await.expect("cloned");
        let mut connection = PgConnection::connect(&second.url()).await.expect("its URL works");
        let mark: i32 = sqlx::query_scalar("SELECT mark FROM marks").fetch_one(&mut connection).await.expect("cloned with its rows");
        assert_eq!(mark, 7);
        let (name, admin) = (second.name().to_owned(), first.admin.clone());
        second.drop_now().await.expect("dropped under its connection");
        drop(first);
        let mut connection = connect(&admin).await.expect("the cluster is there");
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_database WHERE datname = $1")
            .bind(name)
            .fetch_one(&mut connection)
            .await
            .expect("an answer");
        assert_eq!(left, 0);
    }
}
