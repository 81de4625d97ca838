//! After a patient was erased no row finds him again, in whatever table something of him lay.

use std::sync::Arc;

use frontdesk_agent::store::CallStore;
use frontdesk_clinic::booking::Settled;
use frontdesk_clinic::config::{CsvNotices, WebhookNotices};
use frontdesk_clinic::messages::CallerMessage;
use frontdesk_clinic::records::{erase_patient, export_patient, find_patients};
use frontdesk_clinic::waiting::WaitingWish;
use frontdesk_clinic::{ClinicStore, Owner, PatientId, PgCallStore, PhoneNumber, Tenant, TenantId};
use frontdesk_notify::{Event, Field};
use serde_json::json;

use super::calls::record;
use super::canaries::dump;
use super::outbox::book;
use super::patients::registration;
use super::records::{chain_is_sound, years_pass};
use super::support::{TestDatabase, demo_tenant};
use super::tools::Call;
use super::waiting::waits;
use super::wishes::{key, wish};

const NAME: &str = "Zebediah Quackenbush";
const NUMBER: &str = "+12025550187";

/// The demo clinic, telling everything with all that there is to tell.
fn telling() -> Arc<Tenant> {
    let mut tenant = demo_tenant();
    tenant.notifications.csv = Some(CsvNotices { on: Event::ALL.to_vec(), fields: Vec::new() });
    tenant.notifications.webhook = Some(WebhookNotices {
        on: Event::ALL.to_vec(),
        fields: vec![Field::Name, Field::Phone, Field::Message],
        url: "https://clinic.example/hook".into(),
    });
    Arc::new(tenant)
}

fn phone() -> PhoneNumber {
    PhoneNumber::parse(NUMBER, "1").unwrap()
}

/// Registers, books, leaves a message, waits for an earlier time.
async fn patient_calls(clinic: &ClinicStore) -> PatientId {
    let calls = PgCallStore::new(clinic.clone());
    let prepared = clinic.prepare_registration("his", &registration(NAME, NUMBER, 1931)).await.unwrap();
    let settled = clinic.commit_registration(&key("his", "c1"), &prepared.registration).await.unwrap();
    let Settled::Done(registered) = settled else { panic!("{settled:?}") };
    let mut wish = wish("2026-12-03T09:00", 1);
    (wish.patient_name, wish.phone) = (NAME.to_owned().into(), phone());
    let prepared = clinic.prepare_booking("his", &wish).await.unwrap();
    assert!(matches!(clinic.commit_booking(&key("his", "c2"), &prepared.booking).await.unwrap(), Settled::Done(_)));
    let message = CallerMessage {
        text: "mauve toenails".to_owned().into(),
        recipient: None,
        caller_name: Some(NAME.to_owned().into()),
        phone: Some(phone()),
    };
    clinic.take_message("his", "1", &message, false).await.unwrap();
    let waiting = WaitingWish { patient_name: NAME.to_owned().into(), phone: phone(), ..waits(1, "Tuesday morning") };
    let prepared = clinic.prepare_waiting(&waiting).await.unwrap();
    assert!(matches!(clinic.commit_waiting(&key("waits", "c1"), &prepared.waiting).await.unwrap(), Settled::Done(_)));
    for call_id in ["his", "waits"] {
        calls.finish(&record(call_id, "demo")).await.unwrap();
    }
    registered.patient
}

/// All that could find or open something of the patient, in hexadecimal as a dump shows it: his indexes, the digests of what he
/// confirmed, and the ids of the keys that seal what is his.
async fn traces(test: &TestDatabase, patient: PatientId) -> Vec<String> {
    let traces: Vec<String> = sqlx::query_scalar(
        "SELECT encode(x, 'hex') FROM (
             SELECT unnest(ARRAY[name_index, phone_index, birth_index, email_index]) FROM patients WHERE patient_id::text = $1
             UNION ALL SELECT arguments_hmac FROM tool_commits WHERE call_id IN ('his', 'waits')
             UNION ALL SELECT decode(replace(key_id::text, '-', ''), 'hex') FROM subject_keys WHERE subject IN ($1, 'his', 'waits')
         ) AS t (x) WHERE x IS NOT NULL",
    )
    .bind(patient.to_string())
    .fetch_all(&test.admin)
    .await
    .unwrap();
    assert_eq!(traces.len(), 4 + 3 + 3, "indexes, confirmations, keys");
    traces
}

/// Those of the traces that a dump of the whole database holds.
async fn found(test: &TestDatabase, traces: &[String]) -> Vec<String> {
    let dump = dump(test).await.to_lowercase().replace('-', "");
    traces.iter().filter(|trace| dump.contains(trace.as_str())).cloned().collect()
}

#[tokio::test]
async fn no_row_finds_an_erased_patient_again() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic().with_notices(&telling());
    let (demo, calls) = (TenantId::new("demo").unwrap(), PgCallStore::new(clinic.clone()));
    let patient = patient_calls(&clinic).await;
    // Somebody else gives a time up, and the staff is told to call the patient.
    let booked = book(&clinic, "others", "2026-12-01T09:00", 2).await;
    let other = find_patients(&clinic, &wish("2026-12-01T09:00", 2).phone, None).await.unwrap().remove(0).id;
    let prepared = clinic.prepare_cancellation("gives up", &booked.confirmation_code, &wish("2026-12-01T09:00", 2).phone).await.unwrap();
    clinic.commit_cancellation(&key("gives up", "c1"), &prepared.cancellation).await.unwrap();
    calls.finish(&record("gives up", "demo")).await.unwrap();
    let offered = clinic.messages_of_call("gives up").await.unwrap();
    assert_eq!(offered.len(), 1);
    assert_eq!(offered[0].phone, Some(phone()));
    // It is the patient's, not whose call it was.
    let purpose = "access request".parse().unwrap();
    let exports = [patient, other].map(|id| export_patient(&clinic, id, &purpose));
    let [his, others] = exports;
    let (his, others) = (his.await.unwrap().unwrap(), others.await.unwrap().unwrap().to_string());
    assert_eq!(his["about"]["messages"][0]["body"]["phone"], NUMBER);
    assert!(others.contains("Number2") && !others.contains("Quackenbush") && !others.contains(NUMBER), "{others}");
    // Some notices have arrived; the others wait.
    sqlx::query("UPDATE outbox SET status = 'delivered' WHERE channel = 'csv'").execute(&test.admin).await.unwrap();
    let traces = traces(&test, patient).await;
    assert_eq!(found(&test, &traces).await, traces, "all of it is there before");

    years_pass(&test, 1).await;
    let mut owner = Owner::connect(&test.url, "cli:test").await.unwrap();
    let erased = erase_patient(&mut owner, &demo, patient, Some("request")).await.unwrap();
    assert_eq!((erased.calls, erased.keys), (2, 3), "{erased:?}");
    assert_eq!(found(&test, &traces).await, [""; 0], "no index, no digest, nothing sealed with his keys");
    assert_eq!(test.count("SELECT count(*) FROM waiting_list").await, 0);
    assert!(find_patients(&clinic, &phone(), None).await.unwrap().is_empty());
    assert!(clinic.messages_of_call("gives up").await.unwrap().is_empty());
    assert!(clinic.messages_of_call("his").await.unwrap().is_empty());
    let call = Call::at(&clinic, "asks");
    for arguments in [
        json!({"patient_name": NAME, "phone": NUMBER}),
        json!({"patient_name": NAME, "date_of_birth": "1931-05-03"}),
        json!({"phone": NUMBER, "date_of_birth": "1931-05-03"}),
    ] {
        assert!(call.run("identify_patient", arguments.clone()).await.is_err(), "{arguments}");
    }
    // What was still to be sent is given up, and what he waited for is offered to nobody.
    let open = "SELECT count(*) FROM outbox WHERE status IN ('pending', 'sending') AND call_id IN ('his', 'waits')";
    assert_eq!(test.count(open).await, 0);
    assert!(test.count("SELECT count(*) FROM outbox WHERE status = 'dead' AND last_error = 'erased'").await >= 3);
    let blank = "SELECT count(*) FROM outbox WHERE status = 'delivered' AND payload_sealed = ''";
    assert!(test.count(blank).await >= 3, "arrived, and forgotten");
    // Nobody else has lost anything.
    assert_eq!(find_patients(&clinic, &wish("2026-12-01T09:00", 2).phone, None).await.unwrap()[0].id, other);
    assert_eq!(calls.load_record("gives up").await.unwrap(), Some(record("gives up", "demo")));
    let kept = export_patient(&clinic, other, &purpose).await.unwrap().unwrap().to_string();
    assert!(kept.contains("Number2") && !kept.contains("unreadable"), "{kept}");
    chain_is_sound(&test).await;
    // Again and as somebody new.
    let again = erase_patient(&mut owner, &demo, patient, None).await.unwrap();
    assert_eq!(again.keys, 0);
    assert_ne!(patient_calls_again(&clinic).await, patient);
}

async fn patient_calls_again(clinic: &ClinicStore) -> PatientId {
    let prepared = clinic.prepare_registration("new", &registration(NAME, NUMBER, 1931)).await.unwrap();
    let settled = clinic.commit_registration(&key("new", "c1"), &prepared.registration).await.unwrap();
    let Settled::Done(registered) = settled else { panic!("{settled:?}") };
    registered.patient
}
