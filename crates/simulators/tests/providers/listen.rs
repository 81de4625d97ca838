//! `/v1/listen`.

use std::sync::Arc;
use std::time::Duration;

use frontdesk_simulators::stt::{self, SessionOptions, SttMode};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{KEY, connect, refusal, serve};

/// One that takes every stretch of sound for the same words.
async fn service(options: impl FnOnce(SessionOptions) -> SessionOptions) -> (String, CancellationToken) {
    let mode = SttMode::Scripted(Arc::new(vec!["Hello there.".into()]));
    let stop = CancellationToken::new();
    let base = serve(stt::router(KEY, options(SessionOptions::new(mode)), stop.clone())).await;
    (format!("{base}/v1/listen?model=nova-3&encoding=linear16&sample_rate=16000&channels=1&punctuate=true&endpointing=300"), stop)
}

/// Half a second of sound, then of silence.
fn sound() -> Vec<u8> {
    let samples = [vec![4_000_i16; 8_000], vec![0; 8_000]].concat();
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

#[tokio::test]
async fn handshakes_without_key_or_with_a_bad_query_are_refused() {
    let (url, _stop) = service(|options| options).await;
    assert_eq!(refusal(&url, "wrong").await, (401.try_into().expect("a status"), "Invalid credentials.".into()));
    for (from, to, part) in [
        ("punctuate", "punctation", "Unknown query parameter: punctation"),
        ("linear16", "opus", "encoding=linear16 only"),
        ("16000", "8000", "sample_rate=16000 only"),
        ("channels=1", "channels=2", "channels=1 only"),
        ("endpointing=300", "endpointing=soon", "endpointing must be"),
    ] {
        let (status, detail) = refusal(&url.replace(from, to), KEY).await;
        assert!(status == 400 && detail.contains(part), "{status} {detail}");
    }
}

#[tokio::test]
async fn speech_becomes_results_and_the_end_a_summary() {
    let (url, _stop) = service(|options| options).await;
    let mut client = connect(&url).await;
    client.binary(sound()).await;
    let result = client.json().await;
    assert_eq!((&result["type"], &result["is_final"], &result["speech_final"]), (&json!("Results"), &json!(true), &json!(true)));
    let best = &result["channel"]["alternatives"][0];
    assert_eq!(best["transcript"], "Hello there.");
    assert_eq!((&best["words"][1]["word"], &best["words"][1]["punctuated_word"]), (&json!("there"), &json!("there.")));
    client.text(r#"{"type":"CloseStream"}"#).await;
    let summary = client.json().await;
    assert_eq!((&summary["type"], &summary["duration"]), (&json!("Metadata"), &json!(1.0)));
    assert_eq!(client.closed().await.0, 1_000);
}

#[tokio::test]
async fn half_samples_and_garbage_are_closed() {
    let (url, _stop) = service(|options| options).await;
    let mut client = connect(&url).await;
    client.binary(vec![1, 2, 3]).await;
    assert_eq!(client.closed().await, (1_008, "DATA-0000".into()));
    let mut client = connect(&url).await;
    client.text(r#"{"type":"Speak","text":"Hello"}"#).await;
    assert_eq!(client.closed().await, (1_008, "DATA-0000".into()));
}

#[tokio::test]
async fn silent_clients_are_closed_and_so_are_all_at_the_end() {
    let (url, _stop) = service(|options| SessionOptions { idle: Duration::from_millis(200), ..options }).await;
    assert_eq!(connect(&url).await.closed().await, (1_011, "NET-0001".into()));
    let (url, stop) = service(|options| options).await;
    let mut client = connect(&url).await;
    client.binary(sound()).await;
    client.json().await;
    stop.cancel();
    assert_eq!(client.closed().await.0, 1_001);
}
