//! Every sentence, in every language.

use chrono::{NaiveDate, TimeDelta};
use frontdesk_agent::EmailAddress;

use super::*;
use crate::booking::{Booking, Cancellation, Reschedule};
use crate::ids::{AppointmentId, PractitionerId};
use crate::patients::{Intake, Registration};
use crate::schedule::Place;
use crate::schedule::when::Phrase;
use crate::waiting::{Leaving, Waiting};

const LANGUAGES: [&dyn Wording; 2] = [&English, &Spanish];

fn local(text: &str) -> NaiveDateTime {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").unwrap()
}

fn phone() -> PhoneNumber {
    PhoneNumber::parse("202 555 0143", "1").unwrap()
}

fn practitioner() -> PractitionerId {
    PractitionerId::new("dr-lovelace").unwrap()
}

fn place() -> Place {
    Place { name: "Oak Street".into(), zone: "America/New_York".into() }
}

fn wish(said: &str) -> Wish {
    Phrase::read(said).unwrap().on(local("2026-11-30T08:00"), TimeDelta::days(120)).unwrap()
}

/// The same sentence in each language.
fn said(sentence: impl Fn(&dyn Wording) -> String, expected: [&str; 2]) {
    for (language, expected) in LANGUAGES.into_iter().zip(expected) {
        assert_eq!(sentence(language), expected, "{language:?}");
    }
}

#[test]
fn a_language_is_known_by_its_tag_or_name() {
    for tag in ["es", "es-US", "Español", "Spanish", "mexican Spanish"] {
        assert_eq!(format!("{:?}", of(tag)), "Spanish", "{tag}");
    }
    for tag in ["en", "en-GB", "fr", "", "estonian", "et"] {
        assert_eq!(format!("{:?}", of(tag)), "English", "{tag}");
    }
}

#[test]
fn appointments_are_read_back() {
    let (at, minutes) = ("2026-12-01T14:00:00Z".parse().unwrap(), 30);
    let (patient_name, appointment) = ("Jane Miller".to_owned().into(), AppointmentId(uuid::Uuid::nil()));
    let booking = |place| Booking {
        start: at,
        duration_minutes: minutes,
        practitioner: practitioner(),
        service: None,
        patient_name: frontdesk_agent::Pii::clone(&patient_name),
        phone: phone(),
        place,
    };
    let (practitioner_name, local_start) = ("Doctor Ada Lovelace".to_owned(), local("2026-12-01T09:00"));
    let held = PreparedBooking { booking: booking(None), practitioner_name: practitioner_name.clone(), held_until: at, local_start };
    said(
        |language| language.booking(&held, "1"),
        [
            "I have Tuesday the first of December at nine a.m. with Doctor Ada Lovelace, thirty minutes, for Jane Miller, telephone number \
             two zero two, five five five, zero one four three. Shall I book that?",
            "Tengo libre el martes primero de diciembre a las nueve de la mañana con Doctor Ada Lovelace, treinta minutos, para Jane Miller, \
             teléfono dos cero dos, cinco cinco cinco, cero uno cuatro tres. ¿Reservo la cita?",
        ],
    );
    let elsewhere = PreparedBooking { booking: booking(Some(place())), ..held };
    for (language, expected) in LANGUAGES.into_iter().zip(["Lovelace at Oak Street, thirty", "Lovelace en Oak Street, treinta"]) {
        assert!(language.booking(&elsewhere, "1").contains(expected), "{language:?}");
        let abroad = language.booking(&elsewhere, "49");
        assert!(abroad.contains("plus one two zero") || abroad.contains("más uno dos cero"), "{abroad}");
    }
    let reschedule = Reschedule {
        appointment,
        confirmation_code: "K7M2X9".into(),
        phone: phone(),
        from: at,
        start: at,
        duration_minutes: minutes,
        practitioner: practitioner(),
        place: None,
    };
    let moved = PreparedReschedule {
        reschedule,
        local_from: local_start,
        local_start: local("2026-12-02T12:00"),
        old_practitioner_name: practitioner_name.clone(),
        practitioner_name: "Doctor Chidi Okafor".into(),
    };
    said(
        |language| language.reschedule(&moved),
        [
            "I will move the appointment on Tuesday the first of December at nine a.m. with Doctor Ada Lovelace to Wednesday the second of \
             December at noon with Doctor Chidi Okafor. Shall I do that?",
            "Voy a cambiar la cita del martes primero de diciembre a las nueve de la mañana con Doctor Ada Lovelace al miércoles dos de \
             diciembre al mediodía con Doctor Chidi Okafor. ¿Está de acuerdo?",
        ],
    );
    let cancellation = Cancellation { appointment, confirmation_code: "K7M2X9".into(), phone: phone() };
    let cancelled = PreparedCancellation { cancellation, local_start, practitioner_name };
    said(
        |language| language.cancellation(&cancelled),
        [
            "I will cancel the appointment on Tuesday the first of December at nine a.m. with Doctor Ada Lovelace. Shall I do that?",
            "Voy a cancelar la cita del martes primero de diciembre a las nueve de la mañana con Doctor Ada Lovelace. ¿Está de acuerdo?",
        ],
    );
}

#[test]
fn registrations_are_read_back() {
    let mut intake = Intake::born(NaiveDate::from_ymd_opt(1981, 5, 3).unwrap());
    intake.email = Some(EmailAddress::parse("jane.miller@example.com").unwrap());
    intake.allergies = Some("penicillin".into());
    let registration = Registration { patient_name: "Jane Miller".to_owned().into(), phone: phone(), intake: intake.clone().into() };
    let prepared = PreparedRegistration { registration };
    said(
        |language| language.registration(&prepared, "1"),
        [
            "I will register Jane Miller, born on the third of May nineteen eighty-one, telephone number two zero two, five five five, zero \
             one four three, e-mail jane dot miller at example dot com, allergies: penicillin. Shall I do that?",
            "Voy a registrar a Jane Miller, con fecha de nacimiento tres de mayo de mil novecientos ochenta y uno, teléfono dos cero dos, \
             cinco cinco cinco, cero uno cuatro tres, correo jane punto miller arroba example punto com, alergias: penicillin. ¿Es correcto?",
        ],
    );
    assert!(!prepared.prefers_spanish() && !format!("{prepared:?}").contains("Jane"), "names are not for logs");
    intake.language = Some("español".into());
    let registration = Registration { intake: intake.into(), ..prepared.registration };
    assert!(PreparedRegistration { registration }.prefers_spanish());
}

#[test]
fn who_waits_is_read_back_and_the_clinic_is_told() {
    let at = "2026-12-01T14:00:00Z".parse().unwrap();
    let (patient_name, whom) = (frontdesk_agent::Pii::new("Jane Miller".to_owned()), Some("Doctor Ada Lovelace".to_owned()));
    let waiting = Waiting {
        patient_name: patient_name.clone(),
        phone: phone(),
        practitioner: None,
        service: None,
        department: None,
        duration_minutes: 30,
        wish: wish("tomorrow morning"),
        from: at,
        until: at,
    };
    let joining = PreparedWaiting { waiting, whom };
    for (language, expected) in LANGUAGES.into_iter().zip([
        "I will put Jane Miller on the waiting list for a time with Doctor Ada Lovelace on Tuesday the first of December, ",
        "Voy a poner a Jane Miller en la lista de espera para una cita con Doctor Ada Lovelace el martes primero de diciembre, ",
    ]) {
        let text = language.joining(&joining, "1");
        assert!(text.starts_with(expected), "{text}");
    }
    let leaving = PreparedLeaving { leaving: Leaving { patient_name, phone: phone() } };
    said(
        |language| language.leaving(&leaving),
        [
            "I will take Jane Miller off the waiting list. Shall I do that?",
            "Voy a quitar a Jane Miller de la lista de espera. ¿Está de acuerdo?",
        ],
    );
    let (start, until) = (local("2026-12-01T09:00"), local("2026-12-01T12:00"));
    for (language, expected) in LANGUAGES.into_iter().zip(["Please call and offer it before Tuesday", "ofrézcala antes del martes"]) {
        let text = language.freed(start, "Doctor Ada Lovelace", until);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn wishes_are_said_by_days_and_times() {
    for (phrase, english, spanish) in [
        ("tomorrow at ten", "on Tuesday the first of December, at ten a.m.", "el martes primero de diciembre, a las diez de la mañana"),
        (
            "tomorrow after three",
            "on Tuesday the first of December, from three p.m. on",
            "el martes primero de diciembre, desde las tres de la tarde",
        ),
        ("tomorrow before noon", "on Tuesday the first of December, before noon", "el martes primero de diciembre, antes del mediodía"),
    ] {
        said(|language| language.wish(&wish(phrase)), [english, spanish]);
    }
}
