//! Booking and cancelling, alone and in a crowd.

use frontdesk_clinic::booking::{Booked, CommitError, PrepareError, Refusal, Settled};
use frontdesk_clinic::schedule::NotBookable;
use frontdesk_clinic::wording::{English, Wording as _};
use tokio::task::JoinSet;

use super::support::TestDatabase;
use super::wishes::{at, key, refusal, wish};

const SLOT: &str = "2026-12-01T09:00";

fn done(settled: Settled<Booked>) -> Booked {
    match settled {
        Settled::Done(booked) => booked,
        Settled::Refused(refusal) => panic!("{refusal}"),
    }
}

#[tokio::test]
async fn fifty_callers_one_slot_one_booking() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let mut callers = JoinSet::new();
    for caller in 0..50 {
        let clinic = clinic.clone();
        callers.spawn(async move {
            let call = format!("call-{caller}");
            let prepared = clinic.prepare_booking(&call, &wish(SLOT, caller)).await?;
            clinic.commit_booking(&key(&call, "c1"), &prepared.booking).await.map_err(|error| panic!("{error}"))
        });
    }
    let (mut booked, mut taken) = (0, 0);
    while let Some(outcome) = callers.join_next().await {
        match outcome.unwrap() {
            Ok(Settled::Done(_)) => booked += 1,
            Ok(Settled::Refused(Refusal::SlotTaken { alternatives })) | Err(PrepareError::Refused(Refusal::SlotTaken { alternatives })) => {
                taken += 1;
                assert_eq!(alternatives.len(), 3);
                assert!(alternatives.iter().all(|slot| slot.start != at(SLOT)));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((booked, taken), (1, 49));
    assert_eq!(test.count("SELECT count(*) FROM appointments").await, 1);
}

#[tokio::test]
async fn fifty_commits_without_a_hold_make_one_booking() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let prepared = clinic.prepare_booking("call", &wish(SLOT, 0)).await.unwrap();
    sqlx::query("DELETE FROM appointments").execute(&test.admin).await.unwrap();
    let mut callers = JoinSet::new();
    for caller in 0..50 {
        let clinic = clinic.clone();
        let mut booking = prepared.booking.clone();
        booking.phone = wish(SLOT, caller).phone;
        callers.spawn(async move { clinic.commit_booking(&key(&format!("call-{caller}"), "c1"), &booking).await.unwrap() });
    }
    let (mut booked, mut taken) = (0, 0);
    while let Some(outcome) = callers.join_next().await {
        match outcome.unwrap() {
            Settled::Done(_) => booked += 1,
            Settled::Refused(Refusal::SlotTaken { alternatives }) => {
                taken += 1;
                assert_eq!(alternatives.len(), 3);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((booked, taken), (1, 49));
}

#[tokio::test]
async fn the_same_key_ten_times_is_one_booking_and_one_answer() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let prepared = clinic.prepare_booking("call", &wish(SLOT, 1)).await.unwrap();
    let mut repetitions = JoinSet::new();
    for _ in 0..10 {
        let (clinic, booking) = (clinic.clone(), prepared.booking.clone());
        repetitions.spawn(async move { clinic.commit_booking(&key("call", "c1"), &booking).await.unwrap() });
    }
    let mut answers = repetitions.join_all().await;
    for _ in 0..3 {
        answers.push(clinic.commit_booking(&key("call", "c1"), &prepared.booking).await.unwrap());
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    done(answers.remove(0));
    assert_eq!(test.count("SELECT count(*) FROM appointments WHERE status = 'booked'").await, 1);
    assert_eq!(test.count("SELECT count(*) FROM tool_commits").await, 1);
    assert_eq!(test.count("SELECT count(*) FROM audit_events WHERE action = 'appointment.booked'").await, 1);
}

#[tokio::test]
async fn what_was_booked_can_be_read_back() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let mut with_service = wish(SLOT, 1);
    with_service.service = Some(frontdesk_clinic::ServiceCode::new("checkup").unwrap());
    let prepared = clinic.prepare_booking("call", &with_service).await.unwrap();
    assert!(clinic.appointments_of_call("call").await.unwrap().is_empty(), "a hold is no appointment");
    let booked = done(clinic.commit_booking(&key("call", "c1"), &prepared.booking).await.unwrap());
    let found = clinic.appointments_of_call("call").await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id, &found[0].confirmation_code), (booked.appointment, &booked.confirmation_code));
    assert_eq!((found[0].start, found[0].end), (at(SLOT), at("2026-12-01T09:30")));
    assert_eq!(found[0].patient_name.expose(), "Patient Number1");
    assert_eq!((found[0].phone.as_e164(), found[0].service_name.as_deref()), ("+12025550001", Some("check-up")));
    assert_eq!(test.count("SELECT count(*) FROM audit_events WHERE action = 'appointment.read'").await, 1);
}

#[tokio::test]
async fn the_same_key_for_another_request_is_refused() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let prepared = clinic.prepare_booking("call", &wish(SLOT, 1)).await.unwrap();
    done(clinic.commit_booking(&key("call", "c1"), &prepared.booking).await.unwrap());
    let mut other = prepared.booking.clone();
    other.start = at("2026-12-01T10:00");
    let error = clinic.commit_booking(&key("call", "c1"), &other).await.unwrap_err();
    assert_eq!(error, CommitError::KeyReused);
    assert_eq!(test.count("SELECT count(*) FROM appointments").await, 1);
    done(clinic.commit_booking(&key("call", "c2"), &other).await.unwrap());
}

#[tokio::test]
async fn a_refusal_is_as_final_as_a_booking() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let prepared = clinic.prepare_booking("one", &wish(SLOT, 1)).await.unwrap();
    sqlx::query("DELETE FROM appointments").execute(&test.admin).await.unwrap();
    let faster = clinic.prepare_booking("two", &wish(SLOT, 2)).await.unwrap();
    let first = clinic.commit_booking(&key("one", "c1"), &prepared.booking).await.unwrap();
    assert!(matches!(first, Settled::Refused(Refusal::SlotTaken { .. })), "{first:?}");
    // The slot becomes free again, but this caller has been told that it is taken.
    sqlx::query("DELETE FROM appointments").execute(&test.admin).await.unwrap();
    assert_eq!(clinic.commit_booking(&key("one", "c1"), &prepared.booking).await.unwrap(), first);
    done(clinic.commit_booking(&key("two", "c1"), &faster.booking).await.unwrap());
}

#[tokio::test]
async fn a_hold_keeps_others_out_until_it_expires() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let first = clinic.prepare_booking("one", &wish(SLOT, 1)).await.unwrap();
    let refused = refusal(clinic.prepare_booking("two", &wish(SLOT, 2)).await.unwrap_err());
    assert!(matches!(refused, Refusal::SlotTaken { ref alternatives } if alternatives.len() == 3), "{refused:?}");
    sqlx::query("UPDATE appointments SET hold_expires_at = now() - interval '1 second'").execute(&test.admin).await.unwrap();
    let second = clinic.prepare_booking("two", &wish(SLOT, 2)).await.unwrap();
    done(clinic.commit_booking(&key("two", "c1"), &second.booking).await.unwrap());
    let late = clinic.commit_booking(&key("one", "c1"), &first.booking).await.unwrap();
    assert!(matches!(late, Settled::Refused(Refusal::SlotTaken { .. })), "{late:?}");
}

#[tokio::test]
async fn an_expired_hold_is_still_booked_if_nobody_came() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let prepared = clinic.prepare_booking("one", &wish(SLOT, 1)).await.unwrap();
    sqlx::query("UPDATE appointments SET hold_expires_at = now() - interval '1 hour'").execute(&test.admin).await.unwrap();
    done(clinic.commit_booking(&key("one", "c1"), &prepared.booking).await.unwrap());
}

#[tokio::test]
async fn a_call_holds_one_slot_at_a_time() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    clinic.prepare_booking("one", &wish(SLOT, 1)).await.unwrap();
    clinic.prepare_booking("one", &wish("2026-12-01T10:00", 1)).await.unwrap();
    assert_eq!(test.count("SELECT count(*) FROM appointments WHERE status = 'held'").await, 1);
    clinic.prepare_booking("two", &wish(SLOT, 2)).await.unwrap();
    // The same wish again is no conflict with oneself.
    clinic.prepare_booking("two", &wish(SLOT, 2)).await.unwrap();
}

#[tokio::test]
async fn a_patient_is_in_one_place_at_a_time() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    // Wednesday: both work.
    let prepared = clinic.prepare_booking("one", &wish("2026-12-02T09:00", 1)).await.unwrap();
    done(clinic.commit_booking(&key("one", "c1"), &prepared.booking).await.unwrap());
    let mut elsewhere = wish("2026-12-02T09:00", 1);
    elsewhere.practitioner = Some(frontdesk_clinic::PractitionerId::new("dr-okafor").unwrap());
    elsewhere.patient_name = "  patient  NUMBER1 ".to_string().into();
    assert_eq!(refusal(clinic.prepare_booking("two", &elsewhere).await.unwrap_err()), Refusal::PatientBusy);
    // Somebody else of the same household may.
    elsewhere.patient_name = "Somebody Else".to_string().into();
    let prepared = clinic.prepare_booking("two", &elsewhere).await.unwrap();
    done(clinic.commit_booking(&key("two", "c1"), &prepared.booking).await.unwrap());
    assert_eq!(test.count("SELECT count(*) FROM patients").await, 2);
}

#[tokio::test]
async fn anybody_who_is_free_will_do() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let anybody = |caller| {
        let mut wish = wish("2026-12-02T09:00", caller);
        wish.practitioner = None;
        wish
    };
    let first = clinic.prepare_booking("one", &anybody(1)).await.unwrap();
    let second = clinic.prepare_booking("two", &anybody(2)).await.unwrap();
    assert_eq!([first.booking.practitioner.as_str(), second.booking.practitioner.as_str()], ["dr-lovelace", "dr-okafor"]);
    let third = refusal(clinic.prepare_booking("three", &anybody(3)).await.unwrap_err());
    assert!(matches!(third, Refusal::SlotTaken { .. }));
}

#[tokio::test]
async fn times_that_nobody_can_have() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    for (start, expected) in [
        ("2026-11-30T07:30", NotBookable::TooSoon),
        ("2020-01-01T09:00", NotBookable::TooSoon),
        ("2026-12-01T03:00", NotBookable::OutsideHours),
        ("2026-12-25T09:00", NotBookable::ClosedDay),
        ("2026-12-01T12:15", NotBookable::OutsideHours),
        ("2027-12-01T09:00", NotBookable::TooFar),
        ("2026-12-01T09:01", NotBookable::OddMinute),
    ] {
        let refused = refusal(clinic.prepare_booking("one", &wish(start, 1)).await.unwrap_err());
        assert!(matches!(refused, Refusal::NotBookable { reason, .. } if reason == expected), "{start}: {refused:?}");
    }
    assert_eq!(test.count("SELECT count(*) FROM appointments").await, 0);
}

#[tokio::test]
async fn the_read_back_says_everything() {
    let test = TestDatabase::new().await;
    let prepared = test.clinic().prepare_booking("one", &wish(SLOT, 143)).await.unwrap();
    assert_eq!(
        English.booking(&prepared, "1"),
        "I have Tuesday the first of December at nine a.m. with Doctor Ada Lovelace, thirty minutes, for Patient Number143, \
         telephone number two zero two, five five five, zero one four three. Shall I book that?"
    );
}

#[tokio::test]
async fn cancelling_needs_code_and_number_and_frees_the_slot() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let prepared = clinic.prepare_booking("one", &wish(SLOT, 1)).await.unwrap();
    let booked = done(clinic.commit_booking(&key("one", "c1"), &prepared.booking).await.unwrap());
    let (code, phone) = (booked.confirmation_code.as_str(), wish(SLOT, 1).phone);
    let strangers = clinic.prepare_cancellation("two", code, &wish(SLOT, 2).phone).await.unwrap_err();
    assert_eq!(refusal(strangers), Refusal::NotFound);
    assert_eq!(refusal(clinic.prepare_cancellation("two", "222222", &phone).await.unwrap_err()), Refusal::NotFound);
    let spelled = code.to_lowercase().chars().map(|c| format!("{c} ")).collect::<String>();
    let prepared = clinic.prepare_cancellation("two", &spelled, &phone).await.unwrap();
    let read_back = English.cancellation(&prepared);
    assert!(read_back.ends_with("Doctor Ada Lovelace. Shall I do that?"), "{read_back}");
    assert_eq!(test.count("SELECT count(*) FROM appointments WHERE status = 'booked'").await, 1);
    let first = clinic.commit_cancellation(&key("two", "c1"), &prepared.cancellation).await.unwrap();
    assert!(matches!(first, Settled::Done(_)), "{first:?}");
    assert_eq!(clinic.commit_cancellation(&key("two", "c1"), &prepared.cancellation).await.unwrap(), first);
    let again = clinic.commit_cancellation(&key("two", "c2"), &prepared.cancellation).await.unwrap();
    assert_eq!(again, Settled::Refused(Refusal::AlreadyCancelled));
    assert_eq!(refusal(clinic.prepare_cancellation("two", code, &phone).await.unwrap_err()), Refusal::AlreadyCancelled);
    clinic.prepare_booking("three", &wish(SLOT, 3)).await.unwrap();
}
