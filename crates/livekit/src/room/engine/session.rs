//! Resuming a dropped signal connection, looking after bounds, and the end.

use std::time::Duration;

use livekit_protocol as proto;
use proto::signal_request::Message as Request;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Engine, SEND_TIMEOUT};
use crate::room::error::{AttributeError, MEDIA_REMEDY, PublishError, RoomClosed};
use crate::room::event::{EndReason, RoomEvent};
use crate::room::resume::{Resumed, resume};

/// How long the signal connection may take to close; a resumption under way is waited for.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(12);

impl Engine {
    /// Starts to resume the session, unless that is going on already.
    pub(super) fn begin_resume(&mut self, reason: proto::ReconnectReason) {
        if self.resuming.is_some() || self.end.is_some() {
            return;
        }
        if self.flapping.dropped(Instant::now()) {
            self.finish(EndReason::SignalLost);
            return;
        }
        let (result, receiver) = oneshot::channel();
        self.resuming = Some(receiver);
        self.expect_snapshot = true;
        let (signal, window) = (self.signal.clone(), self.options.resume_window);
        let cancel = self.media_cancel.clone();
        self.tasks.spawn(async move {
            let _ = result.send(resume(signal, reason, window, cancel).await);
        });
        self.emit(RoomEvent::Reconnecting);
    }

    pub(super) async fn on_resumed(&mut self, result: Resumed) {
        self.resuming = None;
        if let Err(end) = result {
            self.finish(end);
            return;
        }
        self.synchronise().await;
        // The connection may have dropped again before we came to hear of its return.
        if !self.signal.is_connected().await {
            self.begin_resume(proto::ReconnectReason::RrSignalDisconnected);
            return;
        }
        self.signal.set_reconnected().await;
        let unanswered = self.negotiation.abandon();
        if !self.publisher.is_connected() {
            self.negotiate(true).await;
        } else if unanswered || self.negotiation.take_again() {
            self.negotiate(false).await;
        }
        for request in self.held_requests.take() {
            self.send(request).await;
        }
        self.emit(RoomEvent::Reconnected);
    }

    /// Tells the server what this session consists of.
    async fn synchronise(&mut self) {
        let description = |r#type: &str, sdp: Option<String>| {
            sdp.map(|sdp| proto::SessionDescription { r#type: r#type.to_owned(), sdp, ..Default::default() })
        };
        let state = proto::SyncState {
            answer: description("answer", self.subscriber.local_sdp().await),
            offer: description("offer", self.publisher.local_sdp().await),
            // Subscribed to everything but these (none).
            subscription: Some(proto::UpdateSubscription { subscribe: false, ..Default::default() }),
            publish_tracks: self.local.iter().filter_map(|local| local.published()).collect(),
            ..Default::default()
        };
        self.send(Request::SyncState(state)).await;
        // A track that was asked for but never acknowledged is asked for again.
        let lost = self.local.as_ref().filter(|local| local.info.is_none()).map(|local| local.request());
        if let Some(request) = lost {
            self.held_requests.hold(Request::AddTrack(request));
        }
    }

    pub(super) async fn keep_house(&mut self) {
        let Some(down) = self.media_down_since.map(|since| since.elapsed()) else { return };
        if down > self.options.media_timeout {
            let (publisher, subscriber) = (self.publisher.state, self.subscriber.state);
            tracing::warn!(url = %self.url, %publisher, %subscriber, remedy = MEDIA_REMEDY, "media is not connected");
            self.finish(EndReason::MediaLost);
        }
    }

    /// Leaves: unpublishes, says goodbye, closes everything. Bounded in time.
    pub(super) async fn tear_down(mut self) {
        let reason = self.end.unwrap_or(EndReason::Left);
        self.media_cancel.cancel();
        for remote in self.remote_tracks.values() {
            remote.queue.end();
        }
        if let Some(local) = self.local.take() {
            if let Err(error) = self.publisher.connection().remove_track(&local.sender).await {
                tracing::debug!(%error, "track not removed");
            }
            if let Some(pending) = local.pending {
                let error = match reason {
                    EndReason::MediaLost => PublishError::NoMedia { limit_ms: self.options.media_timeout.as_millis() },
                    _ => RoomClosed.into(),
                };
                let _ = pending.reply.send(Err(error));
            }
        }
        for (_, reply) in self.pending_attributes.drain() {
            let _ = reply.send(Err(AttributeError::Closed(RoomClosed)));
        }
        if reason == EndReason::Left && self.resuming.is_none() {
            let leave = proto::LeaveRequest { reason: self.leave_reason.to_proto() as i32, ..Default::default() };
            let _ = tokio::time::timeout(SEND_TIMEOUT, self.signal.send(Request::Leave(leave))).await;
        }
        let signal = self.signal.clone();
        let close_signal = tokio::time::timeout(CLOSE_TIMEOUT, signal.close());
        let (closed, (), ()) = tokio::join!(close_signal, self.publisher.close(), self.subscriber.close());
        if closed.is_err() {
            tracing::warn!("signal connection did not close in time");
        }
        tracing::debug!(?reason, dropped_texts = self.texts.dropped, "left the room");
        if let Some(events) = self.events.take() {
            events.end(reason);
        }
        self.shared.ended.send_replace(Some(reason));
    }
}
