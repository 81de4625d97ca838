//! Patients: registered once, identified by two things, told nothing.

use chrono::NaiveDate;
use frontdesk_agent::EmailAddress;
use frontdesk_clinic::booking::{CommitError, Refusal, Settled};
use frontdesk_clinic::patients::{CallerKind, Factors, Intake, Registered, Registration, Standing};
use frontdesk_clinic::wording::{English, Wording as _};
use frontdesk_clinic::{ClinicStore, PhoneNumber, Tenant};
use serde_json::json;
use tokio::task::JoinSet;

use super::support::{TestDatabase, demo_tenant};
use super::tools::{Call, done};
use super::wishes::{key, refusal, wish};

fn phone(number: &str) -> PhoneNumber {
    PhoneNumber::parse(number, "1").unwrap()
}

pub(crate) fn registration(name: &str, number: &str, year: i32) -> Registration {
    let intake = Intake {
        date_of_birth: NaiveDate::from_ymd_opt(year, 5, 3).unwrap(),
        email: Some(EmailAddress::parse("canary.mail@example.com").unwrap()),
        reason: Some("canary reason".into()),
        allergies: Some("canary allergy".into()),
        prescriptions: None,
        conditions: Some("canary condition".into()),
        last_visit: None,
        preferred_practitioner: None,
        department: None,
        language: None,
        notes: Some(" my number is 123-45-6789 ".into()),
    };
    Registration { patient_name: name.to_string().into(), phone: phone(number), intake: intake.into() }
}

pub(crate) async fn register(clinic: &ClinicStore, call: &str, wish: &Registration) -> Registered {
    let prepared = clinic.prepare_registration(call, wish).await.unwrap();
    match clinic.commit_registration(&key(call, "register"), &prepared.registration).await.unwrap() {
        Settled::Done(registered) => registered,
        Settled::Refused(refusal) => panic!("{refusal}"),
    }
}

const PATIENTS: &str = "SELECT count(*) FROM patients";

#[tokio::test]
async fn a_registration_is_kept_once_however_often_it_is_confirmed() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let prepared = clinic.prepare_registration("one", &registration(" Jane  Miller ", "2025550143", 1981)).await.unwrap();
    assert!(English.registration(&prepared, "1").starts_with("I will register Jane Miller, born on the third of May nineteen eighty-one"));
    assert_eq!(test.count(PATIENTS).await, 0, "nothing before the yes");
    let settled = clinic.commit_registration(&key("one", "c1"), &prepared.registration).await.unwrap();
    let Settled::Done(registered) = &settled else { panic!("{settled:?}") };
    assert_eq!(registered.standing, Standing::New);
    for _ in 0..3 {
        assert_eq!(clinic.commit_registration(&key("one", "c1"), &prepared.registration).await.unwrap(), settled);
    }
    let mut other = prepared.registration.clone();
    other.patient_name = "Somebody Else".to_string().into();
    assert!(matches!(clinic.commit_registration(&key("one", "c1"), &other).await, Err(CommitError::KeyReused)));
    assert_eq!(test.count(PATIENTS).await, 1);
    let kept = clinic.patients_of_call("one").await.unwrap().remove(0);
    assert_eq!((kept.name.expose().as_str(), kept.caller_type.as_str()), ("Jane Miller", "new"));
    let intake = kept.intake.unwrap().into_inner();
    assert_eq!(intake.notes.as_deref(), Some("my number is ***-**-6789"));
    assert_eq!(intake.allergies.as_deref(), Some("canary allergy"));
}

#[tokio::test]
async fn nobody_is_there_twice() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let jane = registration("Jane Miller", "2025550143", 1981);
    let first = register(&clinic, "one", &jane).await;
    // The same name and number, or the same name and date of birth: the same patient, of whom nothing is changed.
    let mut again = jane.clone();
    let mut other = again.intake.into_inner();
    other.allergies = Some("overwritten".into());
    again.intake = other.into();
    for (call, number) in [("two", "2025550143"), ("three", "2025550199")] {
        let known = register(&clinic, call, &Registration { phone: phone(number), ..again.clone() }).await;
        assert_eq!(known, Registered { patient: first.patient, standing: Standing::Known }, "{number}");
    }
    let kept = clinic.patients_of_call("three").await.unwrap().remove(0);
    assert_eq!((kept.phone, kept.caller_type.as_str()), (phone("2025550143"), "returning"));
    assert_eq!(kept.intake.unwrap().into_inner().allergies.as_deref(), Some("canary allergy"));
    assert_eq!(test.count(PATIENTS).await, 1);
    // Father and son share name and number: that is nothing for the telephone, and nothing is told.
    let junior = registration("Jane Miller", "2025550143", 2005);
    let settled = clinic.commit_registration(&key("four", "c1"), &junior).await.unwrap();
    assert_eq!(settled, Settled::Refused(Refusal::RegisterInPerson));
    // Another name on the same telephone is another patient.
    let john = register(&clinic, "five", &registration("John Miller", "2025550143", 1979)).await;
    assert_eq!((john.standing, test.count(PATIENTS).await), (Standing::New, 2));
}

#[tokio::test]
async fn a_booking_is_completed_by_registration_and_found_again_under_another_number() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let prepared = clinic.prepare_booking("one", &wish("2026-12-01T09:00", 1)).await.unwrap();
    clinic.commit_booking(&key("one", "c1"), &prepared.booking).await.unwrap();
    let (name, number) = (wish("2026-12-01T09:00", 1).patient_name, wish("2026-12-01T09:00", 1).phone);
    let completed = register(&clinic, "two", &registration(name.expose(), number.as_e164(), 1981)).await;
    assert_eq!((completed.standing, test.count(PATIENTS).await), (Standing::Completed, 1));
    // Identified by name and date of birth, he leaves another number at the next booking: he is still the same.
    let born = NaiveDate::from_ymd_opt(1981, 5, 3);
    let factors = Factors { name: Some(name.clone()), born, ..Factors::default() };
    assert_eq!(clinic.identify_patient("three", &factors).await.unwrap(), completed.patient);
    let mut elsewhere = wish("2026-12-02T09:00", 1);
    elsewhere.phone = phone("2025550177");
    let prepared = clinic.prepare_booking("three", &elsewhere).await.unwrap();
    clinic.commit_booking(&key("three", "c1"), &prepared.booking).await.unwrap();
    assert_eq!(test.count(PATIENTS).await, 1);
    // Nobody else's call makes him so.
    let prepared = clinic.prepare_booking("four", &elsewhere).await;
    assert!(prepared.is_err(), "the slot is his");
    elsewhere.start = super::wishes::at("2026-12-03T09:00");
    let prepared = clinic.prepare_booking("four", &elsewhere).await.unwrap();
    clinic.commit_booking(&key("four", "c1"), &prepared.booking).await.unwrap();
    assert_eq!(test.count(PATIENTS).await, 2);
}

#[tokio::test]
async fn two_things_identify_and_one_or_a_wrong_one_does_not() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let jane = register(&clinic, "one", &registration("Jane Miller", "2025550143", 1981)).await;
    let name = || Some("jane MILLER".to_string().into());
    let (number, born) = (Some(phone("2025550143")), NaiveDate::from_ymd_opt(1981, 5, 3));
    let good = [
        Factors { name: name(), phone: number.clone(), ..Factors::default() },
        Factors { name: name(), born, ..Factors::default() },
        Factors { phone: number.clone(), born, ..Factors::default() },
    ];
    for (at, factors) in good.iter().enumerate() {
        assert_eq!(clinic.identify_patient(&format!("good-{at}"), factors).await.unwrap(), jane.patient);
    }
    let bad = [
        Factors { name: name(), ..Factors::default() },
        Factors { phone: number.clone(), ..Factors::default() },
        Factors { name: name(), born: NaiveDate::from_ymd_opt(1981, 5, 4), ..Factors::default() },
        Factors { name: name(), phone: number.clone(), born: NaiveDate::from_ymd_opt(1981, 5, 4), ..Factors::default() },
        Factors { name: name(), code: Some("222222".into()), ..Factors::default() },
        Factors { name: Some("Janet Miller".to_string().into()), phone: number.clone(), ..Factors::default() },
    ];
    for factors in &bad {
        assert_eq!(refusal(clinic.identify_patient("bad", factors).await.unwrap_err()), Refusal::UnknownPatient);
    }
    // Six wrong guesses, and not even the right answer is told.
    assert_eq!(refusal(clinic.identify_patient("bad", &good[0]).await.unwrap_err()), Refusal::TooManyAttempts);
    let wish = registration("Jane Miller", "2025550143", 1981);
    assert_eq!(refusal(clinic.prepare_registration("bad", &wish).await.unwrap_err()), Refusal::TooManyAttempts);
    // Twins on one telephone: number and date of birth mean nobody in particular.
    register(&clinic, "two", &registration("Joan Miller", "2025550143", 1981)).await;
    let twins = Factors { phone: number, born, ..Factors::default() };
    assert_eq!(refusal(clinic.identify_patient("three", &twins).await.unwrap_err()), Refusal::UnknownPatient);
}

#[tokio::test]
async fn a_caller_is_recognised_by_number_and_by_what_the_call_has_done() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let number = phone("2025550143");
    assert_eq!(clinic.recognise("one", Some(&number)).await.unwrap(), CallerKind::New);
    register(&clinic, "one", &registration("Jane Miller", "2025550143", 1981)).await;
    assert_eq!(clinic.recognise("one", Some(&number)).await.unwrap(), CallerKind::Session);
    assert_eq!(clinic.recognise("one", None).await.unwrap(), CallerKind::Session);
    assert_eq!(clinic.recognise("two", Some(&number)).await.unwrap(), CallerKind::Returning);
    assert_eq!(clinic.recognise("two", Some(&phone("2025550199"))).await.unwrap(), CallerKind::New);
    assert_eq!(clinic.recognise("two", None).await.unwrap(), CallerKind::New);
}

#[tokio::test]
async fn many_who_register_the_same_patient_at_once_make_one() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let mut tasks = JoinSet::new();
    for caller in 0..12_u32 {
        let clinic = clinic.clone();
        tasks.spawn(async move {
            // The same person from twelve telephones: no lock is shared, only the constraint.
            let wish = registration("Jane Miller", &format!("20255501{caller:02}"), 1981);
            register(&clinic, &format!("call-{caller}"), &wish).await
        });
    }
    let registered: Vec<Registered> = tasks.join_all().await;
    assert_eq!(test.count(PATIENTS).await, 1);
    assert_eq!(registered.iter().filter(|one| one.standing == Standing::New).count(), 1);
    assert!(registered.iter().all(|one| one.patient == registered[0].patient));
}

#[tokio::test]
async fn the_model_gives_words_and_the_code_makes_sense_of_them() {
    let test = TestDatabase::new().await;
    let call = Call::at(&test.clinic(), "one");
    let arguments = json!({"patient_name": "Jane Miller", "date_of_birth": "03/05/81", "phone": "two oh two, double five five, zero one four three",
                           "email": "jane dot miller at example dot com", "allergies": "penicillin", "language": "Spanish"});
    let (read_back, outcome) = call.commit("register_patient", "c1", arguments).await;
    // The demo clinic is in the United States: the month comes first.
    assert!(read_back.contains("cinco de marzo de mil novecientos ochenta y uno"), "{read_back}");
    assert_eq!(done(outcome), json!({"registered": true, "already_registered": false}));
    let identified = call.run("identify_patient", json!({"patient_name": "Jane Miller", "date_of_birth": "March fifth eighty-one"})).await;
    assert_eq!(identified.unwrap()["identified"], true);
    let one = call.run("identify_patient", json!({"date_of_birth": "March"})).await.unwrap_err();
    assert!(one.message.contains("the day, too"), "{}", one.message);
    let future = call.run("identify_patient", json!({"patient_name": "X Y", "date_of_birth": "2030-01-01"})).await.unwrap_err();
    assert!(future.message.contains("125 years"), "{}", future.message);
    // His own number counts as the second thing; it is another one here.
    let unknown = call.run("identify_patient", json!({"patient_name": "Jane Miller"})).await.unwrap_err();
    assert_eq!(unknown.code, "unknown_patient");
}

#[tokio::test]
async fn where_the_clinic_demands_it_only_identified_patients_book() {
    let test = TestDatabase::new().await;
    let clinic = test.clinic();
    let tenant = || Tenant { require_identification: true, ..demo_tenant() };
    register(&clinic, "before", &registration("Jane Miller", "2025550143", 1981)).await;
    let call = Call::with(&clinic, "one", tenant());
    let book = call.tools.get("book_appointment").unwrap();
    let slot = json!({"start": "2026-12-01T09:00", "patient_name": "Jane Miller", "phone": "202-555-0143"});
    assert_eq!(book.prepare(&call.context, slot.clone()).await.unwrap_err().code, "not_identified");
    call.run("identify_patient", json!({"patient_name": "Jane Miller", "phone": "202-555-0143"})).await.unwrap();
    // For another than the one who was identified it stays shut.
    let other = json!({"start": "2026-12-01T09:00", "patient_name": "John Miller", "phone": "202-555-0143"});
    assert_eq!(book.prepare(&call.context, other).await.unwrap_err().code, "not_identified");
    let (_, booked) = call.commit("book_appointment", "c1", slot).await;
    assert_eq!(done(booked)["booked"], true);
    assert_eq!(test.count("SELECT count(*) FROM audit_events WHERE action = 'patient.identified'").await, 2);
}
