//! The jobs of one LiveKit server: each is claimed, admitted, and given its session.

use std::sync::Arc;

use async_trait::async_trait;
use frontdesk_agent::{CallInfo, CallRecord, Transport};
use frontdesk_clinic::leases::{Claim, LeasedCall, Leases, Watcher};
use frontdesk_clinic::{Tenant, TenantId};
use frontdesk_livekit::api::LiveKit;
use frontdesk_livekit::transport::{LiveKitTransport, TransportOptions};
use frontdesk_livekit::worker::{JobAnswer, JobContext, JobEntry, JobFailure, JobRequest};
use tokio_util::sync::CancellationToken;

use super::{Held, Reception};
use crate::rescue::Rescue;

/// Takes the calls of one LiveKit server.
pub struct Desk {
    pub(super) reception: Arc<Reception>,
    pub(super) livekit: Arc<LiveKit>,
    /// The leases of the calls of this server that this process has.
    pub(super) leases: Leases,
    /// Whose the server is, if it is a tenant's own.
    pub(super) tenant: Option<TenantId>,
}

impl Desk {
    /// The server's API.
    #[must_use]
    pub const fn livekit(&self) -> &Arc<LiveKit> {
        &self.livekit
    }

    /// Renews the leases of calls until told to stop, which is when the last call has ended.
    pub async fn run_leases(&self, stop: CancellationToken) {
        self.leases.run(stop).await;
    }

    /// Looks after calls whose workers are gone, until told to stop. Needs [`Self::run_leases`] beside it.
    pub async fn run_rescue(&self, agent_name: String, stop: CancellationToken) {
        let apology = self.reception.fallback.audio.clone();
        let rescue = Rescue::new(self.leases.clone(), Arc::clone(&self.livekit), agent_name, apology);
        let clinic = |tenant: &TenantId| {
            let clinics = self.reception.clinics.now();
            clinics.tenants.get(tenant.as_str()).map(|tenant| self.reception.store(tenant))
        };
        rescue.run(clinic, stop).await;
    }

    /// Takes a call over any line, which nobody else watches over; its record, unless it is beyond the clinic's limit or another
    /// worker has it.
    pub async fn take(&self, tenant: &Arc<Tenant>, mut line: Box<dyn Transport>, stop: CancellationToken) -> Option<CallRecord> {
        let call_id = line.info().call_id.clone();
        let call = LeasedCall {
            tenant: tenant.id.clone(),
            room_sid: call_id.clone(),
            participant: call_id.clone(),
            call_id,
            watched_by: Watcher::Bridge,
        };
        let Some(held) = self.claim(call, |_| false).await else {
            line.leave().await;
            return None;
        };
        self.answer_call(tenant, line, held, (stop, CancellationToken::new())).await
    }

    /// A call that is ours, to its end; its record, unless it is beyond the clinic's limit and not answered.
    async fn answer_call(
        &self,
        tenant: &Arc<Tenant>,
        mut line: Box<dyn Transport>,
        held: Held,
        (stop, hurry): (CancellationToken, CancellationToken),
    ) -> Option<CallRecord> {
        let call_id = line.info().call_id.clone();
        // Renewed until the record is stored.
        let lease = Arc::clone(&held.lease);
        let store = self.reception.store(tenant);
        let pass = match self.reception.gate.admit(&store, &tenant.limits, &call_id).await {
            Ok(pass) => Some(pass),
            Err(busy) => {
                tracing::warn!(call = call_id, tenant = %tenant.id, %busy, "a call beyond the clinic's limit");
                if tenant.limits.busy.is_none() {
                    // Not answered yet: the caller hears that the line is busy.
                    line.hang_up().await;
                    if let Err(error) = store.with_lease(lease).end_lease().await {
                        tracing::warn!(%error, "the lease of a call that was not taken stands; it will look like one whose worker is gone");
                    }
                    return None;
                }
                None
            }
        };
        let running = self.reception.session(tenant, line, held, pass.is_none(), hurry).await.run(stop);
        let record = match pass {
            None => running.await,
            Some(pass) => {
                let record = tokio::select! {
                    record = running => record,
                    never = pass.keep() => match never {},
                };
                pass.give_back().await;
                record
            }
        };
        drop(lease);
        tracing::info!(
            call = record.call_id,
            outcome = ?record.outcome,
            duration_ms = record.duration_ms,
            turns = record.turns.len(),
            incidents = record.incidents.len(),
            "call ended"
        );
        // Times on the waiting list go on to the next even on a day on which nobody cancels.
        if let Err(error) = store.tidy_waiting_list().await {
            tracing::warn!(%error, "the waiting list was not tidied; the next call does it");
        }
        Some(record)
    }

    /// Claims a call; `None` if another agent has it.
    async fn claim(&self, call: LeasedCall, is_present: impl Fn(&str) -> bool + Send) -> Option<Held> {
        match self.leases.claim(call, is_present).await {
            Claim::New(lease) => Some(Held { lease, age: None, incidents: Vec::new() }),
            Claim::TakenOver(lease, age) => Some(Held { lease, age: Some(age), incidents: Vec::new() }),
            Claim::Unleased(lease) => {
                let incidents = vec!["lease: none, the database was away when the call began; nothing is booked without one".into()];
                Some(Held { lease, age: None, incidents })
            }
            Claim::Held => None,
        }
    }

    fn tenant(&self, info: &CallInfo) -> Option<Arc<Tenant>> {
        match &self.tenant {
            Some(id) => self.reception.clinics.now().tenants.get(id.as_str()).cloned(),
            None => self.reception.tenant(info),
        }
    }
}

#[async_trait]
impl JobEntry for Desk {
    fn answer(&self, request: &JobRequest) -> JobAnswer {
        // On a tenant's own server nobody calls another.
        match (&self.tenant, request.tenant()) {
            (Some(tenant), Some(named)) if tenant.as_str() != named => JobAnswer::Refuse,
            _ => JobAnswer::default(),
        }
    }

    async fn run(&self, job: JobContext) -> Result<(), JobFailure> {
        let assigned_at = job.assigned_at;
        let transport = LiveKitTransport::join(&job, Arc::clone(&self.livekit), TransportOptions::default()).await;
        let mut transport = transport.map_err(|error| JobFailure(error.to_string()))?;
        let since = |moment: std::time::Instant| u64::try_from(moment.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(call = transport.info().call_id, joined_ms = since(assigned_at), "joined the call");
        let Some(tenant) = self.tenant(transport.info()) else {
            transport.hang_up().await;
            return Err(JobFailure("the dialled number belongs to no tenant; add it to a tenant's dialled_numbers".into()));
        };
        transport.set_transfer_numbers(tenant.transfer_numbers());
        transport.when_person_speaks(tenant.when_person_speaks);
        let call = LeasedCall {
            tenant: tenant.id.clone(),
            call_id: transport.info().call_id.clone(),
            room_sid: job.room_sid.clone(),
            participant: job.participant_identity.clone(),
            watched_by: if transport.is_behind_our_bridge() { Watcher::Bridge } else { Watcher::Rescue },
        };
        let held = {
            let room = Arc::clone(transport.room());
            self.claim(call, |identity| room.participants().iter().any(|other| other.identity == identity)).await
        };
        let Some(held) = held else {
            tracing::warn!(call = transport.info().call_id, "another agent has the call; it is left to it");
            transport.leave().await;
            return Ok(());
        };
        let signals = (transport.stop(), job.hurry);
        self.answer_call(&tenant, Box::new(transport), held, signals).await;
        Ok(())
    }
}
