//! What operators do with stored data: patients found, told and erased, calls shown, retention, legal holds.

use frontdesk_agent::store::{CallStore, StoreError};
use frontdesk_clinic::audit::{seal_all, verify};
use frontdesk_clinic::booking::Settled;
use frontdesk_clinic::config::import;
use frontdesk_clinic::messages::{CallerMessage, Intent};
use frontdesk_clinic::records::{
    EraseError, Erased, Held, clear_hold, erase_patient, export_patient, find_patients, list_calls, run_retention, set_hold, show_call,
};
use frontdesk_clinic::{ClinicStore, Owner, PatientId, PgCallStore, PhoneNumber, TenantId};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::calls::record;
use super::support::{TestDatabase, clinic, other_tenant};
use super::wishes::{key, wish};

fn demo() -> TenantId {
    TenantId::new("demo").unwrap()
}

async fn owner(test: &TestDatabase) -> Owner {
    Owner::connect(&test.url, "cli:test").await.unwrap()
}

async fn sql(test: &TestDatabase, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&test.admin).await.unwrap();
}

fn phone(caller: usize) -> PhoneNumber {
    PhoneNumber::parse(&format!("+1202555{caller:04}"), "1").unwrap()
}

/// A call that books for the caller, leaves a message and a record.
pub(crate) async fn call(clinic: &ClinicStore, call_id: &str, caller: usize, start: &str) {
    let calls = PgCallStore::new(clinic.clone());
    let prepared = clinic.prepare_booking(call_id, &wish(start, caller)).await.unwrap();
    let settled = clinic.commit_booking(&key(call_id, "c1"), &prepared.booking).await.unwrap();
    assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
    let message = CallerMessage {
        text: "canary message".to_string().into(),
        recipient: None,
        caller_name: Some(format!("Patient Number{caller}").into()),
        phone: Some(phone(caller)),
    };
    clinic.take_message(call_id, "1", &message, false).await.unwrap();
    clinic.note_intent(call_id, "2", Intent::Book).await.unwrap();
    calls.finish(&record(call_id, clinic.tenant().as_str())).await.unwrap();
}

async fn patient(clinic: &ClinicStore, caller: usize) -> PatientId {
    let found = find_patients(clinic, &phone(caller), None).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].id
}

/// Appointments are in 2026 by the tests' clock; by the database's they have to be past to let a patient go.
pub(crate) async fn years_pass(test: &TestDatabase, years: i32) {
    sql(
        test,
        &format!(
            "UPDATE appointments SET during = tstzrange(lower(during) - interval '{years} years', upper(during) - interval '{years} years')
                 WHERE status <> 'cancelled';
             UPDATE call_records SET started_at = started_at - interval '{years} years', ended_at = ended_at - interval '{years} years';
             UPDATE messages SET created_at = created_at - interval '{years} years';
             UPDATE patients SET created_at = created_at - interval '{years} years';
             UPDATE subject_keys SET created_at = created_at - interval '{years} years'"
        ),
    )
    .await;
}

pub(crate) async fn chain_is_sound(test: &TestDatabase) {
    seal_all(&test.database()).await.unwrap();
    let verdict = verify(&test.database(), &demo(), None).await.unwrap();
    assert_eq!((verdict.fault, verdict.tail.count), (None, 0));
}

#[tokio::test]
async fn patients_are_found_masked_and_only_by_their_number() {
    let test = TestDatabase::new().await;
    import(&test.url, &other_tenant()).await.unwrap();
    let clinic_demo = test.clinic();
    call(&clinic_demo, "one", 1, "2026-12-01T09:00").await;
    let found = find_patients(&clinic_demo, &phone(1), Some("number1")).await.unwrap();
    assert_eq!((found[0].name.as_str(), found[0].phone.as_str(), found[0].appointments), ("P. N.", "•••0001", 1));
    assert!(find_patients(&clinic_demo, &phone(1), Some("somebody else")).await.unwrap().is_empty());
    assert!(find_patients(&clinic_demo, &phone(2), None).await.unwrap().is_empty());
    assert!(find_patients(&clinic(test.database(), "other"), &phone(1), None).await.unwrap().is_empty());
    assert_eq!(test.count("SELECT count(*) FROM audit_events WHERE action = 'patient.found'").await, 1);
}

#[tokio::test]
async fn an_export_holds_everything_of_the_patient_and_nothing_of_others() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    call(&clinic, "one", 1, "2026-12-01T09:00").await;
    call(&clinic, "two", 2, "2026-12-01T09:30").await;
    let id = patient(&clinic, 1).await;
    let purpose = "access request".parse().unwrap();
    let export = export_patient(&clinic, id, &purpose).await.unwrap().unwrap();
    assert_eq!(export["patient"]["patients"][0]["name"], "Patient Number1");
    assert_eq!(export["patient"]["patients"][0]["phone"], "+12025550001");
    assert_eq!(export["patient"]["appointments"][0]["status"], "booked");
    assert_eq!(export["calls"].as_object().unwrap().keys().collect::<Vec<_>>(), ["one"]);
    assert_eq!(export["calls"]["one"]["call_records"][0]["record"]["transcript"][0]["text"], "canary transcript");
    assert_eq!(export["calls"]["one"]["messages"][0]["body"]["text"], "canary message");
    let actions: Vec<&str> = export["audit"].as_array().unwrap().iter().filter_map(|event| event["action"].as_str()).collect();
    assert!(actions.contains(&"appointment.booked") && actions.contains(&"patient.found"), "{actions:?}");
    let text = export.to_string();
    assert!(!text.contains("Number2") && !text.contains("0002") && !text.contains("_index") && !text.contains("unreadable"), "{text}");
    let why: String = sqlx::query_scalar("SELECT purpose FROM audit_events WHERE action = 'patient.exported' AND subject = $1")
        .bind(id.to_string())
        .fetch_one(&test.admin)
        .await
        .unwrap();
    assert_eq!(why, "access request");
    assert_eq!(export_patient(&clinic, PatientId::mint(), &purpose).await.unwrap(), None);
}

#[tokio::test]
async fn an_erased_patient_is_unreadable_and_the_time_stays_taken() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    call(&clinic, "one", 1, "2026-12-01T09:00").await;
    call(&clinic, "two", 2, "2026-12-01T09:30").await;
    // A later call only reads, and is the patient's all the same.
    let booked = clinic.appointments_of_call("one").await.unwrap().remove(0);
    clinic.prepare_cancellation("later", &booked.confirmation_code, &phone(1)).await.unwrap();
    PgCallStore::new(clinic.clone()).finish(&record("later", "demo")).await.unwrap();
    let (id, mut owner) = (patient(&clinic, 1).await, owner(&test).await);
    let refused = erase_patient(&mut owner, &demo(), id, None).await.unwrap_err();
    assert_eq!(refused, EraseError::Expected { count: 1 });
    years_pass(&test, 1).await;
    let erased = erase_patient(&mut owner, &demo(), id, Some("request of the patient")).await.unwrap();
    // Name and number with an index each; result, digest, message and record of one call, record of the other.
    assert_eq!(erased, Erased { calls: 2, keys: 3, values: 9 });
    assert_eq!(test.count("SELECT count(*) FROM appointments WHERE status = 'booked'").await, 2);
    assert!(find_patients(&clinic, &phone(1), None).await.unwrap().is_empty());
    assert!(matches!(PgCallStore::new(clinic.clone()).load_record("one").await, Err(StoreError::Unreadable { .. })));
    let calls = list_calls(&clinic, None, None, 10).await.unwrap();
    let left: Vec<(&str, bool)> = calls.iter().map(|call| (call.call_id.as_str(), call.is_erased)).collect();
    assert_eq!(left, [("later", true), ("one", true), ("two", false)]);
    assert_eq!(test.count("SELECT count(*) FROM subject_keys WHERE subject IN ('one', 'later') OR kind = 'patient'").await, 1);
    // The other patient is as before, and so is his call.
    assert_eq!(patient(&clinic, 2).await, find_patients(&clinic, &phone(2), None).await.unwrap()[0].id);
    assert_eq!(PgCallStore::new(clinic.clone()).load_record("two").await.unwrap(), Some(record("two", "demo")));
    chain_is_sound(&test).await;
    // Once more is harmless, and somebody of that name and number may come again: as somebody new.
    let again = erase_patient(&mut owner, &demo(), id, None).await.unwrap();
    assert_eq!((again.keys, again.calls), (0, 2));
    call(&clinic, "new", 1, "2026-12-02T09:00").await;
    assert_ne!(patient(&clinic, 1).await, id);
    assert_eq!(erase_patient(&mut owner, &demo(), PatientId::mint(), None).await.unwrap_err(), EraseError::NotFound);
}

#[tokio::test]
async fn ciphertext_from_a_backup_does_not_open_after_the_erasure() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    call(&clinic, "one", 1, "2026-12-01T09:00").await;
    let sealed: Vec<u8> = sqlx::query_scalar("SELECT record_sealed FROM call_records").fetch_one(&test.admin).await.unwrap();
    let id = patient(&clinic, 1).await;
    years_pass(&test, 1).await;
    erase_patient(&mut owner(&test).await, &demo(), id, None).await.unwrap();
    sqlx::query("UPDATE call_records SET record_sealed = $1").bind(&sealed).execute(&test.admin).await.unwrap();
    let error = PgCallStore::new(clinic).load_record("one").await.unwrap_err();
    assert!(error.to_string().contains("may have been erased"), "{error}");
}

#[tokio::test]
async fn what_is_held_is_erased_by_nobody() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    for (call_id, caller, start) in [("one", 1, "09:00"), ("two", 2, "09:30"), ("three", 3, "10:00"), ("four", 4, "10:30")] {
        call(&clinic, call_id, caller, &format!("2026-12-01T{start}")).await;
    }
    // Two speak of each other's appointments in one call.
    let booked = clinic.appointments_of_call("four").await.unwrap().remove(0);
    clinic.prepare_cancellation("three", &booked.confirmation_code, &phone(4)).await.unwrap();
    let (one, three) = (patient(&clinic, 1).await, patient(&clinic, 3).await);
    years_pass(&test, 7).await;
    let mut owner = owner(&test).await;
    for held in [Held::Patient(one), Held::Call("two".into()), Held::Patient(three)] {
        assert!(set_hold(&mut owner, &demo(), &held).await.unwrap());
        assert!(!set_hold(&mut owner, &demo(), &held).await.unwrap(), "held already");
    }
    for caller in 1..=4 {
        let id = patient(&clinic, caller).await;
        let refused = erase_patient(&mut owner, &demo(), id, None).await.unwrap_err();
        assert!(matches!(refused, EraseError::Held { ref holds } if holds.len() == 1), "{caller}: {refused:?}");
    }
    assert_eq!(test.count("SELECT count(*) FROM audit_events WHERE action = 'security.access_refused'").await, 4);
    let nothing = run_retention(&mut owner, &demo(), false).await.unwrap();
    // The fourth stays for the sake of the call that he shares with the third; the call that is his alone goes.
    assert_eq!((nothing.patients.len(), nothing.calls), (0, vec!["four".to_owned()]));
    assert_eq!(nothing.held, 4 + 3);
    assert!(clear_hold(&mut owner, &demo(), &Held::Patient(one)).await.unwrap());
    assert!(!clear_hold(&mut owner, &demo(), &Held::Patient(one)).await.unwrap());
    let freed = run_retention(&mut owner, &demo(), false).await.unwrap();
    assert_eq!(freed.patients, [one]);
    let actions = "SELECT count(*) FROM audit_events WHERE action IN ('hold.set', 'hold.cleared')";
    assert_eq!(test.count(actions).await, 4);
    chain_is_sound(&test).await;
}

#[tokio::test]
async fn retention_erases_what_is_past_its_time_and_a_dry_run_nothing() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    call(&clinic, "old", 1, "2026-12-01T09:00").await;
    // One who only called.
    PgCallStore::new(clinic.clone()).finish(&record("asked", "demo")).await.unwrap();
    years_pass(&test, 7).await;
    call(&clinic, "young", 2, "2026-12-01T09:30").await;
    let old = patient(&clinic, 1).await;
    let mut owner = owner(&test).await;
    let dry = run_retention(&mut owner, &demo(), true).await.unwrap();
    assert_eq!((dry.years, dry.held, &dry.patients), (6, 0, &vec![old]));
    assert_eq!(dry.calls, ["asked", "old"], "nothing was erased, so the patient's call is still there");
    assert!(PgCallStore::new(clinic.clone()).load_record("old").await.unwrap().is_some());
    let mut long = frontdesk_clinic::Tenant { ..super::support::demo_tenant() };
    long.retention.years = 10;
    import(&test.url, &long).await.unwrap();
    let kept = run_retention(&mut owner, &demo(), false).await.unwrap();
    assert_eq!((kept.years, kept.patients.len(), kept.calls.len()), (10, 0, 0));
    import(&test.url, &super::support::demo_tenant()).await.unwrap();
    let run = run_retention(&mut owner, &demo(), false).await.unwrap();
    assert_eq!((run.patients, run.calls), (vec![old], vec!["asked".to_owned()]), "the old call went with its patient");
    for call_id in ["old", "asked"] {
        assert!(PgCallStore::new(clinic.clone()).load_record(call_id).await.is_err(), "{call_id}");
    }
    assert!(PgCallStore::new(clinic.clone()).load_record("young").await.unwrap().is_some());
    let again = run_retention(&mut owner, &demo(), false).await.unwrap();
    assert_eq!((again.patients.len(), again.calls.len()), (0, 0));
    chain_is_sound(&test).await;
}

#[tokio::test]
async fn calls_are_shown_masked_and_in_full_only_for_a_purpose() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    call(&clinic, "one", 1, "2026-12-01T09:00").await;
    let lines = list_calls(&clinic, None, None, 10).await.unwrap();
    let line = serde_json::to_value(&lines[0]).unwrap();
    assert_eq!(
        line,
        json!({"call_id": "one", "started_at": "2026-11-30T12:00:00Z", "duration_s": 61, "outcome": "completed",
               "caller_type": "unknown", "intents": ["book"], "patients": ["P. N. •••0001"], "is_erased": false})
    );
    let started = lines[0].started_at;
    assert!(list_calls(&clinic, Some(started + chrono::TimeDelta::seconds(1)), None, 10).await.unwrap().is_empty());
    assert!(list_calls(&clinic, None, Some(started), 10).await.unwrap().is_empty());
    let masked = show_call(&clinic, "one", None).await.unwrap().unwrap();
    let text = masked.to_string();
    for canary in ["canary", "Number1", "2025550001", "Patient"] {
        assert!(!text.contains(canary), "{canary} in {text}");
    }
    assert_eq!(masked["left"]["messages"][0]["body"]["phone"], "•••0001");
    assert_eq!(masked["left"]["call_records"][0]["record"]["duration_ms"], 61_000);
    let whole = show_call(&clinic, "one", Some(&"complaint 12".parse().unwrap())).await.unwrap().unwrap();
    assert_eq!(whole["left"]["call_records"][0]["record"]["transcript"][0]["text"], "canary transcript");
    let read: Vec<(String, Option<String>)> =
        sqlx::query_as("SELECT action, purpose FROM audit_events WHERE action LIKE 'record.read%' AND call_id = 'one' ORDER BY event_id")
            .fetch_all(&test.admin)
            .await
            .unwrap();
    assert_eq!(read, [("record.read_masked".to_owned(), None), ("record.read".to_owned(), Some("complaint 12".to_owned()))]);
    assert_eq!(show_call(&clinic, "none", None).await.unwrap(), None::<Value>);
}
