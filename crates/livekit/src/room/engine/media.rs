//! Peer connections, tracks and data packets.

use std::sync::Arc;

use frontdesk_audio::SampleRate;
use frontdesk_audio::opus::Encoder;
use livekit_protocol as proto;
use proto::data_packet::Value;
use proto::signal_request::Message as Request;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use tokio::time::Instant;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::RTCPeerConnectionState;

use super::{Engine, RemoteQueue, RemoteTrack, WAITING_TRACKS_MAX};
use crate::room::audio_in::{self, RemoteAudio, StreamDecoder};
use crate::room::audio_out;
use crate::room::data;
use crate::room::error::PublishError;
use crate::room::event::{DataMessage, DtmfDigit, RoomEvent};
use crate::room::packets_in::{self, RemotePackets};
use crate::room::peer::{PeerEvent, Side};
use crate::room::publication::{LocalTrack, PendingPublish, PublishReply, new_track};
use crate::room::queue::Queue;
use crate::room::sdp;

impl Engine {
    pub(super) async fn on_peer_event(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Candidate(side, candidate_init) => {
                let target = side.target() as i32;
                self.send(Request::Trickle(proto::TrickleRequest { candidate_init, target, ..Default::default() })).await;
            }
            PeerEvent::State(side, state) => self.on_state(side, state),
            PeerEvent::StreamLost(side) => self.on_stream_lost(side),
            PeerEvent::Channel(channel) => {
                let (packets, cancel) = (self.packets_sender.clone(), self.media_cancel.clone());
                self.tasks.spawn(data::read_remote(self.shared.data.clone(), channel, packets, cancel));
            }
            PeerEvent::Track(track) => self.on_track(track).await,
        }
    }

    fn on_state(&mut self, side: Side, state: RTCPeerConnectionState) {
        tracing::debug!(?side, %state, after_ms = self.age_ms(), "peer connection");
        let peer = match side {
            Side::Publisher => &mut self.publisher,
            Side::Subscriber => &mut self.subscriber,
        };
        peer.state = state;
        if self.publisher.is_connected() && self.subscriber.is_connected() {
            self.media_down_since = None;
            if !self.shared.media_up.send_replace(true) {
                self.emit(RoomEvent::MediaConnected);
            }
        } else if self.media_down_since.is_none() {
            self.media_down_since = Some(Instant::now());
        }
        if state == RTCPeerConnectionState::Failed {
            self.begin_resume(failed(side));
        }
        self.complete_publish();
    }

    /// Media went over a stream that has broken: ICE is restarted, as the server does when a session is resumed.
    fn on_stream_lost(&mut self, side: Side) {
        match side {
            Side::Publisher => self.publisher.is_stream_lost = true,
            Side::Subscriber => self.subscriber.is_stream_lost = true,
        }
        self.media_down_since.get_or_insert_with(Instant::now);
        self.begin_resume(failed(side));
    }

    /// Offers on the publisher, unless an offer is under way.
    pub(super) async fn negotiate(&mut self, restart_ice: bool) {
        let Some(id) = self.negotiation.begin() else { return };
        match self.publisher.offer(restart_ice).await {
            Ok(sdp) => {
                if let Some(local) = &mut self.local {
                    local.offered = local.info.is_some();
                }
                let offer = proto::SessionDescription { r#type: "offer".to_owned(), sdp, id, ..Default::default() };
                self.send(Request::Offer(offer)).await;
            }
            Err(error) => {
                self.negotiation.abandon();
                tracing::warn!(%error, "no offer could be made");
            }
        }
    }

    pub(super) async fn publish(&mut self, rate: SampleRate, reply: PublishReply) {
        let local = match self.new_local_track(rate).await {
            Ok((mut local, encoder)) => {
                local.pending = Some(PendingPublish { encoder, rate, reply });
                self.local.insert(local)
            }
            Err(error) => {
                let _ = reply.send(Err(error));
                return;
            }
        };
        let request = Request::AddTrack(local.request());
        self.send(request).await;
    }

    async fn new_local_track(&mut self, rate: SampleRate) -> Result<(LocalTrack, Encoder), PublishError> {
        if self.local.is_some() {
            return Err(PublishError::AlreadyPublished);
        }
        let encoder = Encoder::new(rate)?;
        let (cid, ssrc, track) = new_track();
        let sender = self
            .publisher
            .connection()
            .add_track(track.clone() as Arc<dyn TrackLocal>)
            .await
            .map_err(|error| PublishError::Media(error.to_string()))?;
        let (info, offered, negotiated, pending) = (None, false, false, None);
        Ok((LocalTrack { cid, ssrc, track, sender, info, offered, negotiated, pending }, encoder))
    }

    pub(super) async fn on_track_published(&mut self, published: proto::TrackPublishedResponse) {
        let Some(local) = self.local.as_mut().filter(|local| local.cid == published.cid) else { return };
        local.info = published.track;
        tracing::debug!(after_ms = self.age_ms(), "our track is known to the server");
        self.negotiate(false).await;
    }

    /// Answers a publish request once frames would reach the server.
    pub(super) fn complete_publish(&mut self) {
        let Some(local) = self.local.as_mut().filter(|local| local.is_ready()) else { return };
        if !self.publisher.is_connected() {
            return;
        }
        let Some(PendingPublish { encoder, rate, reply }) = local.pending.take() else { return };
        let sid = local.info.as_ref().map(|info| info.sid.clone()).unwrap_or_default();
        let cancel = self.media_cancel.clone();
        let (publisher, task) = audio_out::publisher(encoder, rate, sid, local.ssrc, local.track.clone(), cancel);
        self.tasks.spawn(task);
        let _ = reply.send(Ok(publisher));
    }

    /// Announces the tracks that an answered offer sends us. The connection itself tells of a track only with its first
    /// packet, but whoever answers a call wants to know when it would hear one.
    pub(super) fn announce_tracks(&mut self, offer: &str) {
        for (participant_sid, track_sid) in sdp::audio_tracks(offer) {
            let waits = self.waiting_tracks.iter().any(|(_, waiting)| *waiting == track_sid);
            if !waits && !self.remote_tracks.contains_key(&track_sid) && self.waiting_tracks.len() < WAITING_TRACKS_MAX {
                self.waiting_tracks.push((participant_sid, track_sid));
            }
        }
        self.admit_waiting_tracks();
    }

    /// Hands the tracks out whose participants are known.
    pub(super) fn admit_waiting_tracks(&mut self) {
        for (participant_sid, track_sid) in std::mem::take(&mut self.waiting_tracks) {
            let identity = self.shared.roster().by_sid(&participant_sid).map(|participant| participant.identity.clone());
            let Some(identity) = identity else {
                self.waiting_tracks.push((participant_sid, track_sid));
                continue;
            };
            let capacity = self.options.audio_capacity_frames;
            let (queue, event) = if self.options.encoded_audio {
                let queue = Queue::new(capacity);
                let packets = RemotePackets::new(identity, track_sid.clone(), queue.clone());
                (RemoteQueue::Packets(queue), RoomEvent::EncodedTrack(packets))
            } else {
                let queue = Queue::new(capacity);
                let audio = RemoteAudio::new(identity, track_sid.clone(), self.options.subscribe_rate, queue.clone());
                (RemoteQueue::Frames(queue), RoomEvent::AudioTrack(audio))
            };
            let cancel = self.media_cancel.child_token();
            self.remote_tracks.insert(track_sid, RemoteTrack { participant_sid, queue, cancel, started: false, published: false });
            self.emit(event);
        }
    }

    /// The first packet of a track came: decode it.
    async fn on_track(&mut self, track: Arc<dyn TrackRemote>) {
        if track.kind().await != RtpCodecKind::Audio {
            return;
        }
        let (stream_id, track_id) = (track.stream_id().await, track.track_id().await);
        let (_, track_sid) = sdp::track_ids(&stream_id, &track_id);
        let Some(remote) = self.remote_tracks.get_mut(track_sid).filter(|remote| !remote.started) else {
            tracing::debug!(track_sid, "a track that nobody waits for");
            return;
        };
        let cancel = remote.cancel.clone();
        match &remote.queue {
            RemoteQueue::Packets(queue) => {
                remote.started = true;
                self.tasks.spawn(packets_in::receive(track, queue.clone(), cancel));
            }
            RemoteQueue::Frames(queue) => match StreamDecoder::new(self.options.subscribe_rate) {
                Ok(decoder) => {
                    remote.started = true;
                    self.tasks.spawn(audio_in::receive(track, decoder, self.options.fill_silence_after, queue.clone(), cancel));
                }
                Err(error) => tracing::warn!(%error, "remote audio cannot be decoded"),
            },
        }
    }

    /// Ends the tracks that nobody publishes any more. The connection's own signal for it can be lost under load.
    pub(super) fn prune_remote_tracks(&mut self) {
        let roster = self.shared.roster();
        self.remote_tracks.retain(|sid, remote| {
            let participant = roster.by_sid(&remote.participant_sid);
            let published = participant.is_some_and(|participant| participant.track_sids.contains(sid));
            // The offer may be ahead of the update that tells of the track.
            let keep = published || (participant.is_some() && !remote.published);
            remote.published |= published;
            if !keep {
                remote.cancel.cancel();
                remote.queue.end();
            }
            keep
        });
    }

    pub(super) fn on_packet(&mut self, reliable: bool, packet: proto::DataPacket) {
        let sender = packet.participant_identity;
        match packet.value {
            Some(Value::User(user)) => self.emit(RoomEvent::Data(DataMessage {
                sender,
                topic: user.topic.unwrap_or_default(),
                reliable,
                payload: user.payload.into(),
            })),
            Some(Value::SipDtmf(dtmf)) => {
                if let Some(digit) = dtmf_digit(&dtmf) {
                    self.emit(RoomEvent::Dtmf(DtmfDigit { sender, digit }));
                }
            }
            Some(value @ (Value::StreamHeader(_) | Value::StreamChunk(_) | Value::StreamTrailer(_))) => {
                if let Some(text) = self.texts.take(self.started.elapsed(), &sender, value) {
                    self.emit(RoomEvent::Text(text));
                }
            }
            Some(Value::RpcRequest(request)) => {
                let (immediate, told) = self.shared.rpc.on_request(sender, request);
                if let Some(immediate) = immediate {
                    let identity = self.shared.roster().local().identity.clone();
                    self.tasks.spawn(immediate.send(self.shared.data.clone(), identity));
                }
                if let Some(request) = told {
                    self.emit(RoomEvent::Rpc(request));
                }
            }
            Some(Value::RpcAck(ack)) => self.shared.rpc.on_ack(&sender, &ack),
            Some(Value::RpcResponse(response)) => self.shared.rpc.on_response(&sender, response),
            _ => {}
        }
    }
}

const fn failed(side: Side) -> proto::ReconnectReason {
    match side {
        Side::Publisher => proto::ReconnectReason::RrPublisherFailed,
        Side::Subscriber => proto::ReconnectReason::RrSubscriberFailed,
    }
}

/// Digit of a packet: its text, or its event code (RFC 4733 section 3.2).
fn dtmf_digit(dtmf: &proto::SipDtmf) -> Option<char> {
    let digit = dtmf.digit.chars().next().or_else(|| "0123456789*#ABCD".chars().nth(dtmf.code as usize));
    digit.map(|digit| digit.to_ascii_uppercase()).filter(|digit| dtmf_code(*digit).is_some())
}

/// Event code of a digit.
pub(in crate::room) fn dtmf_code(digit: char) -> Option<u32> {
    "0123456789*#ABCD".chars().position(|known| known == digit.to_ascii_uppercase()).map(|code| code as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_by_text_or_code() {
        let digit = |code, digit: &str| dtmf_digit(&proto::SipDtmf { code, digit: digit.into() });
        assert_eq!((digit(5, "5"), digit(11, ""), digit(10, "*"), digit(12, "a")), (Some('5'), Some('#'), Some('*'), Some('A')));
        assert_eq!((digit(99, ""), digit(0, "x")), (None, None));
        assert_eq!((dtmf_code('#'), dtmf_code('d'), dtmf_code('x')), (Some(11), Some(15), None));
    }
}
