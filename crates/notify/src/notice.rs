//! What a notice says.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use frontdesk_agent::Pii;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it, and variant docs would break up the enum in the JSON Schema")]
pub enum Event {
    AppointmentBooked,
    AppointmentMoved,
    AppointmentCancelled,
    MessageTaken,
    PatientRegistered,
    CallEnded,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::AppointmentBooked,
        Self::AppointmentMoved,
        Self::AppointmentCancelled,
        Self::MessageTaken,
        Self::PatientRegistered,
        Self::CallEnded,
    ];

    /// As it is stored and configured.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AppointmentBooked => "appointment_booked",
            Self::AppointmentMoved => "appointment_moved",
            Self::AppointmentCancelled => "appointment_cancelled",
            Self::MessageTaken => "message_taken",
            Self::PatientRegistered => "patient_registered",
            Self::CallEnded => "call_ended",
        }
    }

    /// The event of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == name)
    }

    /// Whether it is about an appointment.
    #[must_use]
    pub const fn is_about_an_appointment(self) -> bool {
        matches!(self, Self::AppointmentBooked | Self::AppointmentMoved | Self::AppointmentCancelled)
    }
}

/// Where notices go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// A text message to the patient.
    Sms,
    /// An e-mail to the patient.
    PatientEmail,
    /// An e-mail to the clinic's addresses.
    Email,
    /// JSON to a server of the clinic's.
    Webhook,
    /// An entry in a calendar of the clinic's.
    GoogleCalendar,
    /// A row in a spreadsheet of the clinic's.
    GoogleSheets,
    /// A row in a file on this machine.
    Csv,
}

impl ChannelKind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Sms, Self::PatientEmail, Self::Email, Self::Webhook, Self::GoogleCalendar, Self::GoogleSheets, Self::Csv];

    /// As it is stored and configured.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::PatientEmail => "patient_email",
            Self::Email => "email",
            Self::Webhook => "webhook",
            Self::GoogleCalendar => "google_calendar",
            Self::GoogleSheets => "google_sheets",
            Self::Csv => "csv",
        }
    }

    /// Whether patients read it.
    #[must_use]
    pub const fn is_to_the_patient(self) -> bool {
        matches!(self, Self::Sms | Self::PatientEmail)
    }

    /// The channel of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// What a channel may carry besides the clinic's name, the event, its time and pseudonymous ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it, and variant docs would break up the enum in the JSON Schema")]
pub enum Field {
    Code,
    Practitioner,
    Service,
    Location,
    Name,
    Phone,
    Email,
    DateOfBirth,
    Message,
}

/// In which notices are worded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Language {
    /// English with American dates.
    #[default]
    #[serde(rename = "en", alias = "en-US")]
    English,
    /// English with British dates.
    #[serde(rename = "en-GB")]
    British,
    /// Spanish.
    #[serde(rename = "es")]
    Spanish,
}

impl Language {
    /// Of a language tag; English if it is none of ours.
    #[must_use]
    pub fn of_tag(tag: &str) -> Self {
        match tag {
            "en-GB" => Self::British,
            _ if tag == "es" || tag.starts_with("es-") => Self::Spanish,
            _ => Self::English,
        }
    }
}

/// The circumstances of one attempt to send.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivery {
    /// The same in every attempt, and of no other notice; letters, digits and dashes.
    pub key: String,
    /// From 1. In a later one, an earlier may have arrived without our knowing.
    pub attempt: u32,
    /// When the notice was made.
    pub created_at: DateTime<Utc>,
    /// Where its receipt may be sent, if the channel knows receipts and the installation can be reached.
    pub receipt_url: Option<String>,
}

/// What happened, cut down to what its channel may tell. Its JSON form, less [`Delivery`], is what the outbox seals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// This attempt.
    #[serde(skip)]
    pub delivery: Delivery,
    /// What.
    pub event: Event,
    /// Worded in.
    pub language: Language,
    /// The clinic's name.
    pub clinic: String,
    /// In which times are worded.
    pub zone: Tz,
    /// To whom, where the channel writes to a patient: a number in E.164, or an e-mail address.
    #[serde(default)]
    pub recipient: Option<Pii<String>>,
    /// The appointment it is about.
    #[serde(default)]
    pub appointment: Option<Appointment>,
    /// The message it is about.
    #[serde(default)]
    pub message: Option<CallerMessage>,
    /// The patient it is about.
    #[serde(default)]
    pub patient: Option<Patient>,
    /// The call it is about.
    #[serde(default)]
    pub call: Option<Call>,
}

impl Notice {
    /// The pseudonymous id of what it is about.
    #[must_use]
    pub fn subject(&self) -> String {
        let appointment = self.appointment.as_ref().map(|appointment| appointment.id.to_string());
        let message = || self.message.as_ref().map(|message| message.id.to_string());
        let patient = || self.patient.as_ref().map(|patient| patient.id.to_string());
        let call = || self.call.as_ref().map(|call| call.id.clone());
        appointment.or_else(message).or_else(patient).or_else(call).unwrap_or_default()
    }
}

/// An appointment, as far as it may be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appointment {
    /// Pseudonymous.
    pub id: Uuid,
    /// 0 when booked, one more with every change.
    pub revision: u32,
    /// When it begins; of a cancelled one, when it would have.
    pub start: DateTime<Utc>,
    /// How long it lasts.
    pub duration_minutes: u32,
    /// What its patient was told.
    #[serde(default)]
    pub code: Option<String>,
    /// With whom.
    #[serde(default)]
    pub practitioner: Option<String>,
    /// For what.
    #[serde(default)]
    pub service: Option<String>,
    /// Where.
    #[serde(default)]
    pub location: Option<String>,
    /// For whom.
    #[serde(default)]
    pub name: Option<Pii<String>>,
    /// The patient's number.
    #[serde(default)]
    pub phone: Option<Pii<String>>,
}

/// A message that a caller left, as far as it may be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerMessage {
    /// Pseudonymous.
    pub id: Uuid,
    /// When it was left.
    pub taken_at: DateTime<Utc>,
    /// Whether it cannot wait.
    pub is_urgent: bool,
    /// The words.
    #[serde(default)]
    pub text: Option<Pii<String>>,
    /// Who left it.
    #[serde(default)]
    pub name: Option<Pii<String>>,
    /// Where to call back.
    #[serde(default)]
    pub phone: Option<Pii<String>>,
}

/// A patient who has registered, as far as he may be told. What he said of his health is never among it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patient {
    /// Pseudonymous.
    pub id: Uuid,
    /// When he registered.
    pub registered_at: DateTime<Utc>,
    /// His name.
    #[serde(default)]
    pub name: Option<Pii<String>>,
    /// His number.
    #[serde(default)]
    pub phone: Option<Pii<String>>,
    /// His e-mail address.
    #[serde(default)]
    pub email: Option<Pii<String>>,
    /// When he was born, `YYYY-MM-DD`.
    #[serde(default)]
    pub date_of_birth: Option<Pii<String>>,
}

/// A call that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Pseudonymous.
    pub id: String,
    /// When it was answered.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// How; the word of the call record.
    pub outcome: String,
    /// Who called.
    #[serde(default)]
    pub phone: Option<Pii<String>>,
}
