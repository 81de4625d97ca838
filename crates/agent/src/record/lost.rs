//! The record of a call whose worker is gone and which nobody could take over: made of what it stored last.

use chrono::{DateTime, Utc};
use frontdesk_conversation::{CallTime, Config, Conversation, EndReason, StoredState};

use super::{CallRecord, assemble};
use crate::session::SessionOptions;
use crate::session::blank_summary;

/// Makes the record of a call that began at `began_at`, from the state that was stored last, if one was and it can be read. It
/// ends with the last thing that the conversation took in, as failed, and says why in its incidents.
#[must_use]
pub fn of_lost_call(call_id: &str, tenant_id: &str, began_at: DateTime<Utc>, state: Option<&[u8]>) -> CallRecord {
    let mut incidents = vec!["worker: lost, and no other took the call over".to_owned()];
    let stored = match state.map(StoredState::from_json) {
        Some(Ok(stored)) => Some(stored),
        Some(Err(error)) => {
            tracing::error!(call = call_id, %error, "the stored state of a lost call cannot be read");
            incidents.push("store: load_state unreadable".to_owned());
            None
        }
        None => None,
    };
    let summary = match stored {
        Some(stored) => {
            let ended_at = stored.last_input_at();
            let mut conversation = Conversation::resume(Config::default(), stored, ended_at);
            conversation.abandon(ended_at, EndReason::Failed)
        }
        None => blank_summary(EndReason::Failed, CallTime::ZERO),
    };
    assemble(summary, &SessionOptions::new(call_id, tenant_id), began_at, incidents, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_left_makes_a_record() {
        let began_at = Utc::now();
        let mut conversation = Conversation::new(Config::default());
        conversation.handle(CallTime::ZERO, frontdesk_conversation::Input::Answered);
        let text = "I want to book".to_owned();
        let later = CallTime::ZERO + std::time::Duration::from_secs(5);
        conversation.handle(later, frontdesk_conversation::Input::Text { text: text.clone() });
        let state = conversation.state().to_json().unwrap();
        let record = of_lost_call("call-1", "demo", began_at, Some(&state));
        assert_eq!((record.outcome, record.duration_ms), (EndReason::Failed, 5000));
        assert!(record.transcript.iter().any(|line| line.text == text), "{:?}", record.transcript);
        for nothing in [None, Some(&b"{"[..])] {
            let record = of_lost_call("call-1", "demo", began_at, nothing);
            assert_eq!((record.outcome, record.transcript.len(), record.ended_at), (EndReason::Failed, 0, began_at));
        }
    }
}
