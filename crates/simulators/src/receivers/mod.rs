//! Those who receive notices: Twilio's messages, a mail server, a webhook, Google's Calendar and Sheets. Each speaks its real wire
//! format on a port of its own, keeps what came, and fails as it is told.

mod google;
mod smtp;
mod twilio;
mod webhook;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub use google::{CalendarEvent, Google};
pub use smtp::{Mail, MailServer};
pub use twilio::{SentMessage, Twilio, signature as twilio_signature};
pub use webhook::{Posted, Webhook};

/// How a receiver fails; each one is used up by one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Answers so, and does nothing.
    Status(u16),
    /// Does nothing and never answers.
    Hang,
    /// Does what it is asked, and never answers.
    HangAfter,
    /// Does what it is asked, and answers as if it had not.
    StatusAfter(u16),
}

/// The faults to come.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    planned: Mutex<VecDeque<Fault>>,
    /// Fires when a request hangs.
    hung: Notify,
}

impl Faults {
    fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        locked(&self.planned).extend(faults);
    }

    fn next(&self) -> Option<Fault> {
        locked(&self.planned).pop_front()
    }

    /// Answers a request, unless a fault is due. `effect` is what the request does.
    async fn answer(&self, effect: impl FnOnce() -> Response) -> Response {
        let status = |code: u16| StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response();
        match self.next() {
            None => effect(),
            Some(Fault::Status(code)) => status(code),
            Some(Fault::StatusAfter(code)) => {
                drop(effect());
                status(code)
            }
            Some(fault) => {
                if fault == Fault::HangAfter {
                    drop(effect());
                }
                self.hang().await
            }
        }
    }

    /// Never ends.
    async fn hang<T>(&self) -> T {
        self.hung.notify_one();
        std::future::pending().await
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server on a port of its own; gone with the value.
#[derive(Debug)]
struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    async fn http(router: Router) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "a simulated receiver has ended");
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
