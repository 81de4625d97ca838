//! Booking, moving and cancelling appointments, each in two phases and at most once.
//!
//! `prepare_*` validates, holds the slot and words the read-back; `commit_*` takes effect under its idempotency key,
//! [`crate::CommitKey`]. That nobody is booked twice rests on the exclusion constraints of the table; this module turns
//! their violations into [`Refusal`]s with alternatives.

mod cancel;
mod code;
mod commit;
mod exactly_once;
pub(crate) mod holds;
pub(crate) mod identify;
mod list;
mod patient;
mod prepare;
mod reschedule;
mod resend;

use chrono::{DateTime, Utc};
use frontdesk_agent::Pii;
use serde::{Deserialize, Serialize};

pub(crate) use exactly_once::Effect;
pub(crate) use holds::release as release_holds;
pub(crate) use patient::{Identity, name_index, phone_index};

pub use cancel::{Cancellation, Cancelled, PreparedCancellation};
pub use code::normalise as normalise_code;
pub use exactly_once::{CommitError, Settled};
pub use identify::SecondFactor;
pub use list::Upcoming;
pub use prepare::{BookingWish, PreparedBooking};
pub use reschedule::{PreparedReschedule, Reschedule, RescheduleWish, Rescheduled};
pub use resend::{ResendBy, Resent};

use crate::db::DbError;
use crate::ids::{AppointmentId, PractitionerId, ServiceCode};
use crate::phone::PhoneNumber;
use crate::schedule::{NotBookable, Place, Slot};

/// The name under which a booking is committed, part of what its arguments' HMAC covers.
pub const BOOK_TOOL: &str = "book_appointment";
/// The same for a cancellation.
pub const CANCEL_TOOL: &str = "cancel_appointment";
/// The same for a move to another time.
pub const RESCHEDULE_TOOL: &str = "reschedule_appointment";

/// An appointment as it will be booked: everything settled. Its JSON form is the canonical arguments of the commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Booking {
    /// When it begins.
    pub start: DateTime<Utc>,
    /// How long it lasts.
    pub duration_minutes: u32,
    /// With whom.
    pub practitioner: PractitionerId,
    /// For what, if said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceCode>,
    /// For whom.
    pub patient_name: Pii<String>,
    /// Where the patient can be reached.
    pub phone: PhoneNumber,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// An appointment that was booked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booked {
    /// The appointment; pseudonymous.
    pub appointment: AppointmentId,
    /// What the patient is told: six letters and digits.
    pub confirmation_code: String,
    /// When it begins.
    pub start: DateTime<Utc>,
    /// How long it lasts.
    pub duration_minutes: u32,
    /// With whom.
    pub practitioner: PractitionerId,
    /// As it is spoken.
    pub practitioner_name: String,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// Why a booking, a move or a cancellation was not done. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "refusal", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// Somebody else has the slot.
    #[error("the slot is taken")]
    SlotTaken {
        /// Free slots near it.
        alternatives: Vec<Slot>,
    },
    /// The time can be booked by nobody.
    #[error("{reason}")]
    NotBookable {
        /// Why.
        reason: NotBookable,
        /// Free slots near it.
        alternatives: Vec<Slot>,
    },
    /// The patient has another appointment at that time.
    #[error("the patient has another appointment at that time")]
    PatientBusy,
    /// Somebody of that name and number is registered with another date of birth: not a matter for the telephone.
    #[error("the patient cannot be registered by telephone")]
    RegisterInPerson,
    /// The patient waits for such a time already.
    #[error("the patient is on the waiting list for that already")]
    AlreadyWaiting,
    /// Nobody of that name and number waits for anything; which of the two is wrong is not told.
    #[error("nobody is on the waiting list under that name and number")]
    NotWaiting,
    /// No such practitioner or service: the configuration changed since it was offered.
    #[error("that practitioner or service is not offered any more")]
    NotOffered,
    /// No appointment with that code and number; which of the two is wrong is not told.
    #[error("no appointment is known under that code and telephone number")]
    NotFound,
    /// No patient with that number and name (or code); which of the two is wrong is not told.
    #[error("no patient is known by these two")]
    UnknownPatient,
    /// The call has named wrong codes, names or numbers too often.
    #[error("too many failed attempts in this call")]
    TooManyAttempts,
    /// It shall be moved to where it is.
    #[error("the appointment is at that time already")]
    SameTime,
    /// It was moved after the read-back, by somebody else.
    #[error("that appointment was changed in the meantime")]
    ChangedMeanwhile,
    /// It was cancelled before.
    #[error("that appointment was cancelled before")]
    AlreadyCancelled,
    /// The patient has no appointment to come.
    #[error("there is no appointment to come")]
    NothingToCome,
    /// The clinic sends its patients no such messages.
    #[error("the clinic sends no such messages")]
    NoMessages,
    /// The patient has left no address of that kind.
    #[error("the clinic has no e-mail address of the patient")]
    NoAddress,
    /// Enough messages were sent about it today.
    #[error("the confirmation was sent several times within a day already")]
    SentTooOften,
    /// It has begun.
    #[error("that appointment has begun or is past")]
    Past,
}

/// Why preparing failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// It cannot be done; tell the caller why, and the alternatives.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database failed; nothing is held.
    #[error(transparent)]
    Database(#[from] DbError),
}
