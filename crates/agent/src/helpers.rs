//! The helper tasks of one call: none outlives it.

use std::time::Duration;

use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::timeout;
use tracing::Instrument;

/// Tasks that are ended when this is dropped, and awaited by [`Tasks::finish`].
#[derive(Default)]
pub(crate) struct Tasks {
    set: JoinSet<()>,
}

impl Tasks {
    /// Spawns a task within the current tracing span.
    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.set.spawn(task.in_current_span())
    }

    /// The next task that ended, if any runs. Cancel-safe.
    pub(crate) async fn ended(&mut self) -> Option<Result<(), JoinError>> {
        self.set.join_next().await
    }

    /// Waits for all tasks to end; those that do not within `limit` are ended. Says how many that were, and how many panicked.
    pub(crate) async fn finish(mut self, limit: Duration) -> TasksEnd {
        let mut end = TasksEnd::default();
        let waiting = async {
            while let Some(ended) = self.set.join_next().await {
                end.panicked += usize::from(ended.is_err_and(|error| error.is_panic()));
            }
        };
        let _ = timeout(limit, waiting).await;
        end.stuck = self.set.len();
        self.set.shutdown().await;
        end
    }
}

/// How a call's helper tasks ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TasksEnd {
    /// Had to be ended.
    pub stuck: usize,
    /// Panicked.
    pub panicked: usize,
}
