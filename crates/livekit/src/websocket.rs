//! The WebSockets of worker and participant, without Nagle's algorithm.
//!
//! Signalling is many small messages in a row. With Nagle's algorithm (the default of LiveKit's signal client) each but the
//! first waits until the one before is acknowledged, which the other side delays by 40 ms: measured, it doubled the time
//! from joining a room to a track that the caller hears.
//!
//! A proxy that the environment names is not used: media would not pass through it.

use std::sync::{Arc, Once};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use livekit_net::{Header, TransportError, WsClient, WsConnectResult, WsConnection};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::https::SignalRequests;

/// Of a connection, in each direction; a call has one, and it is cleared for every read. A longer message takes more while it comes.
const BUFFER_BYTES: usize = 8 * 1024;

/// An open WebSocket.
pub(crate) type WebSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Connects. The caller bounds the time.
pub(crate) async fn connect(request: Request) -> Result<WebSocket, WsError> {
    let disable_nagle = true;
    let config = WebSocketConfig::default().read_buffer_size(BUFFER_BYTES).write_buffer_size(BUFFER_BYTES);
    tokio_tungstenite::connect_async_with_config(request, Some(config), disable_nagle).await.map(|(socket, _)| socket)
}

/// Has LiveKit's signal client connect as [`connect`] does, and ask over HTTPS, unless the program has chosen clients of its own. TLS
/// must have been prepared.
pub(crate) fn prepare_signalling() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        livekit_net::set_ws_client(Arc::new(SignalSockets));
        if let Some(requests) = SignalRequests::new() {
            livekit_net::set_http_client(Arc::new(requests));
        }
    });
}

/// Opens the signal client's connections.
struct SignalSockets;

#[async_trait]
impl WsClient for SignalSockets {
    async fn connect(&self, url: String, headers: Vec<Header>, timeout_ms: u64) -> Result<WsConnectResult, TransportError> {
        let mut request = url.into_client_request().map_err(failed)?;
        for Header { name, value } in headers {
            // Neither is shown in the error: the value is the token.
            let name: HeaderName = name.parse().map_err(|_| TransportError::Other("malformed header name".to_owned()))?;
            let value = HeaderValue::from_str(&value).map_err(|_| TransportError::Other("malformed header".to_owned()))?;
            request.headers_mut().insert(name, value);
        }
        let connecting = tokio::time::timeout(Duration::from_millis(timeout_ms), connect(request));
        let (writer, reader) = connecting.await.map_err(|_| TransportError::Timeout)?.map_err(failed)?.split();
        Ok(WsConnectResult { connection: Arc::new(SignalSocket { writer: Mutex::new(writer), reader: Mutex::new(reader) }) })
    }
}

/// What the signal client makes of an error decides whether it tries again.
fn failed(error: WsError) -> TransportError {
    match error {
        // The body of a 401 repeats the token: it goes nowhere.
        WsError::Http(response) => TransportError::Http { status: response.status().as_u16() },
        WsError::ConnectionClosed | WsError::AlreadyClosed => TransportError::Closed,
        error => TransportError::Connection(error.to_string()),
    }
}

/// An open connection of the signal client.
struct SignalSocket {
    writer: Mutex<SplitSink<WebSocket, Message>>,
    reader: Mutex<SplitStream<WebSocket>>,
}

#[async_trait]
impl WsConnection for SignalSocket {
    async fn send(&self, frame: Vec<u8>) -> Result<(), TransportError> {
        self.writer.lock().await.send(Message::Binary(frame.into())).await.map_err(failed)
    }

    async fn recv(&self) -> Result<Option<Vec<u8>>, TransportError> {
        let mut reader = self.reader.lock().await;
        loop {
            match reader.next().await {
                Some(Ok(Message::Binary(frame))) => return Ok(Some(frame.into())),
                Some(Ok(Message::Close(_))) | None => return Ok(None),
                // Reading has queued the pong; flushing sends it.
                Some(Ok(Message::Ping(_))) => self.writer.lock().await.flush().await.map_err(failed)?,
                // The server sends binary frames only.
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    // A server that dies, or a network that drops, closes without goodbye: the same to us.
                    tracing::debug!(%error, "signal socket failed");
                    return Ok(None);
                }
            }
        }
    }

    async fn close(&self) {
        let _already_closed = self.writer.lock().await.close().await;
    }
}
