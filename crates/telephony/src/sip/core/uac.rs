//! Calls from us: INVITE, ACK, CANCEL, re-INVITE (RFC 3261 §9.1, §13.2, §14.1).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use sipx_sip::headers::CSeq;
use sipx_sip::{Address, HeaderName, Message, Method, Request, RequestBuilder, Response, TransactionKey, Uri};

use super::{Call, CallTimer, Core, Phase, Purpose, Side, TimerKey};
use crate::sdp::SessionDescription;
use crate::sip::dialog::{Dialog, initial_cseq};
use crate::sip::event::{CallEvent, CallId, EndReason, InviteError, OutgoingInvite, Output, ReInviteError};
use crate::sip::flow::Path;
use crate::sip::reply;

/// Most forks of one INVITE whose answers are acknowledged.
const FORKS_MAX: usize = 8;

/// Our INVITE that waits for its final response.
#[derive(Debug)]
pub(super) struct ClientInvite {
    key: TransactionKey,
    request: Request,
    target: SocketAddr,
    session: SessionDescription,
    /// A provisional response came, so that CANCEL may be sent (RFC 3261 §9.1).
    provisional: bool,
    /// The call is no longer wanted, for this reason; and whether CANCEL was sent.
    cancelled: Option<(EndReason, bool)>,
}

impl Core {
    /// Places a call.
    pub(in crate::sip) fn invite(&mut self, now: Duration, wanted: OutgoingInvite) -> Result<CallId, InviteError> {
        if self.draining {
            return Err(InviteError::EndpointClosed);
        }
        if self.calls.len() >= self.config.limits.calls_max {
            return Err(InviteError::Full);
        }
        let request = self.complete(initial_invite(&wanted)?, wanted.transport, Some(&wanted.session));
        let id = CallId(self.number());
        let path = Path::to(wanted.target, wanted.transport);
        let key = TransactionKey::from_sent_request(&request).ok_or(InviteError::Malformed("advertised host"))?;
        let invite = ClientInvite {
            key,
            request: request.clone(),
            target: wanted.target,
            session: wanted.session.clone(),
            provisional: false,
            cancelled: None,
        };
        let call = Call {
            phase: Phase::Early,
            dialog: None,
            local_session: Some(wanted.session),
            server_invite: None,
            pending_ack: None,
            client_invite: Some(invite),
            referral: None,
            hangup: None,
        };
        self.calls.insert(id, call);
        self.set_timer(now, id, CallTimer::Unanswered, wanted.ring_max);
        if self.begin_client(now, request, path, Purpose::ClientInvite(id, Vec::new())).is_none() {
            self.calls.remove(&id);
            self.clear_timer(id, CallTimer::Unanswered);
            return Err(InviteError::Full);
        }
        Ok(id)
    }

    /// Gives our unanswered call up: CANCEL, as soon as a provisional response allows it.
    pub(in crate::sip) fn cancel(&mut self, now: Duration, id: CallId, reason: EndReason) {
        let patience = self.config.timers.patience();
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.phase == Phase::Early) else {
            return;
        };
        let Some(invite) = &mut call.client_invite else {
            return;
        };
        if invite.cancelled.is_none() {
            invite.cancelled = Some((reason, false));
            self.clear_timer(id, CallTimer::Unanswered);
            self.set_timer(now, id, CallTimer::Cancelled, patience);
        }
        self.send_cancel(now, id);
    }

    fn send_cancel(&mut self, now: Duration, id: CallId) {
        let Some(invite) = self.calls.get_mut(&id).and_then(|call| call.client_invite.as_mut()) else {
            return;
        };
        let Some((_, sent @ false)) = &mut invite.cancelled else {
            return;
        };
        if !invite.provisional {
            return;
        }
        *sent = true;
        let request = cancel_request(&invite.request);
        let path = self.transactions.get(&(Side::Client, invite.key.clone())).map(|transaction| transaction.path);
        if let (Some(request), Some(path)) = (request, path) {
            self.begin_client(now, request, path, Purpose::ClientCancel);
        }
    }

    /// 64 × T1 after CANCEL there is still no final response: the INVITE's transaction is taken away (RFC 3261 §9.1).
    pub(super) fn give_up_invite(&mut self, now: Duration, id: CallId) {
        let invite = self.calls.get_mut(&id).and_then(|call| call.client_invite.take());
        let Some(ClientInvite { key, cancelled, .. }) = invite else {
            return;
        };
        self.end(id, cancelled.map_or(EndReason::PeerLost, |(reason, _)| reason));
        let outputs = self.layer.on_transport_error(&key);
        self.perform(now, Side::Client, &key, outputs);
    }

    /// Offers another session within an established call.
    pub(in crate::sip) fn reinvite(&mut self, now: Duration, id: CallId, session: SessionDescription) -> Result<(), ReInviteError> {
        let call = self.calls.get_mut(&id).ok_or(ReInviteError::Ended)?;
        let busy = call.client_invite.is_some() || call.pending_ack.is_some() || call.hangup.is_some();
        if call.phase != Phase::Established || busy {
            return Err(ReInviteError::State);
        }
        if call.server_invite.is_some() {
            return Err(ReInviteError::Glare);
        }
        let dialog = call.dialog.as_mut().ok_or(ReInviteError::State)?;
        let path = dialog.next_hop();
        let builder = dialog.request(&Method::Invite).map_err(|_| ReInviteError::State)?;
        let request = self.complete(builder, path.transport(), Some(&session));
        let key = self.begin_client(now, request.clone(), path, Purpose::ClientReInvite(id, None)).ok_or(ReInviteError::State)?;
        self.timers.set(TimerKey::ReInviteGuard(key.clone()), now, self.config.timers.patience() * 2);
        if let Some(call) = self.calls.get_mut(&id) {
            let target = SocketAddr::from(([0, 0, 0, 0], 0));
            call.client_invite = Some(ClientInvite { key, request, target, session, provisional: false, cancelled: None });
        }
        Ok(())
    }

    pub(super) fn client_response(&mut self, now: Duration, key: &TransactionKey, response: &Response) {
        let Some(transaction) = self.transactions.get(&(Side::Client, key.clone())) else {
            return;
        };
        let is_final = response.status.is_final();
        if is_final {
            self.timers.forget(&TimerKey::ReInviteGuard(key.clone()));
        }
        match transaction.purpose {
            Purpose::ClientInvite(id, _) if response.status.is_success() => self.invite_accepted(now, key, id, response),
            Purpose::ClientInvite(id, _) if is_final => self.invite_refused(id, response),
            Purpose::ClientInvite(id, _) => self.invite_progresses(now, id, response),
            Purpose::ClientReInvite(id, _) if is_final => self.reinvite_answered(now, key, id, response),
            Purpose::ClientBye(Some(id)) if is_final => self.hung_up(id),
            Purpose::ClientRefer(id, cseq) if is_final => self.refer_answered(now, id, cseq, response),
            Purpose::Probe(probe) if is_final => {
                self.outputs.push_back(Output::Probed { probe, status: Some(response.status.code()) });
            }
            _ => {}
        }
    }

    pub(super) fn client_failed(&mut self, now: Duration, key: &TransactionKey, reason: EndReason) {
        let Some(transaction) = self.transactions.get(&(Side::Client, key.clone())) else {
            return;
        };
        match transaction.purpose {
            Purpose::ClientInvite(id, _) => {
                let waits = self.calls.get(&id).and_then(|call| call.client_invite.as_ref());
                if let Some(invite) = waits.filter(|invite| invite.key == *key) {
                    let reason = invite.cancelled.as_ref().map_or(reason, |(wanted, _)| wanted.clone());
                    self.end(id, reason);
                }
            }
            Purpose::ClientReInvite(id, _) => {
                let waits = self.calls.get_mut(&id).and_then(|call| call.client_invite.take());
                if waits.is_some() {
                    self.emit(id, CallEvent::ReInvited(Err(ReInviteError::Ended)));
                    self.send_bye(now, id, EndReason::PeerLost);
                }
            }
            Purpose::ClientBye(Some(id)) => self.hung_up(id),
            Purpose::ClientRefer(id, cseq) => self.refer_failed(id, cseq),
            Purpose::Probe(probe) => self.outputs.push_back(Output::Probed { probe, status: None }),
            _ => {}
        }
    }

    fn hung_up(&mut self, id: CallId) {
        let reason = self.calls.get_mut(&id).and_then(|call| call.hangup.take());
        self.end(id, reason.unwrap_or(EndReason::LocalHangup));
    }

    fn invite_progresses(&mut self, now: Duration, id: CallId, response: &Response) {
        let Some(invite) = self.calls.get_mut(&id).and_then(|call| call.client_invite.as_mut()) else {
            return;
        };
        invite.provisional = true;
        let status = response.status.code();
        if status > 100 {
            let session = SessionDescription::parse(response.body()).ok();
            self.emit(id, CallEvent::Progress { status, session });
        }
        self.send_cancel(now, id);
    }

    fn invite_refused(&mut self, id: CallId, response: &Response) {
        let invite = self.calls.get_mut(&id).and_then(|call| call.client_invite.take());
        let reason = match invite.and_then(|invite| invite.cancelled) {
            Some((reason, _)) => reason,
            None => EndReason::Rejected { status: response.status.code(), reason: String::from_utf8_lossy(&response.reason).into_owned() },
        };
        self.end(id, reason);
    }

    /// Every 2xx is acknowledged: the first, its copies, and those of other forks, which are hung up at once.
    fn invite_accepted(&mut self, now: Duration, key: &TransactionKey, id: CallId, response: &Response) {
        let tag =
            response.headers.typed::<sipx_sip::headers::To>().and_then(Result::ok).and_then(|to| to.tag().map(Bytes::copy_from_slice));
        let Some(transaction) = self.transactions.get(&(Side::Client, key.clone())) else {
            return;
        };
        let path = transaction.path;
        let Purpose::ClientInvite(_, acks) = &transaction.purpose else {
            return;
        };
        if let Some((_, bytes, path)) = acks.iter().find(|(known, ..)| *known == tag) {
            let (bytes, mut path) = (bytes.clone(), *path);
            return self.transmit(&mut path, bytes);
        }
        if acks.len() >= FORKS_MAX {
            return;
        }
        let Some((request, seen)) = self.sent_invite(key, id, path) else {
            return;
        };
        let Some(dialog) = Dialog::of_response(&request, response, path, seen) else {
            tracing::info!(call = %id, "answer without a usable contact");
            return self.end(id, EndReason::PeerLost);
        };
        let ack = self.acknowledge(&dialog, dialog.local_cseq);
        if let (Some((bytes, path)), Some(transaction)) = (ack, self.transactions.get_mut(&(Side::Client, key.clone())))
            && let Purpose::ClientInvite(_, acks) = &mut transaction.purpose
        {
            acks.push((tag, bytes, path));
        }
        self.adopt(now, id, dialog, response);
    }

    fn sent_invite(&self, key: &TransactionKey, id: CallId, path: Path) -> Option<(Request, IpAddr)> {
        if let Some(invite) = self.calls.get(&id).and_then(|call| call.client_invite.as_ref()) {
            return Some((invite.request.clone(), invite.target.ip()));
        }
        let seen = match path {
            Path::Udp(address) => address.ip(),
            Path::Tcp { connection, .. } => self.connections.get(&connection?)?.peer.ip(),
        };
        Some((self.layer.client_request(key)?.clone(), seen))
    }

    /// Gives an acknowledged dialog to its call, or hangs it up if the call has one already or is no longer wanted.
    fn adopt(&mut self, now: Duration, id: CallId, mut dialog: Dialog, response: &Response) {
        let wanted = self.calls.get_mut(&id).and_then(|call| call.client_invite.take().map(|invite| (call, invite)));
        let Some((call, invite)) = wanted else {
            let path = dialog.next_hop();
            if let Ok(builder) = dialog.request(&Method::Bye) {
                let bye = self.complete(builder, path.transport(), None);
                self.begin_client(now, bye, path, Purpose::ClientBye(None));
            }
            return;
        };
        call.phase = Phase::Established;
        let dialog_key = dialog.key.clone();
        call.dialog = Some(dialog);
        self.dialogs.insert(dialog_key, id);
        self.clear_timer(id, CallTimer::Unanswered);
        self.clear_timer(id, CallTimer::Cancelled);
        match invite.cancelled {
            // The answer crossed our CANCEL (RFC 3261 §9.1).
            Some((reason, _)) => self.send_bye(now, id, reason),
            None => self.emit(id, CallEvent::Answered { session: SessionDescription::parse(response.body()).ok() }),
        }
    }

    fn reinvite_answered(&mut self, now: Duration, key: &TransactionKey, id: CallId, response: &Response) {
        let path = self.transactions.get(&(Side::Client, key.clone())).and_then(|transaction| match &transaction.purpose {
            Purpose::ClientReInvite(_, Some((bytes, path))) => Some((bytes.clone(), *path)),
            _ => None,
        });
        if let Some((bytes, mut path)) = path {
            return self.transmit(&mut path, bytes);
        }
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Some(invite) = call.client_invite.take() else {
            return;
        };
        let status = response.status.code();
        if !response.status.is_success() {
            let error = match status {
                491 => ReInviteError::Glare,
                408 | 481 => ReInviteError::Ended,
                _ => ReInviteError::Refused(status),
            };
            self.emit(id, CallEvent::ReInvited(Err(error)));
            if error == ReInviteError::Ended {
                self.send_bye(now, id, EndReason::PeerLost);
            }
            return;
        }
        call.local_session = Some(invite.session);
        let Some(dialog) = &mut call.dialog else {
            return;
        };
        dialog.refresh_target(&response.headers);
        let (dialog, cseq) = (dialog.clone(), invite.request.headers.typed::<CSeq>().and_then(Result::ok));
        let ack = cseq.and_then(|cseq| self.acknowledge(&dialog, cseq.sequence));
        if let Some(transaction) = self.transactions.get_mut(&(Side::Client, key.clone())) {
            transaction.purpose = Purpose::ClientReInvite(id, ack);
        }
        self.emit(id, CallEvent::ReInvited(Ok(SessionDescription::parse(response.body()).ok())));
    }

    fn acknowledge(&mut self, dialog: &Dialog, cseq: u32) -> Option<(Bytes, Path)> {
        let mut path = dialog.next_hop();
        let ack = self.complete(dialog.ack(cseq).ok()?, path.transport(), None);
        let bytes = Message::Request(ack).to_bytes();
        self.transmit(&mut path, bytes.clone());
        Some((bytes, path))
    }
}

fn initial_invite(wanted: &OutgoingInvite) -> Result<RequestBuilder, InviteError> {
    let uri = Uri::parse(Bytes::from(wanted.to.clone())).map_err(|_| InviteError::Malformed("to"))?;
    Address::parse(wanted.from.as_bytes(), "From").map_err(|_| InviteError::Malformed("from"))?;
    let mut builder = RequestBuilder::new(Method::Invite, uri)
        .max_forwards(70)
        .header(HeaderName::From, format!("{};tag={}", wanted.from, reply::random_tag()))
        .and_then(|builder| builder.header(HeaderName::To, format!("<{}>", wanted.to)))
        .and_then(|builder| builder.header(HeaderName::CallId, format!("{:032x}", rand::random::<u128>())))
        .and_then(|builder| builder.cseq(initial_cseq(), &Method::Invite))
        .and_then(|builder| builder.header(HeaderName::Allow, reply::ALLOW))
        .map_err(|_| InviteError::Malformed("to or from"))?;
    for (name, value) in &wanted.headers {
        let name = HeaderName::parse(&Bytes::from(name.clone()));
        builder = builder.header(name, value.clone()).map_err(|_| InviteError::Malformed("header"))?;
    }
    Ok(builder)
}

/// CANCEL names its INVITE by the same URI, tags, number, routes and topmost `Via` (RFC 3261 §9.1).
fn cancel_request(invite: &Request) -> Option<Request> {
    let mut builder = RequestBuilder::new(Method::Cancel, invite.uri.clone()).max_forwards(70);
    for name in [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::Route] {
        for header in invite.headers.get_all(&name) {
            builder = builder.header(name.clone(), header.value().into_owned()).ok()?;
        }
    }
    let cseq = invite.headers.typed::<CSeq>()?.ok()?;
    builder.cseq(cseq.sequence, &Method::Cancel).ok().map(RequestBuilder::build)
}
