//! The words of a notice, in English and Spanish. What a notice does not carry is not worded.

use chrono::{DateTime, Datelike, Timelike, Utc};
use chrono_tz::Tz;

use crate::notice::{Appointment, Event, Language, Notice};

const DAYS: [[&str; 7]; 2] = [
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    ["lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"],
];

const MONTHS: [[&str; 12]; 2] = [
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"],
    ["enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre"],
];

/// Longest text message: ten segments, which is as much as Twilio takes (1,600 characters).
const SMS_CHARS_MAX: usize = 1600;

/// A day and a time of it, as it is written: "Tuesday, December 1, 2026, 9:00 AM".
pub(crate) fn moment(moment: DateTime<Utc>, zone: Tz, language: Language) -> String {
    let local = moment.with_timezone(&zone);
    let column = usize::from(language == Language::Spanish);
    let day = DAYS[column][local.weekday().num_days_from_monday() as usize];
    let month = MONTHS[column][local.month0() as usize];
    let (number, year, minute) = (local.day(), local.year(), local.minute());
    match language {
        Language::English => {
            let (is_afternoon, hour) = local.hour12();
            let half = if is_afternoon { "PM" } else { "AM" };
            format!("{day}, {month} {number}, {year}, {hour}:{minute:02} {half}")
        }
        Language::British => format!("{day}, {number} {month} {year}, {:02}:{minute:02}", local.hour()),
        Language::Spanish => format!("{day} {number} de {month} de {year}, {}:{minute:02}", local.hour()),
    }
}

/// A word in the notice's language.
fn say(language: Language, english: &'static str, spanish: &'static str) -> &'static str {
    if language == Language::Spanish { spanish } else { english }
}

/// What happened, in two words: the subject of an e-mail, the title of a row.
pub(crate) fn headline(event: Event, language: Language) -> &'static str {
    match event {
        Event::AppointmentBooked => say(language, "Appointment booked", "Cita reservada"),
        Event::AppointmentMoved => say(language, "Appointment moved", "Cita cambiada"),
        Event::AppointmentCancelled => say(language, "Appointment cancelled", "Cita cancelada"),
        Event::MessageTaken => say(language, "New message", "Mensaje nuevo"),
        Event::PatientRegistered => say(language, "Patient registered", "Paciente registrado"),
        Event::CallEnded => say(language, "Call ended", "Llamada terminada"),
    }
}

/// What a patient reads, as a text message or an e-mail; `None` for what is not about an appointment.
pub(crate) fn to_patient(notice: &Notice) -> Option<String> {
    let Appointment { start, code, practitioner, service, location, name, .. } = notice.appointment.as_ref()?;
    let language = notice.language;
    let when = moment(*start, notice.zone, language);
    let mut text = format!("{}: ", notice.clinic);
    text.push_str(&match (notice.event, language) {
        (Event::AppointmentBooked, Language::Spanish) => format!("su cita es el {when}"),
        (Event::AppointmentMoved, Language::Spanish) => format!("su cita es ahora el {when}"),
        (Event::AppointmentCancelled, Language::Spanish) => format!("queda cancelada su cita del {when}"),
        (Event::AppointmentBooked, _) => format!("your appointment is on {when}"),
        (Event::AppointmentMoved, _) => format!("your appointment is now on {when}"),
        (Event::AppointmentCancelled, _) => format!("your appointment on {when} is cancelled"),
        (Event::MessageTaken | Event::PatientRegistered | Event::CallEnded, _) => return None,
    });
    for (value, english, spanish) in [(practitioner, "with", "con"), (service, "for", "para"), (location, "at", "en")] {
        if let Some(value) = value {
            text.push_str(&format!(", {} {value}", say(language, english, spanish)));
        }
    }
    text.push('.');
    if let Some(name) = name {
        text.push_str(&format!(" {}: {}.", say(language, "Patient", "Paciente"), name.expose()));
    }
    if let Some(code) = code {
        text.push_str(&format!(" {}: {code}.", say(language, "Code", "Código")));
    }
    Some(text.chars().take(SMS_CHARS_MAX).collect())
}

/// The notice as labelled lines, for whoever works at the clinic.
pub(crate) fn lines(notice: &Notice) -> Vec<(&'static str, String)> {
    let language = notice.language;
    let label = |english, spanish| say(language, english, spanish);
    let when = |at| moment(at, notice.zone, language);
    let mut lines = Vec::new();
    if let Some(appointment) = &notice.appointment {
        lines.push((label("When", "Cuándo"), when(appointment.start)));
        lines.push((label("Minutes", "Minutos"), appointment.duration_minutes.to_string()));
        let optional = [
            (label("With", "Con"), appointment.practitioner.as_ref()),
            (label("For", "Para"), appointment.service.as_ref()),
            (label("Where", "Dónde"), appointment.location.as_ref()),
            (label("Patient", "Paciente"), appointment.name.as_ref().map(frontdesk_agent::Pii::expose)),
            (label("Telephone", "Teléfono"), appointment.phone.as_ref().map(frontdesk_agent::Pii::expose)),
            (label("Code", "Código"), appointment.code.as_ref()),
        ];
        lines.extend(optional.into_iter().filter_map(|(label, value)| Some((label, value?.clone()))));
    }
    if let Some(message) = &notice.message {
        lines.push((label("Taken", "Recibido"), when(message.taken_at)));
        lines.push((label("Urgent", "Urgente"), label(yes_no(message.is_urgent).0, yes_no(message.is_urgent).1).into()));
        let optional = [
            (label("From", "De"), &message.name),
            (label("Telephone", "Teléfono"), &message.phone),
            (label("Message", "Mensaje"), &message.text),
        ];
        lines.extend(optional.into_iter().filter_map(|(label, value)| Some((label, value.as_ref()?.expose().clone()))));
    }
    if let Some(patient) = &notice.patient {
        lines.push((label("Registered", "Registrado"), when(patient.registered_at)));
        let optional = [
            (label("Patient", "Paciente"), &patient.name),
            (label("Telephone", "Teléfono"), &patient.phone),
            (label("E-mail", "Correo"), &patient.email),
            (label("Born", "Nacimiento"), &patient.date_of_birth),
        ];
        lines.extend(optional.into_iter().filter_map(|(label, value)| Some((label, value.as_ref()?.expose().clone()))));
    }
    if let Some(call) = &notice.call {
        lines.push((label("Began", "Comienzo"), when(call.started_at)));
        lines.push((label("Seconds", "Segundos"), (call.ended_at - call.started_at).num_seconds().max(0).to_string()));
        lines.push((label("Outcome", "Resultado"), call.outcome.clone()));
        lines.extend(call.phone.as_ref().map(|phone| (label("Telephone", "Teléfono"), phone.expose().clone())));
    }
    lines
}

const fn yes_no(yes: bool) -> (&'static str, &'static str) {
    if yes { ("yes", "sí") } else { ("no", "no") }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A booked appointment that may carry everything.
    pub(crate) fn booked() -> Notice {
        let mut notice: Notice = serde_json::from_value(serde_json::json!({
            "event": "appointment_booked", "language": "en", "clinic": "Lakeside Family Clinic", "zone": "America/New_York",
            "recipient": "+12025550143",
            "appointment": {
                "id": "0194d5f0-0000-7000-8000-000000000001", "revision": 0, "start": "2026-12-01T14:00:00Z", "duration_minutes": 30,
                "code": "K7M2X9", "practitioner": "Doctor Ada Lovelace", "service": "check-up", "location": "Oak Street",
                "name": "Jane <Miller>", "phone": "+12025550143",
            },
        }))
        .unwrap();
        notice.delivery.key = "0194d5f0-0000-7000-8000-00000000000a".into();
        notice.delivery.attempt = 1;
        notice.delivery.created_at = "2026-11-30T12:00:00Z".parse().unwrap();
        notice
    }

    /// The same, cut down to the minimum.
    pub(crate) fn least() -> Notice {
        let mut notice = booked();
        let appointment = notice.appointment.as_mut().unwrap();
        (appointment.practitioner, appointment.service, appointment.location) = (None, None, None);
        (appointment.name, appointment.phone) = (None, None);
        notice
    }

    #[test]
    fn text_messages_say_what_they_may_in_either_language() {
        let mut notice = least();
        for (event, language, expected) in [
            (
                Event::AppointmentBooked,
                Language::English,
                "Lakeside Family Clinic: your appointment is on Tuesday, December 1, 2026, 9:00 AM. Code: K7M2X9.",
            ),
            (
                Event::AppointmentMoved,
                Language::British,
                "Lakeside Family Clinic: your appointment is now on Tuesday, 1 December 2026, 09:00. Code: K7M2X9.",
            ),
            (
                Event::AppointmentCancelled,
                Language::Spanish,
                "Lakeside Family Clinic: queda cancelada su cita del martes 1 de diciembre de 2026, 9:00. Código: K7M2X9.",
            ),
        ] {
            (notice.event, notice.language) = (event, language);
            assert_eq!(to_patient(&notice).unwrap(), expected);
        }
        notice.event = Event::MessageTaken;
        assert_eq!(to_patient(&notice), None);
        let full = to_patient(&booked()).unwrap();
        assert!(full.ends_with(", with Doctor Ada Lovelace, for check-up, at Oak Street. Patient: Jane <Miller>. Code: K7M2X9."), "{full}");
    }

    #[test]
    fn times_are_those_of_the_place() {
        let at = "2026-07-01T03:30:00Z".parse().unwrap();
        for (zone, language, expected) in [
            ("America/New_York", Language::English, "Tuesday, June 30, 2026, 11:30 PM"),
            ("Europe/Madrid", Language::Spanish, "miércoles 1 de julio de 2026, 5:30"),
        ] {
            assert_eq!(moment(at, zone.parse().unwrap(), language), expected);
        }
    }

    #[test]
    fn lines_hold_nothing_that_the_notice_does_not() {
        assert_eq!(lines(&booked()).len(), 8);
        let labels: Vec<&str> = lines(&least()).into_iter().map(|(label, _)| label).collect();
        assert_eq!(labels, ["When", "Minutes", "Code"]);
    }
}
