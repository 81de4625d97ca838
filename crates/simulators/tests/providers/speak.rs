//! `/v1/speak`.

use std::time::Duration;

use frontdesk_simulators::tts::{self, Limits, SessionOptions, TtsMode};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{KEY, Sent, connect, refusal, serve};

const FLUSH: &str = r#"{"type":"Flush"}"#;

fn speak(text: &str) -> String {
    json!({ "type": "Speak", "text": text }).to_string()
}

/// Ten milliseconds a character: at 8 kHz `linear16`, 160 bytes.
async fn service(limits: Limits) -> (String, CancellationToken) {
    let mode = TtsMode::Tone { hz: 440, ms_per_char: 10 };
    let options = SessionOptions { first_byte: Duration::from_millis(5), limits, ..SessionOptions::new(mode) };
    let stop = CancellationToken::new();
    let base = serve(tts::router(KEY, options, stop.clone())).await;
    (format!("{base}/v1/speak?model=aura-2-thalia-en&encoding=linear16&sample_rate=8000"), stop)
}

#[tokio::test]
async fn handshakes_without_key_or_with_a_bad_query_are_refused() {
    let (url, _stop) = service(Limits::default()).await;
    assert_eq!(refusal(&url, "wrong").await, (401.try_into().expect("a status"), "Invalid credentials.".into()));
    for (change, part) in [("&voice=x", "Unknown query parameter: voice"), ("0", "sample_rate must be one of")] {
        let (status, detail) = refusal(&format!("{url}{change}"), KEY).await;
        assert!(status == 400 && detail.contains(part), "{status} {detail}");
    }
}

#[tokio::test]
async fn text_is_spoken_when_it_is_flushed() {
    let (url, _stop) = service(Limits::default()).await;
    let mut client = connect(&url).await;
    let greeting = client.json().await;
    assert_eq!((&greeting["type"], &greeting["model_name"]), (&json!("Metadata"), &json!("aura-2-thalia-en")));
    assert!(greeting["request_id"].is_string());
    client.text(&speak("01234")).await;
    client.text(&speak("56789")).await;
    client.text(FLUSH).await;
    assert_eq!(client.audio().await, (1_600, json!({ "type": "Flushed", "sequence_id": 0 })));
    client.text(FLUSH).await;
    assert_eq!(client.audio().await, (0, json!({ "type": "Flushed", "sequence_id": 1 })));
    client.text(&speak("0123456789")).await;
    client.text(r#"{"type":"Close"}"#).await;
    let Sent::Binary(rest) = client.next().await else { panic!("what waited is spoken first") };
    assert_eq!(rest.len(), 1_600);
    assert_eq!(client.closed().await, (1_000, String::new()));
}

#[tokio::test]
async fn telephone_encodings_have_one_byte_a_sample() {
    let (url, _stop) = service(Limits::default()).await;
    for encoding in ["mulaw", "alaw"] {
        let mut client = connect(&url.replace("linear16", encoding)).await;
        client.json().await;
        client.text(&speak("0123456789")).await;
        client.text(FLUSH).await;
        assert_eq!(client.audio().await.0, 800);
    }
}

#[tokio::test]
async fn the_twenty_first_flush_is_warned_of_and_not_carried_out() {
    let (url, _stop) = service(Limits::default()).await;
    let mut client = connect(&url).await;
    client.json().await;
    for sequence_id in 0..20 {
        client.text(&speak("0123456789")).await;
        client.text(FLUSH).await;
        assert_eq!(client.audio().await, (1_600, json!({ "type": "Flushed", "sequence_id": sequence_id })));
    }
    client.text(&speak("0123456789")).await;
    client.text(FLUSH).await;
    let warning = client.json().await;
    assert_eq!((&warning["type"], &warning["code"]), (&json!("Warning"), &json!("EXCESSIVE_FLUSH")));
    client.text(r#"{"type":"Clear"}"#).await;
    assert_eq!(client.json().await, json!({ "type": "Cleared", "sequence_id": 0 }), "the text was still waiting, not spoken");
}

#[tokio::test]
async fn a_clear_stops_speech_at_once() {
    let (url, _stop) = service(Limits::default()).await;
    let mut client = connect(&url).await;
    client.json().await;
    // Twenty seconds, which would take two and a half to come.
    client.text(&speak(&"x".repeat(2_000))).await;
    client.text(FLUSH).await;
    let Sent::Binary(_) = client.next().await else { panic!("audio comes") };
    client.text(r#"{"type":"Clear"}"#).await;
    let (bytes, cleared) = client.audio().await;
    assert_eq!(cleared, json!({ "type": "Cleared", "sequence_id": 0 }));
    assert!(bytes < 300_000, "most of it never came: {bytes}");
    client.text(&speak("0123456789")).await;
    client.text(FLUSH).await;
    assert_eq!(client.audio().await, (1_600, json!({ "type": "Flushed", "sequence_id": 1 })));
}

#[tokio::test]
async fn what_breaks_the_rules_is_told_so_and_closed() {
    let (url, _stop) = service(Limits::default()).await;
    for (message, reason) in [
        (speak(&"x".repeat(2_001)), "DATA-0001"),
        ("Hello".into(), "DATA-0000"),
        (r#"{"type":"KeepAlive"}"#.into(), "DATA-0000"),
        (r#"{"type":"Speak"}"#.into(), "DATA-0000"),
    ] {
        let mut client = connect(&url).await;
        client.json().await;
        client.text(&message).await;
        let error = client.json().await;
        assert_eq!((&error["type"], &error["err_code"]), (&json!("Error"), &json!(reason)));
        assert_eq!(client.closed().await, (1_008, reason.into()));
    }
    let mut client = connect(&url).await;
    client.json().await;
    client.binary(vec![1, 2, 3]).await;
    client.json().await;
    assert_eq!(client.closed().await.0, 1_008);
}

#[tokio::test]
async fn idle_and_old_connections_are_closed_and_so_are_all_at_the_end() {
    let (url, stop) = service(Limits { idle: Duration::from_millis(200), ..Limits::default() }).await;
    let mut client = connect(&url).await;
    client.json().await;
    assert_eq!(client.closed().await, (1_011, "NET-0001".into()));
    let mut client = connect(&url).await;
    client.json().await;
    stop.cancel();
    let (code, _) = client.closed().await;
    assert!(code == 1_001 || code == 1_011, "{code}");
}
