//! The verifier: recomputes a tenant's chain and names the first row that is not as it was written.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::chain::{Event, GENESIS, Head, link};
use super::seal::as_hash;
use crate::db::{Database, DbError};
use crate::ids::TenantId;

/// Rows fetched at once; bounds the memory.
const PAGE: i64 = 5000;

/// What the verifier found of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How many rows agree with the chain, from the first on that is not retired.
    pub verified: i64,
    /// How many rows before were retired: their time was up, and the chain begins behind them.
    pub retired: i64,
    /// The last of them.
    pub head: Option<Head>,
    /// What is committed and not sealed yet.
    pub tail: Tail,
    /// The first thing that is wrong.
    pub fault: Option<Fault>,
}

/// Events that wait for the sealer. Nothing can be said of them yet; more than a second's worth means that no sealer runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// How many.
    pub count: i64,
    /// For how long the oldest has waited.
    pub oldest_age: Option<TimeDelta>,
}

/// What is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The row does not agree with its hash: one of both was altered, or rows changed places.
    #[error("row {sequence} (event {event_id}) was changed, or changed places with another")]
    Changed {
        /// Its number in the chain.
        sequence: i64,
        /// The event's id.
        event_id: i64,
    },
    /// The row is gone.
    #[error("row {sequence} (event {event_id}) was deleted")]
    Deleted {
        /// Its number in the chain.
        sequence: i64,
        /// The event's id.
        event_id: i64,
    },
    /// The seal is gone, and the chain goes on after it.
    #[error("the seal of row {sequence} was deleted")]
    SealDeleted {
        /// The missing number.
        sequence: i64,
    },
    /// The event was deleted before it was sealed.
    #[error("event {event_id} was deleted before it was sealed")]
    DeletedUnsealed {
        /// The event's id.
        event_id: i64,
    },
    /// The event has no seal and does not wait for one: it came past the log's trigger, or its seal was cut off the end.
    #[error("event {event_id} was inserted behind the log's back, or its seal was deleted")]
    Inserted {
        /// The event's id.
        event_id: i64,
    },
    /// The chain is sound in itself, but not the one whose head was kept: it was cut short or rewritten.
    #[error("the chain does not contain the head that was kept, {kept}: it was cut short, or rewritten as a whole")]
    OtherChain {
        /// The head that was kept.
        kept: KeptHead,
    },
}

/// A head that was kept outside of the database, as `frontdesk audit head` printed it: `SEQUENCE:HASH`, or the hash alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptHead {
    sequence: Option<i64>,
    hash: [u8; 32],
}

impl From<Head> for KeptHead {
    fn from(head: Head) -> Self {
        Self { sequence: Some(head.sequence), hash: head.hash }
    }
}

/// Text that is no head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected SEQUENCE:HASH or HASH, 64 hexadecimal digits, as `frontdesk audit head` prints it")]
pub struct NotAHead;

impl FromStr for KeptHead {
    type Err = NotAHead;

    fn from_str(text: &str) -> Result<Self, NotAHead> {
        let (sequence, hex) = match text.trim().split_once(':') {
            Some((sequence, hex)) => (Some(sequence.parse().map_err(|_| NotAHead)?), hex),
            None => (None, text.trim()),
        };
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotAHead);
        }
        let mut hash = [0; 32];
        for (position, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * position..2 * position + 2], 16).map_err(|_| NotAHead)?;
        }
        Ok(Self { sequence, hash })
    }
}

impl fmt::Display for KeptHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sequence {
            Some(sequence) => Head { sequence, hash: self.hash }.fmt(f),
            None => self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

impl KeptHead {
    fn is(&self, head: Head) -> bool {
        self.hash == head.hash && self.sequence.is_none_or(|sequence| sequence == head.sequence)
    }
}

/// The end of a tenant's chain as the database tells it, unverified; none before the first seal.
pub async fn head(database: &Database, tenant: &TenantId) -> Result<Option<Head>, DbError> {
    let (mut transaction, _) = database.begin(tenant).await?;
    let row =
        sqlx::query!("SELECT sequence, hash FROM audit_seals ORDER BY sequence DESC LIMIT 1").fetch_optional(&mut *transaction).await?;
    row.map(|row| Ok(Head { sequence: row.sequence, hash: as_hash(&row.hash)? })).transpose()
}

/// Verifies a tenant's chain from the first row to the last, page by page in constant memory, while sealing goes on.
pub async fn verify(database: &Database, tenant: &TenantId, kept: Option<&KeptHead>) -> Result<Verdict, DbError> {
    let (mut transaction, _) = database.begin(tenant).await?;
    // Far longer than a look-up; what is read never changes, so nobody waits for it.
    sqlx::query!("SELECT set_config('statement_timeout', '600000', true)").fetch_one(&mut *transaction).await?;
    let anchor = first_anchor(&mut transaction).await?;
    let (retired, hash) = anchor.map_or((0, GENESIS), |anchor| (anchor.sequence, anchor.hash));
    let has_met_kept = kept.is_none_or(|kept| anchor.is_some_and(|anchor| kept.is(anchor)));
    let mut walk = Walk { tenant, sequence: retired, hash, has_met_kept };
    let mut fault = walk.run(&mut transaction, kept).await?;
    let head = (walk.sequence > 0).then_some(Head { sequence: walk.sequence, hash: walk.hash });
    if fault.is_none() {
        fault = unsealed_fault(&mut transaction).await?;
    }
    if let (None, Some(kept), false) = (&fault, kept, walk.has_met_kept) {
        fault = Some(Fault::OtherChain { kept: *kept });
    }
    let tail = tail(&mut transaction).await?;
    Ok(Verdict { verified: walk.sequence - retired, retired, head, tail, fault })
}

/// The place up to which the chain is sound.
struct Walk<'a> {
    tenant: &'a TenantId,
    sequence: i64,
    hash: [u8; 32],
    has_met_kept: bool,
}

impl Walk<'_> {
    async fn run(&mut self, connection: &mut PgConnection, kept: Option<&KeptHead>) -> Result<Option<Fault>, DbError> {
        loop {
            // OFFSET 0 keeps the planner from reading the whole log for each page.
            let rows = sqlx::query!(
                r#"SELECT s.sequence AS "sequence!", s.event_id AS "event_id!", s.hash AS "hash!", e.at AS "at?", e.call_id AS "call_id?",
                          e.actor AS "actor?", e.action AS "action?", e.subject AS "subject?", e.principal AS "principal?",
                          e.purpose AS "purpose?"
                   FROM (SELECT * FROM audit_seals WHERE sequence > $1 ORDER BY sequence LIMIT $2) s
                   LEFT JOIN LATERAL (
                       SELECT * FROM audit_events WHERE tenant_id = s.tenant_id AND event_id = s.event_id AND at = s.event_at OFFSET 0) e
                       ON true
                   ORDER BY s.sequence"#,
                self.sequence,
                PAGE
            )
            .fetch_all(&mut *connection)
            .await?;
            let is_last = rows.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
            for row in rows {
                let sequence = self.sequence + 1;
                if row.sequence != sequence {
                    return Ok(Some(Fault::SealDeleted { sequence }));
                }
                let event_id = row.event_id;
                let (Some(at), Some(actor), Some(action)) = (row.at, row.actor, row.action) else {
                    let stored = as_hash(&row.hash)?;
                    if is_anchored(connection, sequence, &row.hash).await? {
                        // Retired, though its neighbours are not.
                        (self.sequence, self.hash) = (sequence, stored);
                        continue;
                    }
                    return missing(connection, sequence, event_id).await.map(Some);
                };
                let (call_id, subject, principal, purpose) = (row.call_id, row.subject, row.principal, row.purpose);
                let event = Event { event_id, at, call_id, actor, action, subject, principal, purpose };
                let hash = link(&self.hash, self.tenant.as_str(), sequence, &event);
                if row.hash != hash {
                    return Ok(Some(Fault::Changed { sequence, event_id }));
                }
                self.sequence = sequence;
                self.hash = hash;
                self.has_met_kept |= kept.is_some_and(|kept| kept.is(Head { sequence, hash }));
            }
            if is_last {
                return Ok(None);
            }
        }
    }
}

/// The place behind which the chain begins: the anchor right before the first seal. Without it nothing was retired, or the seals were
/// cut off, which the walk then finds.
async fn first_anchor(connection: &mut PgConnection) -> Result<Option<Head>, DbError> {
    let row = sqlx::query!("SELECT sequence, hash FROM audit_anchors WHERE sequence = (SELECT min(sequence) - 1 FROM audit_seals)")
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok(Head { sequence: row.sequence, hash: as_hash(&row.hash)? })).transpose()
}

async fn is_anchored(connection: &mut PgConnection, sequence: i64, hash: &[u8]) -> Result<bool, DbError> {
    let is_there = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM audit_anchors WHERE sequence = $1 AND hash = $2) AS "is_there!""#,
        sequence,
        hash
    );
    Ok(is_there.fetch_one(connection).await?)
}

/// The event is not where its seal says; it may still be there, at another time.
async fn missing(connection: &mut PgConnection, sequence: i64, event_id: i64) -> Result<Fault, DbError> {
    let is_there = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM audit_events WHERE event_id = $1) AS "is_there!""#, event_id)
        .fetch_one(connection)
        .await?;
    Ok(if is_there { Fault::Changed { sequence, event_id } } else { Fault::Deleted { sequence, event_id } })
}

/// What is wrong outside of the chain: events that nobody will ever seal, and waiting ones that are gone.
async fn unsealed_fault(connection: &mut PgConnection) -> Result<Option<Fault>, DbError> {
    // One statement, one snapshot: a row that is being sealed meanwhile is either waiting or sealed.
    let inserted = sqlx::query_scalar!(
        r#"SELECT min(e.event_id) FROM audit_events e
           LEFT JOIN audit_seals s ON s.tenant_id = e.tenant_id AND s.event_id = e.event_id AND s.event_at = e.at
           LEFT JOIN audit_pending p ON p.tenant_id = e.tenant_id AND p.event_id = e.event_id AND p.event_at = e.at
           WHERE s.event_id IS NULL AND p.event_id IS NULL"#
    )
    .fetch_one(&mut *connection)
    .await?;
    if let Some(event_id) = inserted {
        return Ok(Some(Fault::Inserted { event_id }));
    }
    let deleted = sqlx::query_scalar!(
        "SELECT min(p.event_id) FROM audit_pending p
         LEFT JOIN audit_events e ON e.tenant_id = p.tenant_id AND e.event_id = p.event_id AND e.at = p.event_at
         WHERE e.event_id IS NULL"
    )
    .fetch_one(connection)
    .await?;
    Ok(deleted.map(|event_id| Fault::DeletedUnsealed { event_id }))
}

async fn tail(connection: &mut PgConnection) -> Result<Tail, DbError> {
    let row = sqlx::query!(r#"SELECT count(*) AS "count!", min(event_at) AS oldest, clock_timestamp() AS "now!" FROM audit_pending"#)
        .fetch_one(connection)
        .await?;
    let now: DateTime<Utc> = row.now;
    Ok(Tail { count: row.count, oldest_age: row.oldest.map(|oldest| now - oldest) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_head_is_read_as_it_was_printed() {
        let head = Head { sequence: 3, hash: [0x0f; 32] };
        let kept: KeptHead = head.to_string().parse().unwrap();
        assert!(kept.is(head) && !kept.is(Head { sequence: 4, ..head }));
        let hash_alone: KeptHead = "0f".repeat(32).parse().unwrap();
        assert!(hash_alone.is(head) && hash_alone.is(Head { sequence: 4, ..head }));
        for bad in ["", "3:", "x:0f", &"0g".repeat(32), &"0f".repeat(33), &format!("3:é{}", "0".repeat(62))] {
            assert_eq!(bad.parse::<KeptHead>(), Err(NotAHead), "{bad}");
        }
    }
}
