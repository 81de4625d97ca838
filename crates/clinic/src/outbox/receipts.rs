//! What receivers say later: a text message has arrived, or could not be delivered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::numbers;
use crate::audit::{self, Actor};
use crate::db::{Database, DbError, bounded};
use crate::ids::TenantId;

/// So many refusals a minute are written into a tenant's audit log; whoever forges more cannot fill it.
const REFUSALS_A_MINUTE: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// Tenants whose refusals are counted at once; names that do not exist are not counted.
const COUNTED_MAX: usize = 10_000;

/// What a receipt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// It has arrived.
    Yes,
    /// It could not be delivered; the receiver's number of the reason.
    No(Option<u32>),
}

/// Takes receipts. The caller has seen that they are genuine.
#[derive(Debug)]
pub struct Receipts {
    database: Database,
    refusals: Mutex<HashMap<TenantId, (Instant, u32)>>,
}

impl Receipts {
    /// Writes to this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database, refusals: Mutex::default() }
    }

    /// Heeds a receipt: whether it changed anything. A repeated one does not, nor one for a notice that is settled, is another's, or
    /// does not exist. A receipt may come before its sender has noted that the notice was sent; it counts all the same.
    pub async fn heed(&self, tenant: &TenantId, notice: Uuid, provider_id: &str, delivered: Delivered) -> Result<bool, DbError> {
        let (status, error) = match delivered {
            Delivered::Yes => ("delivered", None),
            Delivered::No(code) => ("failed", Some(code.map_or_else(|| "undelivered".to_owned(), |code| format!("undelivered.{code}")))),
        };
        let has_changed = bounded(async {
            let (mut transaction, _) = self.database.begin(tenant).await?;
            let changed = sqlx::query!(
                "UPDATE outbox SET status = $3, provider_id = $2, last_error = $4, lease_token = NULL, lease_until = NULL, updated_at = now()
                 WHERE notice_id = $1 AND status IN ('pending', 'sending', 'sent') AND attempts > 0
                   AND (provider_id IS NULL OR provider_id = $2) AND length($2) BETWEEN 1 AND 200",
                notice,
                provider_id,
                status,
                error
            )
            .execute(&mut *transaction)
            .await?;
            if changed.rows_affected() == 0 {
                return Ok(false);
            }
            let action = format!("notice.{status}");
            audit::append(&mut transaction, tenant, None, Actor::System, &action, Some(&notice.to_string())).await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await?;
        if has_changed {
            numbers::receipt(status);
        }
        Ok(has_changed)
    }

    /// Notes that something came that was not genuine: in the figures always, in the audit log of the tenant that it named, if there
    /// is such a tenant, a few times a minute.
    pub async fn refuse(&self, tenant: Option<&TenantId>) -> Result<(), DbError> {
        numbers::receipt("refused");
        let Some(tenant) = tenant else { return Ok(()) };
        bounded(async {
            let (mut transaction, _) = self.database.begin(tenant).await?;
            let is_known =
                sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM tenants) AS "is_known!""#).fetch_one(&mut *transaction).await?;
            if !is_known || !self.counts(tenant) {
                return Ok(());
            }
            audit::append(&mut transaction, tenant, None, Actor::System, "webhook.refused", None).await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// Whether another refusal of this tenant is to be written now.
    fn counts(&self, tenant: &TenantId) -> bool {
        let now = Instant::now();
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.len() >= COUNTED_MAX {
            refusals.retain(|_, (since, _)| now.duration_since(*since) < MINUTE);
        }
        let (since, count) = refusals.entry(tenant.clone()).or_insert((now, 0));
        if now.duration_since(*since) >= MINUTE {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= REFUSALS_A_MINUTE
    }
}
