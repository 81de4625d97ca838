//! Methods that participants call at each other: LiveKit's RPC, version 1, over data packets.
//!
//! A request is acknowledged at once and answered later, both to its caller alone. Clients that could send version 2 (over data
//! streams) send version 1 to a participant that, as ours, does not announce it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use livekit_protocol as proto;
use proto::data_packet::Value;
use proto::rpc_response::Value as Answer;
use tokio::sync::{Semaphore, oneshot};

use super::data::DataChannels;

/// Largest request or answer, in bytes: what every client takes.
pub const RPC_PAYLOAD_BYTES_MAX: usize = 15 * 1024;
/// How long the acknowledgement of a request of ours is waited for.
pub(super) const ACK_MAX: Duration = Duration::from_secs(7);
/// The version that is spoken here.
const VERSION: u32 = 1;
/// Requests of ours that may wait for their answers at once.
const WAITING_MAX: usize = 32;
/// Acknowledgements that may wait to be sent at once; a request beyond is dropped, and its caller told by his own time-out.
const ACKS_MAX: usize = 32;

/// Another participant calls a method of ours. `Debug` shows its name only. Answered by [`super::Room::answer_rpc`].
#[derive(Clone, PartialEq, Eq)]
pub struct RpcRequest {
    /// Names it in the answer.
    pub id: String,
    /// Identity of the caller.
    pub caller: String,
    /// The method.
    pub method: String,
    /// Its arguments, JSON as a rule.
    pub payload: String,
    /// How long the caller waits for the answer.
    pub response_timeout: Duration,
}

impl fmt::Debug for RpcRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcRequest").field("method", &self.method).field("size_bytes", &self.payload.len()).finish_non_exhaustive()
    }
}

/// Why a method was not carried out, on either side. Codes from 1001 to 1999 are LiveKit's; others belong to the method.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("RPC error {code}")]
pub struct RpcError {
    /// What kind of error it is.
    pub code: u32,
    /// For people.
    pub message: String,
    /// For programs; may be empty.
    pub data: String,
}

impl fmt::Debug for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcError").field("code", &self.code).finish_non_exhaustive()
    }
}

impl RpcError {
    /// The callee has no such method.
    pub const UNSUPPORTED_METHOD: u32 = 1400;
    /// Nobody of that identity is in the room.
    pub const RECIPIENT_NOT_FOUND: u32 = 1401;
    /// The request is larger than [`RPC_PAYLOAD_BYTES_MAX`].
    pub const REQUEST_PAYLOAD_TOO_LARGE: u32 = 1402;
    /// The callee does not speak this version.
    pub const UNSUPPORTED_VERSION: u32 = 1404;
    /// The method failed.
    pub const APPLICATION_ERROR: u32 = 1500;
    /// The callee did not acknowledge the request in time.
    pub const CONNECTION_TIMEOUT: u32 = 1501;
    /// The callee did not answer in time.
    pub const RESPONSE_TIMEOUT: u32 = 1502;
    /// The callee left.
    pub const RECIPIENT_DISCONNECTED: u32 = 1503;
    /// The answer is larger than [`RPC_PAYLOAD_BYTES_MAX`].
    pub const RESPONSE_PAYLOAD_TOO_LARGE: u32 = 1504;
    /// The request could not be sent.
    pub const SEND_FAILED: u32 = 1505;

    /// An error with LiveKit's words for its code.
    #[must_use]
    pub fn of(code: u32) -> Self {
        let message = match code {
            Self::UNSUPPORTED_METHOD => "Method not supported at destination",
            Self::RECIPIENT_NOT_FOUND => "Recipient not found",
            Self::REQUEST_PAYLOAD_TOO_LARGE => "Request payload too large",
            Self::UNSUPPORTED_VERSION => "Unsupported RPC version",
            Self::CONNECTION_TIMEOUT => "Connection timeout",
            Self::RESPONSE_TIMEOUT => "Response timeout",
            Self::RECIPIENT_DISCONNECTED => "Recipient disconnected",
            Self::RESPONSE_PAYLOAD_TOO_LARGE => "Response payload too large",
            Self::SEND_FAILED => "Failed to send",
            _ => "Application error in method handler",
        };
        Self { code, message: message.to_owned(), data: String::new() }
    }

    fn from_proto(error: proto::RpcError) -> Self {
        Self { code: error.code, message: error.message, data: error.data }
    }
}

/// What came of a request of ours.
type Outcome = Result<String, RpcError>;

struct Waiting {
    destination: String,
    acknowledged: Option<oneshot::Sender<()>>,
    answer: oneshot::Sender<Outcome>,
}

/// The two ends of a request that was sent: its acknowledgement, and its answer.
pub(super) struct Expected {
    pub(super) acknowledged: oneshot::Receiver<()>,
    pub(super) answer: oneshot::Receiver<Outcome>,
}

/// The requests of ours that wait, and what others ask.
pub(super) struct Rpc {
    waiting: Mutex<HashMap<String, Waiting>>,
    acks: Arc<Semaphore>,
}

impl Default for Rpc {
    fn default() -> Self {
        Self { waiting: Mutex::default(), acks: Arc::new(Semaphore::new(ACKS_MAX)) }
    }
}

impl Rpc {
    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        // Consistent after every single operation, so a poisoned lock is as good as a sound one.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Expects an answer to the request `id`; `None` if too many are waited for.
    pub(super) fn expect(&self, id: &str, destination: &str) -> Option<Expected> {
        let ((acknowledged, ack), (answer, outcome)) = (oneshot::channel(), oneshot::channel());
        let mut waiting = self.waiting();
        if waiting.len() >= WAITING_MAX {
            return None;
        }
        waiting.insert(id.to_owned(), Waiting { destination: destination.to_owned(), acknowledged: Some(acknowledged), answer });
        Some(Expected { acknowledged: ack, answer: outcome })
    }

    /// Forgets the request when the guard goes, however its wait ended.
    pub(super) const fn forgetting(&self, id: String) -> Forget<'_> {
        Forget { rpc: self, id }
    }

    pub(super) fn on_ack(&self, sender: &str, ack: &proto::RpcAck) {
        let mut waiting = self.waiting();
        let known = waiting.get_mut(&ack.request_id).filter(|waiting| waiting.destination == sender);
        if let Some(acknowledged) = known.and_then(|waiting| waiting.acknowledged.take()) {
            // Fails only if nobody waits any more.
            let _ = acknowledged.send(());
        }
    }

    pub(super) fn on_response(&self, sender: &str, response: proto::RpcResponse) {
        let mut all = self.waiting();
        if all.get(&response.request_id).is_none_or(|waiting| waiting.destination != sender) {
            return;
        }
        let Some(waiting) = all.remove(&response.request_id) else { return };
        let outcome = match response.value {
            Some(Answer::Payload(payload)) => Ok(payload),
            Some(Answer::Error(error)) => Err(RpcError::from_proto(error)),
            // Compression is nothing that we have announced.
            Some(Answer::CompressedPayload(_)) | None => Err(RpcError::of(RpcError::UNSUPPORTED_VERSION)),
        };
        let _ = waiting.answer.send(outcome);
    }

    /// Somebody has left: he will not answer.
    pub(super) fn on_left(&self, identity: &str) {
        let mut all = self.waiting();
        let ids: Vec<String> = all.iter().filter(|(_, waiting)| waiting.destination == identity).map(|(id, _)| id.clone()).collect();
        for waiting in ids.iter().filter_map(|id| all.remove(id)) {
            let _ = waiting.answer.send(Err(RpcError::of(RpcError::RECIPIENT_DISCONNECTED)));
        }
    }

    /// Takes a request of another participant: what is to be sent at once, and what the application is to be told. `None` for both if
    /// more come than can be acknowledged.
    pub(super) fn on_request(&self, sender: String, request: proto::RpcRequest) -> (Option<Immediate>, Option<RpcRequest>) {
        let Ok(permit) = Arc::clone(&self.acks).try_acquire_owned() else {
            tracing::warn!("a call of a method was dropped: too many at once");
            return (None, None);
        };
        let ack = Value::RpcAck(proto::RpcAck { request_id: request.id.clone() });
        let refused = if request.version != VERSION || !request.compressed_payload.is_empty() {
            Some(RpcError::UNSUPPORTED_VERSION)
        } else if request.payload.len() > RPC_PAYLOAD_BYTES_MAX {
            Some(RpcError::REQUEST_PAYLOAD_TOO_LARGE)
        } else {
            None
        };
        let mut packets = vec![to(&sender, ack)];
        if let Some(code) = refused {
            packets.push(to(&sender, answer(&request.id, Err(RpcError::of(code)))));
            return (Some(Immediate { packets, _permit: permit }), None);
        }
        let told = RpcRequest {
            id: request.id,
            caller: sender,
            method: request.method,
            payload: request.payload,
            response_timeout: Duration::from_millis(request.response_timeout_ms.into()),
        };
        (Some(Immediate { packets, _permit: permit }), Some(told))
    }
}

/// See [`Rpc::forgetting`].
pub(super) struct Forget<'a> {
    rpc: &'a Rpc,
    id: String,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.rpc.waiting().remove(&self.id);
    }
}

/// Packets that go out at once, on behalf of a request.
pub(super) struct Immediate {
    packets: Vec<proto::DataPacket>,
    _permit: tokio::sync::OwnedSemaphorePermit,
}

impl Immediate {
    pub(super) async fn send(self, data: Arc<DataChannels>, identity: String) {
        for mut packet in self.packets {
            packet.participant_identity.clone_from(&identity);
            if let Err(error) = data.send(true, &packet).await {
                tracing::debug!(%error, "a call of a method was not acknowledged");
                return;
            }
        }
    }
}

fn to(destination: &str, value: Value) -> proto::DataPacket {
    proto::DataPacket { destination_identities: vec![destination.to_owned()], value: Some(value), ..Default::default() }
}

/// A request as it is sent.
pub(super) fn request(id: &str, method: &str, payload: &str, response_timeout: Duration) -> Value {
    Value::RpcRequest(proto::RpcRequest {
        id: id.to_owned(),
        method: method.to_owned(),
        payload: payload.to_owned(),
        response_timeout_ms: u32::try_from(response_timeout.as_millis()).unwrap_or(u32::MAX),
        version: VERSION,
        ..Default::default()
    })
}

/// An answer as it is sent.
pub(super) fn answer(request_id: &str, outcome: Outcome) -> Value {
    let outcome = match outcome {
        Ok(payload) if payload.len() > RPC_PAYLOAD_BYTES_MAX => Err(RpcError::of(RpcError::RESPONSE_PAYLOAD_TOO_LARGE)),
        outcome => outcome,
    };
    let value = match outcome {
        Ok(payload) => Answer::Payload(payload),
        Err(RpcError { code, message, data }) => Answer::Error(proto::RpcError { code, message, data }),
    };
    Value::RpcResponse(proto::RpcResponse { request_id: request_id.to_owned(), value: Some(value) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(id: &str, value: Answer) -> proto::RpcResponse {
        proto::RpcResponse { request_id: id.to_owned(), value: Some(value) }
    }

    fn asked(version: u32, payload: &str) -> proto::RpcRequest {
        let (id, method) = ("r1".to_owned(), "greet".to_owned());
        proto::RpcRequest { id, method, payload: payload.to_owned(), response_timeout_ms: 9000, version, ..Default::default() }
    }

    #[tokio::test]
    async fn only_whom_we_asked_can_answer() {
        let rpc = Rpc::default();
        let expected = rpc.expect("a", "ann").expect("room for one");
        rpc.on_ack("eve", &proto::RpcAck { request_id: "a".into() });
        rpc.on_response("eve", response("a", Answer::Payload("forged".into())));
        rpc.on_ack("ann", &proto::RpcAck { request_id: "a".into() });
        rpc.on_response("ann", response("a", Answer::Payload("true".into())));
        assert_eq!(expected.acknowledged.await, Ok(()));
        assert_eq!(expected.answer.await, Ok(Ok("true".into())));
    }

    #[tokio::test]
    async fn who_leaves_answers_nothing_and_the_number_is_bounded() {
        let rpc = Rpc::default();
        let mut expected: Vec<Expected> = (0..WAITING_MAX).map(|n| rpc.expect(&n.to_string(), "ann").expect("room")).collect();
        assert!(rpc.expect("one more", "ann").is_none());
        rpc.on_left("bob");
        assert!(rpc.expect("one more", "ann").is_none());
        drop(rpc.forgetting("31".into()));
        assert!(rpc.expect("one more", "bob").is_some(), "whoever gives up leaves his place");
        rpc.on_left("ann");
        let first = expected.swap_remove(0).answer.await.expect("told");
        assert_eq!(first, Err(RpcError::of(RpcError::RECIPIENT_DISCONNECTED)));
        assert!(rpc.expect("one more", "ann").is_some());
    }

    #[test]
    fn requests_are_acknowledged_and_told_if_they_are_understood() {
        let rpc = Rpc::default();
        let (ack, told) = rpc.on_request("ann".into(), asked(1, "{}"));
        assert_eq!(ack.map(|ack| ack.packets.len()), Some(1));
        let told = told.expect("told");
        assert_eq!((told.caller.as_str(), told.method.as_str(), told.response_timeout), ("ann", "greet", Duration::from_secs(9)));
        for (request, code) in [
            (asked(2, "{}"), RpcError::UNSUPPORTED_VERSION),
            (asked(1, &"x".repeat(RPC_PAYLOAD_BYTES_MAX + 1)), RpcError::REQUEST_PAYLOAD_TOO_LARGE),
        ] {
            let (packets, told) = rpc.on_request("ann".into(), request);
            let packets = packets.expect("there is room").packets;
            let refused = match &packets[1].value {
                Some(Value::RpcResponse(proto::RpcResponse { value: Some(Answer::Error(error)), .. })) => error.code,
                other => panic!("{other:?}"),
            };
            assert_eq!((refused, told), (code, None));
        }
    }

    #[test]
    fn more_than_can_be_acknowledged_are_dropped() {
        let rpc = Rpc::default();
        let held: Vec<_> = (0..ACKS_MAX).map(|_| rpc.on_request("ann".into(), asked(1, ""))).collect();
        assert!(held.iter().all(|(ack, told)| ack.is_some() && told.is_some()));
        assert!(matches!(rpc.on_request("ann".into(), asked(1, "")), (None, None)));
        drop(held);
        assert!(rpc.on_request("ann".into(), asked(1, "")).1.is_some());
    }

    #[test]
    fn an_answer_that_is_too_large_says_so() {
        let Value::RpcResponse(sent) = answer("r1", Ok("x".repeat(RPC_PAYLOAD_BYTES_MAX + 1))) else { panic!("an answer") };
        assert!(matches!(sent.value, Some(Answer::Error(error)) if error.code == RpcError::RESPONSE_PAYLOAD_TOO_LARGE));
    }

    #[test]
    fn debug_shows_no_content() {
        let request = RpcRequest {
            id: "r1".into(),
            caller: "sip_+15550100".into(),
            method: "greet".into(),
            payload: "Ann Miller".into(),
            response_timeout: Duration::ZERO,
        };
        let error = RpcError { code: 1500, message: "Ann Miller".into(), data: "Ann Miller".into() };
        let text = format!("{request:?} {error:?} {error}");
        assert!(!text.contains("Miller") && !text.contains("5550100") && text.contains("greet"), "{text}");
    }
}
