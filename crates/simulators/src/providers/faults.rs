//! What goes wrong, service by service.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::line::Line;

/// A simulated service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Speech-to-text.
    Stt,
    /// The language model.
    Llm,
    /// Text-to-speech.
    Tts,
}

/// How a request goes wrong. A WebSocket is one request, from its handshake to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection is cut before any answer.
    Refuse,
    /// The connection is accepted, and nothing ever comes.
    Silent,
    /// The answer is this HTTP status; 429 comes with `Retry-After: 1`.
    Status(u16),
    /// The connection is cut, without a farewell, this long after the request.
    DropAfter(Duration),
    /// The connection stays open, but nothing passes any more, this long after the request.
    StallAfter(Duration),
}

/// The faults in force: a handle whose clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    table: Arc<Mutex<[Option<Plan>; 3]>>,
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    fault: Fault,
    /// Requests that it still spoils; `None` for all.
    left: Option<u32>,
}

impl Faults {
    /// Spoils every request from now on. Requests that run already are left alone.
    pub fn set(&self, service: Service, fault: Fault) {
        self.table()[service as usize] = Some(Plan { fault, left: None });
    }

    /// Spoils the next `requests` requests.
    pub fn set_for(&self, service: Service, fault: Fault, requests: u32) {
        self.table()[service as usize] = Some(Plan { fault, left: Some(requests) });
    }

    /// Lets all go well again.
    pub fn clear(&self, service: Service) {
        self.table()[service as usize] = None;
    }

    /// What becomes of the next request.
    fn take(&self, service: Service) -> Option<Fault> {
        let mut table = self.table();
        let plan = table[service as usize].as_mut()?;
        if let Some(left) = &mut plan.left {
            *left = left.checked_sub(1)?;
        }
        Some(plan.fault)
    }

    /// Entries are replaced whole, so a panic elsewhere leaves them usable.
    fn table(&self) -> MutexGuard<'_, [Option<Plan>; 3]> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    fn of(path: &str) -> Option<Self> {
        match path {
            "/v1/listen" => Some(Self::Stt),
            "/v1/speak" => Some(Self::Tts),
            "/v1/chat/completions" => Some(Self::Llm),
            _ => None,
        }
    }
}

/// Spoils a request if its service is to fail.
pub(super) async fn inject(State(faults): State<Faults>, ConnectInfo(line): ConnectInfo<Line>, request: Request, next: Next) -> Response {
    let fault = Service::of(request.uri().path()).and_then(|service| faults.take(service));
    match fault {
        None => next.run(request).await,
        Some(Fault::Refuse) => {
            line.cut();
            // Nobody gets this.
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        Some(Fault::Silent) => {
            line.stall();
            line.over().await;
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        Some(Fault::Status(code)) => {
            let mut response = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response();
            if code == StatusCode::TOO_MANY_REQUESTS.as_u16() {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            response
        }
        Some(Fault::DropAfter(delay)) => {
            line.later(delay, Line::cut);
            next.run(request).await
        }
        Some(Fault::StallAfter(delay)) => {
            line.later(delay, Line::stall);
            next.run(request).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_last_as_long_as_they_are_set_to() {
        let faults = Faults::default();
        let handle = faults.clone();
        assert_eq!(faults.take(Service::Llm), None);
        handle.set(Service::Llm, Fault::Refuse);
        assert_eq!((faults.take(Service::Llm), faults.take(Service::Llm)), (Some(Fault::Refuse), Some(Fault::Refuse)));
        assert_eq!(faults.take(Service::Tts), None);
        handle.set_for(Service::Llm, Fault::Status(500), 2);
        assert_eq!((faults.take(Service::Llm), faults.take(Service::Llm)), (Some(Fault::Status(500)), Some(Fault::Status(500))));
        assert_eq!((faults.take(Service::Llm), faults.take(Service::Llm)), (None, None));
        handle.set(Service::Stt, Fault::Silent);
        handle.clear(Service::Stt);
        assert_eq!(faults.take(Service::Stt), None);
    }
}
