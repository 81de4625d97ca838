//! A dialog's state (RFC 3261 §12): tags, sequence numbers, the route set and the remote target.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use sipx_sip::headers::{CSeq, Contact, RecordRoute};
use sipx_sip::{BuildError, HeaderName, Headers, Host, Method, Request, RequestBuilder, Response, Uri};

use super::flow::{Path, Transport, is_hidden};

/// Finds a dialog among all of an endpoint: `Call-ID` and the local tag. The remote tag is compared on top.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct DialogKey {
    pub(super) call_id: Bytes,
    pub(super) local_tag: Bytes,
}

impl DialogKey {
    /// Of a request sent to us: our tag stands in `To`.
    pub(super) fn of_request(request: &Request) -> Option<Self> {
        let to = request.headers.typed::<sipx_sip::headers::To>()?.ok()?;
        Some(Self { call_id: call_id(&request.headers)?, local_tag: Bytes::copy_from_slice(to.tag()?) })
    }
}

/// One side of a call, as the two ends agreed on it.
#[derive(Debug, Clone)]
pub(super) struct Dialog {
    pub(super) key: DialogKey,
    pub(super) remote_tag: Option<Bytes>,
    /// `From` of our requests, with our tag.
    local: Bytes,
    /// `To` of our requests, with the peer's tag.
    remote: Bytes,
    pub(super) local_cseq: u32,
    pub(super) remote_cseq: u32,
    routes: Vec<(Bytes, Uri)>,
    target: Uri,
    /// Where the peer was last heard.
    pub(super) path: Path,
    seen: IpAddr,
}

impl Dialog {
    /// The callee's dialog, from the INVITE (RFC 3261 §12.1.1). `None` if the request lacks what a dialog needs.
    pub(super) fn of_invite(request: &Request, local_tag: &str, path: Path, seen: IpAddr) -> Option<Self> {
        let headers = &request.headers;
        let from = headers.typed::<sipx_sip::headers::From>()?.ok()?;
        let cseq = headers.typed::<CSeq>()?.ok()?;
        let mut local = headers.value(&HeaderName::To)?.into_owned();
        local.extend_from_slice(b";tag=");
        local.extend_from_slice(local_tag.as_bytes());
        Some(Self {
            key: DialogKey { call_id: call_id(headers)?, local_tag: Bytes::copy_from_slice(local_tag.as_bytes()) },
            remote_tag: from.tag().map(Bytes::copy_from_slice),
            local: Bytes::from(local),
            remote: Bytes::from(headers.value(&HeaderName::From)?.into_owned()),
            local_cseq: initial_cseq(),
            remote_cseq: cseq.sequence,
            routes: record_routes(headers)?,
            target: match headers.typed_all::<Contact>().next() {
                Some(contact) => contact.ok()?.0.uri,
                None => from.0.uri,
            },
            path,
            seen,
        })
    }

    /// The caller's dialog, from its INVITE and a 2xx to it (RFC 3261 §12.1.2).
    pub(super) fn of_response(invite: &Request, response: &Response, path: Path, seen: IpAddr) -> Option<Self> {
        let from = invite.headers.typed::<sipx_sip::headers::From>()?.ok()?;
        let to = response.headers.typed::<sipx_sip::headers::To>()?.ok()?;
        let cseq = invite.headers.typed::<CSeq>()?.ok()?;
        let mut routes = record_routes(&response.headers)?;
        routes.reverse();
        Some(Self {
            key: DialogKey { call_id: call_id(&invite.headers)?, local_tag: Bytes::copy_from_slice(from.tag()?) },
            remote_tag: to.tag().map(Bytes::copy_from_slice),
            local: Bytes::from(invite.headers.value(&HeaderName::From)?.into_owned()),
            remote: Bytes::from(response.headers.value(&HeaderName::To)?.into_owned()),
            local_cseq: cseq.sequence,
            // The peer has sent nothing yet; any first number is accepted.
            remote_cseq: 0,
            routes,
            target: response.headers.typed_all::<Contact>().next()?.ok()?.0.uri,
            path,
            seen,
        })
    }

    /// Whether a request's `From` tag is the peer's. A peer of RFC 2543 has none.
    pub(super) fn is_from_peer(&self, request: &Request) -> bool {
        match request.headers.typed::<sipx_sip::headers::From>() {
            Some(Ok(from)) => from.tag() == self.remote_tag.as_deref(),
            _ => false,
        }
    }

    /// Takes the new remote target of a re-INVITE or of the 2xx to ours (RFC 3261 §12.2).
    pub(super) fn refresh_target(&mut self, headers: &Headers) {
        if let Some(Ok(contact)) = headers.typed_all::<Contact>().next()
            && contact.uri.scheme().is_sip()
        {
            self.target = contact.0.uri;
        }
    }

    /// Where requests within the dialog go: the first route or else the remote target, over the connection in use
    /// if there is one. A host name, or an address hidden behind a NAT, means: back to where the peer was seen.
    pub(super) fn next_hop(&self) -> Path {
        let hop = self.routes.first().map_or(&self.target, |(_, route)| route);
        let seen = match self.path {
            Path::Udp(address) => Some(address),
            Path::Tcp { redial, .. } => redial,
        };
        let stated = match hop.host() {
            Some(Host::Ip(ip)) if !is_hidden(*ip, self.seen) => Some(SocketAddr::new(*ip, hop.port().unwrap_or(5060))),
            _ => seen,
        };
        let over_tcp = match hop.transport() {
            Some(transport) => transport.eq_ignore_ascii_case(b"tcp"),
            None => self.path.transport() == Transport::Tcp,
        };
        match (self.path, stated) {
            (Path::Tcp { connection, .. }, redial) => Path::Tcp { connection, redial },
            (Path::Udp(_), Some(address)) if over_tcp => Path::to(address, Transport::Tcp),
            (Path::Udp(_), Some(address)) => Path::Udp(address),
            (Path::Udp(address), None) => Path::Udp(address),
        }
    }

    /// The next request of this dialog, its `CSeq` counted up; everything but `Via`, `Contact` and body.
    pub(super) fn request(&mut self, method: &Method) -> Result<RequestBuilder, BuildError> {
        self.local_cseq = self.local_cseq.wrapping_add(1) & 0x7fff_ffff;
        self.request_with_cseq(method, self.local_cseq)
    }

    /// The ACK for a 2xx: a request of its own with the INVITE's sequence number (RFC 3261 §13.2.2.4).
    pub(super) fn ack(&self, cseq: u32) -> Result<RequestBuilder, BuildError> {
        self.request_with_cseq(&Method::Ack, cseq)
    }

    fn request_with_cseq(&self, method: &Method, cseq: u32) -> Result<RequestBuilder, BuildError> {
        let (uri, routes) = self.routing();
        let mut builder = RequestBuilder::new(method.clone(), uri)
            .max_forwards(70)
            .header(HeaderName::From, self.local.clone())?
            .header(HeaderName::To, self.remote.clone())?
            .header(HeaderName::CallId, self.key.call_id.clone())?
            .cseq(cseq, method)?;
        for route in routes {
            builder = builder.header(HeaderName::Route, route)?;
        }
        Ok(builder)
    }

    /// Request-URI and `Route` values. A first route without `lr` is a strict router, which finds its own URI in the
    /// request line and the target at the end of the routes (RFC 3261 §12.2.1.1).
    fn routing(&self) -> (Uri, Vec<Bytes>) {
        let loose = self.routes.first().is_none_or(|(_, first)| first.params().is_some_and(|params| params.contains("lr")));
        let values = self.routes.iter().map(|(value, _)| value.clone());
        if loose {
            return (self.target.clone(), values.collect());
        }
        let mut target = b"<".to_vec();
        target.extend_from_slice(&self.target.to_bytes());
        target.push(b'>');
        let first = self.routes[0].1.clone();
        (first, values.skip(1).chain([Bytes::from(target)]).collect())
    }
}

/// A first sequence number below 2^31 with room to count (RFC 3261 §8.1.1.5).
pub(super) fn initial_cseq() -> u32 {
    rand::random_range(1..0x1000_0000)
}

pub(super) fn call_id(headers: &Headers) -> Option<Bytes> {
    headers.value(&HeaderName::CallId).map(|value| Bytes::from(value.into_owned()))
}

fn record_routes(headers: &Headers) -> Option<Vec<(Bytes, Uri)>> {
    headers
        .typed_all::<RecordRoute>()
        .map(|route| {
            let uri = route.ok()?.0.uri;
            let mut value = b"<".to_vec();
            value.extend_from_slice(&uri.to_bytes());
            value.push(b'>');
            Some((Bytes::from(value), uri))
        })
        .collect()
}
