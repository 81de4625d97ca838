//! Query plans of the hot queries, as snapshots: on tables as large as a busy clinic's, for the role and under the row-level security
//! that the program has, without costs. A plan that reads a whole large table fails whatever the snapshot says.
//!
//! The statements are those of `.sqlx`, which the build checks against the code; each is found by words that only it has. What is shown
//! is the generic plan, for parameters of which nothing is known: the one that many calls later has to be good as well.
//! `INSTA_UPDATE=always` writes the snapshots anew.

use std::path::Path;

use sqlx::{AssertSqlSafe, Executor, PgConnection};

use super::support::TestDatabase;

/// Reading all of one of these takes milliseconds that a caller waits. Of the audit log's years one is full here, the others are empty.
const LARGE: [&str; 7] = ["appointments", "audit_events_first", "audit_seals", "call_patients", "outbox", "patients", "tool_commits"];

/// A clinic's year: 6,000 appointments and patients, 20,000 lines in the audit log. Constraints that are checked by triggers are not, to
/// be quick; the rows keep to them.
const FILL: &str = "
    SET session_replication_role = replica;
    INSERT INTO patients (tenant_id, patient_id, name_sealed, name_index, phone_sealed, phone_index)
    SELECT 'demo', md5('p' || n)::uuid, '', sha256(('n' || n)::bytea), '', sha256(('t' || n)::bytea) FROM generate_series(1, 6000) n;
    INSERT INTO practitioners (tenant_id, practitioner_id, name, zone)
    SELECT 'demo', 'dr-' || n, 'Doctor ' || n, 'UTC' FROM generate_series(1, 18) n;
    INSERT INTO appointments (tenant_id, appointment_id, practitioner_id, patient_id, during, status, call_id, confirmation_code)
    SELECT 'demo', md5('a' || n)::uuid, 'dr-' || (1 + n % 18), md5('p' || n)::uuid,
           tstzrange(at, at + interval '30 min'), CASE WHEN n % 10 = 0 THEN 'cancelled' ELSE 'booked' END, 'call-' || n, 'C' || n
    FROM (SELECT n, '2026-12-01 08:00Z'::timestamptz + (n / 18) * interval '35 min' AS at FROM generate_series(1, 6000) n) slots;
    INSERT INTO tool_commits (tenant_id, call_id, confirmation_id, tool, arguments_hmac, outcome, result_sealed)
    SELECT 'demo', 'call-' || n, 'c1', 'book_appointment', sha256(''), 'done', '' FROM generate_series(1, 6000) n;
    INSERT INTO call_patients (tenant_id, call_id, patient_id, caller_type)
    SELECT 'demo', 'call-' || n, md5('p' || n)::uuid, 'returning' FROM generate_series(1, 6000) n;
    INSERT INTO audit_events (tenant_id, call_id, actor, action, subject)
    SELECT 'demo', 'call-' || n / 3, 'agent', 'slot.held', md5('a' || n) FROM generate_series(1, 20000) n;
    INSERT INTO audit_seals (tenant_id, sequence, event_id, event_at, hash)
    SELECT tenant_id, row_number() OVER (ORDER BY event_id), event_id, at, sha256('') FROM audit_events;
    INSERT INTO outbox (tenant_id, notice_id, event, channel, subject, call_id, dedupe_key, payload_sealed, status)
    SELECT 'demo', md5('o' || n)::uuid, 'appointment_booked', 'sms', md5('a' || n), 'call-' || n, 'k' || n, '',
           CASE WHEN n % 1000 = 0 THEN 'pending' ELSE 'delivered' END
    FROM generate_series(1, 6000) n;
    SET session_replication_role = DEFAULT;
    ANALYZE";

/// The major version of Postgres whose words the snapshots are in; with another, only that nothing large is read whole is checked.
const SNAPSHOTS_OF: i32 = 15;

/// The one statement that has these words.
fn statement(words: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.sqlx");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let query = serde_json::from_str::<serde_json::Value>(&text).unwrap()["query"].as_str().unwrap().to_owned();
        let folded = query.split_whitespace().collect::<Vec<_>>().join(" ");
        found.extend(folded.contains(words).then_some(query));
    }
    assert_eq!(found.len(), 1, "{words}: {found:#?}");
    found.remove(0)
}

/// How the statement is carried out, one line a step.
async fn plan(connection: &mut PgConnection, words: &str) -> String {
    let query = statement(words);
    let parameters = (1..=20).take_while(|number| query.contains(&format!("${number}"))).count();
    let values = match parameters {
        0 => String::new(),
        count => format!("({})", vec!["NULL"; count].join(", ")),
    };
    connection.execute(AssertSqlSafe(format!("PREPARE hot AS {query}"))).await.unwrap();
    let explain = format!("EXPLAIN (COSTS OFF) EXECUTE hot{values}");
    let lines: Vec<String> = sqlx::query_scalar(AssertSqlSafe(explain)).persistent(false).fetch_all(&mut *connection).await.unwrap();
    connection.execute("DEALLOCATE hot").await.unwrap();
    for line in &lines {
        let read = line.split_once("Seq Scan on ").map(|(_, rest)| rest);
        assert!(!read.is_some_and(|read| LARGE.iter().any(|large| read.starts_with(large))), "{words}\n{}", lines.join("\n"));
    }
    // The partitions' years are those in which the test runs.
    let year = |word: &str| word.strip_prefix("audit_events_20").map_or(word.to_owned(), |rest| format!("audit_events_YEAR{}", &rest[2..]));
    lines.iter().map(|line| line.split(' ').map(year).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn hot_queries_go_by_their_indexes() {
    let test = TestDatabase::new().await;
    let mut connection = test.admin.acquire().await.unwrap();
    sqlx::raw_sql(FILL).execute(&mut *connection).await.unwrap();
    let version = "SELECT current_setting('server_version_num')::integer / 10000";
    let version: i32 = sqlx::query_scalar(version).fetch_one(&mut *connection).await.unwrap();
    let settings = "SET ROLE frontdesk_app; SET app.tenant_id = 'demo'; SET plan_cache_mode = force_generic_plan";
    sqlx::raw_sql(settings).execute(&mut *connection).await.unwrap();
    for (name, words) in [
        ("busy_load", "SELECT practitioner_id, taken_from, taken_until FROM appointments"),
        ("slot_search", "FROM practitioners p LEFT JOIN working_hours h"),
        ("expired_holds", "DELETE FROM appointments WHERE status = 'held' AND hold_expires_at <= now()"),
        ("held_slot", "SET status = 'booked', patient_id = $4"),
        ("patient_by_name_and_number", "SELECT patient_id FROM patients WHERE phone_index = $1 AND name_index = $2"),
        ("patient_of_call", "FROM call_patients c JOIN patients p USING"),
        ("commit_key", "SELECT arguments_hmac, result_sealed FROM tool_commits"),
        ("own_appointments", "WHERE a.patient_id = $1 AND a.status = 'booked' AND upper(a.during) > $2"),
        ("outbox_lease", "UPDATE outbox SET status = 'sending'"),
        ("audit_page", "FROM (SELECT * FROM audit_seals WHERE sequence > $1"),
        ("audit_batch", "FROM (SELECT * FROM audit_pending ORDER BY event_id"),
    ] {
        let plan = plan(&mut connection, words).await;
        if version == SNAPSHOTS_OF {
            insta::assert_snapshot!(name, plan);
        }
    }
}
