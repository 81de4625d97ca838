//! A participant's signal connection: WebSocket frames that are protobuf messages.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use livekit_protocol as proto;
use prost::Message as _;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::{Relay, from_participant};

/// Longer than the head of any request: tokens are long.
const HEAD_MAX: usize = 16 * 1024;
/// How often a head that is not whole yet is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What a request for a signal connection begins with.
pub(super) struct Head {
    target: String,
    authorization: Option<HeaderValue>,
}

/// The head of a request for a signal connection, which stays in the stream; `None` of any other.
pub(super) async fn head(client: &TcpStream) -> Option<Head> {
    let mut bytes = vec![0; HEAD_MAX];
    loop {
        let size = client.peek(&mut bytes).await.ok().filter(|size| *size > 0)?;
        let text = String::from_utf8_lossy(&bytes[..size]);
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            return parse(head);
        }
        if size == HEAD_MAX || !text.starts_with("GET /rtc") {
            return None;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn parse(head: &str) -> Option<Head> {
    let mut lines = head.lines();
    let target = lines.next()?.strip_prefix("GET ")?.split(' ').next()?.to_owned();
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let header = |name: &str| headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
    let is_signal = target.starts_with("/rtc") && header("upgrade").is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"));
    let authorization = header("authorization").and_then(|value| value.parse().ok());
    is_signal.then_some(Head { target, authorization })
}

/// Carries the connection, and moves addresses on the way.
pub(super) async fn carry(relay: &Arc<Relay>, client: TcpStream, head: &Head) -> io::Result<()> {
    let failed = |error: WsError| io::Error::other(error.to_string());
    let url = format!("ws://127.0.0.1:{}{}", relay.server_port, head.target);
    let mut request = url.into_client_request().map_err(failed)?;
    if let Some(authorization) = &head.authorization {
        request.headers_mut().insert("authorization", authorization.clone());
    }
    // A server that refuses is not there, as far as the participant can see.
    let (server, _) = tokio_tungstenite::connect_async_with_config(request, None, true).await.map_err(failed)?;
    client.set_nodelay(true)?;
    let client = tokio_tungstenite::accept_async(client).await.map_err(failed)?;
    let ((to_server, from_server), (to_client, from_client)) = (server.split(), client.split());
    let up = pump(relay, from_client, to_server, |frame| {
        let Ok(mut signal) = proto::SignalRequest::decode(frame) else { return Some(frame.to_vec()) };
        if let Some(message) = &mut signal.message {
            from_participant(message)?;
        }
        Some(signal.encode_to_vec())
    });
    let down = pump(relay, from_server, to_client, |frame| {
        let Ok(mut signal) = proto::SignalResponse::decode(frame) else { return Some(frame.to_vec()) };
        if let Some(message) = &mut signal.message {
            relay.move_servers(message);
        }
        Some(signal.encode_to_vec())
    });
    tokio::select! {
        ended = up => ended,
        ended = down => ended,
    }
    .map_err(failed)
}

async fn pump(
    relay: &Relay,
    mut from: impl Stream<Item = Result<Message, WsError>> + Unpin,
    mut to: impl Sink<Message, Error = WsError> + Unpin,
    change: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Result<(), WsError> {
    while let Some(message) = from.next().await {
        relay.passes().await;
        let message = match message? {
            Message::Binary(frame) => match change(&frame) {
                Some(frame) => Message::Binary(frame.into()),
                None => continue,
            },
            // Each side's own library answers pings.
            Message::Ping(_) | Message::Pong(_) => continue,
            other => other,
        };
        to.send(message).await?;
    }
    relay.passes().await;
    to.close().await
}
