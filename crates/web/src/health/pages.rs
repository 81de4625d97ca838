//! The pages themselves.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{ComponentState, Health};

/// Version of the worker protocol that livekit/agents reports as well.
const PROTOCOL_VERSION: u32 = 1;

/// The pages.
pub fn router(health: Health) -> Router {
    Router::new()
        .route("/", get(alive))
        .route("/worker", get(worker))
        .route("/ready", get(ready))
        .route("/health", get(summary))
        .route("/health/detailed", get(detailed))
        .route("/metrics", get(metrics))
        .with_state(health)
}

async fn alive(State(health): State<Health>) -> (StatusCode, &'static str) {
    let worker = (health.worker)();
    // Whoever is restarted for this loses no call: there is none.
    if worker.lost && worker.active_jobs == 0 {
        return (StatusCode::SERVICE_UNAVAILABLE, "failed to connect to livekit");
    }
    (StatusCode::OK, "OK")
}

async fn worker(State(health): State<Health>) -> Json<Value> {
    let worker = (health.worker)();
    Json(json!({
        "agent_name": health.info.agent_name,
        "worker_type": health.info.worker_type,
        "worker_load": rounded(worker.load),
        "active_jobs": worker.active_jobs,
        "sdk_version": health.info.version,
        "protocol_version": PROTOCOL_VERSION,
    }))
}

/// Three decimals, without the dust of binary fractions.
fn rounded(load: f32) -> f64 {
    (f64::from(load) * 1000.0).round() / 1000.0
}

async fn ready(State(health): State<Health>) -> (StatusCode, &'static str) {
    let worker = (health.worker)();
    let refusal = match worker {
        _ if worker.draining => "draining",
        _ if !worker.registered => "not registered with LiveKit",
        // Full is no reason: the server knows, and asks again when a place is free.
        _ => return (StatusCode::OK, "ready"),
    };
    (StatusCode::SERVICE_UNAVAILABLE, refusal)
}

/// The word for all of it. What calls can live without degrades only.
fn status(health: &Health) -> (StatusCode, &'static str) {
    if !(health.worker)().registered {
        return (StatusCode::SERVICE_UNAVAILABLE, "down");
    }
    let fails = health.monitor.components().iter().any(|component| component.state == ComponentState::Failed);
    (StatusCode::OK, if fails { "degraded" } else { "ok" })
}

async fn summary(State(health): State<Health>) -> (StatusCode, Json<Value>) {
    let (code, status) = status(&health);
    (code, Json(json!({ "status": status })))
}

async fn detailed(State(health): State<Health>) -> (StatusCode, Json<Value>) {
    let (code, status) = status(&health);
    let worker = (health.worker)();
    let body = json!({
        "status": status,
        "version": health.info.version,
        "worker": {
            "agent_name": health.info.agent_name,
            "registered": worker.registered,
            "draining": worker.draining,
            "full": worker.full,
            "active_jobs": worker.active_jobs,
            "load": rounded(worker.load),
        },
        "components": health.monitor.components(),
    });
    (code, Json(body))
}

async fn metrics(State(health): State<Health>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (health.metrics)()).into_response()
}
