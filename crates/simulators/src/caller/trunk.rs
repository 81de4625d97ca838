//! The trunk's part in a transfer: it is asked to call somebody else, and tells what came of it.

use frontdesk_telephony::sip::Dialog;

use super::options::CallerEvent;

/// What would carry a transfer out.
pub(super) struct Trunk {
    /// See [`super::CallerOptions::transfers`].
    statuses: Vec<u16>,
    /// Where calls were to be transferred to.
    asked: Vec<String>,
}

impl Trunk {
    pub(super) const fn new(statuses: Vec<u16>) -> Self {
        Self { statuses, asked: Vec::new() }
    }

    pub(super) fn into_asked(self) -> Vec<String> {
        self.asked
    }

    /// Calls the target in appearance, and tells the agent's side how that went (RFC 3515 section 2.4.5).
    pub(super) async fn transfer(&mut self, dialog: &Dialog, target: String, id: u32) -> CallerEvent {
        let status = self.statuses.get(self.asked.len()).or(self.statuses.last()).copied().unwrap_or(603);
        self.asked.push(target.clone());
        // Where the call has ended meanwhile, nobody wants to know any more.
        let told = async {
            dialog.notify_refer(id, 100).await?;
            dialog.notify_refer(id, status).await
        };
        let _ended = told.await;
        CallerEvent::Transferred { target, status }
    }
}
