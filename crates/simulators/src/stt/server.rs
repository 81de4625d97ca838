//! The service on Deepgram's wire: `/v1/listen` over a WebSocket, and `/utterances` to teach it more.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::language::MULTILINGUAL;
use super::session::{Heard, HeardWord, Session, SessionOptions, SttMode, plain};
use crate::wire::{self, DATA_0000, NET_0001};

/// Deepgram's endpointing when the query names none, in milliseconds.
const DEFAULT_ENDPOINTING_MS: u32 = 10;

/// Query parameters that `/v1/listen` takes; others are refused with 400. Most have no effect here.
pub const KNOWN_PARAMETERS: &[&str] = &[
    "callback",
    "callback_method",
    "channels",
    "detect_entities",
    "diarize",
    "diarize_model",
    "dictation",
    "encoding",
    "endpointing",
    "extra",
    "filler_words",
    "interim_results",
    "keyterm",
    "keywords",
    "language",
    "mip_opt_out",
    "model",
    "multichannel",
    "no_delay",
    "numerals",
    "profanity_filter",
    "punctuate",
    "redact",
    "replace",
    "sample_rate",
    "search",
    "smart_format",
    "tag",
    "utterance_end_ms",
    "vad_events",
    "version",
];

/// What all connections share.
#[derive(Debug, Clone)]
struct Shared {
    key: Arc<str>,
    options: SessionOptions,
    stop: CancellationToken,
}

/// The service's routes. `options` holds what a query does not say: the mode and the delays.
pub fn router(key: &str, options: SessionOptions, stop: CancellationToken) -> Router {
    let shared = Shared { key: key.into(), options, stop };
    Router::new().route("/v1/listen", get(listen)).route("/utterances", post(teach)).with_state(shared)
}

async fn listen(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    if !wire::authorised(&headers, &shared.key) {
        return wire::unauthorised();
    }
    let options = match settings(&shared.options, &query.unwrap_or_default()) {
        Ok(options) => options,
        Err(problem) => return wire::refuse(StatusCode::BAD_REQUEST, "Bad Request", &problem),
    };
    match upgrade {
        Ok(upgrade) => upgrade.on_upgrade(move |socket| serve(socket, options, shared.stop)),
        Err(rejection) => rejection.into_response(),
    }
}

/// The options of one connection, from its query.
fn settings(shared: &SessionOptions, query: &str) -> Result<SessionOptions, String> {
    let pairs = wire::pairs(query);
    if let Some(name) = wire::unknown(&pairs, KNOWN_PARAMETERS) {
        return Err(format!("Unknown query parameter: {name}"));
    }
    let flag = |name: &str| match wire::value(&pairs, name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(format!("{name} must be true or false")),
    };
    for (name, only) in [("encoding", "linear16"), ("sample_rate", "16000")] {
        if wire::value(&pairs, name) != Some(only) {
            return Err(format!("this simulator takes {name}={only} only"));
        }
    }
    if wire::value(&pairs, "channels").is_some_and(|channels| channels != "1") {
        return Err("this simulator takes channels=1 only".into());
    }
    let endpointing_ms = match wire::value(&pairs, "endpointing") {
        None | Some("true") => Some(DEFAULT_ENDPOINTING_MS),
        Some("false") => None,
        Some(ms) => Some(ms.parse().map_err(|_| "endpointing must be a number of milliseconds".to_owned())?),
    };
    Ok(SessionOptions {
        endpointing_ms,
        interim_results: flag("interim_results")?,
        punctuate: flag("punctuate")? || flag("smart_format")?,
        detects_language: wire::value(&pairs, "language") == Some(MULTILINGUAL),
        ..shared.clone()
    })
}

/// One connection.
async fn serve(mut socket: WebSocket, options: SessionOptions, stop: CancellationToken) {
    let request = uuid::Uuid::new_v4();
    let started = Instant::now();
    let idle = options.idle;
    let mut session = Session::new(options);
    let mut last_data = started;
    let mut closing = false;
    loop {
        while let Some(heard) = session.poll(started.elapsed()) {
            if socket.send(Message::Text(results(&heard, &request).to_string().into())).await.is_err() {
                return;
            }
        }
        if closing && session.deadline().is_none() {
            let farewell = metadata(&session, &request).to_string();
            // The client may be gone already.
            let _ = socket.send(Message::Text(farewell.into())).await;
            let _ = socket.send(wire::close(1000, "")).await;
            return;
        }
        let due = session.deadline().map(|due| started + due);
        let message = tokio::select! {
            message = socket.recv(), if !closing => message,
            () = tokio::time::sleep_until(due.unwrap_or(last_data)), if due.is_some() => continue,
            () = tokio::time::sleep_until(last_data + idle), if !closing => {
                let _ = socket.send(wire::close(1011, NET_0001)).await;
                return;
            }
            () = stop.cancelled() => {
                let _ = socket.send(wire::close(1001, "")).await;
                return;
            }
        };
        let now = started.elapsed();
        match message {
            Some(Ok(Message::Binary(bytes))) => {
                last_data = Instant::now();
                // An empty message is the old way to say that the stream ends.
                if bytes.is_empty() {
                    session.on_close(now);
                    closing = true;
                } else if let Some(samples) = wire::samples(&bytes) {
                    session.on_audio(now, &samples);
                } else {
                    let _ = socket.send(wire::close(1008, DATA_0000)).await;
                    return;
                }
            }
            Some(Ok(Message::Text(text))) => {
                last_data = Instant::now();
                match control(&text) {
                    Some(Control::KeepAlive) => {}
                    Some(Control::Finalize) => session.on_finalize(now),
                    Some(Control::CloseStream) => {
                        session.on_close(now);
                        closing = true;
                    }
                    None => {
                        let _ = socket.send(wire::close(1008, DATA_0000)).await;
                        return;
                    }
                }
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => return,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
enum Control {
    KeepAlive,
    Finalize,
    CloseStream,
}

fn control(text: &str) -> Option<Control> {
    serde_json::from_str(text).ok()
}

/// A `Results` message (developers.deepgram.com, "Live Audio").
fn results(heard: &Heard, request: &uuid::Uuid) -> Value {
    let word = |word: &HeardWord| {
        json!({
            "word": plain(&word.text),
            "punctuated_word": word.text,
            "start": word.start.as_secs_f64(),
            "end": word.end.as_secs_f64(),
            "confidence": word.confidence,
        })
    };
    let mean = heard.words.iter().map(|word| word.confidence).sum::<f32>() / heard.words.len().max(1) as f32;
    let mut alternative = json!({
        "transcript": heard.text,
        "confidence": mean,
        "words": heard.words.iter().map(word).collect::<Vec<_>>(),
    });
    if let Some(language) = heard.language {
        alternative["languages"] = json!([language]);
    }
    json!({
        "type": "Results",
        "channel_index": [0, 1],
        "start": heard.start.as_secs_f64(),
        "duration": heard.duration.as_secs_f64(),
        "is_final": heard.is_final,
        "speech_final": heard.speech_final,
        "from_finalize": heard.from_finalize,
        "channel": { "alternatives": [alternative] },
        "metadata": { "request_id": request, "model_info": { "name": "simulated", "version": "1", "arch": "dtw" }, "model_uuid": request },
    })
}

/// The summary that ends a stream (developers.deepgram.com, "Close Stream").
fn metadata(session: &Session, request: &uuid::Uuid) -> Value {
    json!({
        "type": "Metadata",
        "transaction_key": "deprecated",
        "request_id": request,
        "sha256": "",
        "created": chrono::Utc::now().to_rfc3339(),
        "duration": session.heard().as_secs_f64(),
        "channels": 1,
    })
}

/// Body of `POST /utterances`.
#[derive(Debug, Deserialize)]
struct Lesson {
    utterances: Vec<String>,
}

/// Teaches the recogniser more utterances: `{"utterances": ["…"]}`; answers once they are known. No part of Deepgram's interface.
async fn teach(State(shared): State<Shared>, headers: HeaderMap, lesson: Result<Json<Lesson>, JsonRejection>) -> Response {
    if !wire::authorised(&headers, &shared.key) {
        return wire::unauthorised();
    }
    let Json(lesson) = match lesson {
        Ok(lesson) => lesson,
        Err(rejection) => return rejection.into_response(),
    };
    let SttMode::Listen(inventory) = &shared.options.mode else {
        return wire::refuse(StatusCode::CONFLICT, "Conflict", "in scripted mode it does not listen");
    };
    match inventory.register_async(lesson.utterances).await {
        Ok(added) => Json(json!({ "added": added, "known": inventory.len() })).into_response(),
        Err(error) => wire::refuse(StatusCode::INTERNAL_SERVER_ERROR, "Internal", &error.to_string()),
    }
}
