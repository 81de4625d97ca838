//! The worker's WebSocket: handshake, binary frames.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use livekit_protocol as proto;
use prost::Message as _;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header::AUTHORIZATION};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::api::TokenError;
use crate::credentials::Credentials;
use crate::server_url::ServerUrl;
use crate::websocket::{self, WebSocket};

/// Version of the worker protocol.
const PROTOCOL: u32 = 1;
/// How long one frame may take to be written.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the worker's WebSocket was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// Key or secret are wrong.
    #[error("the API key or secret was refused")]
    Unauthorized,
    /// Something else answers there, or a server that takes no workers.
    #[error("the server answered HTTP {0}")]
    Status(StatusCode),
    /// Nothing answers there.
    #[error("{0}")]
    Unreachable(String),
    /// No token could be made.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// An open worker socket.
pub(crate) struct WorkerSocket(WebSocket);

/// Why a worker socket is of no more use.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    #[error("the server closed the connection")]
    Closed,
    #[error("{0}")]
    Failed(#[from] Box<WsError>),
    #[error("malformed message: {0}")]
    Malformed(#[from] prost::DecodeError),
    #[error("the connection does not take messages")]
    Stuck,
}

/// Opens the socket; registers nothing. The caller bounds the time.
pub(crate) async fn handshake(url: &ServerUrl, credentials: &Credentials) -> Result<WorkerSocket, HandshakeError> {
    url.prepare_tls();
    let unreachable = |error: WsError| HandshakeError::Unreachable(error.to_string());
    let token = crate::api::worker_token(credentials)?;
    let mut request = format!("{}/agent?protocol={PROTOCOL}", url.websocket()).into_client_request().map_err(unreachable)?;
    let authorization = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| TokenError::Sign("the API key has characters that no HTTP header may hold".to_owned()))?;
    request.headers_mut().insert(AUTHORIZATION, authorization);
    match websocket::connect(request).await {
        Ok(socket) => Ok(WorkerSocket(socket)),
        // The body of a 401 repeats the token: it goes nowhere.
        Err(WsError::Http(response)) => match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(HandshakeError::Unauthorized),
            status => Err(HandshakeError::Status(status)),
        },
        Err(error) => Err(unreachable(error)),
    }
}

impl WorkerSocket {
    /// Sends one message, as a binary frame: a text frame would switch the server to JSON.
    pub(super) async fn send(&mut self, message: proto::worker_message::Message) -> Result<(), SocketError> {
        let bytes = proto::WorkerMessage { message: Some(message) }.encode_to_vec();
        match tokio::time::timeout(SEND_TIMEOUT, self.0.send(Message::Binary(bytes.into()))).await {
            Ok(result) => result.map_err(|error| SocketError::Failed(Box::new(error))),
            Err(_) => Err(SocketError::Stuck),
        }
    }

    /// The next message. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<proto::server_message::Message, SocketError> {
        loop {
            let frame = match self.0.next().await {
                None | Some(Ok(Message::Close(_))) => return Err(SocketError::Closed),
                Some(Err(error)) => return Err(SocketError::Failed(Box::new(error))),
                Some(Ok(frame)) => frame,
            };
            if let Message::Binary(bytes) = frame
                && let Some(message) = proto::ServerMessage::decode(&bytes[..])?.message
            {
                return Ok(message);
            }
        }
    }

    pub(super) async fn close(mut self) {
        let _ = tokio::time::timeout(SEND_TIMEOUT, self.0.close(None)).await;
    }
}
