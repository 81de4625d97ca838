//! What both Deepgram connections share: bounded sends, signs of life, the end of a stream.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use frontdesk_agent::ProviderError;
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};

use super::PROVIDER;
use crate::Timeouts;
use crate::connect::{from_close, from_ws};
use crate::timeouts::Stage;

/// A WebSocket, or in tests its like.
pub(super) trait Wire: Stream<Item = Result<Message, WsError>> + Sink<Message, Error = WsError> + Unpin + Send {}

impl<T: Stream<Item = Result<Message, WsError>> + Sink<Message, Error = WsError> + Unpin + Send> Wire for T {}

/// A message that says something.
pub(super) enum Incoming {
    Text(Utf8Bytes),
    Binary(Bytes),
}

/// A connection with time-outs.
pub(super) struct Link<W> {
    wire: W,
    timeouts: Timeouts,
    last_heard: Instant,
    /// When the next ping is due.
    ping_at: Instant,
    ping_every: Duration,
}

impl<W: Wire> Link<W> {
    pub(super) fn new(wire: W, timeouts: Timeouts, keep_alive: Duration) -> Self {
        // Two pings must fit into the time after which the peer counts as dead.
        let ping_every = keep_alive.min(timeouts.idle / 2).max(Duration::from_millis(1));
        let now = Instant::now();
        Self { wire, timeouts, last_heard: now, ping_at: now + ping_every, ping_every }
    }

    /// Sends one message; a peer that takes nothing within the idle time-out is broken.
    pub(super) async fn send(&mut self, message: Message) -> Result<(), ProviderError> {
        match timeout(self.timeouts.idle, self.wire.send(message)).await {
            Ok(result) => result.map_err(broken),
            Err(_) => Err(self.timeouts.expired(PROVIDER, Stage::FurtherData)),
        }
    }

    /// The next message that says something. Cancel-safe.
    pub(super) async fn receive(&mut self) -> Result<Incoming, ProviderError> {
        loop {
            let message = match self.wire.next().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(broken(error)),
                None => return Err(from_close(PROVIDER, None)),
            };
            self.last_heard = Instant::now();
            match message {
                Message::Text(text) => return Ok(Incoming::Text(text)),
                Message::Binary(bytes) => return Ok(Incoming::Binary(bytes)),
                Message::Close(frame) => return Err(from_close(PROVIDER, frame.as_ref())),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    /// When [`Self::tick`] is due.
    pub(super) const fn tick_at(&self) -> Instant {
        self.ping_at
    }

    /// Pings, and finds out whether the peer is dead: a half-open socket reports nothing by itself. `listening` says whether messages
    /// were being read, without which silence means nothing.
    pub(super) async fn tick(&mut self, listening: bool) -> Result<(), ProviderError> {
        self.ping_at = Instant::now() + self.ping_every;
        if !listening {
            self.last_heard = Instant::now();
        } else if self.last_heard.elapsed() >= self.timeouts.idle {
            return Err(self.timeouts.expired(PROVIDER, Stage::FurtherData));
        }
        self.send(Message::Ping(Bytes::new())).await
    }
}

/// A stream that fails once it is open is broken, whatever the layer that noticed.
fn broken(error: WsError) -> ProviderError {
    match from_ws(PROVIDER, error) {
        ProviderError::Connect { provider, reason } => ProviderError::Broken { provider, reason },
        other => other,
    }
}

/// The task that owns a connection, and the reason for which it ended.
pub(super) struct Task {
    handle: JoinHandle<()>,
    has_ended: bool,
    end: Arc<OnceLock<ProviderError>>,
}

impl Task {
    /// Runs a connection; its error is kept for [`Self::error`].
    pub(super) fn spawn(run: impl Future<Output = Result<(), ProviderError>> + Send + 'static) -> Self {
        let end = Arc::new(OnceLock::new());
        let kept = Arc::clone(&end);
        let handle = tokio::spawn(async move {
            if let Err(error) = run.await {
                tracing::debug!(kind = error.kind(), "a deepgram connection ended: {error}");
                // The first and only value: this task sets it once.
                let _ = kept.set(error);
            }
        });
        Self { handle, has_ended: false, end }
    }

    /// Why the stream is over, for a call that came too late.
    pub(super) fn error(&self) -> ProviderError {
        let unknown = || ProviderError::Broken { provider: PROVIDER, reason: "the stream is closed".into() };
        self.end.get().cloned().unwrap_or_else(unknown)
    }

    /// Why the stream ended, if it failed.
    pub(super) fn failure(&self) -> Option<ProviderError> {
        self.end.get().cloned()
    }

    /// Waits until the task is over. Its channels close a moment before [`Self::error`] knows why.
    pub(super) async fn ended(&mut self) {
        if !self.has_ended {
            // A panic is reported by the runtime; to the stream it is an end without a reason.
            let _ = (&mut self.handle).await;
            self.has_ended = true;
        }
    }

    /// Waits for the end, then makes one.
    pub(super) async fn stop(&mut self, limit: Duration) {
        if timeout(limit, self.ended()).await.is_err() {
            self.handle.abort();
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    /// Its channels close first: who asked at that moment was told that the stream "is closed", whatever had happened.
    #[tokio::test]
    async fn the_reason_is_known_once_the_task_is_over() {
        let (sender, mut events) = mpsc::channel::<()>(1);
        let mut task = Task::spawn(async move {
            drop(sender);
            tokio::task::yield_now().await;
            Err(ProviderError::Broken { provider: PROVIDER, reason: "the reason".into() })
        });
        assert_eq!(events.recv().await, None);
        task.ended().await;
        assert!(task.error().to_string().contains("the reason"));
        task.ended().await;
        task.stop(Duration::from_secs(1)).await;
    }
}
