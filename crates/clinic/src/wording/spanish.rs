//! In Spanish, with the customs of the Americas.

use chrono::{NaiveDateTime, NaiveTime, Weekday};

use super::{Wording, part};
use crate::booking::{PreparedBooking, PreparedCancellation, PreparedReschedule};
use crate::patients::{PreparedRegistration, Registration};
use crate::phone::PhoneNumber;
use crate::schedule::Place;
use crate::schedule::when::Wish;
use crate::spoken::spanish;
use crate::waiting::{PreparedLeaving, PreparedWaiting};

/// Spanish.
#[derive(Debug, Clone, Copy)]
pub struct Spanish;

/// " en Oak Street", where places are told apart.
fn at(place: Option<&Place>) -> String {
    part(" en ", place.map(|place| place.name.clone()))
}

/// "los lunes", "los sábados".
fn plural(day: Weekday) -> String {
    let name = spanish::weekday(day);
    if name.ends_with('s') { name.into() } else { format!("{name}s") }
}

impl Wording for Spanish {
    fn moment(&self, local: NaiveDateTime) -> String {
        spanish::moment(local)
    }

    fn minutes(&self, minutes: u32) -> String {
        spanish::minutes(minutes)
    }

    fn money(&self, cents: u32, currency: &str) -> String {
        spanish::money(cents, currency)
    }

    fn code(&self, code: &str) -> String {
        spanish::code(code)
    }

    fn phone(&self, phone: &PhoneNumber, country_calling_code: &str) -> String {
        let groups: Vec<String> = phone.spoken_digits(country_calling_code).into_iter().map(spanish::digits).collect();
        let prefix = if phone.is_of(country_calling_code) { "" } else { "más " };
        format!("{prefix}{}", groups.join(", "))
    }

    fn opening_hours(&self, day: Weekday, spans: &[(NaiveTime, NaiveTime)]) -> String {
        let name = spanish::weekday(day);
        let spans: Vec<String> =
            spans.iter().map(|(opens, closes)| format!("{} {}", spanish::from(*opens), spanish::at(*closes))).collect();
        if spans.is_empty() { format!("{name}: cerrado") } else { format!("{name}: {}", spanish::list(&spans)) }
    }

    fn wish(&self, wish: &Wish) -> String {
        let (first, last) = wish.days();
        let days = if first == last {
            format!("el {}", spanish::date(first))
        } else {
            format!("del {} al {}", spanish::date(first), spanish::date(last))
        };
        let names: Vec<String> = wish.weekdays().map(plural).collect();
        let on = if names.is_empty() { String::new() } else { format!(", los {}", spanish::list(&names)) };
        let times = match wish.times() {
            (Some(exact), ..) => format!(", {}", spanish::at(exact)),
            (None, Some(from), Some(to)) => format!(", desde {} hasta antes {}", spanish::time(from), spanish::from(to)),
            (None, Some(from), None) => format!(", desde {}", spanish::time(from)),
            (None, None, Some(to)) => format!(", antes {}", spanish::from(to)),
            (None, None, None) => String::new(),
        };
        format!("{days}{on}{times}")
    }

    fn booking(&self, prepared: &PreparedBooking, country_calling_code: &str) -> String {
        let booking = &prepared.booking;
        format!(
            "Tengo libre el {} con {}{}, {}, para {}, teléfono {}. ¿Reservo la cita?",
            self.moment(prepared.local_start),
            prepared.practitioner_name,
            at(booking.place.as_ref()),
            self.minutes(booking.duration_minutes),
            booking.patient_name.expose(),
            self.phone(&booking.phone, country_calling_code)
        )
    }

    fn reschedule(&self, prepared: &PreparedReschedule) -> String {
        format!(
            "Voy a cambiar la cita del {} con {} al {} con {}{}. ¿Está de acuerdo?",
            self.moment(prepared.local_from),
            prepared.old_practitioner_name,
            self.moment(prepared.local_start),
            prepared.practitioner_name,
            at(prepared.reschedule.place.as_ref())
        )
    }

    fn cancellation(&self, prepared: &PreparedCancellation) -> String {
        let (start, name) = (self.moment(prepared.local_start), &prepared.practitioner_name);
        format!("Voy a cancelar la cita del {start} con {name}. ¿Está de acuerdo?")
    }

    fn registration(&self, prepared: &PreparedRegistration, country_calling_code: &str) -> String {
        let Registration { patient_name, phone, intake } = &prepared.registration;
        let intake = intake.expose();
        format!(
            "Voy a registrar a {}, con fecha de nacimiento {}, teléfono {}{}{}. ¿Es correcto?",
            patient_name.expose(),
            spanish::date_with_year(intake.date_of_birth),
            self.phone(phone, country_calling_code),
            part(", correo ", intake.email.as_ref().map(|email| spanish::email(email.as_str()))),
            part(", alergias: ", intake.allergies.clone()),
        )
    }

    fn joining(&self, prepared: &PreparedWaiting, country_calling_code: &str) -> String {
        let waiting = &prepared.waiting;
        format!(
            "Voy a poner a {} en la lista de espera para una cita{} {}, teléfono {}. ¿Está de acuerdo?",
            waiting.patient_name.expose(),
            part(" con ", prepared.whom.clone()),
            self.wish(&waiting.wish),
            self.phone(&waiting.phone, country_calling_code)
        )
    }

    fn leaving(&self, prepared: &PreparedLeaving) -> String {
        format!("Voy a quitar a {} de la lista de espera. ¿Está de acuerdo?", prepared.leaving.patient_name.expose())
    }

    fn on_its_way(&self) -> &'static str {
        "El mensaje está en camino."
    }

    fn freed(&self, start: NaiveDateTime, practitioner_name: &str, until: NaiveDateTime) -> String {
        format!(
            "Ha quedado libre una hora para alguien de la lista de espera: el {} con {practitioner_name}. Por favor, llame y ofrézcala antes \
             del {}; no está reservada.",
            self.moment(start),
            self.moment(until)
        )
    }
}
