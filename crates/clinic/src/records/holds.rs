//! Legal holds: what must not be erased, by nobody and by no retention.

use std::str::FromStr;

use sqlx::PgConnection;

use crate::audit::{self, Actor};
use crate::db::DbError;
use crate::ids::{PatientId, TenantId};
use crate::owner::Owner;

/// What a hold is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// A patient, and with him his calls.
    Patient(PatientId),
    /// One call, by its id.
    Call(String),
}

/// Text that names neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected patient:ID or call:ID, such as call:sip-7f3a")]
pub struct NotHoldable;

impl FromStr for Held {
    type Err = NotHoldable;

    fn from_str(text: &str) -> Result<Self, NotHoldable> {
        match text.split_once(':') {
            Some(("patient", id)) => id.parse().map(|id| Self::Patient(PatientId(id))).map_err(|_| NotHoldable),
            Some(("call", id)) if (1..=100).contains(&id.len()) => Ok(Self::Call(id.to_owned())),
            _ => Err(NotHoldable),
        }
    }
}

impl Held {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Patient(_) => "patient",
            Self::Call(_) => "call",
        }
    }

    fn subject(&self) -> String {
        match self {
            Self::Patient(patient) => patient.to_string(),
            Self::Call(call_id) => call_id.clone(),
        }
    }
}

/// Forbids erasing; false if that was so already.
pub async fn set_hold(owner: &mut Owner, tenant: &TenantId, held: &Held) -> Result<bool, DbError> {
    let mut transaction = owner.begin(tenant).await?;
    let inserted = sqlx::query!(
        "INSERT INTO legal_holds (tenant_id, kind, subject) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        tenant.as_str(),
        held.kind(),
        held.subject()
    )
    .execute(&mut *transaction)
    .await?;
    let is_new = inserted.rows_affected() > 0;
    if is_new {
        note(&mut transaction, tenant, held, "hold.set").await?;
    }
    transaction.commit().await?;
    Ok(is_new)
}

/// Allows erasing again; false if nothing forbade it.
pub async fn clear_hold(owner: &mut Owner, tenant: &TenantId, held: &Held) -> Result<bool, DbError> {
    let mut transaction = owner.begin(tenant).await?;
    let deleted = sqlx::query!("DELETE FROM legal_holds WHERE kind = $1 AND subject = $2", held.kind(), held.subject())
        .execute(&mut *transaction)
        .await?;
    let was_held = deleted.rows_affected() > 0;
    if was_held {
        note(&mut transaction, tenant, held, "hold.cleared").await?;
    }
    transaction.commit().await?;
    Ok(was_held)
}

async fn note(connection: &mut PgConnection, tenant: &TenantId, held: &Held, action: &str) -> Result<(), DbError> {
    let subject = held.subject();
    let call_id = matches!(held, Held::Call(_)).then_some(subject.as_str());
    audit::append(connection, tenant, call_id, Actor::Operator, action, Some(&subject)).await
}

/// What is held of a patient, of his calls, and of other patients of these calls: `patient:…` or `call:…`, at most ten.
pub(super) async fn in_the_way(connection: &mut PgConnection, patient: PatientId) -> Result<Vec<String>, DbError> {
    let holds = sqlx::query_scalar!(
        r#"SELECT h.kind || ':' || h.subject AS "hold!" FROM legal_holds h
           WHERE (h.kind = 'patient' AND h.subject = $1::uuid::text)
              OR (h.kind = 'call' AND h.subject IN (SELECT calls_of_patient($1)))
              OR (h.kind = 'patient' AND EXISTS (
                      SELECT calls_of_patient($1) INTERSECT SELECT calls_of_patient(h.subject::uuid)))
           LIMIT 10"#,
        patient.0
    )
    .fetch_all(connection)
    .await?;
    Ok(holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_on_a_patient_or_a_call() {
        let patient = PatientId::mint();
        assert_eq!(format!("patient:{patient}").parse(), Ok(Held::Patient(patient)));
        assert_eq!("call:a:b".parse(), Ok(Held::Call("a:b".into())));
        for bad in ["", "call:", "patient:ada", "ada", "room:1"] {
            assert_eq!(bad.parse::<Held>(), Err(NotHoldable), "{bad}");
        }
    }
}
