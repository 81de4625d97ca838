//! Where a model runs: on a thread of its own behind a bounded queue, or in the thread of whoever asks.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::{fmt, io};

/// Where a model `M` does jobs `J`.
pub(crate) enum Backend<J, M: ?Sized> {
    /// On a thread of its own.
    Thread(ModelThread<J>),
    /// In the thread of whoever asks, one at a time.
    Inline(Mutex<Box<M>>),
}

impl<J, M: ?Sized> fmt::Debug for Backend<J, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Thread(_) => "Thread",
            Self::Inline(_) => "Inline",
        })
    }
}

/// A model's thread. Dropping it closes the queue, which ends the thread after the job in hand, and waits for that: the process
/// must not exit in the middle of a run of the model.
pub(crate) struct ModelThread<J> {
    name: &'static str,
    jobs: Option<SyncSender<J>>,
    thread: Option<JoinHandle<()>>,
}

impl<J: Send + 'static> ModelThread<J> {
    /// Starts a thread that serves a queue of at most `queue` jobs (zero counts as one) until the queue is closed.
    pub(crate) fn start(name: &'static str, queue: usize, serve: impl FnOnce(&Receiver<J>) + Send + 'static) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(queue.max(1));
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || serve(&waiting))?;
        Ok(Self { name, jobs: Some(jobs), thread: Some(thread) })
    }
}

impl<J> ModelThread<J> {
    /// Hands over a job; gives it back when the queue is full or the thread gone.
    pub(crate) fn submit(&self, job: J) -> Result<(), TrySendError<J>> {
        match &self.jobs {
            Some(jobs) => jobs.try_send(job),
            None => Err(TrySendError::Disconnected(job)),
        }
    }
}

impl<J> Drop for ModelThread<J> {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(thread = self.name, "a model's thread panicked");
        }
    }
}
