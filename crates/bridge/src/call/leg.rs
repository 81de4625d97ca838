//! The caller's side of an answered call: its dialog and its media.

use std::sync::Arc;
use std::time::Duration;

use frontdesk_telephony::rtp::{Digit, RtpSession};
use frontdesk_telephony::sdp::{self, LocalMedia, SessionDescription};
use frontdesk_telephony::sip::{Dialog, DialogEvent, EndReason, ReInvite, Refusal};

/// How long a hang-up waits for the peer's answer to BYE; it goes on in the endpoint.
const HANGUP_WAIT: Duration = Duration::from_secs(2);
/// How often the end of what is queued is looked for.
const DRAIN_STEP: Duration = Duration::from_millis(20);
/// What the caller's own jitter buffer holds when our queue is empty.
const DRAIN_TAIL: Duration = Duration::from_millis(100);
/// Length of a key that the agent presses.
const KEY_MS: u32 = 200;

/// See the module's documentation. Dropped, it hangs up.
pub(crate) struct Leg {
    pub(super) dialog: Dialog,
    pub(super) rtp: RtpSession,
    pub(super) local: LocalMedia,
    /// The description that we sent last.
    pub(super) session: SessionDescription,
}

impl Leg {
    /// Deals with an event of the dialog; the reason if it is the last.
    pub(super) async fn on_event(&mut self, event: DialogEvent) -> Option<EndReason> {
        match event {
            DialogEvent::Ended(reason) => return Some(reason),
            DialogEvent::ReInvite(wish) => self.renegotiate(wish).await,
            DialogEvent::Acked { session: Some(answer) } => self.accept(&answer).await,
            // The outcome of a transfer that nobody waits for.
            DialogEvent::Acked { session: None } | DialogEvent::Referred(_) | DialogEvent::Refer { .. } => {}
        }
        None
    }

    /// Answers a re-INVITE: hold, another address, another codec.
    async fn renegotiate(&mut self, wish: ReInvite) {
        let Some(offer) = &wish.offer else {
            // The peer wants our offer; its answer comes with the ACK.
            self.local.version = self.session.origin.version + 1;
            self.session = sdp::offer(&self.local);
            let _over = wish.answer(self.session.clone()).await;
            return;
        };
        match sdp::reanswer(&self.session, offer) {
            Ok(negotiated) => {
                tracing::debug!(direction = ?negotiated.remote.direction, "the session changes");
                self.session = negotiated.session.clone();
                if wish.answer(negotiated.session).await.is_ok() {
                    let _ended = self.rtp.update(negotiated.remote).await;
                }
            }
            Err(error) => {
                tracing::info!(%error, "a change of the session is refused");
                let _over = wish.reject(Refusal::new(error.status())).await;
            }
        }
    }

    async fn accept(&mut self, answer: &SessionDescription) {
        match sdp::accept_answer(&self.local, answer) {
            Ok(remote) => drop(self.rtp.update(remote).await),
            Err(error) => tracing::info!(%error, "the answer to our offer is useless; the session stays"),
        }
    }

    /// Presses a key on the caller's side.
    pub(super) async fn press(&self, key: char) {
        if let Some(digit) = Digit::new(key) {
            let _ended = self.rtp.press(digit, KEY_MS).await;
        }
    }

    /// BYE. The media ends with it.
    pub(super) async fn hang_up(self) {
        let Self { dialog, rtp, .. } = self;
        drop(rtp);
        let _answered = tokio::time::timeout(HANGUP_WAIT, dialog.hangup()).await;
    }
}

/// Waits until what is queued has been played, at most `limit`.
pub(super) async fn drain(rtp: &RtpSession, limit: Duration) {
    let drained = async {
        while !rtp.queued().is_zero() {
            tokio::time::sleep(DRAIN_STEP).await;
        }
        tokio::time::sleep(DRAIN_TAIL).await;
    };
    let _in_time = tokio::time::timeout(limit, drained).await;
}

/// Plays a clip to its end, instead of what is queued.
pub(super) async fn announce(rtp: RtpSession, clip: Arc<[i16]>) {
    rtp.clear();
    if rtp.write(&clip).await.is_ok() {
        drain(&rtp, Duration::from_secs(2)).await;
    }
}
