//! What the clinic of a scenario knows before the call, and what it is expected to know after it.

use chrono::NaiveDate;
use frontdesk_clinic::config::{ConsentBy, RecordingConfig};
use serde::Deserialize;

/// Whom the clinic knows before the call.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Before {
    /// Patients who have registered.
    pub patients: Vec<KnownPatient>,
    /// Their appointments, and those of others. `{code}` is the code of the first, until another is told.
    pub appointments: Vec<KnownAppointment>,
    /// Patients on the waiting list, first come first.
    pub waiting: Vec<KnownWaiting>,
}

/// A patient who has registered.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownPatient {
    /// Full name.
    pub name: String,
    /// Number, with the area code.
    pub phone: String,
    /// Date of birth, `YYYY-MM-DD`.
    pub born: NaiveDate,
}

/// An appointment that was booked before.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownAppointment {
    /// Of whom.
    pub name: String,
    /// Number, with the area code.
    pub phone: String,
    /// Id of the practitioner.
    pub practitioner: String,
    /// Local date and time, `YYYY-MM-DDTHH:MM`.
    pub start: String,
    /// Length in minutes.
    #[serde(default = "super::thirty")]
    pub minutes: u32,
}

/// A patient who waits.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownWaiting {
    /// Full name.
    pub name: String,
    /// Number, with the area code.
    pub phone: String,
    /// In words, as of the moment of the call.
    pub when: String,
}

/// Settings that are otherwise than in the clinic's files.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether nothing is booked before the patient is identified.
    pub require_identification: Option<bool>,
    /// Calls are recorded, and so callers consent: `notice`, `ask` or `elsewhere`.
    pub recording: Option<ConsentBy>,
}

impl Settings {
    /// How callers consent to being recorded, if calls are.
    pub(in crate::eval) fn recording(self) -> Option<RecordingConfig> {
        let consent = self.recording?;
        let notice = match consent {
            ConsentBy::Notice => Some("This call is recorded."),
            ConsentBy::Ask => Some("May we record this call?"),
            ConsentBy::Elsewhere => None,
        };
        Some(RecordingConfig { consent, notice: notice.map(str::to_owned) })
    }
}

/// A patient who is expected.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patient {
    /// Full name.
    pub name: String,
    /// Digits at the end of the number.
    pub phone: Option<String>,
    /// Whether he has registered, or has but left name and number.
    pub registered: Option<bool>,
    /// Date of birth, told at registration.
    pub born: Option<NaiveDate>,
    /// E-mail address, told at registration.
    pub email: Option<String>,
    /// A part of what he told of his allergies.
    pub allergies: Option<String>,
}

/// An entry of the waiting list that is expected.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    /// `waiting`, `offered`, `booked`, `left` or `expired`.
    pub status: String,
    /// Begin of the local date of the first day that is waited for.
    pub from: Option<String>,
    /// Id of the practitioner.
    pub practitioner: Option<String>,
    /// Code of the service.
    pub service: Option<String>,
    /// Begin of the local date and time that was offered.
    pub offered: Option<String>,
}

/// Messages that are expected.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Messages {
    /// So many.
    Count(usize),
    /// These, oldest first.
    These(Vec<CallerMessage>),
}

/// A message that is expected.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallerMessage {
    /// A part of its text.
    pub text: Option<String>,
    /// Who left it.
    pub name: Option<String>,
    /// Digits at the end of the number to call back.
    pub phone: Option<String>,
}
