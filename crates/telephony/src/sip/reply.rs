//! Building responses, with and without a transaction behind them.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use bytes::Bytes;
use sipx_sip::{Header, HeaderName, Headers, Method, Request, Response, StatusCode};

use super::config::Refusal;

/// What the endpoint answers to `Allow` (RFC 3261 §20.5).
pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY";

/// The headers that every response copies from its request, in this order (RFC 3261 §8.2.6.2).
const COPIED: [HeaderName; 5] = [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq];

/// Makes `To` tags that are the same for every copy of a request, as a stateless answer must (RFC 3261 §8.2.7), and
/// that nobody else can foretell.
#[derive(Debug, Default)]
pub(super) struct TagSecret(RandomState);

impl TagSecret {
    pub(super) fn tag(&self, request: &Request) -> String {
        let mut hasher = self.0.build_hasher();
        for name in [HeaderName::Via, HeaderName::From, HeaderName::CallId, HeaderName::CSeq] {
            request.headers.value(&name).hash(&mut hasher);
        }
        format!("{:016x}", hasher.finish())
    }
}

/// A random dialog tag: 64 bits, twice what RFC 3261 §19.3 asks for.
pub(super) fn random_tag() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// A response that copies from its request what it must, as far as the request has it. A `To` without a tag gets one,
/// except in 100 (RFC 3261 §8.2.6.2).
pub(super) fn response(request: &Request, status: u16, reason: &str, tag: &str) -> Response {
    let reason = if reason.is_empty() { reason_phrase(status) } else { reason };
    let code = StatusCode::new(status).or_else(|| StatusCode::new(500)).expect("500 is a status code");
    let mut response = Response::new(code, Bytes::from(single_line(reason)));
    for name in &COPIED {
        for header in request.headers.get_all(name) {
            response.headers.push(header.clone());
        }
    }
    if status == 100 {
        if let Some(timestamp) = request.headers.get(&HeaderName::Timestamp) {
            response.headers.push(timestamp.clone());
        }
    } else {
        add_to_tag(&mut response.headers, tag);
    }
    response
}

/// [`response`] for a refusal, with its headers and `Content-Length: 0`.
pub(super) fn refusal(request: &Request, refusal: &Refusal, tag: &str) -> Response {
    let mut response = response(request, refusal.status, &refusal.reason, tag);
    for (name, value) in &refusal.headers {
        push(&mut response.headers, HeaderName::parse(&Bytes::from(name.clone())), value.clone());
    }
    finish(response, None)
}

/// Sets the body and its length, which a stream cannot do without.
pub(super) fn finish(mut response: Response, body: Option<String>) -> Response {
    let body = body.unwrap_or_default();
    if !body.is_empty() {
        push(&mut response.headers, HeaderName::ContentType, crate::sdp::CONTENT_TYPE);
    }
    push(&mut response.headers, HeaderName::ContentLength, body.len().to_string());
    response.set_body(Bytes::from(body));
    response
}

/// Appends a header; one whose value would break the line is left out.
pub(super) fn push(headers: &mut Headers, name: HeaderName, value: impl Into<Bytes>) {
    match Header::build(name, value) {
        Ok(header) => headers.push(header),
        Err(error) => tracing::warn!(%error, "a header of ours was left out"),
    }
}

fn add_to_tag(headers: &mut Headers, tag: &str) {
    let Some(Ok(to)) = headers.typed::<sipx_sip::headers::To>() else {
        return;
    };
    if to.tag().is_some() {
        return;
    }
    let Some(mut value) = headers.value(&HeaderName::To).map(|value| value.into_owned()) else {
        return;
    };
    value.extend_from_slice(b";tag=");
    value.extend_from_slice(tag.as_bytes());
    if let Ok(header) = Header::build(HeaderName::To, Bytes::from(value)) {
        headers.remove_all(&HeaderName::To);
        headers.push(header);
    }
}

fn single_line(reason: &str) -> String {
    reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// 400 for a datagram that is no SIP message, if it reads like a request whose sender can be told.
///
/// Only lines that begin with one of the five copied headers are used; a message that lacks `Via` or `CSeq`, a
/// response and an ACK get silence, as does everything that is not text.
pub(super) fn to_malformed(datagram: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(datagram).ok()?;
    let head = text.split("\r\n\r\n").next()?;
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let mut lines = unfolded.split("\r\n");
    let start = lines.next()?;
    if !start.contains("SIP/") || start.starts_with("SIP/") || start.starts_with("ACK ") {
        return None;
    }
    let headers: Vec<(HeaderName, &str)> = lines
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            let name = HeaderName::parse(&Bytes::copy_from_slice(name.trim().as_bytes()));
            (COPIED.contains(&name) && !value.chars().any(char::is_control)).then_some((name, value.trim()))
        })
        .take(64)
        .collect();
    let has = |name: HeaderName| headers.iter().any(|(found, _)| *found == name);
    if !has(HeaderName::Via) || !has(HeaderName::CSeq) {
        return None;
    }
    let mut reply = b"SIP/2.0 400 Bad Request\r\n".to_vec();
    for name in &COPIED {
        for (_, value) in headers.iter().filter(|(found, _)| found == name) {
            reply.extend_from_slice(name.canonical());
            reply.extend_from_slice(b": ");
            reply.extend_from_slice(value.as_bytes());
            reply.extend_from_slice(b"\r\n");
        }
    }
    reply.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    Some(reply)
}

/// Whether a method is one that SIP defines, though this endpoint may not allow it.
pub(super) const fn is_known(method: &Method) -> bool {
    !matches!(method, Method::Other(_))
}

/// The standard phrases of the statuses that are sent here (RFC 3261 §21).
pub(super) fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        413 => "Request Entity Too Large",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "Version Not Supported",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => "Unspecified",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(reply: Option<Vec<u8>>) -> String {
        String::from_utf8(reply.expect("answered")).unwrap()
    }

    #[test]
    fn a_malformed_request_is_answered_with_what_it_has() {
        let reply = text(to_malformed(
            b"INVITE <sip:x@y> SIP/2.0\r\nv: SIP/2.0/UDP\r\n 192.0.2.1;branch=z9hG4bK1\r\nTo: a\r\nf: b;tag=1\r\nCSeq: 1 INVITE\r\nX: y\r\n\r\nbody",
        ));
        assert!(reply.starts_with("SIP/2.0 400 "), "{reply}");
        assert!(reply.contains("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"), "{reply}");
        assert!(reply.contains("From: b;tag=1\r\n") && !reply.contains("X: y") && !reply.contains("body"));
    }

    #[test]
    fn acks_responses_and_noise_are_not_answered() {
        let headers = "Via: SIP/2.0/UDP h\r\nCSeq: 1 X\r\n\r\n";
        for start in ["ACK sip:x SIP/2.0", "SIP/2.0 9999 OK", "hello", ""] {
            assert_eq!(to_malformed(format!("{start}\r\n{headers}").as_bytes()), None, "{start}");
        }
        assert_eq!(to_malformed(b"INVITE sip:x SIP/2.0\r\n\r\n"), None);
        assert_eq!(to_malformed(&[0xff, 0xfe]), None);
    }
}
