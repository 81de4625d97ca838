//! The Deepgram clients against small servers: handshakes, queries, refusals.

mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use frontdesk_agent::{ProviderError, SpeechEvent, SpeechToText, SttOptions, TextToSpeech, TtsOptions};
use frontdesk_audio::SampleRate;
use frontdesk_providers::{DeepgramOptions, DeepgramStt, DeepgramTts, Timeouts};

const KEY: &str = "dg-test-1";

fn options(address: SocketAddr) -> DeepgramOptions {
    DeepgramOptions { base_url: format!("http://{address}"), ..DeepgramOptions::new(KEY) }
}

fn speech(rate: SampleRate) -> TtsOptions {
    TtsOptions { voice: None, rate }
}

type Refusal = fn() -> Response;
/// Handshakes so far, and the answers to them.
type Script = (Arc<AtomicUsize>, Vec<Option<Refusal>>);

/// Refuses the n-th handshake with the n-th answer; `None` accepts it and then listens politely.
async fn gate(answers: Vec<Option<Refusal>>) -> (SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let handler = |State((count, answers)): State<Script>, upgrade: WebSocketUpgrade| async move {
        match answers.get(count.fetch_add(1, Ordering::SeqCst)).copied().flatten() {
            Some(refusal) => refusal(),
            None => upgrade.on_upgrade(|mut socket| async move { while let Some(Ok(_)) = socket.recv().await {} }).into_response(),
        }
    };
    let router = Router::new().route("/v1/{what}", get(handler)).with_state((Arc::clone(&count), answers));
    (support::serve(router).await, count)
}

#[tokio::test]
async fn listening_asks_for_what_the_telephone_needs() {
    let handler = |RawQuery(query): RawQuery, headers: HeaderMap, upgrade: WebSocketUpgrade| async move {
        assert_eq!(headers["authorization"], format!("Token {KEY}"));
        let query = query.expect("a query");
        let pairs: HashMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        for (key, value) in [
            ("model", "nova-2"),
            ("encoding", "linear16"),
            ("sample_rate", "16000"),
            ("channels", "1"),
            ("interim_results", "true"),
            ("punctuate", "true"),
            ("endpointing", "150"),
            ("language", "en-US"),
        ] {
            assert_eq!(pairs.get(key), Some(&value), "{key}");
        }
        assert!(query.contains("keyterm=Dr.%20Grace&keyterm=crown"), "{query}");
        upgrade.on_upgrade(|mut socket| async move {
            assert_eq!(socket.recv().await.expect("a message").expect("no error"), Message::Binary(vec![7, 0].into()));
            let result = r#"{"type":"Results","is_final":true,"channel":{"alternatives":[{"transcript":"yes"}]}}"#;
            socket.send(Message::Text(result.into())).await.expect("sent");
        })
    };
    let address = support::serve(Router::new().route("/v1/listen", get(handler))).await;
    let stt = DeepgramStt::new(options(address));
    let wanted =
        SttOptions { model: Some("nova-2".into()), language: Some("en-US".into()), keyterms: vec!["Dr. Grace".into(), "crown".into()] };
    let mut stream = stt.open(wanted).await.expect("open");
    stream.send_audio(&[7]).await.expect("queued");
    stream.finalize().await.expect("queued");
    assert_eq!(stream.next_event().await.expect("no error").expect("an event").text.expose(), "yes");
    // The server hangs up in the middle of the call.
    assert_eq!(stream.next_event().await.expect_err("gone").kind(), "broken");
    assert!(!format!("{stt:?}").contains(KEY));
}

#[tokio::test]
async fn refused_handshakes_are_typed() {
    let limited: Refusal = || (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "2")]).into_response();
    let query: Refusal = || (StatusCode::BAD_REQUEST, [("dg-error", "Unknown model")]).into_response();
    let cases: [(Refusal, ProviderError, usize); 4] = [
        (|| StatusCode::UNAUTHORIZED.into_response(), ProviderError::Unauthorized { provider: "deepgram" }, 1),
        (limited, ProviderError::RateLimited { provider: "deepgram", retry_after: Some(Duration::from_secs(2)) }, 1),
        (query, ProviderError::Rejected { provider: "deepgram", reason: "HTTP status 400: Unknown model".into() }, 1),
        (|| StatusCode::BAD_GATEWAY.into_response(), ProviderError::Broken { provider: "deepgram", reason: "HTTP status 502".into() }, 2),
    ];
    for (refusal, expected, tries) in cases {
        let (address, count) = gate(vec![Some(refusal); 2]).await;
        assert_eq!(DeepgramStt::new(options(address)).open(SttOptions::default()).await.err(), Some(expected.clone()));
        assert_eq!(count.swap(0, Ordering::SeqCst), tries, "{expected}");
        assert_eq!(DeepgramTts::new(options(address)).open(speech(SampleRate::HZ_8000)).await.err(), Some(expected));
    }
}

#[tokio::test]
async fn a_passing_fault_is_tried_once_more() {
    let (address, count) = gate(vec![Some(|| StatusCode::SERVICE_UNAVAILABLE.into_response()), None]).await;
    let mut stream = DeepgramStt::new(options(address)).open(SttOptions::default()).await.expect("the second try");
    assert_eq!(count.load(Ordering::SeqCst), 2);
    stream.close().await;
}

#[tokio::test]
async fn nobody_and_nothing_to_talk_to() {
    let error = DeepgramStt::new(options(support::closed().await)).open(SttOptions::default()).await.err().expect("nobody");
    assert_eq!(error.kind(), "connect", "{error}");
    let (address, listener) = support::silent().await;
    let timeouts = Timeouts { connect: Duration::from_millis(100), ..Timeouts::default() };
    let mute = DeepgramOptions { timeouts, ..options(address) };
    let error = DeepgramTts::new(mute).open(speech(SampleRate::HZ_24000)).await.err().expect("no handshake");
    assert_eq!(error, ProviderError::Timeout { provider: "deepgram", stage: "connection", limit_ms: 100 });
    drop(listener);
}

#[tokio::test]
async fn speech_comes_at_the_rate_and_in_the_voice_asked_for() {
    let handler = |RawQuery(query): RawQuery, upgrade: WebSocketUpgrade| async move {
        assert_eq!(query.as_deref(), Some("model=aura-2-orion-en&encoding=linear16&sample_rate=8000"));
        upgrade.on_upgrade(|mut socket| async move {
            let speak = socket.recv().await.expect("a message").expect("no error");
            assert!(speak.to_text().expect("text").contains("Good morning."));
            let flush = socket.recv().await.expect("a message").expect("no error");
            assert!(flush.to_text().expect("text").contains("Flush"));
            socket.send(Message::Binary(vec![1, 0, 2, 0].into())).await.expect("sent");
            socket.send(Message::Text(r#"{"type":"Flushed","sequence_id":0}"#.into())).await.expect("sent");
            while let Some(Ok(_)) = socket.recv().await {}
        })
    };
    let address = support::serve(Router::new().route("/v1/speak", get(handler))).await;
    let wanted = TtsOptions { voice: Some("aura-2-orion-en".into()), rate: SampleRate::HZ_8000 };
    let mut stream = DeepgramTts::new(options(address)).open(wanted).await.expect("open");
    stream.speak("Good morning.").await.expect("queued");
    assert_eq!(stream.next_event().await, Ok(Some(SpeechEvent::Audio(vec![1, 2]))));
    assert_eq!(stream.next_event().await, Ok(Some(SpeechEvent::Finished { words: Vec::new() })));
    stream.close().await;
    assert_eq!(stream.next_event().await, Ok(None));
}
