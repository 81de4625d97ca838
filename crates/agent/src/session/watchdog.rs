//! Ends a call whose task does not come round any more, and that call alone.
//!
//! The watchdog is a task of its own, so that it sees a session that blocks its thread as well as one that waits for ever. It hangs
//! up (the line is a task of its own, too), keeps a record in the session's place, and has the session's future dropped; a thread
//! that is blocked can only be given back by whatever blocks it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use frontdesk_conversation::EndReason;
use metrics::counter;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{Instrument as _, Span};

use super::options::SessionLimits;
use crate::numbers::CALLS_STUCK;
use crate::record::CallRecord;
use crate::storage;
use crate::store::CallStore;

/// So many times the watchdog looks and sees no beat before it bites. Looks are counted and no time is measured: a process that was
/// stopped and goes on again has not hung.
const LOOKS: u32 = 5;
/// So many times a task beats at least while the watchdog's patience lasts.
const BEATS: u32 = 4 * LOOKS;
/// Not beating: the session is on its way to the answer, or closes, both of which have bounds of their own.
const RESTING: u64 = u64::MAX;

/// Sessions that were ended by their watchdog and have not let go of their thread yet.
static BLOCKED: AtomicUsize = AtomicUsize::new(0);

/// How many threads of this process are blocked by calls that were ended for it. With any, take no further call: every task of the
/// process may come to stand behind a blocked one.
#[must_use]
pub fn blocked_threads() -> usize {
    BLOCKED.load(Ordering::Relaxed)
}

/// A session counts as blocking as long as this lives.
struct Blocking;

impl Blocking {
    fn begin() -> Self {
        BLOCKED.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        BLOCKED.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Shows that a task goes on. Clones are the same heart.
#[derive(Debug, Clone)]
pub(super) struct Heart(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// How often it has beaten.
    beats: AtomicU64,
    cut: CancellationToken,
}

/// Beating ends with this.
pub(super) struct Beating(Heart);

impl Default for Heart {
    fn default() -> Self {
        Self(Arc::new(Inner { beats: AtomicU64::new(RESTING), cut: CancellationToken::new() }))
    }
}

impl Heart {
    /// From here on it beats, until the guard is dropped.
    pub(super) fn begin(&self) -> Beating {
        self.beat();
        Beating(self.clone())
    }

    pub(super) fn beat(&self) {
        // One task beats; resting is far beyond what it can count.
        let next = self.beats().map_or(0, |beats| beats + 1);
        self.0.beats.store(next, Ordering::Relaxed);
    }

    /// How often it has beaten; `None` while it rests.
    fn beats(&self) -> Option<u64> {
        Some(self.0.beats.load(Ordering::Relaxed)).filter(|beats| *beats != RESTING)
    }

    /// Fires when the line is to be hung up over the session's head.
    pub(super) fn cut(&self) -> CancellationToken {
        self.0.cut.clone()
    }

    /// Returns once it has stopped for as long as `limit`.
    async fn stopped(&self, limit: Duration) {
        let (mut last, mut looks) = (None, 0);
        while looks < LOOKS {
            sleep(limit / LOOKS).await;
            let beats = self.beats();
            looks = if beats.is_some() && beats == last { looks + 1 } else { 0 };
            last = beats;
        }
    }
}

impl Drop for Beating {
    fn drop(&mut self) {
        self.0.0.beats.store(RESTING, Ordering::Relaxed);
    }
}

/// How often a session's task must come round if its watchdog is so patient.
pub(super) fn beat_interval(limits: &SessionLimits) -> Duration {
    limits.stuck / BEATS
}

/// See the module's documentation. It ends with this handle.
pub(super) struct Watchdog {
    record: oneshot::Receiver<CallRecord>,
    _leash: DropGuard,
}

impl Watchdog {
    pub(super) fn watch(
        heart: Heart,
        (limits, store): (SessionLimits, Option<Arc<dyn CallStore>>),
        blank: impl Fn(EndReason, &str) -> CallRecord + Send + Sync + 'static,
        span: Span,
    ) -> Self {
        let (report, record) = oneshot::channel();
        let leash = CancellationToken::new();
        let watching = async move {
            heart.stopped(limits.stuck).await;
            tracing::error!(limit_ms = limits.stuck.as_millis() as u64, "the call's task does not come round any more: the call ends");
            counter!(CALLS_STUCK).increment(1);
            let _blocking = Blocking::begin();
            heart.cut().cancel();
            let record = blank(EndReason::Stuck, "session: stuck, ended by its watchdog");
            if let Some(store) = store
                && let Err(error) = storage::finish(store.as_ref(), &record).await
            {
                tracing::error!(%error, "the record of a call that was stuck could not be kept");
            }
            // Fails if the session has come to its senses and ended meanwhile.
            let _ = report.send(record);
            // A session that only waits is dropped at once, and this with it; one that blocks is not before its thread comes back.
            std::future::pending::<()>().await;
        };
        tokio::spawn(leash.clone().run_until_cancelled_owned(watching.instrument(span)));
        Self { record, _leash: leash.drop_guard() }
    }

    /// The record of the call that the watchdog has ended; waits for ever while it has not.
    pub(super) async fn bitten(&mut self) -> CallRecord {
        match (&mut self.record).await {
            Ok(record) => record,
            Err(_) => std::future::pending().await,
        }
    }
}
