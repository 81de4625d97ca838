//! The clinic's own sentences, one module a language: what callers hear word for word, read-backs above all.
//!
//! A tool words them in the language of the call ([`of`]). What the language model says in its own words is not here, nor what the tenant
//! has written himself.

mod english;
mod spanish;

use std::fmt::Debug;

use chrono::{NaiveDateTime, NaiveTime, Weekday};

use crate::booking::{PreparedBooking, PreparedCancellation, PreparedReschedule};
use crate::patients::PreparedRegistration;
use crate::phone::PhoneNumber;
use crate::schedule::when::Wish;
use crate::waiting::{PreparedLeaving, PreparedWaiting};

pub use english::English;
pub use spanish::Spanish;

/// How a language says what the clinic says. `country_calling_code` is the clinic's: numbers of its own country are said without it.
pub trait Wording: Debug + Sync {
    /// A local time: "Tuesday the first of December at nine a.m."
    fn moment(&self, local: NaiveDateTime) -> String;

    /// A length of time.
    fn minutes(&self, minutes: u32) -> String;

    /// An amount. `currency` is an ISO 4217 code.
    fn money(&self, cents: u32, currency: &str) -> String;

    /// A code, character by character.
    fn code(&self, code: &str) -> String;

    /// A telephone number, in groups of digits.
    fn phone(&self, phone: &PhoneNumber, country_calling_code: &str) -> String;

    /// When the clinic is open on a day of the week; closed, if there is no span.
    fn opening_hours(&self, day: Weekday, spans: &[(NaiveTime, NaiveTime)]) -> String;

    /// Days and times that somebody waits for.
    fn wish(&self, wish: &Wish) -> String;

    /// States what will be booked, and asks for a yes.
    fn booking(&self, prepared: &PreparedBooking, country_calling_code: &str) -> String;

    /// States what will be moved whither, and asks for a yes.
    fn reschedule(&self, prepared: &PreparedReschedule) -> String;

    /// States what will be cancelled, and asks for a yes.
    fn cancellation(&self, prepared: &PreparedCancellation) -> String;

    /// States what will be kept of a patient, as far as a mistake in it would matter, and asks for a yes.
    fn registration(&self, prepared: &PreparedRegistration, country_calling_code: &str) -> String;

    /// States who will wait for what, and asks for a yes.
    fn joining(&self, prepared: &PreparedWaiting, country_calling_code: &str) -> String;

    /// States who will wait no longer, and asks for a yes.
    fn leaving(&self, prepared: &PreparedLeaving) -> String;

    /// Says of a message that it will be sent, and does not claim that it was.
    fn on_its_way(&self) -> &'static str;

    /// Tells the clinic's people of a time that has become free for somebody who waits. It may be offered before `until`.
    fn freed(&self, start: NaiveDateTime, practitioner_name: &str, until: NaiveDateTime) -> String;
}

/// The wording of a language, by its tag; English for those that we have none of.
#[must_use]
pub fn of(tag: &str) -> &'static dyn Wording {
    if is_spanish(tag) { &Spanish } else { &English }
}

/// Whether a tag, or what a patient calls his language, means Spanish.
pub(crate) fn is_spanish(language: &str) -> bool {
    let lower = language.trim().to_lowercase();
    lower == "es" || lower.starts_with("es-") || lower.starts_with("español") || lower.starts_with("espanol") || lower.contains("spanish")
}

/// A part of a sentence, where there is something to say.
fn part(before: &str, text: Option<String>) -> String {
    text.map(|text| format!("{before}{text}")).unwrap_or_default()
}

#[cfg(test)]
mod tests;
