//! Migrations, embedded in the program.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

/// The migrations of `migrations/`, in order.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

/// Why migrating failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The URL is wrong or nobody answers there.
    #[error("cannot connect to the database to migrate it: {0}")]
    Connect(#[source] sqlx::Error),
    /// No answer within 10 s.
    #[error("the database to migrate did not answer within 10 s")]
    ConnectTimeout,
    /// The audit log's partitions for the years to come cannot be made; the schema is up to date all the same.
    #[error("the schema is up to date, but the audit log cannot be extended: {0}")]
    Extend(#[source] sqlx::Error),
    /// A migration failed or differs from the one that was applied; the database is as it was before that migration.
    #[error("migration failed: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

/// Brings the database up to date and returns the version it has now; safe to repeat, and to run from several programs at once.
///
/// The login needs the right to create roles and to create objects in the database: a superuser, or the database's owner
/// with CREATEROLE. It makes the roles `frontdesk_owner` and `frontdesk_app` where they are missing.
pub async fn migrate(url: &str) -> Result<i64, MigrateError> {
    let options = PgConnectOptions::from_str(url).map_err(MigrateError::Connect)?;
    // "extension already exists, skipping" and its like are no news.
    let options = options.application_name("frontdesk migrate").options([("client_min_messages", "warning")]);
    let connect = tokio::time::timeout(Duration::from_secs(10), PgConnection::connect_with(&options));
    let mut connection = connect.await.map_err(|_| MigrateError::ConnectTimeout)?.map_err(MigrateError::Connect)?;
    MIGRATOR.run_direct(None, &mut connection, false).await?;
    extend_audit(&mut connection).await.map_err(MigrateError::Extend)?;
    // The work is done; whether the server reads the farewell does not matter.
    let _ = connection.close().await;
    Ok(newest_version())
}

/// Makes the audit log's partitions for the years to come.
async fn extend_audit(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SET LOCAL ROLE frontdesk_owner").execute(&mut *transaction).await?;
    sqlx::query("SELECT frontdesk_extend_audit()").execute(&mut *transaction).await?;
    transaction.commit().await
}

/// The version of the schema that this program was written for.
#[must_use]
pub fn newest_version() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or_default()
}
