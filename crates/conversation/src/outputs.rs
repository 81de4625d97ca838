//! How the outcome of a tool call is worded for the model: always a JSON object or the tool's own result.

use serde_json::{Value, json};

use crate::ids::ConfirmationId;
use crate::input::{CommitOutcome, ToolError, TransferOutcome};
use crate::summary::ToolStatus;

/// A larger result does not help a model and may not fit its window.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// The output of a failed call.
pub(crate) fn error(error: &ToolError) -> Value {
    let mut value = json!({ "code": error.code, "message": error.message, "retryable": error.retryable });
    if let (Some(object), Some(details)) = (value.as_object_mut(), &error.details) {
        object.insert("details".into(), details.clone());
    }
    json!({ "error": value })
}

/// An error that the conversation itself gives.
pub(crate) fn fault(code: &str, message: impl Into<String>, retryable: bool) -> Value {
    error(&ToolError { code: code.into(), message: message.into(), details: None, retryable })
}

/// A call that the caller cut off.
pub(crate) fn cancelled() -> Value {
    fault("cancelled", "The caller interrupted before this finished. Call it again if it is still needed.", true)
}

/// A call that gave no answer in time.
pub(crate) fn timed_out() -> Value {
    fault("timeout", "The tool gave no answer in time. Nothing is known of a result.", true)
}

/// A `Commit` tool that waits for the caller's yes.
pub(crate) fn awaiting(confirmation: &ConfirmationId, read_back: &str) -> Value {
    json!({
        "status": "awaiting_confirmation",
        "confirmation_id": confirmation.0,
        "read_back": read_back,
        "next": "The read_back is being spoken to the caller. Nothing is done yet. Once the caller agrees, call confirm with this confirmation_id; if the caller wants something else, call the tool again.",
    })
}

/// What came of a commit.
pub(crate) fn commit(outcome: &CommitOutcome) -> (ToolStatus, Value) {
    match outcome {
        CommitOutcome::Done(result) => (ToolStatus::Done, bounded(json!({ "status": "done", "result": result }))),
        CommitOutcome::Refused(refusal) => {
            let mut value = error(refusal);
            if let Some(object) = value.as_object_mut() {
                object.insert("status".into(), "refused".into());
            }
            (ToolStatus::Failed, bounded(value))
        }
        CommitOutcome::Unknown => (ToolStatus::Unknown, unknown()),
    }
}

fn unknown() -> Value {
    json!({
        "status": "outcome_unknown",
        "message": "It cannot be told yet whether this was done. Say neither that it succeeded nor that it failed; say that the practice will check and get in touch.",
    })
}

/// What came of a transfer.
pub(crate) fn transfer(target: &str, outcome: TransferOutcome) -> Value {
    let why = match outcome {
        TransferOutcome::Accepted => return json!({ "status": "transferred", "target": target }),
        TransferOutcome::Busy => "The line is busy.",
        TransferOutcome::NoAnswer => "Nobody answers.",
        TransferOutcome::Declined => "The call was not taken.",
        TransferOutcome::Failed { .. } => "The call could not be put through.",
    };
    let message = format!("{why} The caller is still with you. Tell him, and offer to take a message; do not try the same target again.");
    fault(outcome.as_str(), message, false)
}

/// A transfer of which nothing is known because the call ended.
pub(crate) fn transfer_unknown() -> Value {
    fault("unknown", "The call ended before anything was known of the transfer.", false)
}

/// The result of a tool, unless it is too large.
pub(crate) fn bounded(value: Value) -> Value {
    if value.to_string().len() > OUTPUT_BYTES_MAX {
        return fault("output_too_large", "The result was too large. Ask for less.", false);
    }
    value
}
