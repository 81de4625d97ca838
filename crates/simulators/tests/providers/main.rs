//! The simulated speech services on the wire, as a client that breaks rules sees them.
//!
//! How the real clients get on with them is tested where the clients are, in `crates/providers`.

mod listen;
mod speak;

use std::time::Duration;

use axum::Router;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const KEY: &str = "right";
/// Longer than anything here takes, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Serves a router on a free port until the test's runtime ends.
async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("ws://{address}")
}

async fn handshake(url: &str, key: &str) -> Result<Client, Error> {
    let mut request = url.into_client_request()?;
    request.headers_mut().insert("authorization", HeaderValue::from_str(&format!("Token {key}")).expect("a plain key"));
    connect_async(request).await.map(|(socket, _)| Client(socket))
}

async fn connect(url: &str) -> Client {
    handshake(url, KEY).await.expect("accepted")
}

/// The status of a refused handshake, and the header `dg-error`.
async fn refusal(url: &str, key: &str) -> (StatusCode, String) {
    match handshake(url, key).await.err() {
        Some(Error::Http(response)) => {
            let detail = response.headers().get("dg-error").and_then(|value| value.to_str().ok()).unwrap_or_default();
            (response.status(), detail.to_owned())
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// A client without manners.
#[derive(Debug)]
struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What the service sends.
#[derive(Debug)]
enum Sent {
    Json(Value),
    Binary(Vec<u8>),
    Closed(u16, String),
}

impl Client {
    async fn text(&mut self, text: &str) {
        self.0.send(Message::Text(text.into())).await.expect("sent");
    }

    async fn binary(&mut self, bytes: Vec<u8>) {
        self.0.send(Message::Binary(bytes.into())).await.expect("sent");
    }

    async fn next(&mut self) -> Sent {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("something comes");
            match message.expect("a farewell comes first").expect("no error") {
                Message::Text(text) => return Sent::Json(serde_json::from_str(&text).expect("JSON")),
                Message::Binary(bytes) => return Sent::Binary(bytes.to_vec()),
                Message::Close(frame) => {
                    let frame = frame.expect("a reason");
                    return Sent::Closed(frame.code.into(), frame.reason.to_string());
                }
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    async fn json(&mut self) -> Value {
        match self.next().await {
            Sent::Json(value) => value,
            other => panic!("not JSON: {other:?}"),
        }
    }

    async fn closed(&mut self) -> (u16, String) {
        match self.next().await {
            Sent::Closed(code, reason) => (code, reason),
            other => panic!("not closed: {other:?}"),
        }
    }

    /// Bytes of audio up to the next JSON message, and that message.
    async fn audio(&mut self) -> (usize, Value) {
        let mut bytes = 0;
        loop {
            match self.next().await {
                Sent::Binary(audio) => bytes += audio.len(),
                Sent::Json(value) => return (bytes, value),
                Sent::Closed(code, reason) => panic!("closed: {code} {reason}"),
            }
        }
    }
}
