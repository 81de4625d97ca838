//! What is told of patients and to them: a row for the clinic when one registers, an e-mail to whoever has told his address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use frontdesk_clinic::booking::{Refusal, ResendBy, SecondFactor};
use frontdesk_clinic::config::{EmailBy, PatientEmailNotices, SheetsNotices};
use frontdesk_clinic::outbox::{Channels, Dispatcher, DispatcherOptions};
use frontdesk_clinic::{ClinicStore, Tenant, TenantId};
use frontdesk_notify::{Channel, ChannelKind, Event, Field, Notice, Receipt, SendError};
use serde_json::json;

use super::outbox::book;
use super::patients::{register, registration};
use super::support::{TestDatabase, demo_tenant, keys};
use super::tools::Call;
use super::wishes::{refusal, wish};

/// Keeps what it is given.
#[derive(Default)]
struct Kept(Mutex<Vec<Notice>>);

impl Kept {
    fn all(&self) -> Vec<Notice> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait]
impl Channel for Kept {
    async fn send(&self, notice: &Notice) -> Result<Receipt, SendError> {
        self.0.lock().unwrap().push(notice.clone());
        Ok(Receipt::default())
    }
}

/// The demo clinic, with e-mails to patients and rows of patients, which may hold these fields.
fn tenant(fields: &[Field]) -> Tenant {
    let mut tenant = demo_tenant();
    let from = "Lakeside <desk@lake.example>".to_owned();
    let on = vec![Event::AppointmentBooked, Event::AppointmentCancelled];
    tenant.notifications.patient_email = Some(PatientEmailNotices { from, by: EmailBy::Smtp, on, fields: vec![Field::Code] });
    let on = vec![Event::PatientRegistered];
    tenant.notifications.google_sheets = Some(SheetsNotices { spreadsheet_id: "doc1".into(), on, fields: fields.to_vec() });
    tenant.notifications.csv = None;
    tenant
}

fn clinic(test: &TestDatabase, fields: &[Field]) -> ClinicStore {
    test.clinic().with_notices(&Arc::new(tenant(fields)))
}

/// Sends all that is due; what came to patients' mailboxes, and into the spreadsheet.
async fn delivered(test: &TestDatabase) -> (Vec<Notice>, Vec<Notice>) {
    let (mails, rows) = (Arc::<Kept>::default(), Arc::<Kept>::default());
    let channels: HashMap<ChannelKind, Arc<dyn Channel>> = HashMap::from([
        (ChannelKind::PatientEmail, Arc::clone(&mails) as Arc<dyn Channel>),
        (ChannelKind::GoogleSheets, Arc::clone(&rows) as Arc<dyn Channel>),
    ]);
    let all: Channels = HashMap::from([(TenantId::new("demo").unwrap(), channels)]);
    let dispatcher = Dispatcher::new(test.database(), keys(), all, DispatcherOptions::default());
    while dispatcher.round().await.unwrap().claimed > 0 {}
    (mails.all(), rows.all())
}

#[tokio::test]
async fn a_patient_whose_address_is_known_gets_an_email_and_another_none() {
    let test = TestDatabase::new().await;
    let clinic = clinic(&test, &[]);
    register(&clinic, "one", &registration("Patient Number1", "2025550001", 1981)).await;
    let booked = book(&clinic, "one", "2026-12-01T09:00", 1).await;
    book(&clinic, "two", "2026-12-01T10:00", 2).await;
    let (mails, _) = delivered(&test).await;
    let [mail] = mails.as_slice() else { panic!("one mail: {mails:?}") };
    assert_eq!(mail.recipient.as_ref().unwrap().expose(), "canary.mail@example.com");
    let told = mail.appointment.as_ref().unwrap();
    assert_eq!((mail.event, told.code.as_ref()), (Event::AppointmentBooked, Some(&booked.confirmation_code)));
    assert_eq!((&told.name, &told.phone, &told.practitioner), (&None, &None, &None), "no more than the clinic allows");
}

#[tokio::test]
async fn a_confirmation_goes_by_email_again_to_the_address_that_the_patient_left_and_to_no_other() {
    let test = TestDatabase::new().await;
    let clinic = clinic(&test, &[]);
    register(&clinic, "one", &registration("Patient Number1", "2025550001", 1981)).await;
    book(&clinic, "one", "2026-12-01T09:00", 1).await;
    let other = book(&clinic, "two", "2026-12-01T10:00", 2).await;
    let again = async |caller: usize, second, by| {
        let phone = wish("2026-12-01T09:00", caller).phone;
        clinic.resend_confirmation("again", "t1", &phone, &second, by).await
    };
    let name = || SecondFactor::Name("Patient Number1".to_owned().into());
    let resent = again(1, name(), ResendBy::Email).await.unwrap();
    assert_eq!(again(1, name(), ResendBy::Email).await.unwrap(), resent, "once a tool call");
    let code = SecondFactor::Code(other.confirmation_code);
    assert_eq!(refusal(again(2, code, ResendBy::Email).await.unwrap_err()), Refusal::NoAddress);
    assert_eq!(refusal(again(1, name(), ResendBy::Text).await.unwrap_err()), Refusal::NoMessages);
    assert_eq!(test.count("SELECT count(*) FROM audit_events WHERE action = 'confirmation.resent'").await, 1);
    let (mails, _) = delivered(&test).await;
    let to: Vec<&str> = mails.iter().map(|mail| mail.recipient.as_ref().unwrap().expose().as_str()).collect();
    assert_eq!(to, ["canary.mail@example.com"; 2]);
    // The model is told of the one way that there is.
    let call = Call::with(&clinic, "tools", tenant(&[]));
    let tool = call.tools.get("resend_confirmation").unwrap();
    assert!(tool.description().contains("as an e-mail") && !tool.description().contains("text message"), "{}", tool.description());
    let said = call.run("resend_confirmation", json!({ "phone": "202 555 0001", "patient_name": "Patient Number1" })).await.unwrap();
    assert_eq!(said["state"], "on_its_way");
    assert_eq!(delivered(&test).await.0.len(), 1, "not asked for by which way, it goes by that one");
}

#[tokio::test]
async fn who_registers_is_told_of_once_and_by_what_the_clinic_allows_alone() {
    for (fields, expected) in [
        (&[][..], [None, None, None, None]),
        (
            &[Field::Name, Field::Phone, Field::Email, Field::DateOfBirth],
            [Some("Jane Miller"), Some("+12025550143"), Some("canary.mail@example.com"), Some("1981-05-03")],
        ),
    ] {
        let test = TestDatabase::new().await;
        let clinic = clinic(&test, fields);
        let jane = registration("Jane Miller", "2025550143", 1981);
        let registered = register(&clinic, "one", &jane).await;
        // The same confirmation again, and the same patient in another call: neither is news.
        register(&clinic, "one", &jane).await;
        register(&clinic, "two", &jane).await;
        let (_, rows) = delivered(&test).await;
        let [row] = rows.as_slice() else { panic!("one row: {rows:?}") };
        let told = row.patient.as_ref().unwrap();
        assert_eq!((row.event, told.id), (Event::PatientRegistered, registered.patient.0));
        let carried = [&told.name, &told.phone, &told.email, &told.date_of_birth];
        assert_eq!(carried.map(|value| value.as_ref().map(|value| value.expose().as_str())), expected);
        let text = serde_json::to_string(row).unwrap();
        assert!(!text.contains("canary allergy") && !text.contains("canary reason"), "{text}");
    }
}
