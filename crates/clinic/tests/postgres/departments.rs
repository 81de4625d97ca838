//! Departments, from the configuration to the slot, and what a record says of whom the caller asked for.

use std::sync::Arc;

use frontdesk_agent::CallRecord;
use frontdesk_agent::store::CallStore as _;
use frontdesk_clinic::booking::{BookingWish, RescheduleWish, Settled};
use frontdesk_clinic::config::{DepartmentConfig, Features, import};
use frontdesk_clinic::records::{Purpose, list_calls, show_call};
use frontdesk_clinic::slots::{SlotQuery, When};
use frontdesk_clinic::{ClinicStore, DepartmentId, PgCallStore, PhoneNumber, PractitionerId, Tenant};
use serde_json::{Value, json};

use super::calls::record;
use super::support::{TestDatabase, demo_tenant};
use super::tools::Call;
use super::waiting::waits;
use super::wishes::{at, key, wish};

/// A Wednesday on whose morning both work.
const WEDNESDAY: &str = "2026-12-02T09:00";

fn department(id: &str) -> DepartmentId {
    DepartmentId::new(id).unwrap()
}

/// Doctor Lovelace looks at skin, Doctor Okafor at eyes.
fn tenant() -> Tenant {
    let mut tenant = demo_tenant();
    let named = |id: &str, name: &str, about: &str| DepartmentConfig { id: department(id), name: name.into(), about: vec![about.into()] };
    tenant.departments = vec![named("skin", "Dermatology", "rash"), named("eyes", "Ophthalmology", "glasses")];
    tenant.practitioners[0].department = Some(department("skin"));
    tenant.practitioners[1].department = Some(department("eyes"));
    tenant
}

async fn clinic() -> (TestDatabase, ClinicStore, Arc<Tenant>) {
    let test = TestDatabase::new().await;
    let tenant = Arc::new(tenant());
    import(&test.url, &tenant).await.unwrap();
    let clinic = test.clinic().with_notices(&tenant);
    (test, clinic, tenant)
}

fn okafor() -> PractitionerId {
    PractitionerId::new("dr-okafor").unwrap()
}

#[tokio::test]
async fn whoever_asks_for_a_department_is_offered_and_given_its_people_alone() {
    let (_test, clinic, tenant) = clinic().await;
    let query = SlotQuery {
        when: When::Window(Some(at("2026-12-02T08:00")), Some(at("2026-12-02T18:00"))),
        duration_minutes: 30,
        practitioner: None,
        service: None,
        location: None,
        department: Some(department("eyes")),
    };
    let found = clinic.find_slots("asking", &query).await.unwrap();
    assert!(!found.slots.is_empty() && found.slots.iter().all(|slot| slot.practitioner == okafor()), "{:?}", found.slots);
    // The first in the schedule's order is Doctor Lovelace.
    let anybody = BookingWish { practitioner: None, ..wish(WEDNESDAY, 1) };
    assert_ne!(clinic.prepare_booking("anybody", &anybody).await.unwrap().booking.practitioner, okafor());
    let mut eyes = wish(WEDNESDAY, 2);
    (eyes.practitioner, eyes.department) = (None, Some(department("eyes")));
    assert_eq!(clinic.prepare_booking("eyes", &eyes).await.unwrap().booking.practitioner, okafor());
    // The model names it as the caller does.
    let call = Call::with(&clinic, "tools", (*tenant).clone());
    let found = call.run("find_slots", json!({ "when": "Wednesday", "department": "glasses" })).await.unwrap();
    assert!(found["slots"].as_array().unwrap().iter().all(|slot| slot["practitioner"] == "Doctor Chidi Okafor"), "{found}");
    let error = call.run("find_slots", json!({ "department": "Dentistry" })).await.unwrap_err();
    assert!(error.message.contains("department: got \"Dentistry\", expected one of Dermatology, Ophthalmology"), "{}", error.message);
}

#[tokio::test]
async fn a_moved_appointment_stays_in_its_department() {
    let (_test, clinic, _) = clinic().await;
    let prepared = clinic.prepare_booking("one", &wish(WEDNESDAY, 1)).await.unwrap();
    let Settled::Done(booked) = clinic.commit_booking(&key("one", "c1"), &prepared.booking).await.unwrap() else { panic!() };
    assert_ne!(booked.practitioner, okafor());
    // At four on a Wednesday only Doctor Okafor works: a colleague would do, one of another department does not.
    let wish = RescheduleWish {
        confirmation_code: booked.confirmation_code.clone(),
        phone: wish(WEDNESDAY, 1).phone,
        start: at("2026-12-02T16:00"),
        practitioner: None,
    };
    assert!(clinic.prepare_reschedule("two", &wish).await.is_err());
    let named = RescheduleWish { practitioner: Some(okafor()), ..wish };
    assert_eq!(clinic.prepare_reschedule("two", &named).await.unwrap().reschedule.practitioner, okafor());
}

#[tokio::test]
async fn a_time_that_becomes_free_is_offered_to_nobody_who_waits_for_another_department() {
    let (test, clinic, _) = clinic().await;
    let prepared = clinic.prepare_booking("one", &wish(WEDNESDAY, 1)).await.unwrap();
    let Settled::Done(booked) = clinic.commit_booking(&key("one", "c1"), &prepared.booking).await.unwrap() else { panic!() };
    for (caller, id) in [(2, "eyes"), (3, "skin")] {
        let mut waits = waits(caller, "Wednesday");
        waits.department = Some(department(id));
        let prepared = clinic.prepare_waiting(&waits).await.unwrap();
        clinic.commit_waiting(&key(id, "join"), &prepared.waiting).await.unwrap();
        // Somebody who waits for the one may wait for the other as well, and for each once.
        let again = clinic.commit_waiting(&key(id, "again"), &prepared.waiting).await.unwrap();
        assert!(matches!(again, Settled::Refused(_)), "{again:?}");
    }
    let phone = wish(WEDNESDAY, 1).phone;
    let cancelling = clinic.prepare_cancellation("two", &booked.confirmation_code, &phone).await.unwrap();
    clinic.commit_cancellation(&key("two", "c2"), &cancelling.cancellation).await.unwrap();
    assert_eq!(clinic.waiting_of_call("eyes").await.unwrap()[0].status, "waiting");
    assert_eq!(clinic.waiting_of_call("skin").await.unwrap()[0].status, "offered");
    // One that is gone from the configuration is still waited for, and nobody's.
    import(&test.url, &demo_tenant()).await.unwrap();
    assert_eq!(test.count("SELECT count(*) FROM departments").await, 2);
    assert_eq!(test.count("SELECT count(*) FROM practitioners WHERE department_id IS NOT NULL").await, 0);
}

#[tokio::test]
async fn arguments_that_mean_nothing_at_a_clinic_are_not_offered_to_the_model() {
    let (test, clinic, tenant) = clinic().await;
    let has = |call: &Call, tool: &str, name: &str| call.tools.get(tool).unwrap().parameters()["properties"].get(name).is_some();
    let (with, without) = (Call::with(&clinic, "one", (*tenant).clone()), Call::at(&test.clinic(), "two"));
    for tool in ["find_slots", "book_appointment", "join_waiting_list", "note_intent"] {
        assert_eq!((has(&with, tool, "department"), has(&without, tool, "department")), (true, false), "{tool}");
    }
    assert!(!has(&with, "find_slots", "location"));
}

#[tokio::test]
async fn what_a_clinic_leaves_to_people_has_no_tool_and_the_model_is_told() {
    let (_test, clinic, tenant) = clinic().await;
    let features = Features { booking: false, waiting_list: false, insurance: false, ..Features::default() };
    let tenant = Arc::new(Tenant { features, ..(*tenant).clone() });
    let call = Call::with(&clinic, "one", (*tenant).clone());
    let names: Vec<String> = call.tools.specs().into_iter().map(|spec| spec.name).collect();
    let has = |name: &str| names.iter().any(|one| one == name);
    for gone in ["book_appointment", "join_waiting_list", "leave_waiting_list", "check_insurance_coverage"] {
        assert!(!has(gone), "{gone}: {names:?}");
    }
    for kept in ["find_slots", "reschedule_appointment", "cancel_appointment", "register_patient", "take_message"] {
        assert!(has(kept), "{kept}: {names:?}");
    }
    let told = tenant.conversation_config(chrono::Utc::now(), call.tools.specs()).instructions;
    assert!(told.contains("you do not book appointments, nor use the waiting list, nor say what insurance covers"), "{told}");
}

#[tokio::test]
async fn a_record_tells_what_kind_of_caller_it_was_and_whom_he_asked_for() {
    let (test, clinic, _) = clinic().await;
    // The number of caller 1 becomes known by a booking before these calls.
    let prepared = clinic.prepare_booking("earlier", &wish(WEDNESDAY, 1)).await.unwrap();
    clinic.commit_booking(&key("earlier", "c1"), &prepared.booking).await.unwrap();
    let known = wish(WEDNESDAY, 1).phone;
    let other = PhoneNumber::parse("+12025550777", "1").unwrap();
    let since: chrono::DateTime<chrono::Utc> = sqlx::query_scalar("SELECT now()").fetch_one(&test.admin).await.unwrap();
    for (call_id, number) in [("known", Some(known)), ("strange", Some(other)), ("withheld", None)] {
        let mut record = CallRecord { started_at: since, ended_at: since, ..record(call_id, "demo") };
        record.tools = serde_json::from_value(json!([{
            "name": "find_slots", "arguments": { "practitioner": "Okafor", "department": "eyes" }, "result": {}, "status": "done",
            "start_ms": 1, "duration_ms": 1, "turn": 1,
        }]))
        .unwrap();
        clinic.describe(&mut record);
        PgCallStore::new(clinic.clone()).calling_from(number).finish(&record).await.unwrap();
    }
    // Booked in the call itself from a number that was not known before: new.
    let own = wish("2026-12-02T10:00", 5);
    let prepared = clinic.prepare_booking("books", &own).await.unwrap();
    clinic.commit_booking(&key("books", "c1"), &prepared.booking).await.unwrap();
    let first = CallRecord { started_at: since, ended_at: since, ..record("books", "demo") };
    PgCallStore::new(clinic.clone()).calling_from(Some(own.phone)).finish(&first).await.unwrap();
    let mut kinds: Vec<(String, String)> =
        list_calls(&clinic, None, None, 10).await.unwrap().into_iter().map(|call| (call.call_id, call.caller_type)).collect();
    kinds.sort();
    let kinds: Vec<(&str, &str)> = kinds.iter().map(|(call, kind)| (call.as_str(), kind.as_str())).collect();
    assert_eq!(kinds, [("books", "new"), ("known", "returning"), ("strange", "new"), ("withheld", "unknown")]);
    let masked = show_call(&clinic, "known", None).await.unwrap().unwrap();
    let of = |document: &Value| document["left"]["call_records"][0].clone();
    let asked_for = json!({ "practitioner": ["Doctor Chidi Okafor"], "department": ["Ophthalmology"] });
    assert_eq!((&of(&masked)["caller_type"], &of(&masked)["record"]["asked_for"]), (&json!("returning"), &asked_for));
    assert_eq!(of(&masked)["record"]["summary"].as_str().map(|text| text.contains("Okafor")), Some(false), "masked");
    let purpose: Purpose = "a test".parse().unwrap();
    let whole = show_call(&clinic, "known", Some(&purpose)).await.unwrap().unwrap();
    let summary = of(&whole)["record"]["summary"].as_str().unwrap().to_owned();
    assert!(summary.starts_with("Asked for Ophthalmology, Doctor Chidi Okafor."), "{summary}");
}
