//! The audit log: who did what to which object, when. Ids only.

use sqlx::PgConnection;

use crate::db::DbError;
use crate::ids::TenantId;

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
    const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Caller => "caller",
            Self::Operator => "operator",
            Self::System => "system",
        }
    }
}

/// Appends an event in the transaction of the act it tells of. `action` is lower-case words joined by dots, `subject` a
/// pseudonymous id of at most 100 characters; the table's constraints hold callers to that.
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
