//! One clinic's rows are invisible to another's, and nothing personal is readable in the database.

use frontdesk_agent::store::CallStore;
use frontdesk_clinic::audit::seal_all;
use frontdesk_clinic::booking::{Refusal, Settled};
use frontdesk_clinic::config::{CsvNotices, Limits, import};
use frontdesk_clinic::limits::Gate;
use frontdesk_clinic::messages::{CallerMessage, Intent};
use frontdesk_clinic::{ClinicStore, PgCallStore, Tenant};
use frontdesk_notify::{Event, Field};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use super::calls::record;
use super::support::{TestDatabase, clinic, demo_tenant, other_tenant};
use super::wishes::{key, refusal, wish};

const TABLES: [&str; 29] = [
    "tenants",
    "dialled_numbers",
    "practitioners",
    "working_hours",
    "services",
    "insurance_coverage",
    "locations",
    "departments",
    "time_off",
    "practitioner_services",
    "patients",
    "appointments",
    "call_patients",
    "waiting_list",
    "call_states",
    "call_leases",
    "call_records",
    "messages",
    "intents",
    "tool_commits",
    "audit_events",
    "outbox",
    "audit_seals",
    "audit_pending",
    "subject_keys",
    "legal_holds",
    "live_calls",
    "call_starts",
    "audit_anchors",
];

/// Leaves a row in every table that calls write.
async fn fill(test: &TestDatabase, clinic: &ClinicStore) {
    // Everything that there is to tell is told, so that the outbox holds all of it.
    let clinic = &clinic.clone().with_notices(&talkative());
    // The demo clinic has neither several places nor absences.
    sqlx::raw_sql(
        "INSERT INTO locations VALUES ('demo', 'lake', 'Lake Street', 'UTC');
         INSERT INTO departments VALUES ('demo', 'skin', 'Dermatology');
         INSERT INTO time_off VALUES ('demo', 'dr-lovelace', '[2030-01-01, 2030-01-02)');
         INSERT INTO practitioner_services VALUES ('demo', 'dr-lovelace', 'checkup');
         INSERT INTO legal_holds VALUES ('demo', 'call', 'another');
         INSERT INTO audit_anchors VALUES ('demo', 1, sha256(''));
         INSERT INTO call_leases (tenant_id, call_id, epoch, worker, expires_at, project, room_sid, participant, watched_by)
         VALUES ('demo', 'another', 3, 'worker', now(), 'project', 'RM_1', 'agent-1', 'bridge')",
    )
    .execute(&test.admin)
    .await
    .unwrap();
    let prepared = clinic.prepare_booking("canary-call", &wish("2026-12-01T09:00", 4711)).await.unwrap();
    let settled = clinic.commit_booking(&key("canary-call", "c1"), &prepared.booking).await.unwrap();
    assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
    let wishes = super::patients::registration("Canary Patient", "2025554712", 1981);
    let registration = clinic.prepare_registration("canary-call", &wishes).await.unwrap().registration;
    let settled = clinic.commit_registration(&key("canary-call", "c2"), &registration).await.unwrap();
    assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
    let waiting = clinic.prepare_waiting(&super::waiting::waits(4713, "tomorrow")).await.unwrap().waiting;
    let settled = clinic.commit_waiting(&key("canary-call", "c3"), &waiting).await.unwrap();
    assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
    let message = CallerMessage {
        text: "canary text".to_string().into(),
        recipient: None,
        caller_name: Some("Canary Name".to_string().into()),
        phone: Some(wish("2026-12-01T09:00", 4711).phone),
    };
    clinic.take_message("canary-call", "1", &message, false).await.unwrap();
    assert_eq!(clinic.messages_of_call("canary-call").await.unwrap(), [message]);
    clinic.note_intent("canary-call", "2", Intent::Book).await.unwrap();
    let limits = Limits { calls_at_once: Some(9), ..Limits::default() };
    drop(Gate::default().admit(clinic, &limits, "canary-call").await.unwrap());
    let calls = PgCallStore::new(clinic.clone());
    seal_all(&test.database()).await.unwrap();
    calls.finish(&record("canary-call", clinic.tenant().as_str())).await.unwrap();
    calls.save_state("canary-call", br#"{"said":"canary state"}"#).await.unwrap();
}

/// The demo clinic with a channel that may carry everything.
fn talkative() -> std::sync::Arc<Tenant> {
    let mut tenant = demo_tenant();
    tenant.notifications.csv = Some(CsvNotices {
        on: Event::ALL.to_vec(),
        fields: vec![
            Field::Code,
            Field::Practitioner,
            Field::Service,
            Field::Location,
            Field::Name,
            Field::Phone,
            Field::Email,
            Field::DateOfBirth,
            Field::Message,
        ],
    });
    std::sync::Arc::new(tenant)
}

/// A connection as the application has it, without a tenant named yet.
async fn app(test: &TestDatabase) -> PgConnection {
    let mut connection = PgConnection::connect(&test.url).await.unwrap();
    connection.execute("SET ROLE frontdesk_app").await.unwrap();
    connection
}

async fn sqlstate(connection: &mut PgConnection, statement: String) -> String {
    match connection.execute(AssertSqlSafe(statement)).await {
        Ok(result) => format!("{} rows", result.rows_affected()),
        Err(error) => error.as_database_error().and_then(|error| error.code().map(String::from)).unwrap_or_else(|| error.to_string()),
    }
}

#[tokio::test]
async fn every_table_is_protected() {
    let test = TestDatabase::new().await;
    let rows = sqlx::query(
        "SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity AS is_protected, pg_get_userbyid(c.relowner) AS owner,
                c.relispartition, has_table_privilege('frontdesk_app', c.oid, 'SELECT, INSERT, UPDATE, DELETE') AS is_reachable,
                EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND a.attnotnull) AS has_tenant
         FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> '_sqlx_migrations'
         ORDER BY c.relname",
    )
    .fetch_all(&test.admin)
    .await
    .unwrap();
    let mut names: Vec<String> = Vec::new();
    for row in rows {
        let name: String = row.get("relname");
        assert!(row.get::<bool, _>("is_protected"), "{name} has no forced row-level security");
        assert!(row.get::<bool, _>("has_tenant"), "{name} has no tenant_id");
        assert_eq!(row.get::<String, _>("owner"), "frontdesk_owner", "{name}");
        if row.get("relispartition") {
            assert!(!row.get::<bool, _>("is_reachable"), "{name} is reachable past the table that it is part of");
            continue;
        }
        names.push(name);
    }
    let mut expected: Vec<String> = TABLES.map(String::from).to_vec();
    expected.sort();
    assert_eq!(names, expected, "a new table belongs into this test");
}

#[tokio::test]
async fn a_foreign_tenants_rows_are_invisible_without_any_filter() {
    let test = TestDatabase::new().await;
    import(&test.url, &other_tenant()).await.unwrap();
    fill(&test, &test.clinic()).await;
    let mut app = app(&test).await;
    for table in TABLES {
        let mut seen = Vec::new();
        for tenant in [Some("demo"), Some("other"), Some("nobody"), Some(""), None] {
            let mut transaction = app.begin().await.unwrap();
            if let Some(tenant) = tenant {
                sqlx::query("SELECT set_config('app.tenant_id', $1, true)").bind(tenant).execute(&mut *transaction).await.unwrap();
            }
            let count = format!("SELECT count(*), count(*) FILTER (WHERE tenant_id IS DISTINCT FROM $1) FROM {table}");
            let row = sqlx::query(AssertSqlSafe(count)).bind(tenant).fetch_one(&mut *transaction).await.unwrap();
            let (all, foreign): (i64, i64) = (row.get(0), row.get(1));
            assert_eq!(foreign, 0, "{table}: {tenant:?} sees foreign rows");
            seen.push(all);
            transaction.rollback().await.unwrap();
        }
        assert!(seen[0] > 0, "{table} holds nothing to see");
        assert_eq!(&seen[2..], [0, 0, 0], "{table} is visible without a tenant");
    }
}

#[tokio::test]
async fn the_application_can_write_neither_for_another_tenant_nor_what_is_final() {
    let test = TestDatabase::new().await;
    import(&test.url, &other_tenant()).await.unwrap();
    fill(&test, &test.clinic()).await;
    let mut app = app(&test).await;
    app.execute("SET app.tenant_id = 'other'").await.unwrap();
    let foreign_audit = "INSERT INTO audit_events (tenant_id, actor, action) VALUES ('demo', 'agent', 'x')";
    assert_eq!(sqlstate(&mut app, foreign_audit.into()).await, "42501");
    let foreign_row = "INSERT INTO intents (tenant_id, call_id, record_key, intent) VALUES ('demo', 'c', '9', 'book')";
    assert_eq!(sqlstate(&mut app, foreign_row.into()).await, "42501");
    for forgetful in [
        "UPDATE appointments SET status = 'cancelled'",
        "DELETE FROM appointments",
        "UPDATE call_states SET revision = 99",
        "DELETE FROM call_states",
        "UPDATE call_leases SET epoch = 99",
        "UPDATE tool_commits SET outcome = 'refused'",
        "UPDATE outbox SET status = 'delivered'",
    ] {
        assert_eq!(sqlstate(&mut app, forgetful.into()).await, "0 rows", "{forgetful}");
    }
    app.execute("SET app.tenant_id = 'demo'").await.unwrap();
    for (statement, expected) in [
        ("UPDATE audit_events SET action = 'x'", "42501"),
        ("DELETE FROM audit_events", "42501"),
        ("TRUNCATE audit_events", "42501"),
        ("UPDATE audit_seals SET hash = sha256('')", "42501"),
        ("DELETE FROM audit_seals", "42501"),
        ("TRUNCATE audit_seals", "42501"),
        ("UPDATE audit_pending SET event_id = 0", "42501"),
        ("SELECT frontdesk_extend_audit()", "42501"),
        ("UPDATE subject_keys SET master_version = 9", "42501"),
        ("DELETE FROM subject_keys", "42501"),
        ("DELETE FROM legal_holds", "42501"),
        ("INSERT INTO legal_holds VALUES ('demo', 'call', 'x')", "42501"),
        ("UPDATE patients SET erased_at = now()", "42501"),
        ("SELECT frontdesk_blank('call_id', 'canary-call')", "42501"),
        ("UPDATE call_records SET outcome = 'x'", "42501"),
        ("UPDATE call_leases SET epoch = 2", "23514"),
        ("DELETE FROM call_leases", "42501"),
        ("DELETE FROM call_records", "42501"),
        ("DELETE FROM messages", "42501"),
        ("DELETE FROM outbox", "42501"),
        ("UPDATE outbox SET payload_sealed = payload_sealed", "42501"),
        ("UPDATE outbox SET created_at = now()", "42501"),
        ("DELETE FROM tool_commits", "42501"),
        ("UPDATE tool_commits SET arguments_hmac = arguments_hmac", "42501"),
        // What is settled stays: the policy hides it from UPDATE.
        ("UPDATE tool_commits SET outcome = 'done'", "0 rows"),
        ("UPDATE appointments SET service_code = service_code", "42501"),
        // What was cancelled stays.
        ("UPDATE appointments SET status = 'cancelled'", "1 rows"),
        ("UPDATE appointments SET during = during", "42501"),
        ("UPDATE appointments SET status = 'booked'", "42501"),
        ("DELETE FROM appointments", "0 rows"),
        ("UPDATE practitioners SET name = 'x'", "42501"),
        ("DELETE FROM insurance_coverage", "42501"),
        ("UPDATE patients SET name_sealed = name_sealed", "42501"),
        ("UPDATE call_patients SET caller_type = 'new'", "42501"),
        ("DELETE FROM call_patients", "42501"),
        ("UPDATE waiting_list SET wish = wish", "42501"),
        ("DELETE FROM waiting_list", "42501"),
        ("CREATE TABLE mine (x int)", "42501"),
        ("ALTER TABLE appointments DISABLE ROW LEVEL SECURITY", "42501"),
        ("SELECT frontdesk_protect('appointments')", "42501"),
        ("DELETE FROM _sqlx_migrations", "42501"),
    ] {
        assert_eq!(sqlstate(&mut app, statement.into()).await, expected, "{statement}");
    }
}

#[tokio::test]
async fn one_clinics_store_knows_nothing_of_anothers_call() {
    let test = TestDatabase::new().await;
    import(&test.url, &other_tenant()).await.unwrap();
    fill(&test, &test.clinic()).await;
    let booked = test.clinic().appointments_of_call("canary-call").await.unwrap().remove(0);
    let other = clinic(test.database(), "other");
    assert!(other.appointments_of_call("canary-call").await.unwrap().is_empty());
    assert!(other.messages_of_call("canary-call").await.unwrap().is_empty());
    let calls = PgCallStore::new(other.clone());
    assert_eq!(calls.load_state("canary-call").await.unwrap(), None);
    assert_eq!(calls.load_record("canary-call").await.unwrap(), None);
    let error = other.prepare_cancellation("theirs", &booked.confirmation_code, &booked.phone).await.unwrap_err();
    assert_eq!(refusal(error), Refusal::NotFound);
    // The same practitioner's name, the same hour, the same patient, even the same call and key: another clinic.
    let prepared = other.prepare_booking("canary-call", &wish("2026-12-01T09:00", 4711)).await.unwrap();
    let settled = other.commit_booking(&key("canary-call", "c1"), &prepared.booking).await.unwrap();
    assert!(matches!(settled, Settled::Done(ref theirs) if theirs.appointment != booked.id), "{settled:?}");
}

#[tokio::test]
async fn not_even_the_owner_rewrites_the_audit_log() {
    let test = TestDatabase::new().await;
    fill(&test, &test.clinic()).await;
    let mut owner = PgConnection::connect(&test.url).await.unwrap();
    owner.execute("SET ROLE frontdesk_owner").await.unwrap();
    owner.execute("SET app.tenant_id = 'demo'").await.unwrap();
    for statement in [
        "UPDATE audit_events SET action = 'x'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "TRUNCATE audit_events_first",
        "DELETE FROM audit_events_first",
        "UPDATE audit_seals SET hash = sha256('')",
        "DELETE FROM audit_seals",
        "TRUNCATE audit_seals",
    ] {
        assert_eq!(sqlstate(&mut owner, statement.into()).await, "42501", "{statement}");
    }
}

#[tokio::test]
async fn a_login_with_few_rights_serves_and_one_without_the_role_does_not() {
    let test = TestDatabase::new().await;
    let suffix = uuid::Uuid::now_v7().simple().to_string();
    for (role, grant) in [("worker", " IN ROLE frontdesk_app"), ("stranger", "")] {
        let create = format!("CREATE ROLE {role}_{suffix} LOGIN PASSWORD 'p'{grant}");
        test.admin.execute(AssertSqlSafe(create)).await.unwrap();
    }
    let (_, host) = test.url.rsplit_once('@').unwrap();
    let database = super::support::open(&format!("postgres://worker_{suffix}:p@{host}"));
    database.check().await.unwrap();
    let prepared = clinic(database, "demo").prepare_booking("call", &wish("2026-12-01T09:00", 1)).await;
    prepared.unwrap();
    let error = super::support::open(&format!("postgres://stranger_{suffix}:p@{host}")).check().await.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    for role in ["worker", "stranger"] {
        test.admin.execute(AssertSqlSafe(format!("DROP ROLE {role}_{suffix}"))).await.unwrap();
    }
}

#[tokio::test]
async fn nothing_personal_is_stored_readable() {
    let test = TestDatabase::new().await;
    fill(&test, &test.clinic()).await;
    let mut dump = String::new();
    for table in TABLES {
        // The output form of bytea is hexadecimal, so look for both the text and its bytes.
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(format!("SELECT t::text FROM {table} t"))).fetch_all(&test.admin).await.unwrap();
        dump.push_str(&rows.join("\n").to_lowercase());
    }
    for canary in [
        "Canary Patient",
        "2025554712",
        "1981-05-03",
        "canary.mail",
        "canary reason",
        "canary allergy",
        "canary condition",
        "**-6789",
        "Number4713",
        "Number4711",
        "2025554711",
        "canary text",
        "Canary Name",
        "canary state",
        "canary transcript",
    ] {
        let hexadecimal: String = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!dump.contains(&canary.to_lowercase()), "{canary} is stored in plain text");
        assert!(!dump.contains(&hexadecimal), "{canary} is stored as plain bytes");
    }
    assert!(dump.contains("canary-call"), "the dump is not empty");
}
