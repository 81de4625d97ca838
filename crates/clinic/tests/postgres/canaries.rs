//! A dump of the database says nothing about anybody: whole calls through the tools, with canaries in everything that a caller
//! says, and then every table searched, whatever tables there are.

use base64::Engine;
use frontdesk_agent::CallRecord;
use frontdesk_agent::record::{RecordField, RecordLine, RecordTool};
use frontdesk_agent::store::{CallStart, CallStore};
use frontdesk_clinic::audit::seal_all;
use frontdesk_clinic::records::{find_patients, list_calls, show_call};
use frontdesk_clinic::{ClinicStore, PgCallStore, PhoneNumber};
use frontdesk_conversation::{Speaker, ToolStatus};
use serde_json::json;
use sqlx::AssertSqlSafe;

use super::calls::record;
use super::support::{TestDatabase, now};
use super::tools::{Call, done};

/// What callers say of themselves. Each is unlike anything that the database has to hold.
const CANARIES: [&str; 10] = [
    "Zebediah",
    "Quackenbush",
    "Xanthippe",
    "2025550187",
    "202-555-0187",
    "1931-02-28",
    "twenty-eighth of February",
    "zeb.quackenbush@example.org",
    "mauve toenails",
    "078-05-1120",
];

/// A record in which everything has been said.
fn said_all(call_id: &str) -> CallRecord {
    let mut record = record(call_id, "demo");
    let text = CANARIES.join(", ");
    record.transcript.push(RecordLine {
        speaker: Speaker::Caller,
        text: text.clone(),
        start_ms: 0,
        end_ms: 1,
        interrupted: false,
        confidence: None,
    });
    record.fields.push(RecordField { name: "patient_name".into(), value: text.clone(), confidence: None });
    record.tools.push(RecordTool {
        name: "book_appointment".into(),
        arguments: json!({"patient_name": text}),
        result: json!({"for": text}),
        status: ToolStatus::Done,
        start_ms: 0,
        duration_ms: 1,
        turn: None,
    });
    record.incidents.push(text);
    record
}

/// One patient's three calls: booked, moved and told, cancelled by a guesser in vain.
async fn calls(clinic: &ClinicStore) {
    let calls = PgCallStore::new(clinic.clone()).calling_from(PhoneNumber::parse("+12025550187", "1").ok());
    calls.begin(&CallStart { call_id: "first".into(), tenant_id: "demo".into(), started_at: now(), is_resumed: false }).await.unwrap();
    let first = Call::at(clinic, "first");
    first.run("note_intent", json!({"intent": "book", "note": "mauve toenails"})).await.unwrap();
    let wish = json!({"start": "2026-12-01T09:00", "patient_name": "Zebediah Quackenbush", "phone": "202-555-0187"});
    calls.save_state("first", format!("{{\"heard\":\"{}\"}}", CANARIES.join(" ")).as_bytes()).await.unwrap();
    let booked = done(first.commit("book_appointment", "c1", wish).await.1);
    let message = json!({"message": "Born on the twenty-eighth of February, 1931-02-28, mauve toenails, 078-05-1120, zeb.quackenbush@example.org",
                         "caller_name": "Xanthippe Quackenbush", "phone": "202-555-0187"});
    first.run("take_message", message).await.unwrap();
    calls.finish(&said_all("first")).await.unwrap();

    let second = Call::at(clinic, "second");
    let code = booked["confirmation_code"].as_str().unwrap();
    second.run("list_appointments", json!({"phone": "202-555-0187", "patient_name": "Zebediah Quackenbush"})).await.unwrap();
    let elsewhere = json!({"confirmation_code": code, "phone": "202-555-0187", "start": "2026-12-01T10:00"});
    done(second.commit("reschedule_appointment", "c1", elsewhere).await.1);
    let mut failed = said_all("second");
    failed.outcome = frontdesk_conversation::EndReason::Failed;
    calls.finish(&failed).await.unwrap();

    let guesser = Call::at(clinic, "guesser");
    let guess = guesser.run("list_appointments", json!({"phone": "202-555-0187", "patient_name": "Xanthippe"})).await;
    assert!(guess.is_err(), "{guess:?}");
    calls.save_state("under way", format!("{{\"heard\":\"{}\"}}", CANARIES.join(" ")).as_bytes()).await.unwrap();
}

/// Every row of every table as text, and all bytes in it decoded, with what cannot be text as dots.
pub(crate) async fn dump(test: &TestDatabase) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT quote_ident(relname) FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'm') ORDER BY relname",
    )
    .fetch_all(&test.admin)
    .await
    .unwrap();
    assert!(tables.len() > 20, "{tables:?}");
    let mut dump = String::new();
    for table in tables {
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(format!("SELECT t::text FROM {table} t"))).fetch_all(&test.admin).await.unwrap();
        for row in rows {
            // Postgres writes bytea as \x and hexadecimal digits.
            for hexadecimal in row.split("\\x").skip(1) {
                let digits: Vec<u8> = hexadecimal.bytes().take_while(u8::is_ascii_hexdigit).collect();
                let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
                let bytes: Vec<u8> = digits.chunks_exact(2).map(byte).collect();
                dump.push_str(&String::from_utf8_lossy(&bytes));
                dump.push('\n');
            }
            dump.push_str(&row);
            dump.push('\n');
        }
    }
    dump
}

/// The ways in which a word could lie there.
fn disguises(canary: &str) -> Vec<String> {
    let hexadecimal = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![canary.to_lowercase(), hexadecimal, canary.chars().rev().collect::<String>().to_lowercase()];
    // Base64 of a word depends on where it begins; of each, the part that does not depend on its neighbours.
    for shift in 0..3 {
        let padded = [vec![0; shift], canary.as_bytes().to_vec()].concat();
        let encoded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(padded);
        let end = encoded.len().saturating_sub(2);
        forms.push(encoded.get(4..end).unwrap_or_default().to_lowercase());
    }
    forms.retain(|form| form.len() >= 6);
    forms
}

#[tokio::test]
async fn a_dump_of_the_database_contains_no_canary() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    calls(&clinic).await;
    // Looking at it leaves traces, too.
    seal_all(&test.database()).await.unwrap();
    let phone = PhoneNumber::parse("+12025550187", "1").unwrap();
    assert_eq!(find_patients(&clinic, &phone, Some("Zebediah")).await.unwrap().len(), 1);
    assert_eq!(list_calls(&clinic, None, None, 10).await.unwrap().len(), 2);
    let masked = show_call(&clinic, "first", None).await.unwrap().unwrap().to_string().to_lowercase();
    let dump = dump(&test).await.to_lowercase();
    for witness in ["appointment.booked", "appointment.moved", "identification.failed", "message.taken", "under way"] {
        assert!(dump.contains(witness), "{witness} happened");
    }
    for canary in CANARIES {
        for form in disguises(canary) {
            assert!(!dump.contains(&form), "{canary} lies in the database as {form}");
            assert!(!masked.contains(&form), "{canary} is shown as {form}");
        }
    }
    let whole = show_call(&clinic, "first", Some(&"test".parse().unwrap())).await.unwrap().unwrap().to_string();
    for canary in CANARIES {
        assert!(whole.contains(canary), "{canary} was stored, and opens");
    }
}

/// The search itself finds what is there.
#[tokio::test]
async fn a_canary_that_is_stored_openly_is_found() {
    let test = TestDatabase::new().await;
    for (column, value) in [("call_id", "'x Zebediah x'"), ("call_id", "encode('a Zebediah'::bytea, 'base64')")] {
        let insert = format!("INSERT INTO intents (tenant_id, {column}, record_key, intent) VALUES ('demo', {value}, '1', 'book')");
        sqlx::query(AssertSqlSafe(insert)).execute(&test.admin).await.unwrap();
        let dump = dump(&test).await.to_lowercase();
        assert!(disguises("Zebediah").iter().any(|form| dump.contains(form)), "{value}");
        sqlx::query("DELETE FROM intents").execute(&test.admin).await.unwrap();
    }
    let insert = "INSERT INTO call_states (tenant_id, call_id, revision, state_sealed) VALUES ('demo', 'x', 1, 'aZebediah')";
    sqlx::query(insert).execute(&test.admin).await.unwrap();
    let dump = dump(&test).await.to_lowercase();
    assert!(dump.contains("zebediah"));
}
