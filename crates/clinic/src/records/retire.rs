//! Retiring the audit log's oldest years, when no clinic keeps anything that old.

use crate::db::DbError;
use crate::owner::Owner;

/// SQLSTATE `object_in_use`: something in the partition is still needed.
const STILL_NEEDED: &str = "55006";

/// A partition of the log that is gone, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetiredYears {
    /// Its name.
    pub partition: String,
    /// Events that it held, of all clinics.
    pub events: i64,
}

/// What became of the log's oldest years.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retirement {
    /// What went, oldest first; on a dry run no more than the first that would go.
    pub retired: Vec<RetiredYears>,
    /// Whether one that is past its time stays, since something in it is not sealed, or on legal hold.
    pub is_held: bool,
}

/// Drops the partitions of which every event is older than the longest retention of all clinics. The chain then begins at a stored
/// anchor, and verifies from there. Verify it before: what is wrong in a year that is gone will never be found.
pub async fn retire_audit(owner: &mut Owner, is_dry: bool) -> Result<Retirement, DbError> {
    let mut done = Retirement::default();
    loop {
        let mut transaction = owner.begin_for_all().await?;
        let row = sqlx::query!(r#"SELECT partition, events FROM frontdesk_retire_audit()"#).fetch_one(&mut *transaction).await;
        let row = match row.map_err(DbError::from) {
            Ok(row) => row,
            Err(DbError::Refused { code, .. }) if code == STILL_NEEDED => {
                done.is_held = true;
                return Ok(done);
            }
            Err(error) => return Err(error),
        };
        let Some(partition) = row.partition else { return Ok(done) };
        done.retired.push(RetiredYears { partition, events: row.events.unwrap_or_default() });
        if is_dry {
            transaction.rollback().await?;
            return Ok(done);
        }
        transaction.commit().await?;
    }
}
