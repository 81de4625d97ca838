//! The speaking connection in virtual time, over a pipe in memory.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use super::*;

type Peer = WebSocketStream<DuplexStream>;

async fn pipe() -> (Peer, Peer) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let client = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
    (client, WebSocketStream::from_raw_socket(theirs, Role::Server, None).await)
}

/// Hands out prepared connections, then refuses.
struct Prepared(Vec<Peer>);

#[async_trait]
impl Dial for Prepared {
    type Wire = Peer;

    async fn dial(&mut self) -> Result<Peer, ProviderError> {
        self.0.pop().ok_or(ProviderError::Connect { provider: PROVIDER, reason: "refused".into() })
    }
}

async fn connected() -> (SpeakStream, Peer) {
    let (client, server) = pipe().await;
    (SpeakStream::start(client, Prepared(Vec::new()), Timeouts::default(), Duration::from_secs(4), 8_000), server)
}

/// The next message that is no ping.
async fn heard(peer: &mut Peer) -> String {
    loop {
        match peer.next().await.expect("still open").expect("a message") {
            Message::Text(text) => return text.to_string(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}

async fn send(peer: &mut Peer, text: &str) {
    peer.send(Message::Text(text.into())).await.expect("sent");
}

async fn send_audio(peer: &mut Peer, samples: &[i16]) {
    peer.send(Message::Binary(super::super::to_bytes(samples).collect::<Vec<u8>>().into())).await.expect("sent");
}

async fn event(stream: &mut SpeakStream) -> SpeechEvent {
    stream.next_event().await.expect("no error").expect("an event")
}

const FINISHED: SpeechEvent = SpeechEvent::Finished { words: Vec::new() };

#[tokio::test(start_paused = true)]
async fn two_utterances_are_spoken_in_order() {
    let (mut stream, mut peer) = connected().await;
    stream.speak("One \"quoted\".").await.expect("queued");
    stream.speak("Two.").await.expect("queued");
    assert_eq!(heard(&mut peer).await, r#"{"text":"One \"quoted\".","type":"Speak"}"#);
    assert_eq!(heard(&mut peer).await, FLUSH);
    assert!(heard(&mut peer).await.contains("Two."));
    assert_eq!(heard(&mut peer).await, FLUSH);
    send(&mut peer, r#"{"type":"Metadata","request_id":"x"}"#).await;
    send_audio(&mut peer, &[1, -1]).await;
    send(&mut peer, r#"{"type":"Flushed","sequence_id":0}"#).await;
    send_audio(&mut peer, &[2]).await;
    send(&mut peer, r#"{"type":"Flushed","sequence_id":1}"#).await;
    assert_eq!(event(&mut stream).await, SpeechEvent::Audio(vec![1, -1]));
    assert_eq!(event(&mut stream).await, FINISHED);
    assert_eq!(event(&mut stream).await, SpeechEvent::Audio(vec![2]));
    assert_eq!(event(&mut stream).await, FINISHED);
}

#[tokio::test(start_paused = true)]
async fn after_a_clear_nothing_old_is_heard() {
    let (mut stream, mut peer) = connected().await;
    stream.speak("Old.").await.expect("queued");
    assert!(heard(&mut peer).await.contains("Old."));
    assert_eq!(heard(&mut peer).await, FLUSH);
    send_audio(&mut peer, &[1; 50]).await;
    send_audio(&mut peer, &[1; 50]).await;
    assert_eq!(event(&mut stream).await, SpeechEvent::Audio(vec![1; 50]));
    // The second piece may already lie in the queue; clearing must drop it there, too.
    stream.clear().await.expect("sent");
    stream.speak("New.").await.expect("queued");
    assert_eq!(heard(&mut peer).await, CLEAR);
    send_audio(&mut peer, &[1; 50]).await;
    send(&mut peer, r#"{"type":"Cleared","sequence_id":1}"#).await;
    assert!(heard(&mut peer).await.contains("New."));
    send_audio(&mut peer, &[2]).await;
    send(&mut peer, r#"{"type":"Flushed","sequence_id":1}"#).await;
    assert_eq!(event(&mut stream).await, SpeechEvent::Audio(vec![2]));
    assert_eq!(event(&mut stream).await, FINISHED);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_speaks_times_out() {
    let (mut stream, mut peer) = connected().await;
    stream.speak("Hello.").await.expect("queued");
    let start = Instant::now();
    // It reads and answers pings, but says nothing.
    let service = tokio::spawn(async move { while let Some(Ok(_)) = peer.next().await {} });
    let error = stream.next_event().await.expect_err("nothing came");
    assert_eq!(error, ProviderError::Timeout { provider: PROVIDER, stage: "first byte", limit_ms: 5_000 });
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    service.abort();
}

#[tokio::test(start_paused = true)]
async fn a_service_that_stops_in_the_middle_times_out_and_is_not_asked_again() {
    let (mut stream, mut peer) = connected().await;
    stream.speak("Hello.").await.expect("queued");
    heard(&mut peer).await;
    send_audio(&mut peer, &[1]).await;
    let service = tokio::spawn(async move { while let Some(Ok(_)) = peer.next().await {} });
    assert_eq!(event(&mut stream).await, SpeechEvent::Audio(vec![1]));
    let error = stream.next_event().await.expect_err("it stopped");
    assert_eq!(error, ProviderError::Timeout { provider: PROVIDER, stage: "further data", limit_ms: 10_000 });
    service.abort();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_before_speech_is_replaced_once() {
    let (client, mut first) = pipe().await;
    let (spare, mut second) = pipe().await;
    let mut stream = SpeakStream::start(client, Prepared(vec![spare]), Timeouts::default(), Duration::from_secs(4), 8_000);
    stream.speak("Hello.").await.expect("queued");
    heard(&mut first).await;
    first.send(Message::Close(Some(CloseFrame { code: 1011.into(), reason: "".into() }))).await.expect("sent");
    assert!(heard(&mut second).await.contains("Hello."));
    assert_eq!(heard(&mut second).await, FLUSH);
    send_audio(&mut second, &[5]).await;
    assert_eq!(event(&mut stream).await, SpeechEvent::Audio(vec![5]));
    // Half an utterance is not said twice.
    drop(second);
    assert_eq!(stream.next_event().await.expect_err("broken").kind(), "broken");
    assert_eq!(stream.speak("More.").await.expect_err("the stream is over").kind(), "broken");
}

#[tokio::test(start_paused = true)]
async fn a_refused_flush_is_tried_again() {
    let (mut stream, mut peer) = connected().await;
    stream.speak("Hello.").await.expect("queued");
    heard(&mut peer).await;
    heard(&mut peer).await;
    send(&mut peer, r#"{"type":"Warning","code":"EXCESSIVE_FLUSH","description":"wait"}"#).await;
    assert_eq!(heard(&mut peer).await, FLUSH);
    send_audio(&mut peer, &[1]).await;
    send(&mut peer, r#"{"type":"Flushed","sequence_id":0}"#).await;
    assert_eq!(event(&mut stream).await, SpeechEvent::Audio(vec![1]));
    assert_eq!(event(&mut stream).await, FINISHED);
}

#[tokio::test(start_paused = true)]
async fn malformed_messages_and_torn_samples_break_the_stream() {
    let (mut stream, mut peer) = connected().await;
    send(&mut peer, "[]").await;
    assert_eq!(stream.next_event().await.expect_err("malformed").kind(), "connect", "idle: a new connection is tried");
    let (mut stream, mut peer) = connected().await;
    stream.speak("Hello.").await.expect("queued");
    heard(&mut peer).await;
    send_audio(&mut peer, &[1]).await;
    assert_eq!(event(&mut stream).await, SpeechEvent::Audio(vec![1]));
    peer.send(Message::Binary(vec![1, 2, 3].into())).await.expect("sent");
    assert_eq!(stream.next_event().await.expect_err("torn").kind(), "broken");
}

#[tokio::test(start_paused = true)]
async fn a_slow_listener_slows_the_service_and_loses_nothing() {
    let (mut stream, mut peer) = connected().await;
    stream.speak("Hello.").await.expect("queued");
    heard(&mut peer).await;
    let service = tokio::spawn(async move {
        for n in 0..500 {
            send_audio(&mut peer, &[n; 160]).await;
        }
        send(&mut peer, r#"{"type":"Flushed","sequence_id":0}"#).await;
        while let Some(Ok(_)) = peer.next().await {}
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    for n in 0..500 {
        assert_eq!(event(&mut stream).await, SpeechEvent::Audio(vec![n; 160]));
    }
    assert_eq!(event(&mut stream).await, FINISHED);
    service.abort();
}

#[tokio::test(start_paused = true)]
async fn closing_says_so_and_ends() {
    let (mut stream, mut peer) = connected().await;
    let service = tokio::spawn(async move {
        assert_eq!(heard(&mut peer).await, CLOSE);
        peer.close(None).await.expect("closed");
    });
    stream.close().await;
    service.await.expect("the service saw the farewell");
    assert_eq!(stream.next_event().await, Ok(None));
}
