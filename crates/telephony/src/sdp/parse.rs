//! Reading a session description: strict about shape, indifferent to what is not understood.

use std::net::IpAddr;

use super::{Address, Direction, Media, Origin, SessionDescription};

/// Most lines read; a telephone's description has about twenty.
const LINES_MAX: usize = 512;
/// Most `m=` lines read.
const MEDIA_MAX: usize = 32;
/// Most formats of one `m=` line.
const FORMATS_MAX: usize = 64;

/// Why a body is no session description. Answer 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// The body is not UTF-8.
    #[error("session description is not utf-8")]
    NotText,
    /// The first line is not `v=0`.
    #[error("session description does not begin with v=0")]
    Version,
    /// A line is not `<letter>=<value>`.
    #[error("line {line} is not <letter>=<value>")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// A line's value does not follow its grammar.
    #[error("{field}= on line {line} is malformed")]
    Field {
        /// The line's letter.
        field: char,
        /// Counted from 1.
        line: usize,
    },
    /// No `o=` line.
    #[error("session description has no o= line")]
    NoOrigin,
    /// More lines, streams or formats than a telephone call can need.
    #[error("session description is too large")]
    TooLarge,
}

pub(super) fn parse(body: &[u8]) -> Result<SessionDescription, SdpError> {
    let text = std::str::from_utf8(body).map_err(|_| SdpError::NotText)?;
    let mut reader = Reader::default();
    for (index, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if index >= LINES_MAX {
            return Err(SdpError::TooLarge);
        }
        if index == 0 {
            if line.trim_end() != "v=0" {
                return Err(SdpError::Version);
            }
        } else if !line.is_empty() {
            reader.line(line, index + 1)?;
        }
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    origin: Option<Origin>,
    connection: Option<Address>,
    direction: Option<Direction>,
    media: Vec<Media>,
}

impl Reader {
    fn line(&mut self, line: &str, number: usize) -> Result<(), SdpError> {
        let (name, value) = line.split_once('=').ok_or(SdpError::Line { line: number })?;
        let mut letters = name.chars();
        let (Some(letter), None) = (letters.next(), letters.next()) else {
            return Err(SdpError::Line { line: number });
        };
        let malformed = || SdpError::Field { field: letter, line: number };
        match letter {
            'o' if self.origin.is_none() => {
                self.origin = Some(origin(value).ok_or_else(malformed)?);
            }
            'c' => {
                let address = connection(value).ok_or_else(malformed)?;
                match self.media.last_mut() {
                    Some(media) => media.connection = Some(address),
                    None => self.connection = Some(address),
                }
            }
            'm' => {
                if self.media.len() >= MEDIA_MAX {
                    return Err(SdpError::TooLarge);
                }
                self.media.push(media(value).ok_or_else(malformed)?);
            }
            'a' => self.attribute(value),
            letter if letter.is_ascii_lowercase() => {}
            _ => return Err(SdpError::Line { line: number }),
        }
        Ok(())
    }

    /// Attributes of wrong grammar are read past, as unknown ones are (RFC 8866 §5.13).
    fn attribute(&mut self, attribute: &str) {
        let (name, value) = match attribute.split_once(':') {
            Some((name, value)) => (name, value.trim()),
            None => (attribute.trim_end(), ""),
        };
        let direction = Direction::from_attribute(name);
        let Some(media) = self.media.last_mut() else {
            self.direction = direction.or(self.direction);
            return;
        };
        media.direction = direction.or(media.direction);
        match name {
            "rtpmap" => push_parameter(&mut media.rtpmaps, value),
            "fmtp" => push_parameter(&mut media.fmtps, value),
            "ptime" => media.ptime_ms = value.parse().ok(),
            _ => {}
        }
    }

    fn finish(self) -> Result<SessionDescription, SdpError> {
        Ok(SessionDescription {
            origin: self.origin.ok_or(SdpError::NoOrigin)?,
            connection: self.connection,
            direction: self.direction,
            media: self.media,
        })
    }
}

fn push_parameter(list: &mut Vec<(u8, String)>, value: &str) {
    let Some((payload_type, rest)) = value.split_once(' ') else {
        return;
    };
    if let Ok(payload_type) = payload_type.parse()
        && list.len() < FORMATS_MAX
    {
        list.push((payload_type, rest.trim().to_owned()));
    }
}

/// `o=<username> <sess-id> <sess-version> <nettype> <addrtype> <unicast-address>`.
///
/// The two numbers are meant to be decimal but are opaque to a reader; one that is not a number reads as 0.
fn origin(value: &str) -> Option<Origin> {
    let mut fields = value.split_ascii_whitespace();
    let _username = fields.next()?;
    let session_id = fields.next()?.parse().unwrap_or(0);
    let version = fields.next()?.parse().unwrap_or(0);
    let (_nettype, _addrtype) = (fields.next()?, fields.next()?);
    let address = address(fields.next()?)?;
    Some(Origin { session_id, version, address })
}

/// `c=<nettype> <addrtype> <connection-address>[/ttl]`.
fn connection(value: &str) -> Option<Address> {
    let mut fields = value.split_ascii_whitespace();
    let (nettype, addrtype) = (fields.next()?, fields.next()?);
    if nettype != "IN" || !matches!(addrtype, "IP4" | "IP6") {
        return None;
    }
    let found = fields.next()?;
    address(found.split('/').next().unwrap_or(found))
}

fn address(text: &str) -> Option<Address> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(Address::Ip(ip));
    }
    let is_name = !text.is_empty()
        && text.len() <= 255
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    is_name.then(|| Address::Name(text.to_owned()))
}

/// `m=<media> <port>[/<count>] <proto> <fmt> …`.
fn media(value: &str) -> Option<Media> {
    let mut fields = value.split_ascii_whitespace();
    let kind = fields.next()?;
    let port = fields.next()?;
    let port = port.split('/').next()?.parse().ok()?;
    let protocol = fields.next()?;
    let formats: Vec<String> = fields.take(FORMATS_MAX).map(str::to_owned).collect();
    if formats.is_empty() {
        return None;
    }
    Some(Media {
        kind: kind.to_owned(),
        port,
        protocol: protocol.to_owned(),
        formats,
        connection: None,
        rtpmaps: Vec::new(),
        fmtps: Vec::new(),
        ptime_ms: None,
        direction: None,
    })
}
