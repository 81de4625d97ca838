//! Connections on which nobody answers any more: found in under a second, and their contemporaries with them.
//!
//! A server that goes away properly ends its connections, and the driver notices. One behind a firewall that forgot them, or on a
//! machine that lost its power, says nothing: what is written vanishes, and TCP gives up after a quarter of an hour. The driver asks a
//! connection whether it is alive when it is taken from the pool and when it is given back, but waits for the answer without bound,
//! and a connection that is waited for counts against the pool's size. So the question is asked here, before the driver does, with a
//! limit. And since such an end comes to all connections at once, those as old as the one that did not answer are not asked at all.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnectionMetadata;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection};
use tokio::time::Instant;

/// How long a connection may take to say that it is alive. Less than half of the shortest wait for a connection that makes sense, so
/// that time is left to open another.
const ANSWER_LIMIT: Duration = Duration::from_millis(750);

/// What is known of a pool's connections.
#[derive(Debug, Default)]
struct Health {
    /// When a connection last gave no answer.
    silent_at: Mutex<Option<Instant>>,
}

impl Health {
    /// Whether the connection is to be kept.
    async fn keeps(&self, connection: &mut PgConnection, age: Duration) -> bool {
        let asked_at = Instant::now();
        if self.silent_at().is_some_and(|silent_at| asked_at.duration_since(silent_at) <= age) {
            return false;
        }
        match tokio::time::timeout(ANSWER_LIMIT, connection.ping()).await {
            Ok(answer) => answer.is_ok(),
            Err(_) => {
                tracing::warn!("a connection to the database gives no answer; it and those that are as old are given up");
                *self.silent_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked_at);
                false
            }
        }
    }

    fn silent_at(&self) -> Option<Instant> {
        *self.silent_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has every connection asked when it is taken and when it is given back.
pub(crate) fn watched(options: PgPoolOptions) -> PgPoolOptions {
    let health = Arc::new(Health::default());
    let at_release = Arc::clone(&health);
    options
        .test_before_acquire(false)
        .before_acquire(move |connection, PoolConnectionMetadata { age, .. }| {
            let health = Arc::clone(&health);
            Box::pin(async move { keep_or_fail(health.keeps(connection, age).await) })
        })
        .after_release(move |connection, PoolConnectionMetadata { age, .. }| {
            let health = Arc::clone(&at_release);
            Box::pin(async move { keep_or_fail(health.keeps(connection, age).await) })
        })
}

/// With an error the pool drops the connection at once; told "no" it would take leave of the server first, and wait.
fn keep_or_fail(keep: bool) -> Result<bool, sqlx::Error> {
    if keep { Ok(true) } else { Err(sqlx::Error::Io(std::io::ErrorKind::NotConnected.into())) }
}
