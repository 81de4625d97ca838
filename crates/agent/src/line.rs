//! The line: one task owns the transport, so that a slow signal never holds up the session.

use std::time::Duration;

use frontdesk_conversation::{AgentState, TranscriptLine, TransferOutcome};
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::transport::{Transport, TransportEvent};

/// A best-effort signal that takes longer than this is given up.
const SIGNAL_MAX: Duration = Duration::from_millis(500);

/// After a signal that was given up none is tried for so long: they must not add up in front of the hang-up.
const SIGNAL_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Hanging up takes no longer than this.
const HANG_UP_MAX: Duration = Duration::from_secs(3);

/// What the session orders. What shows something is best effort.
#[derive(Debug)]
pub(crate) enum LineOrder {
    /// Show what the agent is doing.
    State(AgentState),
    /// Show a line of the transcript.
    Transcript(TranscriptLine),
    /// Hand the caller to a person; never left out.
    Transfer(String),
}

/// What the task reports.
#[derive(Debug)]
pub(crate) enum LineReport {
    /// An event of the transport.
    Event(TransportEvent),
    /// What came of a transfer.
    Transferred(TransferOutcome),
}

/// Runs a transport until `orders` is closed or `cut` fires, then hangs up; or leaves, if the call was `lost` to another worker.
///
/// Events go to `events`, which holds about a second of audio; when the session lags behind further, the transport's own bound
/// decides what is dropped. After the caller left only orders are carried out, and the outcome of a transfer is still told.
pub(crate) async fn run(
    mut transport: Box<dyn Transport>,
    mut orders: mpsc::Receiver<LineOrder>,
    events: mpsc::Sender<LineReport>,
    cut: CancellationToken,
    lost: CancellationToken,
) {
    let mut transfer: Option<BoxFuture<'static, TransferOutcome>> = None;
    let mut waiting = None;
    let mut over = false;
    let mut quiet_until = Instant::now();
    loop {
        tokio::select! {
            biased;
            () = cut.cancelled() => break,
            order = orders.recv() => match order {
                // The conversation orders one at a time; a future that is replaced belongs to one that it has given up.
                Some(LineOrder::Transfer(target)) => transfer = Some(transport.transfer(&target)),
                Some(_) if Instant::now() < quiet_until => {}
                Some(order) => {
                    if !signal(transport.as_mut(), order).await {
                        quiet_until = Instant::now() + SIGNAL_AGAIN_AFTER;
                    }
                }
                None => break,
            },
            outcome = outcome_of(&mut transfer), if waiting.is_none() => {
                transfer = None;
                waiting = Some(LineReport::Transferred(outcome));
            }
            permit = events.reserve(), if waiting.is_some() => match (permit, waiting.take()) {
                (Ok(permit), Some(event)) => permit.send(event),
                _ => over = true,
            },
            event = transport.next_event(), if waiting.is_none() && !over => {
                over = event.end().is_some();
                waiting = Some(LineReport::Event(event));
            }
        }
    }
    if lost.is_cancelled() {
        leave(transport.as_mut()).await;
    } else {
        hang_up(transport.as_mut()).await;
    }
}

/// What comes of the transfer under way.
async fn outcome_of(transfer: &mut Option<BoxFuture<'static, TransferOutcome>>) -> TransferOutcome {
    match transfer {
        Some(transfer) => transfer.await,
        None => std::future::pending().await,
    }
}

/// Whether it was sent in time.
async fn signal(transport: &mut dyn Transport, order: LineOrder) -> bool {
    let signal = async {
        match order {
            LineOrder::State(state) => transport.set_state(state).await,
            LineOrder::Transcript(line) => transport.publish_transcript(&line).await,
            LineOrder::Transfer(_) => {}
        }
    };
    let sent = timeout(SIGNAL_MAX, signal).await.is_ok();
    if !sent {
        tracing::debug!("a signal to the room took too long and was given up");
    }
    sent
}

/// Leaves the call to somebody else, within a bound.
pub(crate) async fn leave(transport: &mut dyn Transport) {
    if timeout(HANG_UP_MAX, transport.leave()).await.is_err() {
        tracing::warn!("leaving took too long and was given up");
    }
}

/// Ends the call for the caller, within a bound.
pub(crate) async fn hang_up(transport: &mut dyn Transport) {
    if timeout(HANG_UP_MAX, transport.hang_up()).await.is_err() {
        tracing::warn!("hanging up took too long and was given up");
    }
}
