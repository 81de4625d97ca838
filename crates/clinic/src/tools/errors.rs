//! Errors worded for the model.

pub(super) use frontdesk_agent::arguments::Fault;
use frontdesk_conversation::ToolError;
use serde_json::json;

use super::result::{Said, slots};
use crate::booking::{PrepareError, Refusal};
use crate::db::DbError;

/// The error for a database that failed. The cause goes to the log, not to the model.
pub(super) fn database(tool: &'static str, error: &DbError) -> ToolError {
    tracing::warn!(tool, %error, "a tool failed on the database");
    let message = if error.is_retryable() {
        "the clinic's calendar cannot be reached at the moment; nothing was changed. Offer to take a message or to call back"
    } else {
        "the clinic's calendar has a fault; nothing was changed. Offer to take a message"
    };
    ToolError { code: "unavailable".into(), message: message.into(), details: None, retryable: error.is_retryable() }
}

/// The error for something that cannot be done; `said` is in which zone and how alternatives are said.
pub(super) fn refused(refusal: &Refusal, said: Said<'_>) -> ToolError {
    let (code, alternatives) = match refusal {
        Refusal::SlotTaken { alternatives } => ("slot_taken", Some(alternatives)),
        Refusal::NotBookable { alternatives, .. } => ("not_bookable", Some(alternatives)),
        Refusal::PatientBusy => ("patient_busy", None),
        Refusal::NotOffered => ("not_offered", None),
        Refusal::RegisterInPerson => ("register_in_person", None),
        Refusal::AlreadyWaiting => ("already_waiting", None),
        Refusal::NotWaiting => ("not_waiting", None),
        Refusal::NotFound => ("not_found", None),
        Refusal::UnknownPatient => ("unknown_patient", None),
        Refusal::TooManyAttempts => ("too_many_attempts", None),
        Refusal::SameTime => ("same_time", None),
        Refusal::ChangedMeanwhile => ("changed_meanwhile", None),
        Refusal::AlreadyCancelled => ("already_cancelled", None),
        Refusal::Past => ("past", None),
        Refusal::NothingToCome => ("nothing_to_come", None),
        Refusal::NoMessages => ("no_messages", None),
        Refusal::NoAddress => ("no_address", None),
        Refusal::SentTooOften => ("sent_too_often", None),
    };
    let advice = match (refusal, alternatives.map(Vec::is_empty)) {
        (_, Some(false)) => "; offer the alternatives",
        (_, Some(true)) => "; nothing is free near it, look for another day with find_slots",
        (Refusal::PatientBusy, None) => "; offer another time",
        (Refusal::NotOffered, None) => "; look for another time with find_slots",
        (Refusal::NotFound, None) => {
            "; ask for both again, never say which is wrong, and if they are still unknown offer to take a message"
        }
        (Refusal::UnknownPatient, None) => {
            "; ask for both again, never say which is wrong, and if they are still unknown offer to take a message"
        }
        (Refusal::RegisterInPerson, None) => "; give no reason, and offer to take a message so that somebody calls back",
        (Refusal::NotWaiting, None) => "; ask for both again and never say which is wrong",
        (Refusal::TooManyAttempts, None) => "; say that you cannot look it up and offer to take a message",
        (Refusal::SentTooOften, None) => "; say so, tell the appointment instead if the caller wants it, and do not try again",
        (Refusal::NoAddress, None) => "; say so, and offer a text message if the clinic sends them; never ask for an address to send it to",
        (Refusal::SameTime, None) => "; ask for another time",
        (Refusal::ChangedMeanwhile, None) => "; tell the caller, and prepare it anew",
        (_, None) => "; tell the caller",
    };
    ToolError {
        code: code.into(),
        message: format!("{refusal}{advice}"),
        details: alternatives.map(|found| json!({ "alternatives": slots(found, said) })),
        retryable: false,
    }
}

/// The error for a preparation that failed.
pub(super) fn prepare(tool: &'static str, error: &PrepareError, said: Said<'_>) -> ToolError {
    match error {
        PrepareError::Refused(refusal) => refused(refusal, said),
        PrepareError::Database(error) => database(tool, error),
    }
}
