//! A server of the clinic's that takes JSON and knows `Idempotency-Key`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;

use super::{Fault, Faults, Server, locked};

/// A request that came.
#[derive(Debug, Clone)]
pub struct Posted {
    /// Its `Idempotency-Key`.
    pub key: String,
    /// Its `Frontdesk-Signature`.
    pub signature: String,
    /// Its body.
    pub body: Bytes,
}

#[derive(Debug, Default)]
struct Shared {
    faults: Faults,
    posted: Mutex<Vec<Posted>>,
}

/// The server.
#[derive(Debug)]
pub struct Webhook {
    server: Server,
    shared: Arc<Shared>,
}

impl Webhook {
    /// Listens on a free port.
    ///
    /// # Errors
    /// There is none.
    pub async fn start() -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let router = Router::new().route("/notices", post(take)).with_state(Arc::clone(&shared));
        Ok(Self { server: Server::http(router).await?, shared })
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/notices", self.server.address)
    }

    /// Fails so, one fault a request, in this order, after those that are planned already.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.faults.plan(faults);
    }

    /// Waits until a request hangs.
    pub async fn hung(&self) {
        self.shared.faults.hung.notified().await;
    }

    /// Every request that had an effect, repetitions included.
    #[must_use]
    pub fn posted(&self) -> Vec<Posted> {
        locked(&self.shared.posted).clone()
    }

    /// What came, once for each key.
    #[must_use]
    pub fn taken(&self) -> Vec<Posted> {
        let by_key: BTreeMap<String, Posted> = self.posted().into_iter().rev().map(|posted| (posted.key.clone(), posted)).collect();
        by_key.into_values().collect()
    }
}

async fn take(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let posted = Posted { key: header("idempotency-key"), signature: header("frontdesk-signature"), body };
    let effect = || {
        locked(&shared.posted).push(posted);
        StatusCode::NO_CONTENT.into_response()
    };
    shared.faults.answer(effect).await
}
