//! Requests within a dialog, from the peer and to it: BYE, re-INVITE, OPTIONS (RFC 3261 §12.2, §14, §15).

use std::time::Duration;

use sipx_sip::headers::CSeq;
use sipx_sip::{Method, Request};

use super::uas::ServerInvite;
use super::{Call, CallTimer, Core, Phase, Purpose};
use crate::sip::config::Refusal;
use crate::sip::dialog::DialogKey;
use crate::sip::event::{CallError, CallEvent, CallId, EndReason};
use crate::sip::flow::{Path, Source};
use crate::sip::{reply, screen};

impl Core {
    pub(super) fn receive_in_dialog(&mut self, now: Duration, request: &Request, source: Source) -> Result<(), Refusal> {
        let unknown = Refusal::new(481);
        let id = DialogKey::of_request(request).and_then(|key| self.dialogs.get(&key).copied()).ok_or(unknown.clone())?;
        let call = self.calls.get(&id).ok_or(unknown.clone())?;
        let dialog = call.dialog.as_ref().filter(|dialog| dialog.is_from_peer(request)).ok_or(unknown)?;
        let cseq = request.headers.typed::<CSeq>().and_then(Result::ok).ok_or(Refusal::new(400))?.sequence;
        // RFC 3261 §12.2.2. Copies of the request with the number in use are the transaction's business.
        if cseq < dialog.remote_cseq || (cseq == dialog.remote_cseq && request.method == Method::Invite) {
            return Err(Refusal::new(500).because("CSeq Out of Order"));
        }
        match request.method {
            Method::Bye => self.receive_bye(now, id, cseq, request, source),
            Method::Invite => self.receive_reinvite(now, id, cseq, request, source),
            Method::Refer => self.receive_refer(now, id, cseq, request, source),
            Method::Notify => self.receive_notify(now, id, cseq, request, source),
            // OPTIONS; every other method was screened out.
            _ => Err(self.capabilities()),
        }
    }

    fn receive_bye(&mut self, now: Duration, id: CallId, cseq: u32, request: &Request, source: Source) -> Result<(), Refusal> {
        let key = self.begin_server(now, request, source, Purpose::Server)?;
        self.respond(now, &key, reply::finish(reply::response(request, 200, "", ""), None));
        self.refuse_server_invite(now, id, &Refusal::new(487));
        let Some(call) = self.calls.get_mut(&id) else {
            return Ok(());
        };
        if let Some(dialog) = &mut call.dialog {
            dialog.remote_cseq = cseq;
        }
        let reason = match call.phase {
            Phase::Early => EndReason::Cancelled,
            Phase::Established => EndReason::RemoteHangup,
            Phase::Closing => call.hangup.take().unwrap_or(EndReason::LocalHangup),
        };
        self.end(id, reason);
        Ok(())
    }

    fn receive_reinvite(&mut self, now: Duration, id: CallId, cseq: u32, request: &Request, source: Source) -> Result<(), Refusal> {
        let offer = screen::invite(request)?;
        let call = self.calls.get(&id).ok_or(Refusal::new(481))?;
        if call.phase == Phase::Closing {
            return Err(Refusal::new(481));
        }
        if let Some(refusal) = overlap(call) {
            return self.refuse_reinvite(now, id, cseq, request, source, &refusal);
        }
        let is_unacknowledged = call.pending_ack.is_some();
        let key = self.begin_server(now, request, source, Purpose::ServerInvite(id))?;
        if is_unacknowledged {
            // Whoever sends a re-INVITE has our 2xx; only its ACK was lost, or is late (RFC 5407 §3.1.4).
            self.acknowledged(id, None);
        }
        let Some(call) = self.calls.get_mut(&id) else {
            return Ok(());
        };
        call.pending_ack = None;
        if let Some(dialog) = &mut call.dialog {
            dialog.remote_cseq = cseq;
        }
        let transport = source.transport();
        call.server_invite = Some(ServerInvite { key, request: request.clone(), offer: offer.clone(), transport, cseq });
        if let Some(reason) = call.hangup.take() {
            // The hang-up has waited for that ACK; nobody is there any more to answer the re-INVITE, which gets 487.
            self.send_bye(now, id, reason);
            return Ok(());
        }
        self.set_timer(now, id, CallTimer::ReInviteAnswer, self.config.limits.reinvite_answer_max);
        self.emit(id, CallEvent::ReInvite { offer });
        Ok(())
    }

    /// Refuses a re-INVITE in a transaction, so that its copies get the same answer even if what stood in its way is over
    /// by then: a copy that was answered with 200 after 491 would leave a 200 without an ACK, which ends the call.
    fn refuse_reinvite(
        &mut self,
        now: Duration,
        id: CallId,
        cseq: u32,
        request: &Request,
        source: Source,
        refusal: &Refusal,
    ) -> Result<(), Refusal> {
        let key = self.begin_server(now, request, source, Purpose::Server)?;
        if let Some(dialog) = self.calls.get_mut(&id).and_then(|call| call.dialog.as_mut()) {
            dialog.remote_cseq = cseq;
        }
        self.respond(now, &key, reply::refusal(request, refusal, ""));
        Ok(())
    }

    /// Hangs up an established call: BYE, or once its ACK is here if that is still owed (RFC 3261 §15).
    pub(in crate::sip) fn hangup(&mut self, now: Duration, id: CallId) -> Result<(), CallError> {
        let call = self.calls.get_mut(&id).ok_or(CallError::Ended)?;
        match call.phase {
            Phase::Early => return Err(CallError::State),
            Phase::Closing => return Ok(()),
            Phase::Established => {}
        }
        if call.pending_ack.is_some() {
            call.hangup = Some(EndReason::LocalHangup);
            return Ok(());
        }
        self.send_bye(now, id, EndReason::LocalHangup);
        Ok(())
    }

    pub(super) fn send_bye(&mut self, now: Duration, id: CallId, reason: EndReason) {
        if self.calls.get(&id).is_some_and(|call| call.phase == Phase::Closing) {
            return;
        }
        self.refuse_server_invite(now, id, &Refusal::new(487));
        let Some(dialog) = self.calls.get_mut(&id).and_then(|call| call.dialog.as_mut()) else {
            return self.end(id, reason);
        };
        let path = dialog.next_hop();
        let sent = match dialog.request(&Method::Bye) {
            Ok(builder) => {
                let request = self.complete(builder, path.transport(), None);
                self.begin_client(now, request, path, Purpose::ClientBye(Some(id))).is_some()
            }
            Err(_) => false,
        };
        match self.calls.get_mut(&id) {
            Some(call) if sent => {
                call.phase = Phase::Closing;
                call.hangup = Some(reason);
            }
            _ => self.end(id, reason),
        }
    }

    /// The application let go of a call without ending it.
    pub(in crate::sip) fn abandon(&mut self, now: Duration, id: CallId) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        match call.phase {
            Phase::Early if call.server_invite.is_some() => {
                let _gone = self.reject(now, id, &Refusal::new(480));
            }
            Phase::Early => self.cancel(now, id, EndReason::Cancelled),
            Phase::Established => {
                let _gone = self.hangup(now, id);
            }
            Phase::Closing => {}
        }
    }

    /// Ends every call: BYE, CANCEL or 503, as its state calls for.
    pub(in crate::sip) fn close_all(&mut self, now: Duration) {
        self.drain();
        let ids: Vec<CallId> = self.calls.keys().copied().collect();
        for id in ids {
            let early = self.calls.get(&id).is_some_and(|call| call.phase == Phase::Early);
            if early && self.refuse_server_invite(now, id, &Refusal::new(503)) {
                self.end(id, EndReason::Shutdown);
            } else {
                self.abandon(now, id);
            }
        }
    }

    /// Asks a peer for its capabilities. The answer is told under the number that was given.
    pub(in crate::sip) fn probe(&mut self, now: Duration, probe: u64, target: std::net::SocketAddr, transport: crate::sip::Transport) {
        let path = Path::to(target, transport);
        let sent = self
            .options(target)
            .map(|builder| self.complete(builder, transport, None))
            .and_then(|request| self.begin_client(now, request, path, Purpose::Probe(probe)));
        if sent.is_none() {
            self.outputs.push_back(crate::sip::event::Output::Probed { probe, status: None });
        }
    }

    fn options(&self, target: std::net::SocketAddr) -> Option<sipx_sip::RequestBuilder> {
        use sipx_sip::HeaderName;
        let uri = sipx_sip::Uri::parse(bytes::Bytes::from(format!("sip:{target}"))).ok()?;
        let from = format!("<sip:{}:{}>;tag={}", self.host, self.port, reply::random_tag());
        sipx_sip::RequestBuilder::new(Method::Options, uri)
            .max_forwards(70)
            .header(HeaderName::From, from)
            .and_then(|builder| builder.header(HeaderName::To, format!("<sip:{target}>")))
            .and_then(|builder| builder.header(HeaderName::CallId, format!("{:032x}", rand::random::<u128>())))
            .and_then(|builder| builder.cseq(crate::sip::dialog::initial_cseq(), &Method::Options))
            .ok()
    }
}

/// Why another INVITE of the peer cannot be taken now, if so (RFC 3261 §14.2).
fn overlap(call: &Call) -> Option<Refusal> {
    if call.client_invite.is_some() || call.pending_ack.as_ref().is_some_and(|pending| pending.offered) {
        return Some(Refusal::new(491));
    }
    // A second INVITE before the final response to the first.
    call.server_invite.as_ref().map(|_| {
        let seconds = rand::random_range(0..=10_u8);
        Refusal::new(500).because("Request Pending").with("Retry-After", seconds.to_string())
    })
}
