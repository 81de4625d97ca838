//! Calls whose worker is gone: another agent is sent for, and if none comes the caller is told and the record is kept.
//!
//! Behind our own bridge the bridge does that, since it is in the room and hears at once when an agent's signs of life stop. Behind
//! LiveKit's SIP service nobody does: LiveKit never dispatches a job twice, and the caller would sit in silence for good. Here the
//! leases are watched instead. Any number of these may run, in workers (`worker.rescue`) or as `frontdesk rescue`: a call is taken
//! by one UPDATE, so only one acts on it.
//!
//! A take-over raises the epoch of the call, removes the former agent from the room, and dispatches anew; the worker that gets the
//! job claims the call and goes on from its stored state. Nothing is taken until Postgres has answered for a whole lease time
//! without a break: after an outage the living renew first.

use std::sync::Arc;
use std::time::Duration;

use frontdesk_agent::{CallStore, record};
use frontdesk_audio::Frame;
use frontdesk_clinic::leases::{Leases, Orphan, TakeOver};
use frontdesk_clinic::{ClinicStore, PgCallStore, TenantId};
use frontdesk_livekit::Credentials;
use frontdesk_livekit::api::{AgentDispatch, LiveKit, ParticipantToken, RoomInfo, random_id, tolerate};
use frontdesk_livekit::room::{DisconnectReason, Participant, ParticipantKind, Room, RoomOptions};
use futures_util::future::join_all;
use sha2::{Digest, Sha256};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How often leases are looked at.
const EVERY: Duration = Duration::from_millis(500);
/// How long a caller is left without an agent before he is told that nobody comes.
const GIVE_UP_AFTER: Duration = Duration::from_secs(15);
/// One call's take-over takes no longer than this.
const STEP_MAX: Duration = Duration::from_secs(25);
/// How long joining a room to say so may take.
const JOIN_MAX: Duration = Duration::from_secs(4);
/// What the SIP service still holds when the last sample was sent.
const DRAIN: Duration = Duration::from_millis(400);

/// The LiveKit project that a key belongs to, without its name: leases stand in a database that others can read.
#[must_use]
pub fn project(credentials: &Credentials) -> String {
    let digest = Sha256::digest(credentials.key().as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// See the module's documentation.
pub struct Rescue {
    leases: Leases,
    livekit: Arc<LiveKit>,
    agent_name: String,
    apology: Frame,
}

impl Rescue {
    /// Looks after the calls of the project that `leases` name; dispatches `agent_name` where the room does not tell another.
    #[must_use]
    pub const fn new(leases: Leases, livekit: Arc<LiveKit>, agent_name: String, apology: Frame) -> Self {
        Self { leases, livekit, agent_name, apology }
    }

    /// Runs until told to stop. `clinic` gives a clinic's view of the database, by its id.
    pub async fn run(&self, clinic: impl Fn(&TenantId) -> Option<ClinicStore> + Send + Sync, stop: CancellationToken) {
        let mut every = interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(every.tick()).await.is_some() {
            let orphans = match self.leases.take_over(TakeOver::default()).await {
                Ok(orphans) if orphans.is_empty() => continue,
                Ok(orphans) => orphans,
                Err(error) => {
                    tracing::debug!(%error, "leases cannot be looked at");
                    continue;
                }
            };
            let rooms = match self.livekit.list_rooms(&[]).await {
                Ok(rooms) => rooms,
                Err(error) => {
                    tracing::warn!(%error, calls = orphans.len(), "rooms of lost calls cannot be found; tried again");
                    continue;
                }
            };
            let (rooms, clinic) = (&rooms, &clinic);
            join_all(orphans.iter().map(|orphan| async move {
                if timeout(STEP_MAX, self.see_to(orphan, rooms, clinic)).await.is_err() {
                    tracing::warn!(call = orphan.call.call_id, "seeing to a lost call took too long; tried again");
                }
            }))
            .await;
        }
    }

    async fn see_to(&self, orphan: &Orphan, rooms: &[RoomInfo], clinic: &(impl Fn(&TenantId) -> Option<ClinicStore> + Sync)) {
        let call = &orphan.call;
        let gone_ms = u64::try_from(orphan.orphaned_for.as_millis()).unwrap_or(u64::MAX);
        let Some(room) = rooms.iter().find(|room| room.sid == call.room_sid) else {
            tracing::warn!(call = call.call_id, gone_ms, "a call has ended without its worker; its record is made of what it stored");
            return self.keep_record(orphan, clinic).await;
        };
        let present = match self.livekit.list_participants(&room.name).await {
            Ok(present) => present,
            Err(error) => {
                tracing::warn!(call = call.call_id, %error, "a lost call cannot be looked at; tried again");
                return;
            }
        };
        if !present.iter().any(is_caller) {
            tracing::info!(call = call.call_id, gone_ms, "the caller is gone as well");
            return self.keep_record(orphan, clinic).await;
        }
        if orphan.orphaned_for >= GIVE_UP_AFTER {
            tracing::error!(call = call.call_id, gone_ms, attempts = orphan.attempts, "no agent comes; the caller is told so");
            self.apologise(&room.name).await;
            tolerate("end the call", self.livekit.delete_room(&room.name).await);
            return self.keep_record(orphan, clinic).await;
        }
        tracing::warn!(
            call = call.call_id,
            gone_ms,
            attempts = orphan.attempts,
            epoch = orphan.epoch,
            "the call's worker is gone; another is sent for"
        );
        tolerate("remove the lost agent", self.livekit.remove_participant(&room.name, &call.participant).await);
        let dispatch = self.dispatch_of(&room.name).await;
        if let Err(error) = self.livekit.create_dispatch(&room.name, &dispatch).await {
            tracing::warn!(call = call.call_id, %error, "no agent can be dispatched; tried again");
        }
    }

    /// The same as was asked for first.
    async fn dispatch_of(&self, room: &str) -> AgentDispatch {
        let known = self.livekit.list_dispatches(room).await.unwrap_or_default();
        known.into_iter().next().unwrap_or_else(|| AgentDispatch::new(self.agent_name.as_str(), ""))
    }

    async fn keep_record(&self, orphan: &Orphan, clinic: &(impl Fn(&TenantId) -> Option<ClinicStore> + Sync)) {
        let Some(clinic) = clinic(&orphan.call.tenant) else {
            tracing::error!(call = orphan.call.call_id, tenant = %orphan.call.tenant, "a lost call belongs to a clinic that is not configured here");
            return;
        };
        let clinic = orphan.store(clinic);
        let store = PgCallStore::new(clinic.clone());
        let call_id = orphan.call.call_id.as_str();
        let kept = async {
            let state = store.load_state(call_id).await?;
            let mut record = record::of_lost_call(call_id, orphan.call.tenant.as_str(), orphan.began_at, state.as_deref());
            clinic.describe(&mut record);
            store.finish(&record).await
        };
        if let Err(error) = kept.await {
            tracing::warn!(call = call_id, %error, "the record of a lost call is not kept yet; tried again");
        }
    }

    /// Joins as an agent and says that nobody can take the call. Best effort: the call ends anyway.
    async fn apologise(&self, room: &str) {
        let said = async {
            let mut token = ParticipantToken::new(room, random_id("rescue_"));
            token.kind = ParticipantKind::Agent;
            let options =
                RoomOptions::new(self.livekit.url().to_string(), self.livekit.participant_token(&token).map_err(|e| e.to_string())?);
            let (room, _events) = timeout(JOIN_MAX, Room::connect(options)).await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
            let mut publisher = room.publish_audio(self.apology.rate).await.map_err(|error| error.to_string())?;
            let mut every = interval(Duration::from_millis(frontdesk_audio::FRAME_MS.into()));
            for samples in self.apology.samples.chunks_exact(self.apology.rate.samples_in_ms(frontdesk_audio::FRAME_MS)) {
                every.tick().await;
                publisher.write(samples).map_err(|error| error.to_string())?;
            }
            sleep(DRAIN).await;
            room.leave(DisconnectReason::ClientInitiated).await;
            Ok::<_, String>(())
        };
        if let Err(error) = said.await {
            tracing::warn!(error, "the caller could not be told that nobody comes");
        }
    }
}

/// Whether this is somebody to talk to, and not an agent or a recorder.
fn is_caller(participant: &Participant) -> bool {
    matches!(participant.kind, ParticipantKind::Sip | ParticipantKind::Standard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_told_by_its_key_without_naming_it() {
        let (one, same) = (project(&Credentials::new("key", "secret")), project(&Credentials::new("key", "rotated")));
        assert_eq!(one, same);
        assert_ne!(one, project(&Credentials::new("another", "secret")));
        assert!(one.len() == 16 && !one.contains("key"));
    }
}
