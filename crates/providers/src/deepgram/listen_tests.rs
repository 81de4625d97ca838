//! The listening connection in virtual time, over a pipe in memory.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::DuplexStream;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use super::*;

type Peer = WebSocketStream<DuplexStream>;

async fn connected(timeouts: Timeouts) -> (ListenStream, Peer) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let client = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
    let server = WebSocketStream::from_raw_socket(theirs, Role::Server, None).await;
    (ListenStream::start(client, timeouts, Duration::from_secs(4)), server)
}

/// The next message that is no ping, and when it came.
async fn heard(peer: &mut Peer) -> Message {
    loop {
        match peer.next().await.expect("still open").expect("a message") {
            Message::Ping(_) | Message::Pong(_) => {}
            message => return message,
        }
    }
}

fn result(text: &str, is_final: bool) -> Message {
    let body = serde_json::json!({"type": "Results", "is_final": is_final,
        "channel": {"alternatives": [{"transcript": text, "words": []}]}});
    Message::Text(body.to_string().into())
}

#[tokio::test(start_paused = true)]
async fn audio_goes_out_little_endian_and_results_come_in() {
    let (mut stream, mut peer) = connected(Timeouts::default()).await;
    stream.send_audio(&[1, -2]).await.expect("room in the queue");
    stream.send_audio(&[]).await.expect("nothing to send");
    stream.finalize().await.expect("room in the queue");
    assert_eq!(heard(&mut peer).await, Message::Binary(vec![1, 0, 0xfe, 0xff].into()));
    assert_eq!(heard(&mut peer).await, Message::Text(FINALIZE.into()));
    peer.send(result("hello", false)).await.expect("sent");
    peer.send(Message::Text(r#"{"type":"SomethingNew"}"#.into())).await.expect("sent");
    peer.send(result("hello there", true)).await.expect("sent");
    let first = stream.next_event().await.expect("no error").expect("an event");
    assert_eq!((first.text.expose().as_str(), first.is_final), ("hello", false));
    assert!(stream.next_event().await.expect("no error").expect("an event").is_final);
}

#[tokio::test(start_paused = true)]
async fn frames_of_10_ms_share_a_message_and_none_waits_for_the_next_when_words_are_wanted() {
    let (mut stream, mut peer) = connected(Timeouts::default()).await;
    for frame in 0..5_i16 {
        stream.send_audio(&[frame; 160]).await.expect("room in the queue");
    }
    stream.finalize().await.expect("room in the queue");
    let mut sizes = Vec::new();
    while let Message::Binary(audio) = heard(&mut peer).await {
        sizes.push(audio.len());
    }
    assert_eq!(sizes, [640, 640, 320]);
    stream.send_audio(&[7; 160]).await.expect("room in the queue");
    let (_, last) = tokio::join!(stream.close(), heard(&mut peer));
    assert_eq!(last, Message::Binary([7, 0].repeat(160).into()), "the end of the call, too");
}

#[tokio::test(start_paused = true)]
async fn silence_is_kept_alive_every_four_seconds_but_audio_needs_none() {
    let (mut stream, mut peer) = connected(Timeouts::default()).await;
    let start = Instant::now();
    for n in 1..=3 {
        assert_eq!(heard(&mut peer).await, Message::Text(KEEP_ALIVE.into()));
        assert_eq!(start.elapsed(), Duration::from_secs(4 * n));
    }
    stream.send_audio(&[0; CHUNK / 2]).await.expect("room in the queue");
    assert!(heard(&mut peer).await.is_binary());
    assert_eq!(heard(&mut peer).await, Message::Text(KEEP_ALIVE.into()));
    assert_eq!(start.elapsed(), Duration::from_secs(20), "the tick at 16 s saw audio");
}

#[tokio::test(start_paused = true)]
async fn a_half_open_connection_is_found_within_the_idle_time_out() {
    let (mut stream, peer) = connected(Timeouts::default()).await;
    let start = Instant::now();
    // The peer neither reads nor answers pings, as behind a dead router.
    let error = stream.next_event().await.expect_err("nobody is there");
    assert_eq!(error.kind(), "timeout");
    assert!(start.elapsed() >= Duration::from_secs(10) && start.elapsed() <= Duration::from_secs(15), "{:?}", start.elapsed());
    assert_eq!(stream.send_audio(&[1; CHUNK / 2]).await.expect_err("the stream is over").kind(), "timeout");
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn a_close_by_the_service_is_a_typed_error() {
    let (mut stream, mut peer) = connected(Timeouts::default()).await;
    let frame = CloseFrame { code: 1011.into(), reason: "NET-0001".into() };
    peer.send(Message::Close(Some(frame))).await.expect("sent");
    let error = stream.next_event().await.expect_err("closed");
    assert_eq!(error, ProviderError::Broken { provider: "deepgram", reason: "connection closed with 1011 NET-0001".into() });
}

#[tokio::test(start_paused = true)]
async fn malformed_messages_are_errors_that_do_not_quote_them() {
    for bad in [Message::Text("{\"type\":\"Results\",\"name\":\"Ada\"}".into()), Message::Text("Ada".into())] {
        let (mut stream, mut peer) = connected(Timeouts::default()).await;
        peer.send(bad).await.expect("sent");
        let error = stream.next_event().await.expect_err("malformed");
        assert_eq!(error.kind(), "broken");
        assert!(!error.to_string().contains("Ada"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn closing_is_polite_keeps_late_results_and_then_ends() {
    let (mut stream, mut peer) = connected(Timeouts::default()).await;
    let service = tokio::spawn(async move {
        assert_eq!(heard(&mut peer).await, Message::Text(CLOSE_STREAM.into()));
        peer.send(result("last words", true)).await.expect("sent");
        peer.close(None).await.expect("closed");
    });
    stream.close().await;
    service.await.expect("the service saw the farewell");
    assert_eq!(stream.next_event().await.expect("no error").expect("an event").text.expose(), "last words");
    assert_eq!(stream.next_event().await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn closing_does_not_wait_for_ever() {
    let (mut stream, peer) = connected(Timeouts::default()).await;
    let start = Instant::now();
    stream.close().await;
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    assert_eq!(stream.next_event().await, Ok(None));
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_network_is_reported_instead_of_hoarding_audio() {
    let (ours, theirs) = tokio::io::duplex(64);
    let client = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
    let mut stream = ListenStream::start(client, Timeouts::default(), Duration::from_secs(4));
    let mut failure = None;
    for _ in 0..2 * COMMAND_QUEUE {
        if let Err(error) = stream.send_audio(&[0; CHUNK / 2]).await {
            failure = Some(error);
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(failure.expect("the queue is bounded").kind(), "broken");
    drop(theirs);
}
