//! Connections to Postgres: a bounded pool, each connection acting as `frontdesk_app`, and errors classed by what to do.

use std::borrow::Cow;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool, Postgres, Transaction};

use crate::ids::TenantId;
use crate::leases::{Orphan, OrphanRow, interval};
use crate::migrate::newest_version;

/// How long one operation may take in all, should the server fall silent in the middle of it.
pub(crate) const OPERATION_LIMIT: Duration = Duration::from_secs(4);

/// How to reach the database.
#[derive(Clone)]
pub struct DatabaseOptions {
    /// `postgres://…`; parameters such as `sslmode=verify-full` are honoured.
    pub url: String,
    /// Connections at most.
    pub connections_max: u32,
    /// How long to wait for a connection; at most 2 s make sense while a caller waits.
    pub acquire_timeout: Duration,
    /// For whom the connections act, as the audit log names it beside the login: `worker:front-1`, `cli:jane`.
    pub principal: String,
}

impl DatabaseOptions {
    /// The defaults: 16 connections, 2 s.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), connections_max: 16, acquire_timeout: Duration::from_secs(2), principal: String::new() }
    }
}

impl std::fmt::Debug for DatabaseOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL holds the password.
        f.debug_struct("DatabaseOptions").field("connections_max", &self.connections_max).finish_non_exhaustive()
    }
}

/// What went wrong with the database. Texts never hold a row's values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// It cannot be reached, is starting or stopping, or has no connection free. Retryable once it is back.
    #[error("the database is unavailable: {reason}")]
    Unavailable {
        /// The cause.
        reason: String,
    },
    /// The connection broke under a statement. Retryable at once, on another connection.
    #[error("the connection to the database was lost: {reason}")]
    ConnectionLost {
        /// The cause.
        reason: String,
    },
    /// No answer in time. Retryable.
    #[error("the database gave no answer within {limit_ms} ms")]
    Timeout {
        /// The limit.
        limit_ms: u64,
    },
    /// Another transaction was in the way (serialization failure, deadlock, lock time-out). Retryable at once.
    #[error("another transaction was in the way (SQLSTATE {code})")]
    Conflict {
        /// The SQLSTATE.
        code: String,
    },
    /// A constraint that the operation does not expect to be violated: a fault of the program.
    #[error("constraint {constraint} is violated")]
    Constraint {
        /// Its name.
        constraint: String,
    },
    /// The server refuses: wrong password, missing role or table, missing right. Not retryable; see `frontdesk check`.
    #[error("the database refused (SQLSTATE {code}): {reason}")]
    Refused {
        /// The SQLSTATE, or `-` for a fault on our side of the wire.
        code: String,
        /// The server's message where it cannot hold data, else empty.
        reason: String,
    },
    /// The call belongs to another worker now. Nothing was written; mute and leave.
    #[error("the call belongs to another worker now")]
    LeaseLost,
    /// The call has no lease as yet, since the database was away when it began. It may be had later.
    #[error("the call has no lease, so that nothing is booked")]
    Unleased,
    /// A stored value cannot be read or written: wrong key, or altered.
    #[error("{what}: {reason}")]
    Unreadable {
        /// Which column.
        what: &'static str,
        /// Why.
        reason: String,
    },
}

impl DbError {
    /// Whether the same operation may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        !matches!(self, Self::Constraint { .. } | Self::Refused { .. } | Self::Unreadable { .. } | Self::LeaseLost)
    }

    /// Whether the same operation is likely to succeed when tried again at once.
    #[must_use]
    pub const fn is_worth_another_try(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::ConnectionLost { .. })
    }

    pub(crate) fn unreadable(what: &'static str, error: &dyn std::error::Error) -> Self {
        Self::Unreadable { what, reason: error.to_string() }
    }
}

/// The constraint that a statement violated, by exclusion (23P01), uniqueness (23505) or reference (23503).
pub(crate) fn violated(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    let error = error.as_database_error()?;
    let code = error.code()?;
    matches!(code.as_ref(), "23P01" | "23505" | "23503").then(|| Cow::Borrowed(error.constraint().unwrap_or("(unnamed)")))
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        if let Some(constraint) = violated(&error) {
            return Self::Constraint { constraint: constraint.into_owned() };
        }
        let reason = match &error {
            sqlx::Error::Database(error) => return from_server(error.as_ref()),
            sqlx::Error::PoolTimedOut => "no connection became free in time".into(),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => "the pool is closed".into(),
            sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => error.to_string(),
            sqlx::Error::Io(error) => return Self::ConnectionLost { reason: error.to_string() },
            sqlx::Error::Tls(error) => return Self::Refused { code: "-".into(), reason: format!("TLS: {error}") },
            sqlx::Error::Configuration(error) => return Self::Refused { code: "-".into(), reason: format!("configuration: {error}") },
            // The driver says so, too, of a connection that ends while it is being opened. Such texts may quote a value.
            sqlx::Error::Protocol(_) | sqlx::Error::BeginFailed => {
                return Self::ConnectionLost { reason: "the server's answer is not of the protocol, or was cut short".into() };
            }
            // What is left concerns decoding; the same holds for its texts.
            _ => return Self::Refused { code: "-".into(), reason: "the answer could not be understood".into() },
        };
        Self::Unavailable { reason }
    }
}

fn from_server(error: &dyn sqlx::error::DatabaseError) -> DbError {
    let code = error.code().unwrap_or_default().into_owned();
    let reason = || error.message().to_string();
    match code.as_str() {
        "40001" | "40P01" | "55P03" => DbError::Conflict { code },
        "57014" => DbError::Timeout { limit_ms: STATEMENT_LIMIT_MS },
        // The server ends this connection: administrator, crash of a sibling, idle in transaction.
        "57P01" | "57P02" | "57P05" | "25P03" => DbError::ConnectionLost { reason: reason() },
        "57P03" | "57P04" => DbError::Unavailable { reason: reason() },
        // Classes of insufficient resources, connection and system trouble.
        _ if ["53", "08", "58"].iter().any(|class| code.starts_with(class)) => DbError::Unavailable { reason: reason() },
        // Classes of missing objects and rights: their messages name objects, not values.
        _ if ["42", "3D", "28", "22023", "0A"].iter().any(|class| code.starts_with(class)) => DbError::Refused { code, reason: reason() },
        _ => DbError::Refused { code, reason: String::new() },
    }
}

const STATEMENT_LIMIT_MS: u64 = 3000;

/// Connect options of the application: few rights, UTC, and no statement, lock or forgotten transaction without end.
fn app_options(url: &str, principal: &str) -> Result<PgConnectOptions, DbError> {
    let statement_limit = STATEMENT_LIMIT_MS.to_string();
    Ok(PgConnectOptions::from_str(url)?.application_name("frontdesk").options([
        ("role", "frontdesk_app"),
        ("app.principal", principal),
        ("timezone", "UTC"),
        ("statement_timeout", statement_limit.as_str()),
        ("lock_timeout", "2000"),
        ("idle_in_transaction_session_timeout", "10000"),
    ]))
}

/// The principal as it may stand in connection options: no blanks, quotes or other signs that would need care there.
pub(crate) fn plain_principal(principal: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._:@/-".contains(c);
    principal.chars().take(PRINCIPAL_CHARS_MAX).map(|c| if is_plain(c) { c } else { '-' }).collect()
}

/// Longer names are cut.
const PRINCIPAL_CHARS_MAX: usize = 80;

/// The pool of connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
    url: std::sync::Arc<Secret>,
}

struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("{redacted}")
    }
}

impl Database {
    /// Makes the pool without connecting: a worker may start, and answer, while the database is away.
    pub fn open(options: &DatabaseOptions) -> Result<Self, DbError> {
        let pool = PgPoolOptions::new().max_connections(options.connections_max).acquire_timeout(options.acquire_timeout);
        let pool = crate::health::watched(pool).connect_lazy_with(app_options(&options.url, &plain_principal(&options.principal))?);
        Ok(Self { pool, url: std::sync::Arc::new(Secret(options.url.clone())) })
    }

    /// Connects once, outside of the pool, and sees that the role is powerless enough and the schema recent enough. A newer
    /// schema than the program's passes: releases are rolled out after their migrations.
    pub async fn check(&self) -> Result<(), DbError> {
        let refused = |reason: String| DbError::Refused { code: "-".into(), reason };
        let checked = bounded(async {
            let mut connection = PgConnection::connect_with(&app_options(&self.url.0, "check")?).await?;
            let is_powerful =
                sqlx::query_scalar!(r#"SELECT (rolsuper OR rolbypassrls) AS "is_powerful!" FROM pg_roles WHERE rolname = current_user"#)
                    .fetch_one(&mut connection)
                    .await?;
            if is_powerful {
                return Err(refused("role frontdesk_app is superuser or has BYPASSRLS: row-level security would not hold".into()));
            }
            // Not checked at compile time: the table is the migrator's own and in no migration.
            let version = sqlx::query_scalar::<_, Option<i64>>("SELECT max(version) FROM _sqlx_migrations WHERE success")
                .fetch_one(&mut connection)
                .await?
                .unwrap_or_default();
            connection.close().await?;
            Ok(version)
        });
        let needed = newest_version();
        match checked.await {
            Ok(version) if version >= needed => Ok(()),
            Ok(version) => Err(refused(format!("the schema is at version {version}, expected {needed} or later: run `frontdesk migrate`"))),
            // No such table, role or right.
            Err(DbError::Refused { code, reason }) if ["42P01", "42501", "22023"].contains(&code.as_str()) => {
                Err(DbError::Refused { code, reason: format!("{reason}: run `frontdesk migrate`") })
            }
            Err(error) => Err(error),
        }
    }

    /// The clinic that is called under a number in E.164, if any.
    pub async fn tenant_of_dialled_number(&self, number: &str) -> Result<Option<TenantId>, DbError> {
        let found =
            bounded(async { Ok(sqlx::query_scalar!("SELECT tenant_of_dialled_number($1)", number).fetch_one(&self.pool).await?) }).await?;
        found.map(TenantId::new).transpose().map_err(|error| DbError::unreadable("dialled_numbers.tenant_id", &error))
    }

    /// The tenants that have notices to send now.
    pub(crate) async fn tenants_with_due_notices(&self) -> Result<Vec<String>, DbError> {
        bounded(async {
            let found = sqlx::query_scalar!(r#"SELECT tenants_with_due_notices() AS "tenant!""#).fetch_all(&self.pool).await?;
            Ok(found)
        })
        .await
    }

    /// Renews the leases of a process, those of the calls named; which of them it has, with their epochs.
    pub(crate) async fn renew_leases(
        &self,
        worker: &str,
        tenants: &[String],
        calls: &[String],
        lasting: Duration,
    ) -> Result<Vec<(String, String, i64)>, DbError> {
        let rows = sqlx::query!(
            r#"SELECT tenant_id AS "tenant!", call_id AS "call!", epoch AS "epoch!" FROM renew_call_leases($1, $2, $3, $4)"#,
            worker,
            tenants,
            calls,
            interval(lasting)
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| (row.tenant, row.call, row.epoch)).collect())
    }

    /// Takes calls whose leases have expired.
    pub(crate) async fn take_over_leases(
        &self,
        project: &str,
        pause: Duration,
        bridge_patience: Duration,
        at_most: i32,
    ) -> Result<Vec<Orphan>, DbError> {
        let rows = sqlx::query_as!(
            OrphanRow,
            r#"SELECT tenant_id AS "tenant_id!", call_id AS "call_id!", epoch AS "epoch!", room_sid AS "room_sid!",
                      participant AS "participant!", watched_by AS "watched_by!", attempts AS "attempts!",
                      extract(epoch FROM orphaned_for)::float8 AS "orphaned_s!", began_at AS "began_at!"
               FROM take_over_call_leases($1, $2, $3, $4)"#,
            project,
            interval(pause),
            interval(bridge_patience),
            at_most
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(Orphan::try_from).collect()
    }

    /// All clinics of the database, by id.
    pub async fn tenants(&self) -> Result<Vec<TenantId>, DbError> {
        bounded(async { tenant_list(sqlx::query_scalar!(r#"SELECT tenant_ids() AS "id!""#).fetch_all(&self.pool).await?) }).await
    }

    /// The clinics whose audit log has rows without a seal.
    pub(crate) async fn tenants_with_unsealed_events(&self) -> Result<Vec<TenantId>, DbError> {
        tenant_list(sqlx::query_scalar!(r#"SELECT tenants_with_unsealed_events() AS "id!""#).fetch_all(&self.pool).await?)
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Begins a transaction that sees this tenant's rows and no others, and tells the database's time.
    pub(crate) async fn begin(&self, tenant: &TenantId) -> Result<(Transaction<'static, Postgres>, DateTime<Utc>), DbError> {
        let mut transaction = self.pool.begin().await?;
        // The third argument makes it SET LOCAL, so the name cannot outlive the transaction in the pooled connection.
        let row = sqlx::query!(r#"SELECT set_config('app.tenant_id', $1, true) AS tenant, now() AS "now!""#, tenant.as_str())
            .fetch_one(&mut *transaction)
            .await?;
        Ok((transaction, row.now))
    }
}

fn tenant_list(ids: Vec<String>) -> Result<Vec<TenantId>, DbError> {
    ids.into_iter().map(|id| TenantId::new(id).map_err(|error| DbError::unreadable("tenants.tenant_id", &error))).collect()
}

/// Bounds an operation in time.
pub(crate) async fn bounded<T>(operation: impl Future<Output = Result<T, DbError>>) -> Result<T, DbError> {
    match tokio::time::timeout(OPERATION_LIMIT, operation).await {
        Ok(result) => result,
        Err(_) => Err(DbError::Timeout { limit_ms: u64::try_from(OPERATION_LIMIT.as_millis()).unwrap_or(u64::MAX) }),
    }
}

/// Waits a little, longer after each attempt and not the same for everybody, before a transaction is tried again.
pub(crate) async fn back_off(attempt: u32) {
    let jitter_ms = rand::random_range(0..10);
    tokio::time::sleep(Duration::from_millis(u64::from(attempt) * 15 + jitter_ms)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unreachable_database_is_a_retryable_error_within_the_time_out() {
        // Port 1 is reserved and unused; connection attempts are refused until the time-out.
        let mut options = DatabaseOptions::new("postgres://nobody@127.0.0.1:1/none");
        options.acquire_timeout = Duration::from_millis(200);
        let database = Database::open(&options).unwrap();
        let error = database.tenant_of_dialled_number("+12025550143").await.unwrap_err();
        assert!(matches!(error, DbError::Unavailable { .. }), "{error}");
        assert!(error.is_retryable());
    }

    #[test]
    fn a_principal_needs_no_quoting() {
        assert_eq!(plain_principal("cli:jane o'neil -c role=postgres"), "cli:jane-o-neil--c-role-postgres");
        assert_eq!(plain_principal(&"x".repeat(500)).len(), PRINCIPAL_CHARS_MAX);
    }

    #[test]
    fn a_bad_url_is_refused_and_never_shown() {
        let options = DatabaseOptions::new("postgres://user:secret@host:notaport/db");
        let error = Database::open(&options).unwrap_err();
        assert!(matches!(error, DbError::Refused { .. }), "{error}");
        assert!(!format!("{error} {error:?} {options:?}").contains("secret"));
    }
}
