//! Session descriptions for one audio stream: RFC 8866 (SDP) and RFC 3264 (offer/answer).
//!
//! A telephone endpoint needs little of SDP: PCMU and PCMA at 8 kHz, telephone-event (RFC 4733), `ptime`, a
//! direction, and the address of the peer's RTP socket. Everything else in a description is read past. What is
//! declined is declined properly: a media line that is not taken stays in the answer with port 0, because the
//! lines of offer and answer correspond by position (RFC 3264 §6).
//!
//! - [`SessionDescription`] parses and prints.
//! - [`offer`], [`answer`], [`accept_answer`] negotiate; [`reanswer`] repeats an agreed session to a new offer.

mod negotiate;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

pub use negotiate::{AnswerError, LocalMedia, Negotiated, RemoteMedia, accept_answer, answer, offer, reanswer};
pub use parse::SdpError;

/// The media type that carries a session description in SIP.
pub const CONTENT_TYPE: &str = "application/sdp";

/// Packet time of everything sent here: 20 ms.
pub const PTIME_MS: u32 = 20;

/// Payload type used for telephone-event in our own offers (RFC 4733 leaves it dynamic; 101 is what everyone uses).
pub const TELEPHONE_EVENT_PAYLOAD_TYPE: u8 = 101;

/// An 8 kHz telephone codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 μ-law, static payload type 0.
    Pcmu,
    /// G.711 A-law, static payload type 8.
    Pcma,
}

impl Codec {
    /// The static payload type of RFC 3551 §6.
    #[must_use]
    pub const fn static_payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
        }
    }

    /// The encoding name as written on an `a=rtpmap` line.
    #[must_use]
    pub const fn encoding_name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
        }
    }

    fn from_static(payload_type: u8) -> Option<Self> {
        [Self::Pcmu, Self::Pcma].into_iter().find(|codec| codec.static_payload_type() == payload_type)
    }

    fn from_encoding(encoding: &str) -> Option<Self> {
        [Self::Pcmu, Self::Pcma].into_iter().find(|codec| is_encoding(encoding, codec.encoding_name()))
    }
}

/// Whether `encoding` (`NAME/8000[/1]`) names this 8 kHz mono encoding.
fn is_encoding(encoding: &str, name: &str) -> bool {
    let mut parts = encoding.split('/');
    let named = parts.next().is_some_and(|found| found.eq_ignore_ascii_case(name));
    named && parts.next() == Some("8000") && matches!(parts.next(), None | Some("1"))
}

/// Which way media flows, from the view of the description that carries it (RFC 8866 §6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Both ways; what a description without a direction means.
    #[default]
    SendRecv,
    /// The describing side only sends (it has put the other on hold).
    SendOnly,
    /// The describing side only receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// The direction whose sending and receiving halves are these.
    #[must_use]
    pub const fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether the describing side sends.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the describing side receives.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same stream seen from the other side.
    #[must_use]
    pub const fn mirrored(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// The attribute's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    fn from_attribute(name: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive].into_iter().find(|direction| direction.as_str() == name)
    }
}

/// The address of a `c=` or `o=` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An IP literal.
    Ip(IpAddr),
    /// A name, kept as written. Names are not resolved: media then goes where it comes from.
    Name(String),
}

impl Address {
    /// The IP literal, if it is one.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Name(_) => None,
        }
    }

    /// `0.0.0.0` or `::`, with which RFC 2543 put a stream on hold.
    #[must_use]
    pub fn is_unspecified(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_unspecified())
    }

    const fn family(&self) -> &'static str {
        match self {
            Self::Ip(IpAddr::V6(_)) => "IP6",
            _ => "IP4",
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// The parts of the `o=` line that identify a session and its version (RFC 8866 §5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Unique session number.
    pub session_id: u64,
    /// Grows by one with each changed description of the same session.
    pub version: u64,
    /// Address the session is described from.
    pub address: Address,
}

/// One `m=` line with what stands under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// `audio`, `video`, `image`, …
    pub kind: String,
    /// RTP port; 0 declines the stream.
    pub port: u16,
    /// Transport, `RTP/AVP` here.
    pub protocol: String,
    /// Payload types (or other formats) in the describing side's order of preference.
    pub formats: Vec<String>,
    /// This stream's own `c=` line.
    pub connection: Option<Address>,
    /// `a=rtpmap`: payload type and `NAME/rate[/channels]`.
    pub rtpmaps: Vec<(u8, String)>,
    /// `a=fmtp`: payload type and parameters.
    pub fmtps: Vec<(u8, String)>,
    /// `a=ptime` in milliseconds.
    pub ptime_ms: Option<u32>,
    /// This stream's own direction.
    pub direction: Option<Direction>,
}

impl Media {
    /// The codec that this payload type stands for, by its `rtpmap` or else by its static number.
    #[must_use]
    pub fn codec(&self, payload_type: u8) -> Option<Codec> {
        match self.rtpmap(payload_type) {
            Some(encoding) => Codec::from_encoding(encoding),
            None => Codec::from_static(payload_type),
        }
    }

    /// The payload type of telephone-event (RFC 4733) among the formats.
    #[must_use]
    pub fn telephone_event(&self) -> Option<u8> {
        self.payload_types()
            .find(|payload_type| self.rtpmap(*payload_type).is_some_and(|encoding| is_encoding(encoding, "telephone-event")))
    }

    /// The numeric formats, in order.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> + '_ {
        // `00` is no way to write 0: the answer repeats what was offered, letter for letter.
        let canonical = |format: &&String| **format == "0" || !format.starts_with(['0', '+']);
        self.formats.iter().filter(canonical).filter_map(|format| format.parse().ok()).filter(|payload_type| *payload_type < 128)
    }

    fn rtpmap(&self, payload_type: u8) -> Option<&str> {
        self.rtpmaps.iter().find(|(found, _)| *found == payload_type).map(|(_, encoding)| encoding.as_str())
    }

    /// The same line, declined.
    fn declined(&self) -> Self {
        Self {
            kind: self.kind.clone(),
            port: 0,
            protocol: self.protocol.clone(),
            formats: self.formats.clone(),
            connection: None,
            rtpmaps: Vec::new(),
            fmtps: Vec::new(),
            ptime_ms: None,
            direction: None,
        }
    }
}

/// A session description, reduced to what a telephone endpoint acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDescription {
    /// The `o=` line.
    pub origin: Origin,
    /// The session's `c=` line.
    pub connection: Option<Address>,
    /// The session-level direction, which a stream without its own takes.
    pub direction: Option<Direction>,
    /// The `m=` lines in order.
    pub media: Vec<Media>,
}

impl SessionDescription {
    /// Parses the body of a message.
    ///
    /// # Errors
    /// [`SdpError`] when the text is not a session description or exceeds the bounds on lines and streams.
    pub fn parse(body: &[u8]) -> Result<Self, SdpError> {
        parse::parse(body)
    }

    /// The direction that applies to a stream (RFC 8866 §6.7).
    #[must_use]
    pub fn direction_of(&self, media: &Media) -> Direction {
        media.direction.or(self.direction).unwrap_or_default()
    }

    /// The connection address that applies to a stream (RFC 8866 §5.7).
    #[must_use]
    pub fn address_of<'a>(&'a self, media: &'a Media) -> Option<&'a Address> {
        media.connection.as_ref().or(self.connection.as_ref())
    }

    /// The first audio stream that is not declined: its address, if it is an IP literal and not `0.0.0.0`.
    #[must_use]
    pub fn audio_address(&self) -> Option<SocketAddr> {
        let media = self.media.iter().find(|media| media.kind == "audio" && media.port != 0)?;
        let address = self.address_of(media)?;
        (!address.is_unspecified()).then(|| address.ip()).flatten().map(|ip| SocketAddr::new(ip, media.port))
    }
}

impl fmt::Display for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = &self.origin;
        write!(f, "v=0\r\n")?;
        write!(f, "o=- {} {} IN {} {}\r\n", origin.session_id, origin.version, origin.address.family(), origin.address)?;
        write!(f, "s=-\r\n")?;
        if let Some(address) = &self.connection {
            write!(f, "c=IN {} {address}\r\n", address.family())?;
        }
        write!(f, "t=0 0\r\n")?;
        if let Some(direction) = self.direction {
            write!(f, "a={}\r\n", direction.as_str())?;
        }
        self.media.iter().try_for_each(|media| write_media(f, media))
    }
}

fn write_media(f: &mut fmt::Formatter<'_>, media: &Media) -> fmt::Result {
    write!(f, "m={} {} {} {}\r\n", media.kind, media.port, media.protocol, media.formats.join(" "))?;
    if let Some(address) = &media.connection {
        write!(f, "c=IN {} {address}\r\n", address.family())?;
    }
    for (payload_type, encoding) in &media.rtpmaps {
        write!(f, "a=rtpmap:{payload_type} {encoding}\r\n")?;
    }
    for (payload_type, parameters) in &media.fmtps {
        write!(f, "a=fmtp:{payload_type} {parameters}\r\n")?;
    }
    if let Some(ptime_ms) = media.ptime_ms {
        write!(f, "a=ptime:{ptime_ms}\r\n")?;
    }
    match media.direction {
        Some(direction) => write!(f, "a={}\r\n", direction.as_str()),
        None => Ok(()),
    }
}
