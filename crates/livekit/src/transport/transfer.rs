//! Handing the caller to a person: our bridge is asked in the room, LiveKit's SIP service by its API.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use frontdesk_agent::transport::TransferOutcome;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::api::{LiveKit, TransferError, random_id};
use crate::room::{DataMessage, OutgoingData, Participant, Room};
use crate::transfer::{BRIDGE_ATTRIBUTE, Reply, Request, TRANSFER_TOPIC};

/// How long the target may ring.
const RING_MAX: Duration = Duration::from_secs(30);
/// How long the outcome is waited for.
const OUTCOME_MAX: Duration = Duration::from_secs(38);

const UNKNOWN: TransferOutcome = TransferOutcome::Failed { sip_code: None };

/// The people whom callers of this room can be handed to, and the request that is under way.
pub(super) struct Transfers {
    api: Arc<LiveKit>,
    numbers: BTreeMap<String, String>,
    pending: Option<(String, oneshot::Sender<Option<u16>>)>,
}

impl std::fmt::Debug for Transfers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transfers").field("targets", &self.numbers.len()).finish_non_exhaustive()
    }
}

impl Transfers {
    pub(super) const fn new(api: Arc<LiveKit>) -> Self {
        Self { api, numbers: BTreeMap::new(), pending: None }
    }

    pub(super) fn set_numbers(&mut self, numbers: BTreeMap<String, String>) {
        self.numbers = numbers;
    }

    /// Begins a transfer of `caller`. One that is under way is forgotten.
    pub(super) fn begin(&mut self, room: Arc<Room>, caller: &Participant, target: &str) -> BoxFuture<'static, TransferOutcome> {
        let Some(number) = self.numbers.get(target).cloned() else {
            tracing::error!(target_name = target, "no number is configured for a transfer target");
            return Box::pin(std::future::ready(UNKNOWN));
        };
        let identity = caller.identity.clone();
        if caller.attribute(BRIDGE_ATTRIBUTE).is_none() {
            let api = Arc::clone(&self.api);
            return Box::pin(async move { by_service(&api, room.name(), &identity, &number).await });
        }
        let (tell, told) = oneshot::channel();
        let request = Request { id: random_id("TR_"), number };
        self.pending = Some((request.id.clone(), tell));
        Box::pin(async move { by_bridge(&room, identity, &request, told).await })
    }

    /// Takes the bridge's answer.
    pub(super) fn on_data(&mut self, data: &DataMessage) {
        let Some(reply) = Reply::parse(&data.payload).filter(|_| data.topic == TRANSFER_TOPIC) else { return };
        if let Some((_, tell)) = self.pending.take_if(|(id, _)| *id == reply.id) {
            // Nobody waits any more once the call is over.
            let _ = tell.send(reply.status);
        }
    }
}

fn outcome(status: Option<u16>) -> TransferOutcome {
    status.map_or(UNKNOWN, TransferOutcome::from_sip)
}

async fn by_bridge(room: &Room, identity: String, request: &Request, told: oneshot::Receiver<Option<u16>>) -> TransferOutcome {
    let data = OutgoingData { payload: request.to_bytes(), topic: TRANSFER_TOPIC.into(), reliable: true, destinations: vec![identity] };
    if let Err(error) = room.send_data(data).await {
        tracing::warn!(%error, "the bridge could not be asked to transfer the call");
        return UNKNOWN;
    }
    match timeout(OUTCOME_MAX, told).await {
        Ok(Ok(status)) => outcome(status),
        Ok(Err(_)) | Err(_) => UNKNOWN,
    }
}

async fn by_service(api: &LiveKit, room: &str, identity: &str, number: &str) -> TransferOutcome {
    match timeout(OUTCOME_MAX, api.transfer_sip_participant(room, identity, &format!("tel:{number}"), RING_MAX)).await {
        Ok(Ok(())) => TransferOutcome::Accepted,
        Ok(Err(TransferError::Sip { status })) => TransferOutcome::from_sip(status),
        Ok(Err(TransferError::Api(error))) => {
            tracing::warn!(%error, "the SIP service did not transfer the call");
            UNKNOWN
        }
        Err(_) => UNKNOWN,
    }
}
