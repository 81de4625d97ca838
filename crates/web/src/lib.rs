//! What others reach by HTTP: receipts of text messages, at `/twilio/status`, and a worker's [`health`] pages, on a port of their own.
//!
//! A receipt that Twilio did not sign has no effect and is written into the audit log of the tenant that it names; one that comes
//! again has no further effect.

#![forbid(unsafe_code)]

pub mod health;
mod twilio;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use frontdesk_clinic::outbox::Receipts;
use frontdesk_notify::Secret;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Largest request, in bytes; a receipt has a few hundred.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Where receipts of text messages arrive.
pub const TWILIO_STATUS_PATH: &str = "/twilio/status";

/// What the endpoints work with.
#[derive(Debug)]
pub struct Web {
    /// Takes receipts.
    pub receipts: Receipts,
    /// The token of Twilio's account, under which its requests are signed.
    pub twilio_token: Secret,
    /// The address under which the world reaches this server, `https://desk.clinic.example`: signatures cover it, and a proxy in
    /// between does not tell it reliably.
    pub public_url: String,
}

/// The endpoints.
pub fn router(web: Web) -> Router {
    Router::new().route(TWILIO_STATUS_PATH, post(twilio::status)).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(Arc::new(web))
}

/// Serves until told to stop.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(address: SocketAddr, web: Web, stop: CancellationToken) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(%address, "listening for receipts");
    axum::serve(listener, router(web)).with_graceful_shutdown(stop.cancelled_owned()).await
}

/// Serves the health pages on a listener of their own until told to stop: they are for the operator, not for the world.
///
/// # Errors
/// The listener fails.
pub async fn serve_health(listener: TcpListener, health: health::Health, stop: CancellationToken) -> std::io::Result<()> {
    axum::serve(listener, health::router(health)).with_graceful_shutdown(stop.cancelled_owned()).await
}
