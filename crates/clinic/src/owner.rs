//! Connections of operators: they act as `frontdesk_owner`, under row-level security like everybody, but may do what a worker
//! may not: wrap keys anew, destroy them, blank rows, set legal holds.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, Postgres, Transaction};

use crate::db::{DbError, plain_principal};
use crate::ids::TenantId;

/// How long reaching the database may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A connection that acts as the owner of the tables, for one operator.
#[derive(Debug)]
pub struct Owner {
    connection: PgConnection,
}

impl Owner {
    /// Connects. The URL's login must be a superuser or a member of `frontdesk_owner`, as after `migrate`; the login of a worker is
    /// [`DbError::Refused`].
    pub async fn connect(url: &str, principal: &str) -> Result<Self, DbError> {
        let principal = plain_principal(principal);
        let options = PgConnectOptions::from_str(url)?.application_name("frontdesk operator").options([
            ("role", "frontdesk_owner"),
            ("app.principal", principal.as_str()),
            ("timezone", "UTC"),
            // Blanking a patient's rows touches many tables; nobody waits on the telephone for it.
            ("statement_timeout", "60000"),
            ("lock_timeout", "10000"),
            ("idle_in_transaction_session_timeout", "60000"),
        ]);
        let limit_ms = u64::try_from(CONNECT_LIMIT.as_millis()).unwrap_or(u64::MAX);
        let connecting = tokio::time::timeout(CONNECT_LIMIT, PgConnection::connect_with(&options));
        match connecting.await.map_err(|_| DbError::Timeout { limit_ms })?.map_err(DbError::from) {
            Ok(connection) => Ok(Self { connection }),
            Err(DbError::Refused { code, reason }) if ["42501", "22023"].contains(&code.as_str()) => {
                let remedy = "this needs a login that may act as frontdesk_owner (GRANT frontdesk_owner TO …), not the worker's";
                Err(DbError::Refused { code, reason: format!("{reason}: {remedy}") })
            }
            Err(error) => Err(error),
        }
    }

    /// Begins a transaction that sees one tenant's rows.
    pub(crate) async fn begin(&mut self, tenant: &TenantId) -> Result<Transaction<'_, Postgres>, DbError> {
        let mut transaction = self.connection.begin().await?;
        sqlx::query!("SELECT set_config('app.tenant_id', $1, true) AS tenant", tenant.as_str()).fetch_one(&mut *transaction).await?;
        Ok(transaction)
    }

    /// Begins a transaction that sees no tenant's rows: for functions that go through all of them.
    pub(crate) async fn begin_for_all(&mut self) -> Result<Transaction<'_, Postgres>, DbError> {
        Ok(self.connection.begin().await?)
    }

    /// Takes leave of the server.
    pub async fn close(self) {
        // The work is done; whether the server reads the farewell does not matter.
        let _ = self.connection.close().await;
    }
}
