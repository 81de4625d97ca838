//! Patients: who registers, whom a call knows, and what is kept of them.
//!
//! A patient is known by name and number, or by name and date of birth: either pair is who somebody is, as far as a caller can tell, and
//! the database allows each pair once. What is told at registration is kept sealed and told to nobody by telephone.

mod recognise;
mod register;

use chrono::NaiveDate;
use frontdesk_agent::{EmailAddress, Pii};
use serde::{Deserialize, Serialize};

pub use recognise::{CallerKind, Factors};
pub(crate) use recognise::{of_call, remember};
pub(crate) use register::is_plausible_birth;
pub use register::{PreparedRegistration, REGISTER_TOOL, Registered, Registration, Standing};

use crate::store::ClinicStore;

/// What a patient tells of himself besides name and number. Sealed as a whole; numbers that look like a social security number are
/// masked before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intake {
    /// When he was born.
    pub date_of_birth: NaiveDate,
    /// Where e-mail reaches him.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailAddress>,
    /// Why he comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What he must not be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allergies: Option<String>,
    /// What he takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prescriptions: Option<String>,
    /// What he has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<String>,
    /// When he saw a doctor last, in his words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_visit: Option<String>,
    /// Whom he wants to see, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_practitioner: Option<String>,
    /// Which department.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// The language that he prefers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

impl Intake {
    /// Nothing but the date of birth.
    #[must_use]
    pub const fn born(date_of_birth: NaiveDate) -> Self {
        Self {
            date_of_birth,
            email: None,
            reason: None,
            allergies: None,
            prescriptions: None,
            conditions: None,
            last_visit: None,
            preferred_practitioner: None,
            department: None,
            language: None,
            notes: None,
        }
    }

    /// The texts of it, for whoever changes all of them.
    fn texts(&mut self) -> [&mut Option<String>; 9] {
        [
            &mut self.reason,
            &mut self.allergies,
            &mut self.prescriptions,
            &mut self.conditions,
            &mut self.last_visit,
            &mut self.preferred_practitioner,
            &mut self.department,
            &mut self.language,
            &mut self.notes,
        ]
    }
}

/// The blind indexes by which a registered patient is found.
struct Indexes {
    birth: [u8; 32],
    email: Option<[u8; 32]>,
}

impl Indexes {
    fn of(store: &ClinicStore, intake: &Intake) -> Self {
        let email = intake.email.as_ref().map(|email| store.keys.blind_index(&store.place("patients", "email_index"), email.as_str()));
        Self { birth: birth_index(store, intake.date_of_birth), email }
    }
}

fn birth_index(store: &ClinicStore, born: NaiveDate) -> [u8; 32] {
    store.keys.blind_index(&store.place("patients", "birth_index"), &born.format("%Y-%m-%d").to_string())
}

/// A text that says something, without blanks around it and with what looks like a social security number masked.
fn cleaned(text: &Option<String>) -> Option<String> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(crate::masks::social_security)
}

/// What was told at registration, for people who may read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patient {
    /// As the patient gave it.
    pub name: Pii<String>,
    /// Where he can be reached.
    pub phone: crate::PhoneNumber,
    /// `None` for one who left but name and number at a booking.
    pub intake: Option<Pii<Intake>>,
    /// `new` or `returning`: how the call that is asked about found him; empty where none is.
    pub caller_type: String,
}
