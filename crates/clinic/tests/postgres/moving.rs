//! Moving an appointment, and telling callers theirs.

use chrono::DateTime;
use frontdesk_agent::Pii;
use frontdesk_clinic::booking::{Booked, CommitError, Refusal, RescheduleWish, Rescheduled, SecondFactor, Settled};
use frontdesk_clinic::schedule::NotBookable;
use frontdesk_clinic::wording::{English, Wording as _};
use frontdesk_clinic::{ClinicStore, Clock, PractitionerId};
use serde_json::json;
use tokio::task::JoinSet;

use super::support::TestDatabase;
use super::tools::{Call, done};
use super::wishes::{at, key, refusal, wish};

const OLD: &str = "2026-12-01T09:00";
const NEW: &str = "2026-12-03T10:30";
const BOOKED: &str = "SELECT count(*) FROM appointments WHERE status = 'booked'";
const MOVED: &str = "SELECT count(*) FROM audit_events WHERE action = 'appointment.moved'";

async fn book(clinic: &ClinicStore, call: &str, start: &str, caller: usize) -> Booked {
    let prepared = clinic.prepare_booking(call, &wish(start, caller)).await.unwrap();
    match clinic.commit_booking(&key(call, "book"), &prepared.booking).await.unwrap() {
        Settled::Done(booked) => booked,
        Settled::Refused(refusal) => panic!("{refusal}"),
    }
}

/// The n-th caller wants his appointment moved there.
fn to(start: &str, booked: &Booked, caller: usize) -> RescheduleWish {
    let confirmation_code = booked.confirmation_code.clone();
    RescheduleWish { confirmation_code, phone: wish(OLD, caller).phone, start: at(start), practitioner: None }
}

fn moved(settled: Settled<Rescheduled>) -> Rescheduled {
    match settled {
        Settled::Done(moved) => moved,
        Settled::Refused(refusal) => panic!("{refusal}"),
    }
}

#[tokio::test]
async fn an_appointment_moves_and_keeps_its_code() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let booked = book(&clinic, "one", OLD, 1).await;
    let prepared = clinic.prepare_reschedule("two", &to(NEW, &booked, 1)).await.unwrap();
    assert_eq!(
        English.reschedule(&prepared),
        "I will move the appointment on Tuesday the first of December at nine a.m. with Doctor Ada Lovelace to Thursday the third of \
         December at ten thirty a.m. with Doctor Ada Lovelace. Shall I do that?"
    );
    // As yet the old time is the patient's, and the new one is kept for him.
    for start in [OLD, NEW] {
        assert!(matches!(refusal(clinic.prepare_booking("three", &wish(start, 3)).await.unwrap_err()), Refusal::SlotTaken { .. }));
    }
    let settled = clinic.commit_reschedule(&key("two", "c1"), &prepared.reschedule).await.unwrap();
    assert_eq!(clinic.commit_reschedule(&key("two", "c1"), &prepared.reschedule).await.unwrap(), settled, "asked again");
    let moved = moved(settled);
    assert_eq!((moved.appointment, &moved.confirmation_code), (booked.appointment, &booked.confirmation_code));
    assert_eq!((moved.from, moved.start, moved.duration_minutes), (at(OLD), at(NEW), 30));
    assert_eq!((test.count("SELECT count(*) FROM appointments").await, test.count(MOVED).await), (1, 1));
    book(&clinic, "three", OLD, 3).await;
    // The code opens the new time, and another number does not.
    let cancel = clinic.prepare_cancellation("four", &booked.confirmation_code, &wish(OLD, 1).phone).await.unwrap();
    let read_back = English.cancellation(&cancel);
    assert!(read_back.contains("Thursday the third of December"), "{read_back}");
}

#[tokio::test]
async fn somebody_elses_appointment_is_neither_found_nor_moved() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let booked = book(&clinic, "one", OLD, 1).await;
    assert_eq!(refusal(clinic.prepare_reschedule("two", &to(NEW, &booked, 2)).await.unwrap_err()), Refusal::NotFound);
    let mut unknown = to(NEW, &booked, 1);
    unknown.confirmation_code = "222222".into();
    assert_eq!(refusal(clinic.prepare_reschedule("two", &unknown).await.unwrap_err()), Refusal::NotFound);
    // Neither is it if somebody makes up what was prepared.
    let mut prepared = clinic.prepare_reschedule("one", &to(NEW, &booked, 1)).await.unwrap().reschedule;
    prepared.phone = wish(OLD, 2).phone;
    assert_eq!(clinic.commit_reschedule(&key("two", "c1"), &prepared).await.unwrap(), Settled::Refused(Refusal::NotFound));
    assert_eq!(test.count(MOVED).await, 0);
}

#[tokio::test]
async fn a_slot_that_somebody_has_leaves_the_old_time_alone() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let booked = book(&clinic, "one", OLD, 1).await;
    book(&clinic, "two", NEW, 2).await;
    let taken = refusal(clinic.prepare_reschedule("three", &to(NEW, &booked, 1)).await.unwrap_err());
    assert!(matches!(taken, Refusal::SlotTaken { ref alternatives } if alternatives.len() == 3), "{taken:?}");
    // Held in time, and lost after the hold ran out.
    let prepared = clinic.prepare_reschedule("three", &to("2026-12-03T11:00", &booked, 1)).await.unwrap();
    sqlx::query("UPDATE appointments SET hold_expires_at = now() - interval '1 s' WHERE status = 'held'")
        .execute(&test.admin)
        .await
        .unwrap();
    book(&clinic, "four", "2026-12-03T11:00", 4).await;
    let late = clinic.commit_reschedule(&key("three", "c1"), &prepared.reschedule).await.unwrap();
    let Settled::Refused(Refusal::SlotTaken { alternatives }) = &late else { panic!("{late:?}") };
    assert_eq!(alternatives.len(), 3);
    assert_eq!(clinic.commit_reschedule(&key("three", "c1"), &prepared.reschedule).await.unwrap(), late, "a refusal is final");
    let second = SecondFactor::Code(booked.confirmation_code.clone());
    let mine = clinic.upcoming_appointments("three", &wish(OLD, 1).phone, &second).await.unwrap();
    assert_eq!(mine.iter().map(|one| one.start).collect::<Vec<_>>(), [at(OLD)]);
}

#[tokio::test]
async fn whoever_is_free_takes_it_over_unless_somebody_in_particular_is_wanted() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let booked = book(&clinic, "one", OLD, 1).await;
    // On Fridays at half past two only Doctor Okafor works.
    let friday = "2026-12-04T14:30";
    let mut same = to(friday, &booked, 1);
    same.practitioner = Some(booked.practitioner.clone());
    let refused = refusal(clinic.prepare_reschedule("two", &same).await.unwrap_err());
    assert!(matches!(refused, Refusal::NotBookable { reason: NotBookable::OutsideHours, .. }), "{refused:?}");
    let prepared = clinic.prepare_reschedule("two", &to(friday, &booked, 1)).await.unwrap();
    assert_eq!(prepared.practitioner_name, "Doctor Chidi Okafor");
    let read_back = English.reschedule(&prepared);
    assert!(read_back.contains("two thirty p.m. with Doctor Chidi Okafor"), "{read_back}");
    let moved = moved(clinic.commit_reschedule(&key("two", "c1"), &prepared.reschedule).await.unwrap());
    assert_eq!((moved.practitioner.as_str(), moved.start), ("dr-okafor", at(friday)));
    // Both work on Wednesday at nine; whom he has now stays, unless he is taken.
    let wednesday = "2026-12-02T09:00";
    let stays = clinic.prepare_reschedule("three", &to(wednesday, &booked, 1)).await.unwrap();
    assert_eq!(stays.reschedule.practitioner.as_str(), "dr-okafor");
    let mut taken = wish(wednesday, 2);
    taken.practitioner = Some(PractitionerId::new("dr-okafor").unwrap());
    sqlx::query("DELETE FROM appointments WHERE status = 'held'").execute(&test.admin).await.unwrap();
    let prepared = clinic.prepare_booking("four", &taken).await.unwrap();
    clinic.commit_booking(&key("four", "c1"), &prepared.booking).await.unwrap();
    let other = clinic.prepare_reschedule("three", &to(wednesday, &booked, 1)).await.unwrap();
    assert_eq!(other.reschedule.practitioner.as_str(), "dr-lovelace");
    // Who does not offer the service does not take it over.
    sqlx::raw_sql(
        "UPDATE practitioners SET offers_all_services = false WHERE practitioner_id = 'dr-okafor';
         UPDATE appointments SET service_code = 'checkup' WHERE status = 'booked' AND call_id = 'one'",
    )
    .execute(&test.admin)
    .await
    .unwrap();
    let refused = refusal(clinic.prepare_reschedule("five", &to("2026-12-04T15:00", &booked, 1)).await.unwrap_err());
    assert!(matches!(refused, Refusal::NotBookable { reason: NotBookable::OutsideHours, .. }), "{refused:?}");
}

#[tokio::test]
async fn times_that_it_cannot_be_moved_to() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let booked = book(&clinic, "one", OLD, 1).await;
    let refused = async |wish: RescheduleWish| refusal(clinic.prepare_reschedule("two", &wish).await.unwrap_err());
    assert_eq!(refused(to(OLD, &booked, 1)).await, Refusal::SameTime);
    let closed = refused(to("2026-12-25T09:00", &booked, 1)).await;
    assert!(matches!(closed, Refusal::NotBookable { reason: NotBookable::ClosedDay, .. }), "{closed:?}");
    // The patient is with the other doctor then.
    let mut elsewhere = wish("2026-12-02T09:00", 1);
    elsewhere.practitioner = Some(PractitionerId::new("dr-okafor").unwrap());
    let prepared = clinic.prepare_booking("three", &elsewhere).await.unwrap();
    clinic.commit_booking(&key("three", "c1"), &prepared.booking).await.unwrap();
    assert_eq!(refused(to("2026-12-02T09:00", &booked, 1)).await, Refusal::PatientBusy);
    // It has begun, or was cancelled.
    let late = test.clinic().with_clock(Clock::Fixed(at("2026-12-01T09:10")));
    let error = late.prepare_reschedule("two", &to(NEW, &booked, 1)).await.unwrap_err();
    assert_eq!(refusal(error), Refusal::Past);
    let cancel = clinic.prepare_cancellation("two", &booked.confirmation_code, &wish(OLD, 1).phone).await.unwrap();
    let prepared = clinic.prepare_reschedule("five", &to(NEW, &booked, 1)).await.unwrap();
    clinic.commit_cancellation(&key("two", "c9"), &cancel.cancellation).await.unwrap();
    assert_eq!(refused(to(NEW, &booked, 1)).await, Refusal::AlreadyCancelled);
    let settled = clinic.commit_reschedule(&key("five", "c1"), &prepared.reschedule).await.unwrap();
    assert_eq!(settled, Settled::Refused(Refusal::AlreadyCancelled));
}

/// By a quarter of an hour, later and earlier, and to the other doctor at the same hour: its own time is in nobody's way.
#[tokio::test]
async fn an_appointment_may_overlap_its_former_self() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let booked = book(&clinic, "one", "2026-12-02T09:00", 1).await;
    let mut whom = None;
    for (number, start) in ["2026-12-02T09:15", "2026-12-02T08:45", "2026-12-02T09:05"].into_iter().enumerate() {
        let mut wish = to(start, &booked, 1);
        if number == 1 {
            whom = Some(PractitionerId::new("dr-okafor").unwrap());
        }
        wish.practitioner.clone_from(&whom);
        let call = format!("move-{number}");
        let prepared = clinic.prepare_reschedule(&call, &wish).await.unwrap();
        // What lies between is kept for him as well.
        let mut other = super::wishes::wish(start, 7);
        other.practitioner.clone_from(&wish.practitioner.clone().or(Some(PractitionerId::new("dr-lovelace").unwrap())));
        assert!(clinic.prepare_booking("other", &other).await.is_err());
        moved(clinic.commit_reschedule(&key(&call, "c1"), &prepared.reschedule).await.unwrap());
        assert_eq!(test.count("SELECT count(*) FROM appointments").await, 1, "the hold is gone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_calls_move_the_same_appointment_and_one_learns_that_it_was_changed() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let booked = book(&clinic, "one", OLD, 1).await;
    let mut prepared = Vec::new();
    for (number, start) in ["2026-12-03T10:30", "2026-12-03T11:00", "2026-12-03T11:30", "2026-12-03T12:00"].into_iter().enumerate() {
        let call = format!("move-{number}");
        let reschedule = clinic.prepare_reschedule(&call, &to(start, &booked, 1)).await.unwrap().reschedule;
        prepared.push((call, reschedule));
    }
    let mut calls = JoinSet::new();
    for (call, reschedule) in prepared {
        let clinic = clinic.clone();
        calls.spawn(async move { clinic.commit_reschedule(&key(&call, "c1"), &reschedule).await.unwrap() });
    }
    let mut outcomes = calls.join_all().await;
    outcomes.sort_by_key(|outcome| matches!(outcome, Settled::Refused(_)));
    assert!(matches!(outcomes[0], Settled::Done(_)), "{outcomes:?}");
    assert!(outcomes[1..].iter().all(|outcome| *outcome == Settled::Refused(Refusal::ChangedMeanwhile)), "{outcomes:?}");
    assert_eq!((test.count(BOOKED).await, test.count(MOVED).await), (1, 1));
}

#[tokio::test]
async fn the_same_key_for_another_move_is_refused() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let booked = book(&clinic, "one", OLD, 1).await;
    let prepared = clinic.prepare_reschedule("one", &to(NEW, &booked, 1)).await.unwrap();
    moved(clinic.commit_reschedule(&key("one", "c1"), &prepared.reschedule).await.unwrap());
    let mut other = prepared.reschedule;
    other.start = DateTime::from_timestamp(other.start.timestamp() + 3600, 0).unwrap();
    assert_eq!(clinic.commit_reschedule(&key("one", "c1"), &other).await.unwrap_err(), CommitError::KeyReused);
}

#[tokio::test]
async fn callers_are_told_their_own_appointments_and_no_others() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    book(&clinic, "late", "2026-12-08T09:00", 1).await;
    let booked = book(&clinic, "early", OLD, 1).await;
    book(&clinic, "others", "2026-12-01T10:00", 2).await;
    let name = |text: &str| SecondFactor::Name(Pii::from(text.to_string()));
    let phone = |caller| wish(OLD, caller).phone;
    let mine = clinic.upcoming_appointments("a", &phone(1), &name(" patient NUMBER1")).await.unwrap();
    assert_eq!(mine.iter().map(|one| one.start).collect::<Vec<_>>(), [at(OLD), at("2026-12-08T09:00")]);
    let code = SecondFactor::Code(booked.confirmation_code.to_lowercase());
    assert_eq!(clinic.upcoming_appointments("b", &phone(1), &code).await.unwrap(), mine);
    let told = "SELECT count(*) FROM audit_events WHERE action = 'appointment.read' AND call_id IN ('a', 'b')";
    assert_eq!(test.count(told).await, 4);
    // Name and number of different people, a name alone known, a code with another's number.
    for (caller, second) in [(2, name("Patient Number1")), (9, name("Patient Number1")), (2, code.clone())] {
        let error = clinic.upcoming_appointments("c", &phone(caller), &second).await.unwrap_err();
        assert_eq!(refusal(error), Refusal::UnknownPatient);
    }
    // What is past or cancelled is not to come.
    let cancel = clinic.prepare_cancellation("d", &booked.confirmation_code, &phone(1)).await.unwrap();
    clinic.commit_cancellation(&key("d", "c1"), &cancel.cancellation).await.unwrap();
    assert_eq!(clinic.upcoming_appointments("d", &phone(1), &code).await.unwrap(), mine[1..]);
    let later = test.clinic().with_clock(Clock::Fixed(at("2026-12-08T09:30")));
    assert_eq!(later.upcoming_appointments("d", &phone(1), &code).await.unwrap(), []);
}

#[tokio::test]
async fn whoever_guesses_is_told_nothing_any_more() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let booked = book(&clinic, "one", OLD, 1).await;
    let (right, wrong) = (wish(OLD, 1).phone, wish(OLD, 2).phone);
    let code = &booked.confirmation_code;
    for number in 0..6 {
        let second = SecondFactor::Code(code.clone());
        let error = match number % 3 {
            0 => clinic.upcoming_appointments("two", &wrong, &second).await.map(|_| ()).unwrap_err(),
            1 => clinic.prepare_cancellation("two", code, &wrong).await.map(|_| ()).unwrap_err(),
            _ => clinic.prepare_reschedule("two", &to(NEW, &booked, 2)).await.map(|_| ()).unwrap_err(),
        };
        assert!(matches!(refusal(error), Refusal::NotFound | Refusal::UnknownPatient));
    }
    assert_eq!(refusal(clinic.prepare_cancellation("two", code, &right).await.unwrap_err()), Refusal::TooManyAttempts);
    assert_eq!(refusal(clinic.prepare_reschedule("two", &to(NEW, &booked, 1)).await.unwrap_err()), Refusal::TooManyAttempts);
    // Another call begins anew.
    clinic.prepare_cancellation("three", code, &right).await.unwrap();
}

#[tokio::test]
async fn the_tools_move_and_list() {
    let test = TestDatabase::new().await;
    let call = Call::at(&test.clinic(), "one");
    let wish = json!({"start": OLD, "patient_name": "Jane Miller", "phone": "202-555-0143", "service": "checkup"});
    let booked = done(call.commit("book_appointment", "c1", wish).await.1);
    let code = booked["confirmation_code"].as_str().unwrap();
    let arguments = json!({"confirmation_code": code, "phone": "202-555-0143", "start": NEW});
    let (read_back, outcome) = call.commit("reschedule_appointment", "c2", arguments.clone()).await;
    assert!(read_back.starts_with("I will move the appointment on Tuesday the first of December at nine a.m."), "{read_back}");
    let moved = done(outcome);
    assert_eq!(moved["confirmation_code"], booked["confirmation_code"]);
    assert_eq!(moved["spoken"], "Thursday the third of December at ten thirty a.m.");
    assert_eq!(moved["spoken_before"], "Tuesday the first of December at nine a.m.");
    let again = call.tools.get("reschedule_appointment").unwrap().prepare(&call.context, arguments).await.unwrap_err();
    assert_eq!(again.code, "same_time");
    let listed = call.run("list_appointments", json!({"phone": "202-555-0143", "patient_name": "jane miller"})).await.unwrap();
    let only = json!({"start": NEW, "duration_minutes": 30, "practitioner": "Doctor Ada Lovelace", "service": "check-up",
                      "spoken": "Thursday the third of December at ten thirty a.m."});
    assert_eq!(listed, json!({"appointments": [only]}));
    let error = call.run("list_appointments", json!({"phone": "202-555-0143"})).await.unwrap_err();
    assert!(error.message.starts_with("patient_name: got"), "{}", error.message);
    let error = call.run("list_appointments", json!({"phone": "202-555-0143", "patient_name": "John Miller"})).await.unwrap_err();
    assert_eq!(error.code, "unknown_patient");
}
