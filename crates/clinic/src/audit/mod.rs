//! The audit log: who did what to which object, when. Ids only, append-only, chained by hashes.
//!
//! An event commits with the act it tells of. Within a second a sealer ([`run_sealer`]) gives it the next place of its
//! tenant's chain; [`verify()`] recomputes the chain and names the first row that is not as it was written. Who can rewrite the
//! whole database can rewrite the whole chain, too: against him helps a [`Head`] that was kept elsewhere.

mod chain;
mod seal;
mod verify;

use sqlx::PgConnection;

use crate::db::{DbError, bounded};
use crate::ids::TenantId;
use crate::store::ClinicStore;

pub use chain::Head;
pub use seal::{run_sealer, seal_all};
pub use verify::{Fault, KeptHead, Tail, Verdict, head, verify};

/// Who acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actor {
    /// The voice agent.
    Agent,
    /// The caller, by confirming.
    Caller,
    /// A person who runs the system.
    Operator,
    /// The system by itself.
    System,
}

impl Actor {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Caller => "caller",
            Self::Operator => "operator",
            Self::System => "system",
        }
    }
}

/// What concerns security rather than a patient: the actions under which it stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecurityEvent {
    /// A request whose signature does not hold.
    BadSignature,
    /// Somebody asked for what he may not have.
    AccessRefused,
    /// Keys are being wrapped anew under another master key.
    KeyRotationBegan,
    /// All of them are.
    KeyRotationFinished,
    /// A clinic's configuration was imported.
    ConfigurationChanged,
}

impl SecurityEvent {
    /// The action's name.
    #[must_use]
    pub const fn action(self) -> &'static str {
        match self {
            Self::BadSignature => "security.bad_signature",
            Self::AccessRefused => "security.access_refused",
            Self::KeyRotationBegan => "security.key_rotation_began",
            Self::KeyRotationFinished => "security.key_rotation_finished",
            Self::ConfigurationChanged => "security.configuration_changed",
        }
    }
}

/// Appends an event in the transaction of the act it tells of. `action` is lower-case words joined by dots, `subject` a
/// pseudonymous id of at most 100 characters; the table's constraints hold callers to that. The connection says who acts
/// ([`crate::DatabaseOptions::principal`]).
pub(crate) async fn append(
    connection: &mut PgConnection,
    tenant: &TenantId,
    call_id: Option<&str>,
    actor: Actor,
    action: &str,
    subject: Option<&str>,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO audit_events (tenant_id, call_id, actor, action, subject) VALUES ($1, $2, $3, $4, $5)",
        tenant.as_str(),
        call_id,
        actor.as_str(),
        action,
        subject
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Appends an event of an operator's, with what he said it is for.
pub(crate) async fn append_for(
    connection: &mut PgConnection,
    tenant: &TenantId,
    call_id: Option<&str>,
    action: &str,
    subject: Option<&str>,
    purpose: Option<&str>,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO audit_events (tenant_id, call_id, actor, action, subject, purpose) VALUES ($1, $2, $3, $4, $5, $6)",
        tenant.as_str(),
        call_id,
        Actor::Operator.as_str(),
        action,
        subject,
        purpose
    )
    .execute(connection)
    .await?;
    Ok(())
}

impl ClinicStore {
    /// Notes what concerns security and is no part of another act, such as a request whose signature does not hold. `subject` is
    /// an id of at most 100 characters and says nothing of a person.
    pub async fn note_security(&self, event: SecurityEvent, subject: Option<&str>) -> Result<(), DbError> {
        bounded(async {
            let (mut transaction, _) = self.begin().await?;
            append_security(&mut transaction, &self.tenant, Actor::System, event, subject).await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }
}

/// Appends an event about security.
pub(crate) async fn append_security(
    connection: &mut PgConnection,
    tenant: &TenantId,
    actor: Actor,
    event: SecurityEvent,
    subject: Option<&str>,
) -> Result<(), DbError> {
    append(connection, tenant, None, actor, event.action(), subject).await
}
