//! A job that is told to stop, and whether its call is still its own.
//!
//! LiveKit tells a worker to end a job for two reasons that it does not tell apart: somebody withdrew the dispatch, or the agent is no
//! longer in the room. An agent that was cut off, and removed so that another could come, hears of both at once when the network is back,
//! in any order. The call of one that was removed is another's by then: it must neither be ended nor recorded as ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::api::{ApiError, LiveKit};
use crate::room::Room;

/// How long the server may take to say who is in the room; else the job stops.
const ASK_MAX: Duration = Duration::from_secs(2);

/// See the module's documentation. Watches until it is dropped.
#[derive(Debug)]
pub(super) struct Stop {
    /// Fires when the job is to stop and the agent is still in the room, as far as can be found out.
    pub(super) here: CancellationToken,
    removed: Arc<Notify>,
    _watching: DropGuard,
}

impl Stop {
    pub(super) fn watch(job: CancellationToken, api: Arc<LiveKit>, room: Arc<Room>) -> Self {
        let (here, removed, watching) = (CancellationToken::new(), Arc::new(Notify::new()), CancellationToken::new());
        let (stop, tell) = (here.clone(), Arc::clone(&removed));
        tokio::spawn(watching.clone().run_until_cancelled_owned(async move {
            job.cancelled().await;
            if is_removed(&api, &room).await {
                tracing::info!("the job is to stop because its agent was removed from the room");
                tell.notify_one();
            } else {
                stop.cancel();
            }
        }));
        Self { here, removed, _watching: watching.drop_guard() }
    }

    /// Returns when the job is to stop because the agent is not in the room any more. Cancel-safe.
    pub(super) async fn removed(&self) {
        self.removed.notified().await;
    }
}

/// Whether the server knows the room, and us in it no more.
async fn is_removed(api: &LiveKit, room: &Room) -> bool {
    let ours = room.local_participant().sid;
    let asked = tokio::time::timeout(ASK_MAX, api.list_participants(room.name())).await;
    match asked {
        Ok(Ok(present)) => !present.iter().any(|other| other.sid == ours),
        Ok(Err(ApiError::NotFound { .. })) | Err(_) => false,
        Ok(Err(error)) => {
            tracing::debug!(%error, "whether the agent is still in the room cannot be found out");
            false
        }
    }
}
