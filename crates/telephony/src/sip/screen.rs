//! What is wrong with a request before anything is kept of it (RFC 3261 §8.2).
//!
//! Every refusal here is answered without state: the sender's copies are judged anew and get the same answer.

use std::fmt::Write as _;

use sipx_sip::headers::{Contact, ContactValue, ContentType, Date, Expires, ProxyRequire, RecordRoute, Require, Route, Via};
use sipx_sip::{HeaderName, Headers, Method, Request, TypedHeader, validate};

use super::config::Refusal;
use super::reply;
use crate::sdp::{self, SessionDescription};

/// Judges a request of any method: its grammar, then whether the method, the URI and the extensions are served.
pub(super) fn request(request: &Request, takes_refer: bool) -> Result<(), Refusal> {
    grammar(request)?;
    let served = takes_refer && request.method == Method::Refer;
    if !served && !matches!(request.method, Method::Invite | Method::Ack | Method::Cancel | Method::Bye | Method::Options | Method::Notify)
    {
        let status = if reply::is_known(&request.method) { 405 } else { 501 };
        return Err(Refusal::new(status).with("Allow", reply::ALLOW));
    }
    if !request.uri.scheme().is_sip() && request.uri.tel_parts().is_none() {
        return Err(Refusal::new(416));
    }
    extensions(request)
}

fn grammar(request: &Request) -> Result<(), Refusal> {
    for finding in validate::validate_request(request) {
        if finding.is_repairable() {
            continue;
        }
        return Err(match finding.status() {
            505 => Refusal::new(505),
            _ => bad(&describe(&finding)),
        });
    }
    let headers = &request.headers;
    all_parse::<Via>(headers, "Via")?;
    all_parse::<Route>(headers, "Route")?;
    all_parse::<RecordRoute>(headers, "Record-Route")?;
    all_parse::<ContactValue>(headers, "Contact")?;
    all_parse::<Date>(headers, "Date")?;
    all_parse::<Expires>(headers, "Expires")?;
    all_parse::<Require>(headers, "Require")?;
    all_parse::<ProxyRequire>(headers, "Proxy-Require")?;
    all_parse::<ContentType>(headers, "Content-Type")
}

fn all_parse<H: TypedHeader>(headers: &Headers, name: &str) -> Result<(), Refusal> {
    if headers.typed_all::<H>().any(|value| value.is_err()) {
        return Err(bad(&format!("Malformed {name}")));
    }
    Ok(())
}

fn describe(finding: &validate::Finding) -> String {
    use validate::Finding;
    match finding {
        Finding::MissingRequiredHeader(name) => format!("Missing {name}"),
        Finding::MalformedRequiredHeader(name) => format!("Malformed {name}"),
        Finding::RepeatedSingleValueHeader(name) => format!("Repeated {name}"),
        Finding::CSeqMethodMismatch => "CSeq Does Not Match Method".to_owned(),
        Finding::RequestUriHasHeaders => "Headers in Request-URI".to_owned(),
        _ => "Bad Request".to_owned(),
    }
}

fn bad(reason: &str) -> Refusal {
    Refusal::new(400).because(reason)
}

/// No extension is supported, so every required one is refused (RFC 3261 §8.2.2.3). CANCEL and ACK are exempt.
fn extensions(request: &Request) -> Result<(), Refusal> {
    if matches!(request.method, Method::Cancel | Method::Ack) {
        return Ok(());
    }
    let mut unsupported = String::new();
    for require in request.headers.typed_all::<Require>().flatten() {
        for tag in &require.0.0 {
            let separator = if unsupported.is_empty() { "" } else { ", " };
            let _infallible = write!(unsupported, "{separator}{}", String::from_utf8_lossy(tag));
        }
    }
    if unsupported.is_empty() {
        return Ok(());
    }
    Err(Refusal::new(420).with("Unsupported", unsupported))
}

/// What an INVITE must be besides: with a `Contact` to reach the caller at, and with a body that is a session description or none.
pub(super) fn invite(request: &Request) -> Result<Option<SessionDescription>, Refusal> {
    match request.headers.typed_all::<Contact>().next() {
        Some(Ok(contact)) if contact.uri.scheme().is_sip() => {}
        // RFC 2543 knew calls without it; such a caller is reached at its `From` (RFC 4475 §3.4.1).
        None if !request.headers.typed::<Via>().is_some_and(|via| via.is_ok_and(|via| via.has_rfc3261_branch())) => {}
        _ => return Err(bad("Missing Contact")),
    }
    let session = body(request)?;
    accepts_sdp(&request.headers)?;
    Ok(session)
}

/// The session description in the body of a request.
pub(super) fn body(request: &Request) -> Result<Option<SessionDescription>, Refusal> {
    if request.body().is_empty() {
        return Ok(None);
    }
    let is_plain = request.headers.value(&HeaderName::ContentEncoding).is_none_or(|coding| coding.eq_ignore_ascii_case(b"identity"));
    let is_sdp = matches!(request.headers.typed::<ContentType>(), Some(Ok(kind)) if kind.is("application", "sdp"));
    if !is_plain || !is_sdp {
        return Err(Refusal::new(415).with("Accept", sdp::CONTENT_TYPE).with("Accept-Encoding", "identity"));
    }
    match SessionDescription::parse(request.body()) {
        Ok(session) => Ok(Some(session)),
        Err(error) => Err(bad("Malformed Session Description").with("Warning", format!("399 frontdesk \"{error}\""))),
    }
}

/// A caller that would not understand the only kind of body we answer with gets 406 (RFC 3261 §8.2.3, §21.4.7).
fn accepts_sdp(headers: &Headers) -> Result<(), Refusal> {
    let mut stated = false;
    for header in headers.get_all(&HeaderName::Accept) {
        stated = true;
        let value = header.value();
        for range in value.split(|byte| *byte == b',') {
            let range = range.split(|byte| *byte == b';').next().unwrap_or(range).trim_ascii();
            let ranges: [&[u8]; 3] = [b"application/sdp", b"application/*", b"*/*"];
            if ranges.iter().any(|accepted| range.eq_ignore_ascii_case(accepted)) {
                return Ok(());
            }
        }
    }
    if stated { Err(Refusal::new(406)) } else { Ok(()) }
}
