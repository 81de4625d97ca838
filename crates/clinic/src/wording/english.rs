//! In English.

use chrono::{NaiveDateTime, NaiveTime, Weekday};
use frontdesk_agent::EmailAddress;

use super::{Wording, part};
use crate::booking::{PreparedBooking, PreparedCancellation, PreparedReschedule};
use crate::patients::{PreparedRegistration, Registration};
use crate::phone::PhoneNumber;
use crate::schedule::Place;
use crate::schedule::when::Wish;
use crate::spoken;
use crate::waiting::{PreparedLeaving, PreparedWaiting};

/// English, with American words.
#[derive(Debug, Clone, Copy)]
pub struct English;

/// " at Oak Street", where places are told apart.
fn at(place: Option<&Place>) -> String {
    part(" at ", place.map(|place| place.name.clone()))
}

impl Wording for English {
    fn moment(&self, local: NaiveDateTime) -> String {
        spoken::moment(local)
    }

    fn minutes(&self, minutes: u32) -> String {
        spoken::minutes(minutes)
    }

    fn money(&self, cents: u32, currency: &str) -> String {
        spoken::money(cents, currency)
    }

    fn code(&self, code: &str) -> String {
        spoken::code(code)
    }

    fn phone(&self, phone: &PhoneNumber, country_calling_code: &str) -> String {
        phone.spoken(country_calling_code)
    }

    fn opening_hours(&self, day: Weekday, spans: &[(NaiveTime, NaiveTime)]) -> String {
        let name = spoken::weekday(day);
        let spans: Vec<String> =
            spans.iter().map(|(opens, closes)| format!("{} to {}", spoken::time(*opens), spoken::time(*closes))).collect();
        if spans.is_empty() { format!("{name}: closed") } else { format!("{name}: {}", spoken::list(&spans)) }
    }

    fn wish(&self, wish: &Wish) -> String {
        let (first, last) = wish.days();
        let days = if first == last {
            format!("on {}", spoken::date(first))
        } else {
            format!("from {} to {}", spoken::date(first), spoken::date(last))
        };
        let names: Vec<String> = wish.weekdays().map(|day| format!("{}s", spoken::weekday(day))).collect();
        let on = if names.is_empty() { String::new() } else { format!(", on {}", spoken::list(&names)) };
        let times = match wish.times() {
            (Some(exact), ..) => format!(", at {}", spoken::time(exact)),
            (None, Some(from), Some(to)) => format!(", from {} to before {}", spoken::time(from), spoken::time(to)),
            (None, Some(from), None) => format!(", from {} on", spoken::time(from)),
            (None, None, Some(to)) => format!(", before {}", spoken::time(to)),
            (None, None, None) => String::new(),
        };
        format!("{days}{on}{times}")
    }

    fn booking(&self, prepared: &PreparedBooking, country_calling_code: &str) -> String {
        let booking = &prepared.booking;
        format!(
            "I have {} with {}{}, {}, for {}, telephone number {}. Shall I book that?",
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
            "I will move the appointment on {} with {} to {} with {}{}. Shall I do that?",
            self.moment(prepared.local_from),
            prepared.old_practitioner_name,
            self.moment(prepared.local_start),
            prepared.practitioner_name,
            at(prepared.reschedule.place.as_ref())
        )
    }

    fn cancellation(&self, prepared: &PreparedCancellation) -> String {
        let (start, name) = (self.moment(prepared.local_start), &prepared.practitioner_name);
        format!("I will cancel the appointment on {start} with {name}. Shall I do that?")
    }

    fn registration(&self, prepared: &PreparedRegistration, country_calling_code: &str) -> String {
        let Registration { patient_name, phone, intake } = &prepared.registration;
        let intake = intake.expose();
        format!(
            "I will register {}, born on {}, telephone number {}{}{}. Shall I do that?",
            patient_name.expose(),
            spoken::date_with_year(intake.date_of_birth),
            self.phone(phone, country_calling_code),
            part(", e-mail ", intake.email.as_ref().map(EmailAddress::spoken)),
            part(", allergies: ", intake.allergies.clone()),
        )
    }

    fn joining(&self, prepared: &PreparedWaiting, country_calling_code: &str) -> String {
        let waiting = &prepared.waiting;
        format!(
            "I will put {} on the waiting list for a time{} {}, telephone number {}. Shall I do that?",
            waiting.patient_name.expose(),
            part(" with ", prepared.whom.clone()),
            self.wish(&waiting.wish),
            self.phone(&waiting.phone, country_calling_code)
        )
    }

    fn leaving(&self, prepared: &PreparedLeaving) -> String {
        format!("I will take {} off the waiting list. Shall I do that?", prepared.leaving.patient_name.expose())
    }

    fn on_its_way(&self) -> &'static str {
        "The message is on its way."
    }

    fn freed(&self, start: NaiveDateTime, practitioner_name: &str, until: NaiveDateTime) -> String {
        format!(
            "A time has become free for somebody on the waiting list: {} with {practitioner_name}. Please call and offer it before {}; it is \
             not kept.",
            self.moment(start),
            self.moment(until)
        )
    }
}
