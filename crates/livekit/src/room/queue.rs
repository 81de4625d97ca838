//! What a remote track brings, on its way to the application.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A queue that never makes the sender wait: when full, the oldest gives way and is counted.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Notify,
    capacity: usize,
    pub(super) dropped: AtomicU64,
    pub(super) lost: AtomicU64,
}

#[derive(Debug)]
pub(super) struct State<T> {
    pub(super) items: VecDeque<T>,
    ended: bool,
    /// Nobody will take anything any more.
    abandoned: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State { items: VecDeque::new(), ended: false, abandoned: false }),
            changed: Notify::new(),
            capacity: capacity.max(1),
            dropped: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<T>> {
        // The state is consistent after every single operation, so a poisoned lock is as good as a sound one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, item: T) {
        let mut state = self.lock();
        if state.abandoned {
            return;
        }
        if state.items.len() >= self.capacity {
            state.items.pop_front();
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        state.items.push_back(item);
        drop(state);
        self.changed.notify_one();
    }

    /// The sender has nothing more.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_one();
    }

    /// The receiver is gone.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.abandoned = true;
        state.items.clear();
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.lock().abandoned
    }

    /// The next item, or `None` after the end. Cancel-safe.
    pub(super) async fn pop(&self) -> Option<T> {
        loop {
            {
                let mut state = self.lock();
                if let Some(item) = state.items.pop_front() {
                    return Some(item);
                }
                if state.ended {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }
}
