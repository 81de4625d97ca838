//! Absences, buffers, places, and services that only some offer, from the configuration to the slot.

use frontdesk_clinic::booking::{Refusal, Settled};
use frontdesk_clinic::config::{LocationConfig, TimeOff, import};
use frontdesk_clinic::schedule::NotBookable;
use frontdesk_clinic::slots::{SlotQuery, When};
use frontdesk_clinic::{LocationId, PractitionerId, ServiceCode, Tenant, local_time};
use serde_json::json;

use super::support::{TestDatabase, demo_tenant};
use super::tools::{Call, done};
use super::wishes::{at, key, refusal, wish};

/// Doctor Lovelace is away on Tuesday from ten on and all of Wednesday, and gives no vaccinations; a check-up needs ten minutes before
/// it and twenty after it.
fn tenant() -> Tenant {
    let mut tenant = demo_tenant();
    let away = |from: &str, until: &str| TimeOff { from: from.into(), until: until.into() };
    tenant.practitioners[0].time_off = vec![away("2026-12-01T10:00", "2026-12-01T17:00"), away("2026-12-02", "2026-12-02")];
    tenant.practitioners[0].services = Some(vec![service("checkup"), service("consultation")]);
    tenant.services[0].buffer_before_minutes = 10;
    tenant.services[0].buffer_after_minutes = 20;
    tenant
}

fn service(code: &str) -> ServiceCode {
    ServiceCode::new(code).unwrap()
}

fn query(from: &str, to: &str, code: Option<&str>) -> SlotQuery {
    SlotQuery {
        when: When::Window(Some(at(from)), Some(at(to))),
        duration_minutes: 30,
        practitioner: Some(PractitionerId::new("dr-lovelace").unwrap()),
        service: code.map(service),
        location: None,
        department: None,
    }
}

async fn starts(test: &TestDatabase, query: &SlotQuery) -> Vec<String> {
    let found = test.clinic().find_slots("asking", query).await.unwrap();
    found.slots.iter().map(|slot| local_time::format(slot.start, found.zone)).collect()
}

#[tokio::test]
async fn an_absence_is_neither_offered_nor_booked() {
    let test = TestDatabase::new().await;
    import(&test.url, &tenant()).await.unwrap();
    let slots = starts(&test, &query("2026-12-01T08:00", "2026-12-03T10:00", None)).await;
    assert_eq!(slots, ["2026-12-01T09:00", "2026-12-01T09:30", "2026-12-03T09:00", "2026-12-03T09:30"]);
    let refused = refusal(test.clinic().prepare_booking("one", &wish("2026-12-02T09:00", 1)).await.unwrap_err());
    assert!(matches!(refused, Refusal::NotBookable { reason: NotBookable::Away, .. }), "{refused:?}");
    // Called in sick: a row that no import removes.
    let sick = "INSERT INTO time_off VALUES ('demo', 'dr-lovelace', '[2026-12-03 00:00Z, 2026-12-04 00:00Z)')";
    sqlx::query(sick).execute(&test.admin).await.unwrap();
    import(&test.url, &demo_tenant()).await.unwrap();
    let slots = starts(&test, &query("2026-12-02T08:00", "2026-12-03T17:00", None)).await;
    assert!(!slots.is_empty() && slots.iter().all(|start| start.starts_with("2026-12-02")), "{slots:?}");
}

#[tokio::test]
async fn buffers_keep_others_away_and_constrain_the_database() {
    let test = TestDatabase::new().await;
    import(&test.url, &tenant()).await.unwrap();
    let clinic = test.clinic();
    let mut checkup = wish("2026-12-03T10:00", 1);
    checkup.service = Some(service("checkup"));
    let prepared = clinic.prepare_booking("one", &checkup).await.unwrap();
    let settled = clinic.commit_booking(&key("one", "c1"), &prepared.booking).await.unwrap();
    let Settled::Done(booked) = settled else { panic!("{settled:?}") };
    // Occupied from ten to ten to ten to eleven.
    let window = |code| query("2026-12-03T09:00", "2026-12-03T12:00", code);
    assert_eq!(starts(&test, &window(None)).await, ["2026-12-03T09:00", "2026-12-03T11:00", "2026-12-03T11:30"]);
    // Buffers may touch, and no more: at half past nine the one before it would lie within, at a quarter to eleven the one after.
    assert_eq!(starts(&test, &window(Some("checkup"))).await, ["2026-12-03T09:00", "2026-12-03T11:00", "2026-12-03T11:30"]);
    for start in ["2026-12-03T09:30", "2026-12-03T10:30"] {
        assert!(matches!(refusal(clinic.prepare_booking("two", &wish(start, 2)).await.unwrap_err()), Refusal::SlotTaken { .. }));
    }
    // Committed without looking, only the constraint is left.
    let mut late = prepared.booking.clone();
    (late.start, late.service, late.phone) = (at("2026-12-03T10:30"), None, wish("2026-12-03T09:30", 2).phone);
    let settled = clinic.commit_booking(&key("two", "c1"), &late).await.unwrap();
    assert!(matches!(settled, Settled::Refused(Refusal::SlotTaken { .. })), "{settled:?}");
    // Its buffers move with it, also by as little as overlaps them.
    let wanted = frontdesk_clinic::booking::RescheduleWish {
        confirmation_code: booked.confirmation_code,
        phone: checkup.phone,
        start: at("2026-12-03T10:15"),
        practitioner: None,
    };
    let prepared = clinic.prepare_reschedule("one", &wanted).await.unwrap();
    let settled = clinic.commit_reschedule(&key("one", "c2"), &prepared.reschedule).await.unwrap();
    assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
    assert_eq!(starts(&test, &window(None)).await, ["2026-12-03T09:00", "2026-12-03T09:30", "2026-12-03T11:30"]);
    let rows = "SELECT count(*) FROM appointments WHERE occupies = tstzrange('2026-12-03 15:05Z', '2026-12-03 16:05Z')";
    assert_eq!(test.count(rows).await, 1);
}

#[tokio::test]
async fn a_service_that_one_does_not_offer_is_found_with_the_other() {
    let test = TestDatabase::new().await;
    import(&test.url, &tenant()).await.unwrap();
    let mut anybody = query("2026-12-04T08:00", "2026-12-04T12:00", Some("vaccination"));
    anybody.practitioner = None;
    let found = test.clinic().find_slots("one", &anybody).await.unwrap();
    assert!(!found.slots.is_empty() && found.slots.iter().all(|slot| slot.practitioner.as_str() == "dr-okafor"));
    let mut vaccination = wish("2026-12-03T09:00", 1);
    vaccination.service = Some(service("vaccination"));
    let refused = refusal(test.clinic().prepare_booking("one", &vaccination).await.unwrap_err());
    assert!(matches!(refused, Refusal::NotBookable { reason: NotBookable::NotOffered, .. }), "{refused:?}");
}

#[tokio::test]
async fn a_place_in_another_zone_is_spoken_in_its_own_time() {
    let test = TestDatabase::new().await;
    let mut tenant = demo_tenant();
    let location = |id: &str, name: &str, zone| LocationConfig { id: LocationId::new(id).unwrap(), name: name.into(), zone };
    tenant.locations =
        vec![location("lake", "Lake Street", None), location("west", "the western practice", Some(chrono_tz::America::Chicago))];
    // On Tuesdays Doctor Lovelace is in the west in the afternoon, from half past one to five, local time.
    tenant.practitioners[0].hours[0].location = Some(LocationId::new("lake").unwrap());
    tenant.practitioners[0].hours[1].location = Some(LocationId::new("west").unwrap());
    import(&test.url, &tenant).await.unwrap();
    let call = Call::with(&test.clinic(), "one", tenant);
    let found = call.run("find_slots", json!({"when": "tomorrow", "location": "western", "practitioner": "Lovelace"})).await.unwrap();
    let first = &found["slots"][0];
    assert_eq!(first["start"], "2026-12-01T13:30-06:00");
    assert_eq!(first["spoken"], "Tuesday the first of December at one thirty p.m.");
    assert_eq!(first["location"], "the western practice");
    let wish = json!({"start": first["start"], "patient_name": "Jane Miller", "phone": "202-555-0143", "practitioner": "Lovelace"});
    let (read_back, booked) = call.commit("book_appointment", "c1", wish).await;
    let expected =
        "I have Tuesday the first of December at one thirty p.m. with Doctor Ada Lovelace at the western practice, thirty minutes";
    assert!(read_back.starts_with(expected), "{read_back}");
    let booked = done(booked);
    assert_eq!((&booked["start"], &booked["spoken"]), (&first["start"], &first["spoken"]));
    let listed = call.run("list_appointments", json!({"phone": "202-555-0143", "patient_name": "Jane Miller"})).await.unwrap();
    assert_eq!(listed["appointments"][0]["spoken"], first["spoken"]);
    let error = call.run("find_slots", json!({"location": "the moon"})).await.unwrap_err();
    assert!(error.message.contains("expected one of Lake Street, the western practice"), "{}", error.message);
}
