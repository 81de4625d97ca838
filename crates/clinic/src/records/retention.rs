//! Retention: what is older than the clinic keeps is erased.

use sqlx::PgConnection;

use super::erase::{EraseError, erase_call_in, erase_in};
use crate::db::DbError;
use crate::ids::{PatientId, TenantId};
use crate::owner::Owner;

/// Objects looked for at once, each erased in a transaction of its own: a run that is stopped has lost nothing.
const BATCH: i64 = 200;

/// Notices deleted in one transaction.
const NOTICES: i64 = 10_000;

/// What a run erased, or would erase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retained {
    /// How long the clinic keeps data.
    pub years: i32,
    /// Patients whose last appointment is longer ago.
    pub patients: Vec<PatientId>,
    /// Calls that are, by id.
    pub calls: Vec<String>,
    /// Notices that were sent too long ago, or given up.
    pub notices: u64,
    /// Patients and calls that would be among them, but for a legal hold.
    pub held: u64,
}

/// Erases what is past the tenant's retention, or, on a dry run, only tells. Patients first, and their calls with them; then the
/// calls that are left. What a hold protects is passed over.
pub async fn run_retention(owner: &mut Owner, tenant: &TenantId, is_dry: bool) -> Result<Retained, DbError> {
    let mut transaction = owner.begin(tenant).await?;
    let years = sqlx::query_scalar!("SELECT retention_years FROM tenants").fetch_one(&mut *transaction).await?;
    transaction.rollback().await?;
    let mut retained = Retained { years, patients: Vec::new(), calls: Vec::new(), notices: 0, held: 0 };
    let mut after = uuid::Uuid::nil();
    loop {
        let mut transaction = owner.begin(tenant).await?;
        let patients = expired_patients(&mut transaction, years, after).await?;
        transaction.rollback().await?;
        let Some(last) = patients.last() else { break };
        after = last.0;
        for patient in patients {
            let mut transaction = owner.begin(tenant).await?;
            match erase_in(&mut transaction, tenant, patient, Some("retention")).await {
                // A dry run does it all and takes it back.
                Ok(_) if is_dry => transaction.rollback().await?,
                Ok(_) => transaction.commit().await?,
                Err(EraseError::Database(error)) => return Err(error),
                Err(_) => {
                    transaction.rollback().await?;
                    retained.held += 1;
                    continue;
                }
            }
            retained.patients.push(patient);
        }
    }
    let mut after = String::new();
    loop {
        let mut transaction = owner.begin(tenant).await?;
        let calls = expired_calls(&mut transaction, years, &after).await?;
        transaction.rollback().await?;
        let Some((last, _)) = calls.last() else { break };
        after.clone_from(last);
        for (call_id, is_held) in calls {
            if is_held {
                retained.held += 1;
                continue;
            }
            if !is_dry {
                let mut transaction = owner.begin(tenant).await?;
                erase_call_in(&mut transaction, tenant, &call_id, "call.expired").await?;
                transaction.commit().await?;
            }
            retained.calls.push(call_id);
        }
    }
    retained.notices = forget_notices(owner, tenant, is_dry).await?;
    Ok(retained)
}

/// Deletes what was sent more than the tenant's `notice_days` ago, and what was given up before the retention's time; what is still to
/// be sent stays, and what a hold protects.
async fn forget_notices(owner: &mut Owner, tenant: &TenantId, is_dry: bool) -> Result<u64, DbError> {
    let mut forgotten = 0;
    loop {
        let mut transaction = owner.begin(tenant).await?;
        let deleted = sqlx::query!(
            r#"DELETE FROM outbox WHERE notice_id IN (
                   SELECT o.notice_id FROM outbox o JOIN tenants t USING (tenant_id)
                   WHERE ((o.status IN ('sent', 'delivered', 'failed') AND o.updated_at < now() - make_interval(days => t.notice_days))
                          OR (o.status = 'dead' AND o.updated_at < now() - make_interval(years => t.retention_years)))
                     AND NOT EXISTS (SELECT FROM legal_holds h
                                     WHERE (h.kind = 'call' AND h.subject = o.call_id)
                                        OR (h.kind = 'patient' AND o.call_id IN (SELECT calls_of_patient(h.subject::uuid))))
                   LIMIT $1)"#,
            NOTICES
        )
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        forgotten += deleted;
        if is_dry {
            transaction.rollback().await?;
            return Ok(forgotten);
        }
        transaction.commit().await?;
        if deleted < NOTICES.unsigned_abs() {
            return Ok(forgotten);
        }
    }
}

async fn expired_patients(connection: &mut PgConnection, years: i32, after: uuid::Uuid) -> Result<Vec<PatientId>, DbError> {
    let ids = sqlx::query_scalar!(
        "SELECT p.patient_id FROM patients p
         WHERE p.patient_id > $2 AND p.erased_at IS NULL AND p.created_at < now() - make_interval(years => $1)
           AND NOT EXISTS (SELECT FROM appointments a
                           WHERE a.patient_id = p.patient_id AND upper(a.during) >= now() - make_interval(years => $1))
         ORDER BY p.patient_id LIMIT $3",
        years,
        after,
        BATCH
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(PatientId).collect())
}

/// Calls past their time of which something is left to erase, and whether a hold protects them.
async fn expired_calls(connection: &mut PgConnection, years: i32, after: &str) -> Result<Vec<(String, bool)>, DbError> {
    let rows = sqlx::query!(
        r#"WITH expired AS (
               SELECT subject AS call_id FROM subject_keys WHERE kind = 'call' AND created_at < now() - make_interval(years => $1)
               UNION
               SELECT call_id FROM call_records
               WHERE ended_at < now() - make_interval(years => $1) AND octet_length(record_sealed) > 0
               UNION
               SELECT call_id FROM messages WHERE created_at < now() - make_interval(years => $1) AND octet_length(body_sealed) > 0
           )
           SELECT call_id AS "call_id!",
                  EXISTS (SELECT FROM legal_holds h
                          WHERE (h.kind = 'call' AND h.subject = call_id)
                             OR (h.kind = 'patient' AND call_id IN (SELECT calls_of_patient(h.subject::uuid)))) AS "is_held!"
           FROM expired WHERE call_id > $2 ORDER BY call_id LIMIT $3"#,
        years,
        after,
        BATCH
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.call_id, row.is_held)).collect())
}
