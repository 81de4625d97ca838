//! The service on Deepgram's wire: `/v1/speak` over a WebSocket.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use frontdesk_audio::SampleRate;
use frontdesk_audio::g711::{encode_alaw, encode_ulaw};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::provider::{Rendered, render};
use super::session::{Reply, Session, SessionOptions};
use crate::wire;

/// A client that takes nothing for so long is given up.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// The voice where the query names none.
const DEFAULT_MODEL: &str = "aura-asteria-en";

/// Query parameters that `/v1/speak` takes; others are refused with 400. All but the format have no effect here.
pub const KNOWN_PARAMETERS: &[&str] = &["encoding", "mip_opt_out", "model", "sample_rate", "speed", "tag"];

/// What all connections share.
#[derive(Debug, Clone)]
struct Shared {
    key: Arc<str>,
    options: SessionOptions,
    stop: CancellationToken,
}

/// How samples are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Linear16,
    Mulaw,
    Alaw,
}

/// What a query asks for.
#[derive(Debug)]
struct Wanted {
    encoding: Encoding,
    rate: SampleRate,
    model: String,
}

/// The service's route. `options` holds what a query does not say: the mode, the delays and the limits.
pub fn router(key: &str, options: SessionOptions, stop: CancellationToken) -> Router {
    let shared = Shared { key: key.into(), options, stop };
    Router::new().route("/v1/speak", get(speak)).with_state(shared)
}

async fn speak(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if !wire::authorised(&headers, &shared.key) {
        return wire::unauthorised();
    }
    let wanted = match settings(&query.unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(problem) => return wire::refuse(StatusCode::BAD_REQUEST, "Bad Request", &problem),
    };
    match upgrade {
        Ok(upgrade) => upgrade.on_upgrade(move |socket| serve(socket, wanted, shared)),
        Err(rejection) => rejection.into_response(),
    }
}

/// Reads a query (developers.deepgram.com, "Media Output Settings": what each encoding allows).
fn settings(query: &str) -> Result<Wanted, String> {
    let pairs = wire::pairs(query);
    if let Some(name) = wire::unknown(&pairs, KNOWN_PARAMETERS) {
        return Err(format!("Unknown query parameter: {name}"));
    }
    let model = wire::value(&pairs, "model").unwrap_or(DEFAULT_MODEL);
    if !model.starts_with("aura-") {
        return Err("No such model/language/tier combination found.".into());
    }
    let (encoding, rates): (_, &[u32]) = match wire::value(&pairs, "encoding").unwrap_or("linear16") {
        "linear16" => (Encoding::Linear16, &[8_000, 16_000, 24_000, 32_000, 48_000]),
        "mulaw" => (Encoding::Mulaw, &[8_000, 16_000]),
        "alaw" => (Encoding::Alaw, &[8_000, 16_000]),
        _ => return Err("encoding must be linear16, mulaw or alaw".into()),
    };
    let default = if encoding == Encoding::Linear16 { "24000" } else { "8000" };
    let hz = wire::value(&pairs, "sample_rate").unwrap_or(default).parse().ok().filter(|hz| rates.contains(hz));
    let rate = hz.and_then(SampleRate::new).ok_or_else(|| format!("sample_rate must be one of {rates:?} for this encoding"))?;
    Ok(Wanted { encoding, rate, model: model.to_owned() })
}

/// One connection.
async fn serve(mut socket: WebSocket, wanted: Wanted, shared: Shared) {
    let request = Uuid::new_v4();
    let started = Instant::now();
    let mut session = Session::new(SessionOptions { rate: wanted.rate, ..shared.options });
    let mut rendering: JoinSet<Rendered> = JoinSet::new();
    if !send(&mut socket, text(&metadata(&wanted.model, &request))).await {
        return;
    }
    loop {
        while let Some(reply) = session.poll(started.elapsed()) {
            if !send(&mut socket, message(reply, wanted.encoding)).await {
                return;
            }
        }
        if session.is_ended() {
            return;
        }
        while let Some(job) = session.take_job() {
            rendering.spawn(render(job, wanted.rate));
        }
        let due = session.deadline().and_then(|due| started.checked_add(due));
        tokio::select! {
            received = socket.recv() => {
                let Some(Ok(received)) = received else { return };
                if matches!(received, Message::Close(_)) {
                    return;
                }
                session.on_frame(started.elapsed());
                obey(&mut session, started.elapsed(), &received);
            }
            Some(Ok((ticket, result))) = rendering.join_next() => session.on_rendered(ticket, result),
            () = tokio::time::sleep_until(due.unwrap_or(started)), if due.is_some() => {}
            () = shared.stop.cancelled() => {
                send(&mut socket, wire::close(1001, "")).await;
                return;
            }
        }
    }
}

/// Sends within a bound; false once the client is gone.
async fn send(socket: &mut WebSocket, message: Message) -> bool {
    matches!(timeout(SEND_TIMEOUT, socket.send(message)).await, Ok(Ok(())))
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
enum Control {
    Speak { text: String },
    Flush,
    Clear,
    Close,
}

fn obey(session: &mut Session, now: Duration, received: &Message) {
    match received {
        Message::Text(json) => match serde_json::from_str(json) {
            Ok(Control::Speak { text }) => session.on_speak(&text),
            Ok(Control::Flush) => session.on_flush(now),
            Ok(Control::Clear) => session.on_clear(now),
            Ok(Control::Close) => session.on_close(now),
            Err(_) => session.on_garbage("a text message is no Speak, Flush, Clear or Close"),
        },
        Message::Binary(_) => session.on_garbage("binary messages are not understood"),
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) => {}
    }
}

fn message(reply: Reply, encoding: Encoding) -> Message {
    match reply {
        Reply::Audio(samples) => Message::Binary(
            match encoding {
                Encoding::Linear16 => wire::bytes(&samples),
                Encoding::Mulaw => encode_ulaw(&samples),
                Encoding::Alaw => encode_alaw(&samples),
            }
            .into(),
        ),
        Reply::Flushed { sequence_id } => text(&json!({ "type": "Flushed", "sequence_id": sequence_id })),
        Reply::Cleared { sequence_id } => text(&json!({ "type": "Cleared", "sequence_id": sequence_id })),
        // Named so by the provider's client libraries; its reference says `description` and `code`.
        Reply::Warning { code, description } => text(&json!({
            "type": "Warning", "warn_code": code, "warn_msg": description, "code": code, "description": description,
        })),
        Reply::Error { code, description } => text(&json!({ "type": "Error", "err_code": code, "err_msg": description })),
        Reply::End { code, reason } => wire::close(code, reason),
    }
}

fn text(value: &Value) -> Message {
    Message::Text(value.to_string().into())
}

fn metadata(model: &str, request: &Uuid) -> Value {
    json!({
        "type": "Metadata",
        "request_id": request,
        "model_name": model,
        "model_version": "simulated",
        "model_uuid": Uuid::nil(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_name_voice_and_format() {
        let wanted = settings("model=aura-2-thalia-en&encoding=linear16&sample_rate=8000").expect("valid");
        assert_eq!((wanted.encoding, wanted.rate, wanted.model.as_str()), (Encoding::Linear16, SampleRate::HZ_8000, "aura-2-thalia-en"));
        assert_eq!(settings("").expect("defaults").rate, SampleRate::HZ_24000);
        assert_eq!(settings("encoding=mulaw").expect("defaults").rate, SampleRate::HZ_8000);
        for bad in ["model=nova-3", "encoding=opus", "sample_rate=1", "sample_rate=x", "encoding=alaw&sample_rate=48000", "voice=x"] {
            settings(bad).expect_err(bad);
        }
    }

    #[test]
    fn both_spellings_of_a_warning_are_sent() {
        let Message::Text(sent) = message(Reply::Warning { code: "A", description: "b".into() }, Encoding::Linear16) else {
            panic!("text expected")
        };
        for part in [r#""warn_code":"A""#, r#""code":"A""#, r#""warn_msg":"b""#, r#""description":"b""#] {
            assert!(sent.contains(part), "{sent}");
        }
        assert_eq!(message(Reply::Audio(vec![1, -1]), Encoding::Linear16), Message::Binary(vec![1, 0, 255, 255].into()));
        assert_eq!(message(Reply::Audio(vec![0, 0]), Encoding::Mulaw), Message::Binary(vec![0xFF, 0xFF].into()));
    }
}
