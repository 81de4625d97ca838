//! Offer and answer for one G.711 stream (RFC 3264).

use std::net::{IpAddr, SocketAddr};

use super::{Address, Codec, Direction, Media, Origin, PTIME_MS, SessionDescription, TELEPHONE_EVENT_PAYLOAD_TYPE};

/// Digits and `*#ABCD`: the events of RFC 4733 §3.2 that are understood.
const EVENTS: &str = "0-16";

/// What this side brings to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalMedia {
    /// Address the peer shall send RTP to.
    pub address: IpAddr,
    /// RTP port.
    pub port: u16,
    /// Codecs in order of preference; of an offer the peer's own order decides.
    pub codecs: Vec<Codec>,
    /// Whether telephone-event is offered and accepted.
    pub telephone_event: bool,
    /// What this side wants to do with the stream.
    pub direction: Direction,
    /// Session number of the `o=` line, one per call.
    pub session_id: u64,
    /// Version of the `o=` line.
    pub version: u64,
}

impl LocalMedia {
    /// PCMU before PCMA with telephone-event, both ways, and a random session number.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address: address.ip(),
            port: address.port(),
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            telephone_event: true,
            direction: Direction::SendRecv,
            // RFC 8866 §5.2: a number of at most 63 bits.
            session_id: rand::random::<u64>() >> 1,
            version: 1,
        }
    }
}

/// The peer's side of an agreed stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteMedia {
    /// Where the peer wants RTP; `None` while it holds with `0.0.0.0` or gave a name.
    pub address: Option<SocketAddr>,
    /// The agreed codec.
    pub codec: Codec,
    /// Payload type of the codec.
    pub payload_type: u8,
    /// Payload type of telephone-event, if agreed.
    pub telephone_event: Option<u8>,
    /// What *this* side may do: send, receive, both or neither.
    pub direction: Direction,
    /// Packet time that the peer asked for, in milliseconds.
    pub ptime_ms: u32,
}

/// An answer ready to be sent, and what it means for the media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// The description to send.
    pub session: SessionDescription,
    /// The stream that was agreed.
    pub remote: RemoteMedia,
}

/// Why there is no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The offer holds no audio stream over `RTP/AVP` with a codec of ours. Answer 488.
    #[error("no audio stream with a common codec")]
    NoCommonCodec,
    /// An answer does not fit the offer it answers.
    #[error("answer does not correspond to the offer")]
    Mismatch,
}

impl AnswerError {
    /// The SIP status that tells the peer: 488 Not Acceptable Here (RFC 3261 §21.4.26).
    #[must_use]
    pub const fn status(self) -> u16 {
        488
    }
}

/// The description that offers this side's media.
#[must_use]
pub fn offer(local: &LocalMedia) -> SessionDescription {
    let mut formats = Vec::new();
    let mut rtpmaps = Vec::new();
    let mut fmtps = Vec::new();
    for codec in &local.codecs {
        let payload_type = codec.static_payload_type();
        formats.push(payload_type.to_string());
        rtpmaps.push((payload_type, format!("{}/8000", codec.encoding_name())));
    }
    if local.telephone_event {
        formats.push(TELEPHONE_EVENT_PAYLOAD_TYPE.to_string());
        rtpmaps.push((TELEPHONE_EVENT_PAYLOAD_TYPE, "telephone-event/8000".to_owned()));
        fmtps.push((TELEPHONE_EVENT_PAYLOAD_TYPE, EVENTS.to_owned()));
    }
    let media = Media {
        kind: "audio".to_owned(),
        port: local.port,
        protocol: "RTP/AVP".to_owned(),
        formats,
        connection: None,
        rtpmaps,
        fmtps,
        ptime_ms: Some(PTIME_MS),
        direction: Some(local.direction),
    };
    describe(local, vec![media])
}

/// Answers an offer: the first audio stream with a common codec is taken, every other line is declined.
///
/// # Errors
/// [`AnswerError::NoCommonCodec`], to be told to the peer as 488.
pub fn answer(offer: &SessionDescription, local: &LocalMedia) -> Result<Negotiated, AnswerError> {
    let (index, payload_type, codec) = offer
        .media
        .iter()
        .enumerate()
        .find_map(|(index, media)| choose_codec(media, &local.codecs).map(|(payload_type, codec)| (index, payload_type, codec)))
        .ok_or(AnswerError::NoCommonCodec)?;
    let offered = &offer.media[index];
    let remote = remote_media(offer, offered, payload_type, codec, local);
    let media = offer
        .media
        .iter()
        .enumerate()
        .map(|(position, other)| if position == index { answered_media(&remote, local) } else { other.declined() })
        .collect();
    Ok(Negotiated { session: describe(local, media), remote })
}

/// Reads the peer's answer to our offer.
///
/// # Errors
/// [`AnswerError`] when the stream was declined or answered with nothing of what was offered.
pub fn accept_answer(local: &LocalMedia, answer: &SessionDescription) -> Result<RemoteMedia, AnswerError> {
    let media = answer.media.first().ok_or(AnswerError::Mismatch)?;
    let (payload_type, codec) = choose_codec(media, &local.codecs).ok_or(AnswerError::NoCommonCodec)?;
    Ok(remote_media(answer, media, payload_type, codec, local))
}

/// Answers a later offer of the same call with the session that `previous` (our last description) stands for.
///
/// # Errors
/// [`AnswerError`] as of [`answer`], also when `previous` holds no stream of ours.
pub fn reanswer(previous: &SessionDescription, offer: &SessionDescription) -> Result<Negotiated, AnswerError> {
    let media = previous.media.iter().find(|media| media.kind == "audio" && media.port != 0).ok_or(AnswerError::Mismatch)?;
    let address = previous.address_of(media).and_then(Address::ip).ok_or(AnswerError::Mismatch)?;
    let local = LocalMedia {
        session_id: previous.origin.session_id,
        version: previous.origin.version + 1,
        ..LocalMedia::new(SocketAddr::new(address, media.port))
    };
    // The codec in use is kept as long as it is offered, whatever stands before it.
    let in_use = media.payload_types().find_map(|payload_type| media.codec(payload_type));
    let kept = LocalMedia { codecs: in_use.into_iter().collect(), ..local.clone() };
    answer(offer, &kept).or_else(|_| answer(offer, &local))
}

fn choose_codec(media: &Media, codecs: &[Codec]) -> Option<(u8, Codec)> {
    if media.kind != "audio" || media.port == 0 || media.protocol != "RTP/AVP" {
        return None;
    }
    media.payload_types().find_map(|payload_type| {
        let codec = media.codec(payload_type)?;
        codecs.contains(&codec).then_some((payload_type, codec))
    })
}

fn remote_media(session: &SessionDescription, media: &Media, payload_type: u8, codec: Codec, local: &LocalMedia) -> RemoteMedia {
    let address = session.address_of(media);
    // RFC 3264 §8.4: c=0.0.0.0 is the old way to say "do not send to me".
    let held = address.is_some_and(Address::is_unspecified);
    let theirs = session.direction_of(media);
    let ours = theirs.mirrored();
    RemoteMedia {
        address: address.filter(|_| !held).and_then(Address::ip).map(|ip| SocketAddr::new(ip, media.port)),
        codec,
        payload_type,
        telephone_event: media.telephone_event().filter(|_| local.telephone_event),
        direction: Direction::new(ours.sends() && local.direction.sends() && !held, ours.receives() && local.direction.receives()),
        ptime_ms: media.ptime_ms.unwrap_or(PTIME_MS),
    }
}

fn answered_media(remote: &RemoteMedia, local: &LocalMedia) -> Media {
    let mut formats = vec![remote.payload_type.to_string()];
    let mut rtpmaps = vec![(remote.payload_type, format!("{}/8000", remote.codec.encoding_name()))];
    let mut fmtps = Vec::new();
    if let Some(payload_type) = remote.telephone_event {
        formats.push(payload_type.to_string());
        rtpmaps.push((payload_type, "telephone-event/8000".to_owned()));
        fmtps.push((payload_type, EVENTS.to_owned()));
    }
    Media {
        kind: "audio".to_owned(),
        port: local.port,
        protocol: "RTP/AVP".to_owned(),
        formats,
        connection: None,
        rtpmaps,
        fmtps,
        ptime_ms: Some(PTIME_MS),
        direction: Some(remote.direction),
    }
}

fn describe(local: &LocalMedia, media: Vec<Media>) -> SessionDescription {
    let address = Address::Ip(local.address);
    SessionDescription {
        origin: Origin { session_id: local.session_id, version: local.version, address: address.clone() },
        connection: Some(address),
        direction: None,
        media,
    }
}
