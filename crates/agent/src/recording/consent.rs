//! What the caller says to being recorded.

use std::sync::Arc;

use tokio::sync::watch;

/// Whether a call may be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// The caller has not answered yet: nothing is recorded.
    Awaited,
    /// He was told and did not object, or he said yes.
    Given,
    /// He does not want it; final.
    Refused,
}

/// The consent of one call, shared by who records and who hears the caller's answer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RecordingConsent(Arc<watch::Sender<Consent>>);

impl RecordingConsent {
    /// A call that begins with this consent.
    #[must_use]
    pub fn new(consent: Consent) -> Self {
        Self(Arc::new(watch::Sender::new(consent)))
    }

    /// How it stands.
    #[must_use]
    pub fn now(&self) -> Consent {
        *self.0.borrow()
    }

    /// The caller agrees; false if he has refused before, which stays.
    pub fn give(&self) -> bool {
        self.0.send_if_modified(|consent| {
            let is_first = *consent == Consent::Awaited;
            if is_first {
                *consent = Consent::Given;
            }
            is_first
        });
        self.now() == Consent::Given
    }

    /// The caller does not want it: what was recorded is discarded, and nothing more is.
    pub fn refuse(&self) {
        self.0.send_replace(Consent::Refused);
    }

    pub(super) fn watch(&self) -> watch::Receiver<Consent> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_final() {
        let consent = RecordingConsent::new(Consent::Awaited);
        assert!(consent.give());
        consent.refuse();
        assert!(!consent.give());
        assert_eq!(consent.now(), Consent::Refused);
    }
}
