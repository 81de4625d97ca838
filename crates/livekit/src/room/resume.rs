//! Brings a dropped signal connection back, within a window, while media goes on.

use std::sync::Arc;
use std::time::Duration;

use livekit_protocol as proto;
use livekit_signaling::{SignalClient, SignalError};
use proto::leave_request::Action;
use proto::signal_request::Message as Request;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::event::EndReason;
use super::participant::DisconnectReason;

/// Wait before the second try; doubles up to [`BACKOFF_MAX`].
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
/// The longest wait.
const BACKOFF_MAX: Duration = Duration::from_secs(3);
/// Resumptions within [`FLAPPING_WINDOW`] after which a connection that keeps dropping counts as lost.
const FLAPPING_MAX: u32 = 10;
/// See [`FLAPPING_MAX`].
const FLAPPING_WINDOW: Duration = Duration::from_secs(60);
/// Messages that may wait for the resumed connection, besides one answer and one track.
const HELD_REQUESTS_MAX: usize = 32;

/// How a resumption ended.
pub(super) type Resumed = Result<(), EndReason>;

/// Wait before try number `attempt` (0 is the first).
fn backoff(attempt: u32) -> Duration {
    match attempt {
        0 => Duration::ZERO,
        _ => BACKOFF_FIRST.saturating_mul(1 << (attempt - 1).min(10)).min(BACKOFF_MAX),
    }
}

/// Tries until it works, the server says no, `window` is over or `cancel` fires. A try that is under way is never
/// dropped in the middle, so that its socket is not leaked; each is bounded by the signal client's own time-outs.
pub(super) async fn resume(
    signal: Arc<SignalClient>,
    reason: proto::ReconnectReason,
    window: Duration,
    cancel: CancellationToken,
) -> Resumed {
    let deadline = Instant::now() + window;
    for attempt in 0.. {
        tokio::select! {
            () = cancel.cancelled() => return Err(EndReason::Left),
            () = tokio::time::sleep(backoff(attempt)) => {}
        }
        let error = match signal.restart(reason).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        if let Some(end) = verdict(&error) {
            return Err(end);
        }
        tracing::debug!(%error, attempt, "signal connection not resumed yet");
        if Instant::now() >= deadline {
            break;
        }
    }
    Err(EndReason::SignalLost)
}

/// Whether trying again is pointless.
fn verdict(error: &SignalError) -> Option<EndReason> {
    match error {
        SignalError::LeaveRequest { action: Action::Resume, .. } => None,
        SignalError::LeaveRequest { reason, .. } => Some(EndReason::Server(DisconnectReason::from_proto(*reason as i32))),
        SignalError::Handshake { status } | SignalError::Client(status, _) => match status.as_u16() {
            401 | 403 => Some(EndReason::Refused),
            404 => Some(EndReason::SignalLost),
            _ => None,
        },
        SignalError::TokenFormat | SignalError::TransportNotConfigured | SignalError::UrlParse(_) => Some(EndReason::SignalLost),
        _ => None,
    }
}

/// Messages that wait for the resumed connection, in order.
///
/// The server's offer to restart ICE may arrive over it before we come to hear that it is up: were its answer dropped, we
/// would hear nobody until the server's own time-out.
#[derive(Default)]
pub(super) struct HeldRequests(Vec<Request>);

impl HeldRequests {
    /// Keeps what the resumed connection has to carry. Of answers and of requests for our one track only the newest counts;
    /// an offer of ours is made anew instead.
    pub(super) fn hold(&mut self, request: Request) {
        match request {
            Request::Answer(_) => self.0.retain(|held| !matches!(held, Request::Answer(_))),
            Request::AddTrack(_) => self.0.retain(|held| !matches!(held, Request::AddTrack(_))),
            Request::UpdateMetadata(_) | Request::Trickle(_) if self.0.len() < HELD_REQUESTS_MAX => {}
            _ => return,
        }
        self.0.push(request);
    }

    pub(super) fn take(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.0)
    }
}

/// Notices a connection that keeps dropping.
#[derive(Debug, Default)]
pub(super) struct Flapping {
    since: Option<Instant>,
    count: u32,
}

impl Flapping {
    /// Counts a drop; true if there were too many of late.
    pub(super) fn dropped(&mut self, now: Instant) -> bool {
        match self.since {
            Some(since) if now.duration_since(since) < FLAPPING_WINDOW => self.count += 1,
            _ => (self.since, self.count) = (Some(now), 1),
        }
        self.count > FLAPPING_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_bounded() {
        let waits: Vec<u128> = (0..7).map(|attempt| backoff(attempt).as_millis()).collect();
        assert_eq!(waits, [0, 200, 400, 800, 1600, 3000, 3000]);
        assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flapping_connection_is_given_up() {
        let mut flapping = Flapping::default();
        assert!((0..FLAPPING_MAX).all(|_| !flapping.dropped(Instant::now())));
        assert!(flapping.dropped(Instant::now()));
        tokio::time::advance(FLAPPING_WINDOW).await;
        assert!(!flapping.dropped(Instant::now()));
    }

    #[test]
    fn the_newest_answer_waits_and_offers_do_not() {
        let description = |id| proto::SessionDescription { id, ..Default::default() };
        let mut held = HeldRequests::default();
        for id in 1..100 {
            held.hold(Request::Trickle(proto::TrickleRequest::default()));
            held.hold(Request::Offer(description(id)));
            held.hold(Request::Answer(description(id)));
        }
        let held = held.take();
        assert_eq!(held.len(), HELD_REQUESTS_MAX);
        let answers: Vec<u32> =
            held.iter().filter_map(|held| if let Request::Answer(answer) = held { Some(answer.id) } else { None }).collect();
        assert_eq!(answers, [99]);
        assert!(!held.iter().any(|held| matches!(held, Request::Offer(_))));
    }

    #[test]
    fn who_is_refused_does_not_ask_again_and_a_busy_server_is_asked_again() {
        let verdict = |status: u16| verdict(&SignalError::Client(status.try_into().expect("a status"), String::new()));
        assert_eq!([401, 403, 404].map(verdict), [EndReason::Refused, EndReason::Refused, EndReason::SignalLost].map(Some));
        assert_eq!(verdict(429), None);
    }

    #[test]
    fn a_room_that_is_gone_ends_at_once() {
        let error = SignalError::LeaveRequest { reason: proto::DisconnectReason::StateMismatch, action: Action::Reconnect };
        assert_eq!(verdict(&error), Some(EndReason::Server(DisconnectReason::StateMismatch)));
        assert_eq!(verdict(&SignalError::Closed), None);
    }
}
