//! Calls to us: from the INVITE to the ACK of our 200 (RFC 3261 §13.3).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sipx_sip::headers::CSeq;
use sipx_sip::{HeaderName, Message, Request, Response, TransactionKey};

use super::{Call, CallTimer, Core, Phase, Purpose, Side};
use crate::sdp::{self, SessionDescription};
use crate::sip::config::Refusal;
use crate::sip::dialog::{Dialog, DialogKey, call_id};
use crate::sip::event::{CallError, CallEvent, CallId, EndReason, Output};
use crate::sip::flow::{Path, Source, Transport};
use crate::sip::party::Invite;
use crate::sip::{reply, screen};

/// The peer's INVITE that waits for our final response.
#[derive(Debug)]
pub(super) struct ServerInvite {
    pub(super) key: TransactionKey,
    pub(super) request: Request,
    pub(super) offer: Option<SessionDescription>,
    pub(super) transport: Transport,
    /// Its sequence number, which its ACK will have too. The dialog's may be ahead of it: by a re-INVITE that was refused
    /// because this one waits.
    pub(super) cseq: u32,
}

/// Our 2xx, sent again and again until its ACK comes (RFC 3261 §13.3.1.4).
#[derive(Debug)]
pub(super) struct PendingAck {
    bytes: Bytes,
    path: Path,
    interval: Duration,
    cseq: u32,
    /// The offer was ours, so the ACK brings the answer.
    pub(super) offered: bool,
    key: TransactionKey,
}

impl Core {
    pub(super) fn receive_invite(&mut self, now: Duration, request: &Request, source: Source) -> Result<(), Refusal> {
        let offer = screen::invite(request)?;
        let transport = source.transport();
        let invite = Invite::from_request(request, source.address, transport, offer.clone()).ok_or(Refusal::new(400))?;
        if self.draining {
            return Err(Refusal::new(503).with("Retry-After", "60"));
        }
        let caller = caller_key(request).ok_or(Refusal::new(400))?;
        if self.callers.contains_key(&caller) {
            return Err(Refusal::new(482).because("Merged Request"));
        }
        let active = self.calls.values().filter(|call| call.phase != Phase::Closing).count();
        if active >= self.config.limits.calls_max {
            self.stats.full += 1;
            return Err(Refusal::new(self.config.limits.full_status).with("Retry-After", "10"));
        }
        self.config.admission.invite(&invite)?;

        let via = request.headers.typed::<sipx_sip::Via>().and_then(Result::ok);
        let path = Path::of_responses(via.as_ref(), source);
        let dialog = Dialog::of_invite(request, &reply::random_tag(), path, source.address.ip()).ok_or(Refusal::new(400))?;
        let id = CallId(self.number());
        let key = self.begin_server(now, request, source, Purpose::ServerInvite(id))?;
        let cseq = dialog.remote_cseq;
        self.dialogs.insert(dialog.key.clone(), id);
        self.callers.insert(caller, id);
        let call = Call {
            phase: Phase::Early,
            dialog: Some(dialog),
            local_session: None,
            server_invite: Some(ServerInvite { key, request: request.clone(), offer, transport, cseq }),
            pending_ack: None,
            client_invite: None,
            referral: None,
            hangup: None,
        };
        self.calls.insert(id, call);
        self.set_timer(now, id, CallTimer::Unanswered, self.config.limits.unanswered_max);
        self.stats.offered += 1;
        self.outputs.push_back(Output::Incoming { call: id, invite: Arc::new(invite) });
        Ok(())
    }

    /// 100 or 180, as long as the call is unanswered.
    pub(in crate::sip) fn progress(&mut self, now: Duration, id: CallId, status: u16) -> Result<(), CallError> {
        let call = self.calls.get(&id).ok_or(CallError::Ended)?;
        let invite = call.server_invite.as_ref().filter(|_| call.phase == Phase::Early).ok_or(CallError::State)?;
        let (key, response) = (invite.key.clone(), self.dialog_response(call, invite, status));
        self.respond(now, &key, reply::finish(response, None));
        Ok(())
    }

    /// Answers the call, or the re-INVITE that waits, with 200.
    pub(in crate::sip) fn accept(&mut self, now: Duration, id: CallId, session: SessionDescription) -> Result<(), CallError> {
        let call = self.calls.get(&id).ok_or(CallError::Ended)?;
        let invite = call.server_invite.as_ref().filter(|_| call.phase != Phase::Closing).ok_or(CallError::State)?;
        let mut response = self.dialog_response(call, invite, 200);
        reply::push(&mut response.headers, HeaderName::Allow, reply::ALLOW);
        reply::push(&mut response.headers, HeaderName::Server, self.config.product.clone());
        let response = reply::finish(response, Some(session.to_string()));
        let bytes = Message::Response(response.clone()).to_bytes();
        let key = invite.key.clone();
        let outputs = self.layer.send_response(&key, response);
        self.perform(now, Side::Server, &key, outputs);
        let path = self.transactions.get(&(Side::Server, key.clone())).map(|transaction| transaction.path);

        let t1 = self.config.timers.t1;
        let Some(call) = self.calls.get_mut(&id) else {
            return Err(CallError::Ended);
        };
        let Some(invite) = call.server_invite.take() else {
            return Err(CallError::State);
        };
        if let (Some(dialog), Some(path)) = (&mut call.dialog, path) {
            dialog.path = path;
            dialog.refresh_target(&invite.request.headers);
            let (cseq, offered) = (invite.cseq, invite.offer.is_none());
            call.pending_ack = Some(PendingAck { bytes, path, interval: t1, cseq, offered, key });
        }
        call.phase = Phase::Established;
        call.local_session = Some(session);
        self.clear_timer(id, CallTimer::Unanswered);
        self.clear_timer(id, CallTimer::ReInviteAnswer);
        self.set_timer(now, id, CallTimer::Retransmit, t1);
        self.set_timer(now, id, CallTimer::NoAck, self.config.timers.patience());
        Ok(())
    }

    /// Refuses the call, or the re-INVITE that waits.
    pub(in crate::sip) fn reject(&mut self, now: Duration, id: CallId, refusal: &Refusal) -> Result<(), CallError> {
        let early = self.calls.get(&id).ok_or(CallError::Ended)?.phase == Phase::Early;
        if !self.refuse_server_invite(now, id, refusal) {
            return Err(CallError::State);
        }
        if early {
            self.end(id, EndReason::Rejected { status: refusal.status, reason: refusal.reason.clone() });
        }
        Ok(())
    }

    /// Sends a final refusal to the peer's INVITE that waits, if one does.
    pub(super) fn refuse_server_invite(&mut self, now: Duration, id: CallId, refusal: &Refusal) -> bool {
        let Some(call) = self.calls.get_mut(&id) else {
            return false;
        };
        let Some(invite) = call.server_invite.take() else {
            return false;
        };
        let tag = call.dialog.as_ref().map(|dialog| dialog.key.local_tag.clone()).unwrap_or_default();
        let response = reply::refusal(&invite.request, refusal, &String::from_utf8_lossy(&tag));
        self.clear_timer(id, CallTimer::ReInviteAnswer);
        self.respond(now, &invite.key, response);
        true
    }

    fn dialog_response(&self, call: &Call, invite: &ServerInvite, status: u16) -> Response {
        let tag = call.dialog.as_ref().map(|dialog| dialog.key.local_tag.clone()).unwrap_or_default();
        let mut response = reply::response(&invite.request, status, "", &String::from_utf8_lossy(&tag));
        if status > 100 {
            // RFC 3261 §12.1.1: the route set is made of what the response carries back.
            for route in invite.request.headers.get_all(&HeaderName::RecordRoute) {
                response.headers.push(route.clone());
            }
            reply::push(&mut response.headers, HeaderName::Contact, self.contact(invite.transport));
        }
        response
    }

    pub(super) fn receive_ack(&mut self, now: Duration, ack: &Request) {
        let Some(id) = DialogKey::of_request(ack).and_then(|key| self.dialogs.get(&key).copied()) else {
            return;
        };
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Some(Ok(cseq)) = ack.headers.typed::<CSeq>() else {
            return;
        };
        let is_from_peer = call.dialog.as_ref().is_some_and(|dialog| dialog.is_from_peer(ack));
        let matches = call.pending_ack.as_ref().is_some_and(|pending| pending.cseq == cseq.sequence);
        if !is_from_peer || !matches {
            return;
        }
        let offered = call.pending_ack.take().is_some_and(|pending| pending.offered);
        let hangup = call.hangup.take();
        let session = offered.then(|| SessionDescription::parse(ack.body()).ok()).flatten();
        self.acknowledged(id, session);
        if let Some(reason) = hangup {
            self.send_bye(now, id, reason);
        }
    }

    pub(super) fn acknowledged(&mut self, id: CallId, session: Option<SessionDescription>) {
        self.clear_timer(id, CallTimer::Retransmit);
        self.clear_timer(id, CallTimer::NoAck);
        self.emit(id, CallEvent::Acked { session });
    }

    /// CANCEL ends an INVITE without a final response, and nothing else (RFC 3261 §9.2).
    pub(super) fn receive_cancel(&mut self, now: Duration, request: &Request, source: Source) -> Result<(), Refusal> {
        let invite = TransactionKey::for_cancelled_invite(request).ok_or(Refusal::new(481))?;
        let found = self.transactions.get(&(Side::Server, invite.clone())).map(|transaction| &transaction.purpose);
        let Some(&Purpose::ServerInvite(id)) = found else {
            return Err(Refusal::new(481));
        };
        let key = self.begin_server(now, request, source, Purpose::Server)?;
        let dialog = self.calls.get(&id).and_then(|call| call.dialog.as_ref());
        let tag = dialog.map_or_else(reply::random_tag, |dialog| String::from_utf8_lossy(&dialog.key.local_tag).into_owned());
        self.respond(now, &key, reply::finish(reply::response(request, 200, "", &tag), None));
        let Some(call) = self.calls.get(&id) else {
            return Ok(());
        };
        let early = call.phase == Phase::Early;
        if call.server_invite.as_ref().is_some_and(|waiting| waiting.key == invite) {
            self.refuse_server_invite(now, id, &Refusal::new(487));
            if early {
                self.end(id, EndReason::Cancelled);
            }
        }
        Ok(())
    }

    /// A response to the peer's INVITE could not be delivered, nor over a new connection.
    pub(super) fn server_failed(&mut self, key: &TransactionKey) {
        let found = self.transactions.get(&(Side::Server, key.clone())).map(|transaction| &transaction.purpose);
        let Some(&Purpose::ServerInvite(id)) = found else {
            return;
        };
        let concerns = self.calls.get(&id).is_some_and(|call| {
            call.server_invite.as_ref().is_some_and(|invite| invite.key == *key)
                || call.pending_ack.as_ref().is_some_and(|pending| pending.key == *key)
        });
        if concerns {
            self.end(id, EndReason::TransportFailed);
        }
    }

    pub(super) fn call_timeout(&mut self, now: Duration, id: CallId, timer: CallTimer) {
        match timer {
            CallTimer::Retransmit => self.retransmit(now, id),
            CallTimer::NoAck => {
                tracing::info!(call = %id, "no acknowledgement for the answer");
                self.clear_timer(id, CallTimer::Retransmit);
                let reason = self.calls.get_mut(&id).and_then(|call| {
                    call.pending_ack = None;
                    call.hangup.take()
                });
                self.send_bye(now, id, reason.unwrap_or(EndReason::NoAck));
            }
            CallTimer::Unanswered if self.refuse_server_invite(now, id, &Refusal::new(480)) => self.end(id, EndReason::Unanswered),
            CallTimer::Unanswered => self.cancel(now, id, EndReason::Unanswered),
            CallTimer::ReInviteAnswer => self.repeat_session(now, id),
            CallTimer::Cancelled => self.give_up_invite(now, id),
            CallTimer::Referral => self.refer_timed_out(id),
        }
    }

    fn retransmit(&mut self, now: Duration, id: CallId) {
        let t2 = self.config.timers.t2;
        let Some(pending) = self.calls.get_mut(&id).and_then(|call| call.pending_ack.as_mut()) else {
            return;
        };
        pending.interval = (pending.interval * 2).min(t2);
        let (bytes, mut path, interval) = (pending.bytes.clone(), pending.path, pending.interval);
        self.transmit(&mut path, bytes);
        if let Some(pending) = self.calls.get_mut(&id).and_then(|call| call.pending_ack.as_mut()) {
            pending.path = path;
        }
        self.set_timer(now, id, CallTimer::Retransmit, interval);
    }

    /// Answers the re-INVITE that waits with the session in use.
    pub(in crate::sip) fn repeat_session(&mut self, now: Duration, id: CallId) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let (Some(invite), Some(previous)) = (&call.server_invite, &call.local_session) else {
            return;
        };
        let session = match &invite.offer {
            Some(offer) => sdp::reanswer(previous, offer).map(|negotiated| negotiated.session),
            None => {
                let mut again = previous.clone();
                again.origin.version += 1;
                Ok(again)
            }
        };
        let done = match session {
            Ok(session) => self.accept(now, id, session),
            Err(error) => self.reject(now, id, &Refusal::new(error.status())),
        };
        if let Err(error) = done {
            tracing::debug!(call = %id, %error, "re-invite was over before its answer");
        }
    }
}

fn caller_key(request: &Request) -> Option<(Bytes, Option<Bytes>)> {
    let from = request.headers.typed::<sipx_sip::headers::From>()?.ok()?;
    Some((call_id(&request.headers)?, from.tag().map(Bytes::copy_from_slice)))
}
