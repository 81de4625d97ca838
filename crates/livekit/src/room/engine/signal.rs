//! What the server says.

use livekit_protocol as proto;
use proto::leave_request::Action;
use proto::request_response::Reason;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;

use super::Engine;
use crate::room::error::AttributeError;
use crate::room::event::{EndReason, RoomEvent};
use crate::room::participant::{Change, DisconnectReason};

impl Engine {
    pub(super) async fn on_message(&mut self, message: Response) {
        match message {
            Response::Offer(offer) => self.on_offer(offer).await,
            Response::Answer(answer) => self.on_answer(answer).await,
            Response::Trickle(trickle) => self.on_trickle(trickle).await,
            Response::Update(update) => self.on_update(&update.participants),
            Response::TrackPublished(published) => self.on_track_published(published).await,
            Response::TrackSubscribed(subscribed) => {
                tracing::debug!(after_ms = self.age_ms(), "our track is subscribed");
                self.emit(RoomEvent::LocalTrackSubscribed { track_sid: subscribed.track_sid });
            }
            Response::RequestResponse(response) => self.on_request_response(response),
            Response::Leave(leave) => self.on_leave(&leave),
            Response::TrackUnpublished(_) => tracing::warn!("the server unpublished our track"),
            // Speakers, connection quality, tokens (the signal client keeps them) and what later servers may send.
            _ => {}
        }
    }

    async fn on_offer(&mut self, offer: proto::SessionDescription) {
        match self.subscriber.answer(offer.sdp.clone()).await {
            Ok(sdp) => {
                let answer = proto::SessionDescription { r#type: "answer".to_owned(), sdp, id: offer.id, ..Default::default() };
                self.send(Request::Answer(answer)).await;
                self.announce_tracks(&offer.sdp);
            }
            Err(error) => tracing::warn!(%error, "the server's offer cannot be answered"),
        }
    }

    async fn on_answer(&mut self, answer: proto::SessionDescription) {
        if !self.negotiation.answered(answer.id) {
            tracing::debug!("stale answer ignored");
            return;
        }
        if let Err(error) = self.publisher.accept(answer.sdp).await {
            tracing::warn!(%error, "the server's answer cannot be taken");
            return;
        }
        if let Some(local) = &mut self.local {
            local.negotiated = local.offered;
        }
        tracing::debug!(after_ms = self.age_ms(), "our offer is answered");
        self.complete_publish();
        if self.negotiation.take_again() {
            self.negotiate(false).await;
        }
    }

    async fn on_trickle(&mut self, trickle: proto::TrickleRequest) {
        let peer = match trickle.target() {
            proto::SignalTarget::Publisher => &mut self.publisher,
            proto::SignalTarget::Subscriber => &mut self.subscriber,
        };
        peer.add_candidate(&trickle.candidate_init).await;
    }

    fn on_update(&mut self, participants: &[proto::ParticipantInfo]) {
        let snapshot = std::mem::take(&mut self.expect_snapshot);
        let changes = self.shared.roster().update(participants, snapshot);
        for change in changes {
            match change {
                Change::Joined(participant) => self.emit(RoomEvent::ParticipantJoined(participant)),
                Change::Updated(participant) => self.emit(RoomEvent::ParticipantUpdated(participant)),
                Change::Left(participant, reason) => {
                    self.shared.rpc.on_left(&participant.identity);
                    self.emit(RoomEvent::ParticipantLeft { participant, reason });
                }
            }
        }
        self.prune_remote_tracks();
        self.admit_waiting_tracks();
    }

    fn on_request_response(&mut self, response: proto::RequestResponse) {
        let Some(reply) = self.pending_attributes.remove(&response.request_id) else { return };
        let result = match response.reason() {
            Reason::Ok => Ok(()),
            // The message names limits and permissions, never values.
            _ => Err(AttributeError::Refused(response.message)),
        };
        let _ = reply.send(result);
    }

    fn on_leave(&mut self, leave: &proto::LeaveRequest) {
        let reason = DisconnectReason::from_proto(leave.reason);
        match leave.action() {
            Action::Resume => self.begin_resume(proto::ReconnectReason::RrUnknown),
            // A full reconnection would be a new participant; that is the application's to decide.
            Action::Disconnect | Action::Reconnect => {
                tracing::debug!(?reason, "the server ends the session");
                self.finish(EndReason::Server(reason));
            }
        }
    }
}
