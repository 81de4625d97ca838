//! The waiting list: joined once, offered in order, passed on, left.

use frontdesk_clinic::booking::{Booked, Refusal, RescheduleWish, Settled};
use frontdesk_clinic::schedule::when::Phrase;
use frontdesk_clinic::waiting::{Leaving, WaitingEntry, WaitingError, WaitingWish};
use frontdesk_clinic::wording::{English, Wording as _};
use frontdesk_clinic::{ClinicStore, Clock, PractitionerId, ServiceCode};
use serde_json::json;

use super::support::TestDatabase;
use super::tools::{Call, done};
use super::wishes::{at, key, refusal, wish};

const TUESDAY: &str = "2026-12-01T09:00";

pub(crate) fn waits(caller: usize, when: &str) -> WaitingWish {
    let like = wish(TUESDAY, caller);
    let when = Phrase::read(when).unwrap();
    WaitingWish {
        patient_name: like.patient_name,
        phone: like.phone,
        practitioner: None,
        service: None,
        department: None,
        duration_minutes: 30,
        when,
    }
}

async fn join(clinic: &ClinicStore, call: &str, wish: &WaitingWish) {
    let prepared = clinic.prepare_waiting(wish).await.unwrap();
    let settled = clinic.commit_waiting(&key(call, "join"), &prepared.waiting).await.unwrap();
    assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
}

async fn book(clinic: &ClinicStore, call: &str, start: &str, caller: usize) -> Booked {
    let prepared = clinic.prepare_booking(call, &wish(start, caller)).await.unwrap();
    match clinic.commit_booking(&key(call, "book"), &prepared.booking).await.unwrap() {
        Settled::Done(booked) => booked,
        Settled::Refused(refusal) => panic!("{refusal}"),
    }
}

async fn cancel(clinic: &ClinicStore, call: &str, booked: &Booked, caller: usize) {
    let phone = wish(TUESDAY, caller).phone;
    let prepared = clinic.prepare_cancellation(call, &booked.confirmation_code, &phone).await.unwrap();
    for _ in 0..3 {
        let settled = clinic.commit_cancellation(&key(call, "cancel"), &prepared.cancellation).await.unwrap();
        assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
    }
}

async fn entry(clinic: &ClinicStore, call: &str) -> WaitingEntry {
    clinic.waiting_of_call(call).await.unwrap().remove(0)
}

#[tokio::test]
async fn an_entry_is_made_once_however_often_it_is_confirmed() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let prepared = clinic.prepare_waiting(&waits(1, "tomorrow morning")).await.unwrap();
    assert_eq!(
        English.joining(&prepared, "1"),
        "I will put Patient Number1 on the waiting list for a time on Tuesday the first of December, before noon, telephone \
         number two zero two, five five five, zero zero zero one. Shall I do that?"
    );
    let settled = clinic.commit_waiting(&key("one", "c1"), &prepared.waiting).await.unwrap();
    assert_eq!(clinic.commit_waiting(&key("one", "c1"), &prepared.waiting).await.unwrap(), settled);
    assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
    // Another call, the same days: he stands in the queue already.
    let again = clinic.commit_waiting(&key("two", "c1"), &prepared.waiting).await.unwrap();
    assert_eq!(again, Settled::Refused(Refusal::AlreadyWaiting));
    let mut other = waits(1, "tomorrow morning");
    other.practitioner = Some(PractitionerId::new("dr-lovelace").unwrap());
    join(&clinic, "three", &other).await;
    assert_eq!(test.count("SELECT count(*) FROM waiting_list").await, 2);
    assert_eq!(test.count("SELECT count(*) FROM patients").await, 1);
}

#[tokio::test]
async fn days_on_which_nobody_works_are_not_waited_for() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let sunday = clinic.prepare_waiting(&waits(1, "Sunday")).await.unwrap_err();
    assert!(matches!(sunday, WaitingError::NotOffered(_)), "{sunday:?}");
    let call = Call::at(&clinic, "one");
    let join = call.tools.get("join_waiting_list").unwrap();
    let arguments = json!({"patient_name": "Jane Miller", "when": "not on Tuesday"});
    let error = join.prepare(&call.context, arguments).await.unwrap_err();
    assert!(error.message.starts_with("when: got \"not on Tuesday\""), "{}", error.message);
}

#[tokio::test]
async fn a_cancelled_time_goes_to_whoever_has_waited_longest_for_such_a_time() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let booked = book(&clinic, "booked", TUESDAY, 1).await;
    join(&clinic, "afternoon", &waits(2, "tomorrow afternoon")).await;
    let mut okafor = waits(3, "tomorrow");
    okafor.practitioner = Some(PractitionerId::new("dr-okafor").unwrap());
    // On Tuesdays he does not work, so the week is waited for.
    okafor.when = Phrase::read("this week").unwrap();
    join(&clinic, "okafor", &okafor).await;
    let mut long = waits(4, "tomorrow morning");
    (long.service, long.duration_minutes) = (Some(ServiceCode::new("consultation").unwrap()), 60);
    join(&clinic, "long", &long).await;
    join(&clinic, "himself", &waits(1, "tomorrow morning")).await;
    join(&clinic, "first", &waits(5, "tomorrow morning")).await;
    join(&clinic, "second", &waits(6, "this week")).await;
    cancel(&clinic, "cancels", &booked, 1).await;
    let statuses = "SELECT count(*) FROM waiting_list WHERE status = 'offered'";
    assert_eq!(test.count(statuses).await, 1, "one time, one offer, though it was confirmed three times");
    let offered = entry(&clinic, "first").await;
    assert_eq!((offered.status.as_str(), offered.offers), ("offered", 1));
    assert_eq!(offered.offered, Some((booked.practitioner.clone(), at(TUESDAY))));
    // The staff is told whom to call.
    let messages = clinic.messages_of_call("cancels").await.unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].phone, Some(wish(TUESDAY, 5).phone));
    assert!(messages[0].text.expose().contains("Tuesday the first of December at nine a.m. with Doctor Ada Lovelace"));
    // He calls and books it: served.
    book(&clinic, "books", TUESDAY, 5).await;
    assert_eq!(entry(&clinic, "first").await.status, "booked");
    assert_eq!(entry(&clinic, "second").await.status, "waiting");
}

#[tokio::test]
async fn a_moved_appointments_old_time_is_offered_and_one_that_still_covers_it_is_not() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let booked = book(&clinic, "booked", TUESDAY, 1).await;
    join(&clinic, "waits", &waits(2, "tomorrow morning")).await;
    let move_to = async |call: &str, start: &str| {
        let phone = wish(TUESDAY, 1).phone;
        let wanted = RescheduleWish { confirmation_code: booked.confirmation_code.clone(), phone, start: at(start), practitioner: None };
        let prepared = clinic.prepare_reschedule(call, &wanted).await.unwrap();
        let settled = clinic.commit_reschedule(&key(call, "c1"), &prepared.reschedule).await.unwrap();
        assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
    };
    move_to("a quarter later", "2026-12-01T09:15").await;
    assert_eq!(entry(&clinic, "waits").await.status, "waiting", "half of it is still taken");
    move_to("two days later", "2026-12-03T09:00").await;
    let offered = entry(&clinic, "waits").await;
    assert_eq!((offered.status.as_str(), offered.offered.map(|(_, start)| start)), ("offered", Some(at("2026-12-01T09:15"))));
}

#[tokio::test]
async fn an_offer_that_nobody_took_goes_on_to_the_next() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let thursday = "2026-12-03T09:00";
    let booked = book(&clinic, "booked", thursday, 1).await;
    join(&clinic, "first", &waits(2, "Thursday")).await;
    join(&clinic, "second", &waits(3, "Thursday")).await;
    cancel(&clinic, "cancels", &booked, 1).await;
    let status = async |clinic: &ClinicStore| (entry(clinic, "first").await.status, entry(clinic, "second").await.status);
    assert_eq!(status(&clinic).await, ("offered".into(), "waiting".into()));
    clinic.tidy_waiting_list().await.unwrap();
    assert_eq!(status(&clinic).await, ("offered".into(), "waiting".into()), "it is not over yet");
    let later = test.clinic().with_clock(Clock::Fixed(at("2026-12-01T08:00")));
    for _ in 0..2 {
        later.tidy_waiting_list().await.unwrap();
        assert_eq!(status(&later).await, ("waiting".into(), "offered".into()));
    }
    assert_eq!(later.messages_of_call("waiting-list").await.unwrap().len(), 1);
    // The day after, the days that were waited for are over.
    let over = test.clinic().with_clock(Clock::Fixed(at("2026-12-04T08:00")));
    over.tidy_waiting_list().await.unwrap();
    assert_eq!(status(&over).await, ("expired".into(), "expired".into()));
}

#[tokio::test]
async fn a_patient_leaves_the_list_with_two_things_that_match() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let booked = book(&clinic, "booked", TUESDAY, 1).await;
    join(&clinic, "waits", &waits(2, "tomorrow")).await;
    let like = wish(TUESDAY, 2);
    let leaving = Leaving { patient_name: like.patient_name, phone: like.phone };
    let wrong = Leaving { phone: wish(TUESDAY, 3).phone, ..leaving.clone() };
    assert_eq!(refusal(clinic.prepare_leaving("leaves", &wrong).await.unwrap_err()), Refusal::NotWaiting);
    assert_eq!(test.count("SELECT count(*) FROM audit_events WHERE action = 'identification.failed'").await, 1);
    let prepared = clinic.prepare_leaving("leaves", &leaving).await.unwrap();
    let settled = clinic.commit_leaving(&key("leaves", "c1"), &prepared.leaving).await.unwrap();
    assert_eq!(clinic.commit_leaving(&key("leaves", "c1"), &prepared.leaving).await.unwrap(), settled);
    assert!(matches!(settled, Settled::Done(ref left) if left.entries == 1), "{settled:?}");
    cancel(&clinic, "cancels", &booked, 1).await;
    assert_eq!(entry(&clinic, "waits").await.status, "left");
    assert_eq!(test.count("SELECT count(*) FROM messages").await, 0);
}

#[tokio::test]
async fn the_model_joins_and_leaves_for_the_caller() {
    let test = TestDatabase::new().await;
    let call = Call::at(&test.clinic(), "one");
    let arguments =
        json!({"patient_name": "Jane Miller", "when": "next week in the morning", "service": "check-up", "practitioner": "Lovelace"});
    let (read_back, outcome) = call.commit("join_waiting_list", "c1", arguments).await;
    // The number that he calls from is his.
    assert!(read_back.contains("with Doctor Ada Lovelace") && read_back.contains("zero one nine nine"), "{read_back}");
    assert_eq!(done(outcome)["on_the_list"], true);
    let (read_back, outcome) = call.commit("leave_waiting_list", "c2", json!({"patient_name": "jane miller"})).await;
    assert_eq!(read_back, "I will take jane miller off the waiting list. Shall I do that?");
    assert_eq!(done(outcome)["on_the_list"], false);
}
