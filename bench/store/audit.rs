//! The audit log: how fast its chain is verified.

use std::time::{Duration, Instant};

use frontdesk_clinic::audit;

use super::clinic::Book;
use crate::common::Failure;

/// What the verifier did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verification {
    /// Rows that agree with the chain.
    pub(crate) rows: u64,
    pub(crate) took: Duration,
}

impl Verification {
    pub(crate) fn rows_a_second(self) -> f64 {
        self.rows as f64 / self.took.as_secs_f64()
    }
}

/// Notes so many events besides those of the bookings, has all of them sealed, and verifies the chain from its first row to its last.
pub(super) async fn verify(book: &Book, events: u32) -> Result<Verification, Failure> {
    book.note(events).await?;
    let database = book.open(2)?;
    while audit::seal_all(&database).await.map_err(Failure::new)? > 0 {}
    let tenant = book.tenant()?;
    let began = Instant::now();
    let verdict = audit::verify(&database, &tenant, None).await.map_err(Failure::new)?;
    let took = began.elapsed();
    if let Some(fault) = verdict.fault {
        return Err(Failure::new(format!("the audit log's chain is not sound: {fault}")));
    }
    let rows = u64::try_from(verdict.verified).map_err(Failure::new)?;
    if rows < u64::from(events) || verdict.tail.count > 0 {
        return Err(Failure::new(format!("{rows} rows were verified and {} are not sealed, of more than {events}", verdict.tail.count)));
    }
    Ok(Verification { rows, took })
}
