//! Calls for people: listed and shown, masked unless a purpose is given.

use chrono::{DateTime, Utc};
use frontdesk_agent::Pii;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Purpose, mask, rows};
use crate::audit::{self, Actor};
use crate::db::{DbError, bounded};
use crate::phone::PhoneNumber;
use crate::store::ClinicStore;

/// A call in a list; says nothing of a person but initials and four digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallLine {
    /// The call's id.
    pub call_id: String,
    /// When it was answered.
    pub started_at: DateTime<Utc>,
    /// From answer to end.
    pub duration_s: i64,
    /// Why it ended.
    pub outcome: String,
    /// `new`, `returning` or `unknown`.
    pub caller_type: String,
    /// What was wanted, in the order in which it was noted.
    pub intents: Vec<String>,
    /// Who has appointments by this call: initials and last four digits.
    pub patients: Vec<String>,
    /// Whether its record was erased.
    pub is_erased: bool,
}

/// The calls that began at `since` or later and before `until`, newest first, at most `limit`. The listing is audited.
pub async fn list_calls(
    store: &ClinicStore,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    limit: u32,
) -> Result<Vec<CallLine>, DbError> {
    bounded(list(store, since, until, limit)).await
}

async fn list(
    store: &ClinicStore,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    limit: u32,
) -> Result<Vec<CallLine>, DbError> {
    let (mut transaction, _) = store.begin().await?;
    let calls = sqlx::query!(
        r#"SELECT c.call_id, c.started_at, c.ended_at, c.outcome, c.caller_type, octet_length(c.record_sealed) = 0 AS "is_erased!",
                  ARRAY(SELECT i.intent FROM intents i WHERE i.tenant_id = c.tenant_id AND i.call_id = c.call_id ORDER BY i.noted_at) AS "intents!"
           FROM call_records c
           WHERE ($1::timestamptz IS NULL OR c.started_at >= $1) AND ($2::timestamptz IS NULL OR c.started_at < $2)
           ORDER BY c.started_at DESC, c.call_id LIMIT $3"#,
        since,
        until,
        i64::from(limit)
    )
    .fetch_all(&mut *transaction)
    .await?;
    let ids: Vec<String> = calls.iter().map(|call| call.call_id.clone()).collect();
    let patients = sqlx::query!(
        "SELECT DISTINCT a.call_id, p.patient_id, p.name_sealed, p.phone_sealed
         FROM appointments a JOIN patients p USING (tenant_id, patient_id)
         WHERE a.call_id = ANY($1) AND a.status <> 'held' AND p.erased_at IS NULL ORDER BY a.call_id, p.patient_id",
        &ids
    )
    .fetch_all(&mut *transaction)
    .await?;
    let keys = store.keys_of(&mut transaction, patients.iter().flat_map(|row| [&row.name_sealed, &row.phone_sealed])).await?;
    let count = format!("{} calls", calls.len());
    audit::append(&mut transaction, &store.tenant, None, Actor::Operator, "calls.listed", Some(&count)).await?;
    transaction.commit().await?;
    let mut lines: Vec<CallLine> = calls
        .into_iter()
        .map(|call| CallLine {
            call_id: call.call_id,
            started_at: call.started_at,
            duration_s: (call.ended_at - call.started_at).num_seconds(),
            outcome: call.outcome,
            caller_type: call.caller_type,
            intents: call.intents,
            patients: Vec::new(),
            is_erased: call.is_erased,
        })
        .collect();
    for row in patients {
        let name: Pii<String> = store.open_with(&keys, ("patients", "name_sealed"), row.name_sealed)?;
        let phone: PhoneNumber = store.open_with(&keys, ("patients", "phone_sealed"), row.phone_sealed)?;
        if let Some(line) = lines.iter_mut().find(|line| line.call_id == row.call_id) {
            line.patients.push(format!("{} {}", mask::name(name.expose()), mask::phone(phone.as_e164())));
        }
    }
    Ok(lines)
}

/// Everything that a call left, as JSON: record, messages, wishes, results of tools, its events; `None` if there is no such call.
/// Masked without a purpose; with one in full, and the purpose is in the audit log. Both are audited.
pub async fn show_call(store: &ClinicStore, call_id: &str, purpose: Option<&Purpose>) -> Result<Option<Value>, DbError> {
    let (mut transaction, _) = store.begin().await?;
    let left = rows::of(store, &mut transaction, rows::Key::Call, call_id).await?;
    if left.is_empty() {
        return Ok(None);
    }
    let action = if purpose.is_some() { "record.read" } else { "record.read_masked" };
    audit::append_for(&mut transaction, &store.tenant, Some(call_id), action, None, purpose.map(Purpose::as_str)).await?;
    transaction.commit().await?;
    let whole = json!({ "call_id": call_id, "left": left });
    Ok(Some(if purpose.is_some() { whole } else { mask::document(&whole) }))
}
