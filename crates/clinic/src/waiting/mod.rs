//! The waiting list: callers for whom nothing suitable is free wait for a time, and the clinic is told when one becomes free.
//!
//! A time that is given up (an appointment is cancelled or moved) goes, in the same transaction, to whoever has waited longest for such
//! a time: the entry becomes `offered`, and a message tells the clinic's staff whom to call. The time is not kept: whoever books it
//! first has it. An offer that nobody took in time goes on to the next, and its entry to the end of the queue.

mod join;
mod leave;
mod offer;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use join::{JOIN_TOOL, PreparedWaiting, Waiting, WaitingError, WaitingWish};
pub use leave::{LEAVE_TOOL, Leaving, Left, PreparedLeaving};
pub(crate) use offer::{Freed, freed, is_served, tidy};

use crate::audit::{self, Actor};
use crate::db::{DbError, bounded};
use crate::ids::{PractitionerId, ServiceCode};
use crate::schedule::Span;
use crate::store::{ClinicStore, practitioner_id};

/// More entries than this are not read at once.
const READ_MAX: i64 = 200;

/// One who waits, as the waiting list says it; holds nothing personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingEntry {
    /// `waiting`, `offered`, `booked`, `left` or `expired`.
    pub status: String,
    /// With whom; anybody if not given.
    pub practitioner: Option<PractitionerId>,
    /// For what.
    pub service: Option<ServiceCode>,
    /// From the first day to the end of the last.
    pub window: Span,
    /// What was offered last: with whom, and when it begins.
    pub offered: Option<(PractitionerId, DateTime<Utc>)>,
    /// How often something was offered.
    pub offers: u32,
}

/// A patient who was put on the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The entry; pseudonymous.
    pub entry: uuid::Uuid,
}

impl ClinicStore {
    /// The entries that a call made, oldest first; at most 200.
    pub async fn waiting_of_call(&self, call_id: &str) -> Result<Vec<WaitingEntry>, DbError> {
        self.read_waiting(Some(call_id)).await
    }

    /// All entries, whatever became of them, oldest first; at most 200.
    pub async fn waiting_list(&self) -> Result<Vec<WaitingEntry>, DbError> {
        self.read_waiting(None).await
    }

    async fn read_waiting(&self, call_id: Option<&str>) -> Result<Vec<WaitingEntry>, DbError> {
        bounded(async {
            let (mut transaction, _) = self.begin().await?;
            let rows = sqlx::query!(
                r#"SELECT status, practitioner_id, service_code, lower(during) AS "start!", upper(during) AS "end!", offers,
                          offered_practitioner, lower(offered_during) AS offered_start
                   FROM waiting_list WHERE $1::text IS NULL OR call_id = $1 ORDER BY created_at, entry_id LIMIT $2"#,
                call_id,
                READ_MAX
            )
            .fetch_all(&mut *transaction)
            .await?;
            audit::append(&mut transaction, &self.tenant, call_id, Actor::Operator, "waiting.read", None).await?;
            transaction.commit().await?;
            rows.into_iter()
                .map(|row| {
                    let service = row.service_code.map(ServiceCode::new).transpose();
                    Ok(WaitingEntry {
                        status: row.status,
                        practitioner: row.practitioner_id.map(practitioner_id).transpose()?,
                        service: service.map_err(|error| DbError::unreadable("service_code", &error))?,
                        window: Span { start: row.start, end: row.end },
                        offered: row.offered_practitioner.map(practitioner_id).transpose()?.zip(row.offered_start),
                        offers: row.offers.unsigned_abs(),
                    })
                })
                .collect()
        })
        .await
    }

    /// Ends what is over: entries whose days are past, and offers that nobody took in time, which go on to the next in the queue. Safe to
    /// repeat, and by several workers at once.
    pub async fn tidy_waiting_list(&self) -> Result<(), DbError> {
        bounded(async {
            let (mut transaction, now) = self.begin().await?;
            tidy(&mut transaction, self, None, now).await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }
}
