//! What the database itself forbids, whatever the program does.

use frontdesk_clinic::config::import;
use sqlx::{AssertSqlSafe, PgPool};

use super::support::{TestDatabase, other_tenant};

const ADA: &str = "00000000-0000-0000-0000-000000000001";
const BEN: &str = "00000000-0000-0000-0000-000000000002";

/// Inserts an appointment as the superuser; tells which constraint objected.
async fn insert(admin: &PgPool, tenant: &str, practitioner: &str, patient: &str, during: &str, status: &str) -> Result<(), String> {
    let (code, expires) = if status == "held" { ("NULL", "now() + interval '2 minutes'") } else { ("gen_random_uuid()::text", "NULL") };
    let statement = format!(
        "INSERT INTO appointments
             (tenant_id, appointment_id, practitioner_id, patient_id, during, status, hold_expires_at, call_id, confirmation_code)
         VALUES ('{tenant}', gen_random_uuid(), '{practitioner}', '{patient}', '{during}', '{status}', {expires},
                 gen_random_uuid()::text, {code})"
    );
    match sqlx::query(AssertSqlSafe(statement)).execute(admin).await {
        Ok(_) => Ok(()),
        Err(error) => {
            let error = error.into_database_error().unwrap();
            Err(format!("{} {}", error.code().unwrap(), error.constraint().unwrap_or_default()))
        }
    }
}

#[tokio::test]
async fn overlapping_appointments_are_impossible() {
    let test = TestDatabase::new().await;
    import(&test.url, &other_tenant()).await.unwrap();
    for (tenant, patient) in [("demo", ADA), ("demo", BEN), ("other", ADA)] {
        let add = format!(
            "INSERT INTO patients (tenant_id, patient_id, name_sealed, name_index, phone_sealed, phone_index)
             VALUES ('{tenant}', '{patient}', '', sha256('{patient}'), '', sha256(''))"
        );
        sqlx::query(AssertSqlSafe(add)).execute(&test.admin).await.unwrap();
    }
    let (lovelace, okafor) = ("dr-lovelace", "dr-okafor");
    let (practitioner, patient) =
        (Err("23P01 appointments_practitioner_free".to_string()), Err("23P01 appointments_patient_free".to_string()));
    let range = Err("23514 appointments_during_check".to_string());
    let no_edge = Err("23502 ".to_string());
    for (tenant, who, whom, during, status, expected) in [
        ("demo", lovelace, ADA, "[2026-12-01 09:00Z, 2026-12-01 10:00Z)", "booked", Ok(())),
        ("demo", lovelace, BEN, "[2026-12-01 09:59Z, 2026-12-01 10:30Z)", "booked", practitioner.clone()),
        ("demo", lovelace, BEN, "[2026-12-01 09:15Z, 2026-12-01 09:30Z)", "held", practitioner.clone()),
        ("demo", lovelace, BEN, "[2026-12-01 08:00Z, 2026-12-01 12:00Z)", "booked", practitioner.clone()),
        ("demo", okafor, ADA, "[2026-12-01 09:30Z, 2026-12-01 10:30Z)", "booked", patient),
        // Another practitioner and another patient; another clinic; one after the other; a cancelled one.
        ("demo", okafor, BEN, "[2026-12-01 09:00Z, 2026-12-01 10:00Z)", "booked", Ok(())),
        ("other", lovelace, ADA, "[2026-12-01 09:00Z, 2026-12-01 10:00Z)", "booked", Ok(())),
        ("demo", lovelace, ADA, "[2026-12-01 10:00Z, 2026-12-01 10:30Z)", "booked", Ok(())),
        ("demo", lovelace, BEN, "[2026-12-01 10:15Z, 2026-12-01 10:45Z)", "cancelled", Ok(())),
        // A held one keeps others out like a booked one.
        ("demo", lovelace, BEN, "[2026-12-01 11:00Z, 2026-12-01 12:00Z)", "held", Ok(())),
        ("demo", lovelace, ADA, "[2026-12-01 11:30Z, 2026-12-01 12:30Z)", "booked", practitioner),
        // Ranges that would dodge the comparison; what has no beginning or end fails for want of it, before it is judged.
        ("demo", lovelace, ADA, "empty", "booked", no_edge.clone()),
        ("demo", lovelace, ADA, "[2026-12-02 09:00Z, 2026-12-02 10:00Z]", "booked", range),
        ("demo", lovelace, ADA, "[2026-12-02 09:00Z,)", "booked", no_edge),
        // Longer than whoever looks for free times expects.
        ("demo", lovelace, ADA, "[2026-12-02 09:00Z, 2026-12-03 10:00Z)", "booked", Err("23514 appointments_within_a_day".into())),
    ] {
        assert_eq!(insert(&test.admin, tenant, who, whom, during, status).await, expected, "{tenant} {who} {whom} {during} {status}");
    }
}

#[tokio::test]
async fn rows_cannot_refer_to_another_tenants() {
    let test = TestDatabase::new().await;
    let mut tenant = other_tenant();
    tenant.practitioners.truncate(1);
    import(&test.url, &tenant).await.unwrap();
    let foreign = insert(&test.admin, "other", "dr-okafor", ADA, "[2026-12-01 09:00Z, 2026-12-01 10:00Z)", "held").await;
    assert!(foreign.as_ref().is_err_and(|error| error.starts_with("23503 ")), "{foreign:?}");
}

#[tokio::test]
async fn intents_outcomes_and_actors_are_closed_lists() {
    let test = TestDatabase::new().await;
    for (statement, constraint) in [
        ("INSERT INTO intents (tenant_id, call_id, record_key, intent) VALUES ('demo', 'c', '1', 'buy')", "intents_intent_check"),
        ("INSERT INTO audit_events (tenant_id, actor, action) VALUES ('demo', 'stranger', 'x')", "audit_events_actor_check"),
        ("INSERT INTO audit_events (tenant_id, actor, action) VALUES ('demo', 'agent', 'Jane Miller')", "audit_events_action_check"),
        (
            "INSERT INTO tool_commits (tenant_id, call_id, confirmation_id, tool, arguments_hmac, outcome)
             VALUES ('demo', 'c', '1', 't', sha256(''), 'done')",
            "tool_commits_result",
        ),
    ] {
        let error = sqlx::query(statement).execute(&test.admin).await.unwrap_err().into_database_error().unwrap();
        assert_eq!((error.code().as_deref(), error.constraint()), (Some("23514"), Some(constraint)));
    }
}
