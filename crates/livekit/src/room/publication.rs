//! Our own audio track on its way from request to subscribers.

use std::sync::Arc;

use frontdesk_audio::SampleRate;
use frontdesk_audio::opus::Encoder;
use livekit_protocol as proto;
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind};
use tokio::sync::oneshot;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::rtp_transceiver::RtpSender;

use super::audio_out::AudioPublisher;
use super::error::PublishError;
use super::peer::opus_codec;

/// Where the answer to a publish request goes.
pub(super) type PublishReply = oneshot::Sender<Result<AudioPublisher, PublishError>>;

/// The request that waits for the track to be live.
pub(super) struct PendingPublish {
    pub(super) encoder: Encoder,
    pub(super) rate: SampleRate,
    pub(super) reply: PublishReply,
}

/// Our track. The steps: `AddTrack` sent → the server knows it (`info`) → offered → answered (`negotiated`).
pub(super) struct LocalTrack {
    pub(super) cid: String,
    pub(super) ssrc: u32,
    pub(super) track: Arc<TrackLocalStaticRTP>,
    pub(super) sender: Arc<dyn RtpSender>,
    pub(super) info: Option<proto::TrackInfo>,
    pub(super) offered: bool,
    pub(super) negotiated: bool,
    pub(super) pending: Option<PendingPublish>,
}

impl LocalTrack {
    /// Asks the server for a plain Opus microphone track: no redundancy (RED).
    pub(super) fn request(&self) -> proto::AddTrackRequest {
        proto::AddTrackRequest {
            cid: self.cid.clone(),
            name: "audio".to_owned(),
            r#type: proto::TrackType::Audio as i32,
            source: proto::TrackSource::Microphone as i32,
            disable_red: true,
            ..proto::AddTrackRequest::default()
        }
    }

    /// What a resumed session must still know.
    pub(super) fn published(&self) -> Option<proto::TrackPublishedResponse> {
        let track = self.info.clone()?;
        Some(proto::TrackPublishedResponse { cid: self.cid.clone(), track: Some(track) })
    }

    /// Whether frames that are written now reach the server, given that the connection is up.
    pub(super) const fn is_ready(&self) -> bool {
        self.info.is_some() && self.negotiated
    }
}

/// The WebRTC side of a new track: its client id, its source, and the track.
pub(super) fn new_track() -> (String, u32, Arc<TrackLocalStaticRTP>) {
    let (cid, ssrc) = (crate::api::random_id("audio_"), rand::random());
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..RTCRtpCodingParameters::default() },
        codec: opus_codec(),
        ..RTCRtpEncodingParameters::default()
    };
    let track = MediaStreamTrack::new(cid.clone(), cid.clone(), "audio".to_owned(), RtpCodecKind::Audio, vec![encoding]);
    (cid, ssrc, Arc::new(TrackLocalStaticRTP::new(track)))
}

/// One offer at a time; a wish that comes meanwhile is granted afterwards.
#[derive(Debug, Default)]
pub(super) struct Negotiation {
    offer_id: u32,
    in_flight: bool,
    again: bool,
}

impl Negotiation {
    /// Asks to offer; the id of the offer if it may be made now.
    pub(super) fn begin(&mut self) -> Option<u32> {
        if self.in_flight {
            self.again = true;
            return None;
        }
        self.in_flight = true;
        self.offer_id += 1;
        Some(self.offer_id)
    }

    /// An answer came. `false`: it belongs to no offer of ours. Servers before 1.9 send no id.
    pub(super) fn answered(&mut self, id: u32) -> bool {
        let matches = self.in_flight && (id == 0 || id == self.offer_id);
        if matches {
            self.in_flight = false;
        }
        matches
    }

    /// Whether another offer was wished for meanwhile.
    pub(super) fn take_again(&mut self) -> bool {
        std::mem::take(&mut self.again)
    }

    /// Forgets an offer whose answer was lost with the signal connection; true if there was one.
    pub(super) fn abandon(&mut self) -> bool {
        std::mem::take(&mut self.in_flight)
    }
}

#[cfg(test)]
mod tests {
    use super::Negotiation;

    #[test]
    fn one_offer_at_a_time() {
        let mut negotiation = Negotiation::default();
        assert_eq!(negotiation.begin(), Some(1));
        assert_eq!(negotiation.begin(), None);
        assert!(!negotiation.answered(7), "an answer to something else");
        assert!(negotiation.answered(1));
        assert!(negotiation.take_again() && !negotiation.take_again());
        assert_eq!(negotiation.begin(), Some(2));
        assert!(negotiation.abandon() && !negotiation.answered(2));
    }
}
