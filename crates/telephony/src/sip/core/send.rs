//! Sending: transactions of both roles, stateless answers, connections and the ways that bytes take.

use std::time::Duration;

use bytes::Bytes;
use sipx_sip::headers::Via;
use sipx_sip::transaction::Dispatch;
use sipx_sip::{HeaderName, Message, Method, Request, RequestBuilder, Response, TransactionKey};

use super::{Connection, Core, Purpose, Side, Transaction};
use crate::sdp::SessionDescription;
use crate::sip::config::Refusal;
use crate::sip::event::Output;
use crate::sip::flow::{ConnectionId, Path, Source, Transport};
use crate::sip::reply;

impl Core {
    pub(super) fn answer_stateless(&mut self, request: &Request, source: Source, refusal: &Refusal) {
        self.stats.stateless += 1;
        let via = request.headers.typed::<Via>().and_then(Result::ok);
        let mut path = Path::of_responses(via.as_ref(), source);
        let tag = self.tags.tag(request);
        let mut response = reply::refusal(request, refusal, &tag);
        reply::push(&mut response.headers, HeaderName::Server, self.config.product.clone());
        self.transmit(&mut path, Message::Response(response).to_bytes());
    }

    /// Makes the server transaction of a request.
    pub(super) fn begin_server(
        &mut self,
        now: Duration,
        request: &Request,
        source: Source,
        purpose: Purpose,
    ) -> Result<TransactionKey, Refusal> {
        if self.transactions.len() >= self.config.limits.transactions_max {
            self.stats.full += 1;
            return Err(Refusal::new(503).with("Retry-After", "10"));
        }
        let via = request.headers.typed::<Via>().and_then(Result::ok);
        let path = Path::of_responses(via.as_ref(), source);
        let received = self.layer.receive(Message::Request(request.clone()), source.transport().reliability());
        let Dispatch::Created { key, outputs } = received else {
            return Err(Refusal::new(400));
        };
        self.transactions.insert((Side::Server, key.clone()), Transaction { purpose, path });
        self.perform(now, Side::Server, &key, outputs);
        Ok(key)
    }

    /// Sends a request of ours in a transaction. `None` if there is no room for one.
    pub(super) fn begin_client(&mut self, now: Duration, request: Request, path: Path, purpose: Purpose) -> Option<TransactionKey> {
        if self.transactions.len() >= self.config.limits.transactions_max {
            self.stats.full += 1;
            return None;
        }
        let (key, outputs) = self.layer.send_request(request, path.transport().reliability())?;
        self.transactions.insert((Side::Client, key.clone()), Transaction { purpose, path });
        self.perform(now, Side::Client, &key, outputs);
        Some(key)
    }

    pub(super) fn respond(&mut self, now: Duration, key: &TransactionKey, mut response: Response) {
        reply::push(&mut response.headers, HeaderName::Server, self.config.product.clone());
        let outputs = self.layer.send_response(key, response);
        self.perform(now, Side::Server, key, outputs);
    }

    pub(super) fn transmit_in(&mut self, side: Side, key: &TransactionKey, bytes: Bytes) {
        let Some(transaction) = self.transactions.get(&(side, key.clone())) else {
            return;
        };
        let mut path = transaction.path;
        self.transmit(&mut path, bytes);
        if let Some(transaction) = self.transactions.get_mut(&(side, key.clone())) {
            transaction.path = path;
        }
    }

    /// A peer connected. `None`: refuse it, there are too many or its address is not admitted.
    pub(in crate::sip) fn connected(&mut self, peer: std::net::SocketAddr) -> Option<ConnectionId> {
        let limits = &self.config.limits;
        let of_host = self.connections.values().filter(|other| other.inbound && other.peer.ip() == peer.ip()).count();
        let room = self.connections.len() < limits.connections_max && of_host < limits.connections_per_host_max;
        if !room || !self.config.admission.source(peer, Transport::Tcp) {
            self.stats.not_admitted += 1;
            return None;
        }
        Some(self.add_connection(peer, true))
    }

    fn add_connection(&mut self, peer: std::net::SocketAddr, inbound: bool) -> ConnectionId {
        let id = ConnectionId(self.number());
        self.connections.insert(id, Connection { peer, inbound });
        id
    }

    /// Sends, over a new connection if there is none (RFC 3261 §18.2.2). Each path redials once.
    pub(super) fn transmit(&mut self, path: &mut Path, bytes: Bytes) {
        let (connection, redial) = match *path {
            Path::Udp(to) => return self.outputs.push_back(Output::Datagram { to, bytes }),
            Path::Tcp { connection, redial } => (connection, redial),
        };
        let live = connection.filter(|id| self.connections.contains_key(id));
        let id = match (live, redial) {
            (Some(id), _) => id,
            (None, Some(to)) if self.connections.len() < self.config.limits.connections_max => {
                let id = self.add_connection(to, false);
                *path = Path::Tcp { connection: Some(id), redial: None };
                self.outputs.push_back(Output::Connect { connection: id, to });
                id
            }
            _ => return tracing::debug!("no connection to send on"),
        };
        self.outputs.push_back(Output::Write { connection: id, bytes });
    }

    pub(super) fn contact(&self, transport: Transport) -> String {
        match transport {
            Transport::Udp => format!("<sip:{}:{}>", self.host, self.port),
            Transport::Tcp => format!("<sip:{}:{};transport=tcp>", self.host, self.port),
        }
    }

    /// Adds what every request of ours carries; a `Via` with a fresh branch comes first.
    pub(super) fn complete(&self, builder: RequestBuilder, transport: Transport, session: Option<&SessionDescription>) -> Request {
        let mut request = builder.build();
        let branch = sipx_transport::new_branch();
        let via = format!("SIP/2.0/{} {}:{};rport;branch={branch}", transport.as_str(), self.host, self.port);
        match sipx_sip::Header::build(HeaderName::Via, via) {
            Ok(via) => request.headers.push_front(via),
            Err(error) => tracing::warn!(%error, "advertised host cannot stand in a Via"),
        }
        reply::push(&mut request.headers, HeaderName::UserAgent, self.config.product.clone());
        if !matches!(request.method, Method::Cancel | Method::Bye) {
            reply::push(&mut request.headers, HeaderName::Contact, self.contact(transport));
        }
        if let Some(session) = session {
            request.headers.remove_all(&HeaderName::ContentLength);
            let body = session.to_string();
            reply::push(&mut request.headers, HeaderName::ContentType, crate::sdp::CONTENT_TYPE);
            reply::push(&mut request.headers, HeaderName::ContentLength, body.len().to_string());
            request.set_body(Bytes::from(body));
        }
        request
    }
}
