//! Asking the peer to call somebody else: REFER and the NOTIFYs that tell what came of it (RFC 3515).

use std::time::Duration;

use sipx_sip::{HeaderName, Method, Request, Response, Uri};

use super::{CallTimer, Core, Phase, Purpose};
use crate::sip::config::Refusal;
use crate::sip::event::{CallEvent, CallId, EndReason, ReferError, ReferStatus};
use crate::sip::flow::Source;
use crate::sip::reply;

/// Longest body of a NOTIFY that is looked into; only its first line counts.
const FRAGMENT_BYTES_MAX: usize = 4096;

/// A REFER of ours whose outcome is awaited: the subscription that it made (RFC 3515 §2.4.4).
#[derive(Debug, Clone, Copy)]
pub(super) struct Referral {
    /// Its `CSeq`, by which NOTIFYs may name it (§2.4.6).
    cseq: u32,
}

impl Core {
    /// Asks the peer to call `target`, a SIP or `tel` URI. What comes of it is told within `wait`.
    pub(in crate::sip) fn refer(&mut self, now: Duration, id: CallId, target: &str, wait: Duration) -> Result<(), ReferError> {
        let call = self.calls.get_mut(&id).ok_or(ReferError::Ended)?;
        if call.phase != Phase::Established || call.hangup.is_some() || call.referral.is_some() {
            return Err(ReferError::State);
        }
        let uri = Uri::parse(bytes::Bytes::copy_from_slice(target.as_bytes())).map_err(|_| ReferError::Malformed)?;
        if !uri.scheme().is_sip() && uri.tel_parts().is_none() {
            return Err(ReferError::Malformed);
        }
        let dialog = call.dialog.as_mut().ok_or(ReferError::State)?;
        let path = dialog.next_hop();
        let builder = dialog.request(&Method::Refer).map_err(|_| ReferError::State)?;
        let builder = builder.header(HeaderName::ReferTo, format!("<{target}>")).map_err(|_| ReferError::Malformed)?;
        let cseq = dialog.local_cseq;
        call.referral = Some(Referral { cseq });
        let request = self.complete(builder, path.transport(), None);
        if self.begin_client(now, request, path, Purpose::ClientRefer(id, cseq)).is_none() {
            self.forget_referral(id);
            return Err(ReferError::State);
        }
        self.set_timer(now, id, CallTimer::Referral, wait);
        Ok(())
    }

    fn forget_referral(&mut self, id: CallId) -> bool {
        self.clear_timer(id, CallTimer::Referral);
        self.calls.get_mut(&id).is_some_and(|call| call.referral.take().is_some())
    }

    fn referred(&mut self, id: CallId, status: ReferStatus) {
        if self.forget_referral(id) {
            self.emit(id, CallEvent::Referred(status));
        }
    }

    /// A final response to our REFER. A 2xx only says that the peer will try.
    pub(super) fn refer_answered(&mut self, now: Duration, id: CallId, cseq: u32, response: &Response) {
        let waits = self.calls.get(&id).and_then(|call| call.referral).is_some_and(|referral| referral.cseq == cseq);
        let status = response.status.code();
        if !waits || response.status.is_success() {
            return;
        }
        self.referred(id, ReferStatus::Final(status));
        if matches!(status, 408 | 481) {
            // RFC 3261 §12.2.1.2: the peer has lost the dialog.
            self.send_bye(now, id, EndReason::PeerLost);
        }
    }

    /// No answer to our REFER.
    pub(super) fn refer_failed(&mut self, id: CallId, cseq: u32) {
        if self.calls.get(&id).and_then(|call| call.referral).is_some_and(|referral| referral.cseq == cseq) {
            self.referred(id, ReferStatus::Unknown);
        }
    }

    /// The time is over in which the outcome was awaited.
    pub(super) fn refer_timed_out(&mut self, id: CallId) {
        self.referred(id, ReferStatus::Unknown);
    }

    pub(super) fn receive_notify(
        &mut self,
        now: Duration,
        id: CallId,
        cseq: u32,
        request: &Request,
        source: Source,
    ) -> Result<(), Refusal> {
        let referral = self.calls.get(&id).and_then(|call| call.referral);
        let event = header(request, &HeaderName::Event).ok_or(Refusal::new(489))?;
        let mut parts = event.split(';').map(str::trim);
        if !parts.next().is_some_and(|package| package.eq_ignore_ascii_case("refer")) {
            return Err(Refusal::new(489));
        }
        let named = parts.find_map(|parameter| parameter.strip_prefix("id="));
        // RFC 6665 §4.1.3: a NOTIFY that belongs to no subscription.
        let known = referral.filter(|referral| named.is_none_or(|named| named.parse() == Ok(referral.cseq)));
        if known.is_none() {
            return Err(Refusal::new(481));
        }
        let key = self.begin_server(now, request, source, Purpose::Server)?;
        self.respond(now, &key, reply::finish(reply::response(request, 200, "", ""), None));
        if let Some(dialog) = self.calls.get_mut(&id).and_then(|call| call.dialog.as_mut()) {
            dialog.remote_cseq = cseq;
        }
        let state = header(request, &HeaderName::SubscriptionState).unwrap_or_default();
        let terminated = state.split(';').next().is_some_and(|state| state.trim().eq_ignore_ascii_case("terminated"));
        match fragment_status(request.body()) {
            Some(status) if status >= 200 => self.referred(id, ReferStatus::Final(status)),
            // The subscription is over and nothing final was told (§2.4.7).
            _ if terminated => self.referred(id, ReferStatus::Unknown),
            Some(status) => tracing::debug!(status, "the peer calls the target"),
            None => {}
        }
        Ok(())
    }
}

impl Core {
    /// The peer wants us to call somebody else: the application decides, and tells it what comes of that.
    pub(super) fn receive_refer(&mut self, now: Duration, id: CallId, cseq: u32, request: &Request, source: Source) -> Result<(), Refusal> {
        let bad = || Refusal::new(400).because("Malformed Refer-To");
        let target = header(request, &HeaderName::ReferTo).ok_or_else(bad)?;
        let target = target.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(target.as_str(), |(uri, _)| uri).to_owned();
        let key = self.begin_server(now, request, source, Purpose::Server)?;
        let mut response = reply::response(request, 202, "Accepted", "");
        reply::push(&mut response.headers, HeaderName::Contact, self.contact(source.transport()));
        self.respond(now, &key, reply::finish(response, None));
        if let Some(dialog) = self.calls.get_mut(&id).and_then(|call| call.dialog.as_mut()) {
            dialog.remote_cseq = cseq;
        }
        self.emit(id, CallEvent::Refer { target, cseq });
        Ok(())
    }

    /// Tells the peer how far its REFER has come; a final status ends the subscription.
    pub(in crate::sip) fn notify_refer(&mut self, now: Duration, id: CallId, cseq: u32, status: u16) -> Result<(), ReferError> {
        let dialog = self.calls.get_mut(&id).ok_or(ReferError::Ended)?.dialog.as_mut().ok_or(ReferError::State)?;
        let path = dialog.next_hop();
        let state = if status >= 200 { "terminated;reason=noresource" } else { "active;expires=60" };
        let builder = dialog.request(&Method::Notify).map_err(|_| ReferError::State)?;
        let builder = builder
            .header(HeaderName::Event, format!("refer;id={cseq}"))
            .and_then(|builder| builder.header(HeaderName::SubscriptionState, state))
            .and_then(|builder| builder.header(HeaderName::ContentType, "message/sipfrag;version=2.0"))
            .map_err(|_| ReferError::State)?;
        let mut request = self.complete(builder, path.transport(), None);
        let body = format!("SIP/2.0 {status} {}\r\n", reply::reason_phrase(status));
        request.headers.remove_all(&HeaderName::ContentLength);
        reply::push(&mut request.headers, HeaderName::ContentLength, body.len().to_string());
        request.set_body(bytes::Bytes::from(body));
        self.begin_client(now, request, path, Purpose::ClientNotify).map(drop).ok_or(ReferError::State)
    }
}

fn header(request: &Request, name: &HeaderName) -> Option<String> {
    request.headers.value(name).map(|value| String::from_utf8_lossy(&value).into_owned())
}

/// The status in the first line of a `message/sipfrag` body (§2.4.5): `SIP/2.0 486 Busy Here`.
fn fragment_status(body: &[u8]) -> Option<u16> {
    let body = body.get(..body.len().min(FRAGMENT_BYTES_MAX))?;
    let line = body.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?.trim();
    let (version, rest) = line.split_once(' ')?;
    let status = rest.trim_start().split(' ').next()?.parse().ok().filter(|status| (100..700).contains(status))?;
    version.eq_ignore_ascii_case("SIP/2.0").then_some(status)
}

#[cfg(test)]
mod tests {
    use super::fragment_status;

    #[test]
    fn the_status_of_a_fragment_is_in_its_first_line() {
        for (body, status) in [
            ("SIP/2.0 100 Trying\r\n", Some(100)),
            ("SIP/2.0 200 OK\r\nContact: <sip:a@b>\r\n\r\n", Some(200)),
            ("sip/2.0 603", Some(603)),
            ("SIP/2.0 99 No", None),
            ("SIP/2.0 4000 No", None),
            ("INVITE sip:a@b SIP/2.0", None),
            ("", None),
            ("\u{fffd}\u{fffd}", None),
        ] {
            assert_eq!(fragment_status(body.as_bytes()), status, "{body}");
        }
    }
}
