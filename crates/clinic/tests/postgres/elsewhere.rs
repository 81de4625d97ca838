//! Practitioners' own calendars: what they hold is neither offered nor held.

use std::collections::HashMap;
use std::sync::Arc;

use frontdesk_clinic::booking::{Refusal, RescheduleWish};
use frontdesk_clinic::elsewhere::Elsewhere;
use frontdesk_clinic::slots::{SlotQuery, When};
use frontdesk_clinic::{ClinicStore, PractitionerId};
use frontdesk_notify::{FreeBusy, GoogleAccount, Secret};
use frontdesk_simulators::receivers::{Fault, Google};

use super::outbox::book;
use super::support::TestDatabase;
use super::wishes::{at, refusal, wish};

const CALENDAR: &str = "ada@lake.example";

/// The demo clinic, heeding Doctor Lovelace's calendar.
async fn heeding(test: &TestDatabase) -> (Google, ClinicStore) {
    let google = Google::start().await.unwrap();
    let account = GoogleAccount::from_json(&Secret::new(google.service_account())).unwrap();
    let source = Arc::new(FreeBusy::new(&google.calendar_url(), account).unwrap());
    let calendars = HashMap::from([(PractitionerId::new("dr-lovelace").unwrap(), CALENDAR.to_owned())]);
    (google, test.clinic().with_elsewhere(&Arc::new(Elsewhere::new(source, calendars))))
}

async fn is_free(clinic: &ClinicStore, start: &str) -> bool {
    let practitioner = Some(PractitionerId::new("dr-lovelace").unwrap());
    let query =
        SlotQuery { when: When::Exact(at(start)), duration_minutes: 30, practitioner, service: None, location: None, department: None };
    clinic.find_slots("call", &query).await.unwrap().exact == Some(Ok(true))
}

#[tokio::test]
async fn what_is_taken_elsewhere_is_neither_offered_nor_held() {
    let test = TestDatabase::new().await;
    let (google, clinic) = heeding(&test).await;
    google.take(CALENDAR, at("2026-12-01T09:15"), at("2026-12-01T10:00"));
    for (start, expected) in [("2026-12-01T09:00", false), ("2026-12-01T09:30", false), ("2026-12-01T10:00", true)] {
        assert_eq!(is_free(&clinic, start).await, expected, "{start}");
    }
    assert!(is_free(&test.clinic(), "2026-12-01T09:00").await, "who does not heed it books it");
    let Refusal::SlotTaken { alternatives } = refusal(clinic.prepare_booking("call", &wish("2026-12-01T09:30", 1)).await.unwrap_err())
    else {
        panic!("taken elsewhere is taken");
    };
    assert!(!alternatives.is_empty() && alternatives.iter().all(|slot| slot.start != at("2026-12-01T09:00")), "{alternatives:?}");
    let booked = book(&clinic, "one", "2026-12-01T10:00", 1).await;
    let mut to = RescheduleWish {
        confirmation_code: booked.confirmation_code.clone(),
        phone: wish("2026-12-01T10:00", 1).phone,
        start: at("2026-12-01T09:30"),
        practitioner: Some(PractitionerId::new("dr-lovelace").unwrap()),
    };
    let error = clinic.prepare_reschedule("two", &to).await.unwrap_err();
    assert!(matches!(refusal(error), Refusal::SlotTaken { .. }));
    // The appointment's own entry in that calendar does not stand in its way.
    google.take(CALENDAR, at("2026-12-01T10:00"), at("2026-12-01T10:30"));
    to.start = at("2026-12-01T10:30");
    clinic.prepare_reschedule("three", &to).await.unwrap();
}

#[tokio::test]
async fn before_a_slot_is_held_the_calendar_is_asked_anew() {
    let test = TestDatabase::new().await;
    let (google, clinic) = heeding(&test).await;
    google.take(CALENDAR, at("2027-01-01T09:00"), at("2027-01-01T10:00"));
    assert!(is_free(&clinic, "2026-12-01T09:00").await);
    google.take(CALENDAR, at("2026-12-01T09:00"), at("2026-12-01T10:00"));
    assert!(is_free(&clinic, "2026-12-01T09:00").await, "for five minutes the answer serves");
    let error = clinic.prepare_booking("call", &wish("2026-12-01T09:00", 1)).await.unwrap_err();
    assert!(matches!(refusal(error), Refusal::SlotTaken { .. }));
}

#[tokio::test]
async fn a_calendar_that_fails_keeps_nobody_from_booking() {
    let test = TestDatabase::new().await;
    let (google, clinic) = heeding(&test).await;
    google.fail([Fault::Status(503)]);
    book(&clinic, "one", "2026-12-01T09:00", 1).await;
}
