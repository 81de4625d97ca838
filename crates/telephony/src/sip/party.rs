//! Who calls whom, in forms whose `Debug` shows no number and no name.

use std::fmt;
use std::net::SocketAddr;

use sipx_sip::{Address, HeaderName, Request, Uri};

use super::Transport;
use crate::sdp::SessionDescription;

/// A `sip:`, `sips:` or `tel:` URI.
#[derive(Clone, PartialEq, Eq)]
pub struct SipUri {
    /// User part with escapes decoded, or the subscriber of a `tel:` URI; empty if there is none.
    pub user: String,
    /// Host without port; empty for `tel:`.
    pub host: String,
    /// The URI as written.
    pub text: String,
}

impl SipUri {
    pub(super) fn from_uri(uri: &Uri) -> Self {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let user = match (uri.decoded_user(), uri.tel_parts()) {
            (Some(user), _) => lossy(&user),
            (None, Some(tel)) => lossy(tel.subscriber()),
            (None, None) => String::new(),
        };
        Self { user, host: uri.host().map(ToString::to_string).unwrap_or_default(), text: lossy(&uri.to_bytes()) }
    }
}

impl fmt::Debug for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{redacted}}@{}", self.host)
    }
}

/// A `From` or `To`: display name and URI.
#[derive(Clone, PartialEq, Eq)]
pub struct Party {
    /// Display name, if any.
    pub display_name: Option<String>,
    /// The address.
    pub uri: SipUri,
}

impl Party {
    pub(super) fn from_address(address: &Address) -> Self {
        Self {
            display_name: address.display_name.as_deref().map(|name| String::from_utf8_lossy(name).into_owned()),
            uri: SipUri::from_uri(&address.uri),
        }
    }
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

/// What an INVITE says, as far as an application decides on it.
#[derive(Clone)]
pub struct Invite {
    /// Where it came from.
    pub source: SocketAddr,
    /// How it came.
    pub transport: Transport,
    /// The Request-URI; its user part is the number that was dialled.
    pub request_uri: SipUri,
    /// The caller.
    pub from: Party,
    /// The callee as the caller wrote it.
    pub to: Party,
    /// `Call-ID`.
    pub call_id: String,
    /// All headers in order; names in their usual spelling, values unfolded.
    pub headers: Vec<(String, String)>,
    /// The session offered; `None` when the caller leaves the offer to the answer (RFC 3261 §13.2.1).
    pub offer: Option<SessionDescription>,
}

impl Invite {
    /// The first header of this name, compared without case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Reads a request whose mandatory headers were found well-formed.
    pub(super) fn from_request(
        request: &Request,
        source: SocketAddr,
        transport: Transport,
        offer: Option<SessionDescription>,
    ) -> Option<Self> {
        let from = request.headers.typed::<sipx_sip::headers::From>()?.ok()?;
        let to = request.headers.typed::<sipx_sip::headers::To>()?.ok()?;
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(Self {
            source,
            transport,
            request_uri: SipUri::from_uri(&request.uri),
            from: Party::from_address(&from.0),
            to: Party::from_address(&to.0),
            call_id: lossy(&request.headers.value(&HeaderName::CallId)?),
            headers: request.headers.iter().map(|header| (lossy(header.name().canonical()), lossy(&header.value()))).collect(),
            offer,
        })
    }
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invite").field("source", &self.source).field("transport", &self.transport).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn uri(text: &'static str) -> SipUri {
        SipUri::from_uri(&Uri::parse(Bytes::from_static(text.as_bytes())).unwrap())
    }

    #[test]
    fn the_dialled_number_is_found_in_sip_and_tel() {
        assert_eq!(uri("sip:+15551230000@203.0.113.7:5060;user=phone").user, "+15551230000");
        assert_eq!(uri("tel:+15551230000").user, "+15551230000");
        assert_eq!(uri("sip:clinic%20desk@example.com").user, "clinic desk");
        assert_eq!(uri("sip:example.com").user, "");
    }

    #[test]
    fn debug_shows_neither_number_nor_name() {
        let party = Party { display_name: Some("Jane Roe".into()), uri: uri("sip:+15551230000@example.com") };
        let text = format!("{party:?} {:?}", party.uri);
        assert!(!text.contains("1555") && !text.contains("Jane"), "{text}");
    }
}
