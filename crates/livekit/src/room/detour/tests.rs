//! What the lanes promise.

use std::future::poll_fn;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

fn detours() -> (Arc<Detours>, mpsc::Receiver<PeerEvent>) {
    let (events, receiver) = mpsc::channel(4);
    (Detours::new(Side::Publisher, &[], None, events, TaskTracker::new(), CancellationToken::new()), receiver)
}

/// A STUN request without attributes, of that method and transaction.
fn request(method: u8, transaction: u8) -> Vec<u8> {
    [&[0, method, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[transaction; 12]].concat()
}

async fn server() -> (TcpListener, Target) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, Target { host: "127.0.0.1".to_owned(), port, tls: false })
}

#[tokio::test]
async fn a_turn_server_is_reached_through_its_placeholder_by_the_socket_that_asked_first() {
    let (detours, _events) = detours();
    let (listener, target) = server().await;
    let placeholder = detours.turn_server(target).unwrap();
    assert!(detours.is_placeholder(placeholder) && placeholder.port() > 0);
    let (first, second) = (Arc::new(Inbox::default()), Arc::new(Inbox::default()));
    // The second request is the first one repeated; the third is of a socket that came too late.
    for (inbox, datagram) in [(&first, request(3, 1)), (&first, request(3, 1)), (&second, request(3, 2)), (&first, request(3, 3))] {
        detours.send(inbox, placeholder, &datagram);
    }
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut both = [0; 40];
    stream.read_exact(&mut both).await.unwrap();
    assert_eq!(both[..], [request(3, 1), request(3, 3)].concat());
    stream.write_all(&[0x40, 0, 0, 1, 7, 0, 0, 0]).await.unwrap();
    let (from, datagram) = poll_fn(|cx| first.poll(cx)).await;
    assert_eq!((from, &datagram[..]), (placeholder, &[0x40, 0, 0, 1, 7][..]));
    detours.cancel.cancel();
    assert_eq!(stream.read(&mut both).await.unwrap(), 0, "the stream is closed with its connection");
}

#[tokio::test(start_paused = true)]
async fn no_stream_is_opened_once_udp_has_connected() {
    let (detours, _events) = detours();
    let (listener, target) = server().await;
    let placeholder = detours.turn_server(target).unwrap();
    let inbox = Arc::new(Inbox::default());
    detours.send(&inbox, placeholder, &request(3, 1));
    detours.set_connected(true);
    detours.tasks.close();
    detours.tasks.wait().await;
    assert!(tokio::time::timeout(Duration::from_secs(1), listener.accept()).await.is_err(), "nobody came");
}

#[tokio::test]
async fn queues_and_lanes_are_bounded() {
    let (detours, _events) = detours();
    let inbox = Arc::new(Inbox::default());
    let (placeholder, mut frames, _) = detours.lane(Framing::IceTcp).unwrap();
    for _ in 0..2 * QUEUE {
        detours.send(&inbox, placeholder, b"datagram");
    }
    let queued = std::iter::from_fn(|| frames.try_recv().ok()).count();
    assert_eq!(queued, QUEUE);
    for _ in 0..2 * INBOX {
        detours.deliver(placeholder, Bytes::from_static(b"datagram"));
    }
    assert_eq!(locked(&inbox.0).datagrams.len(), INBOX);
    let more = std::iter::from_fn(|| detours.lane(Framing::IceTcp)).count();
    assert_eq!(more, LANES_MAX - 1);
}

#[tokio::test]
async fn a_restart_of_ice_is_told_by_the_name_of_its_run_and_ends_older_streams() {
    let (detours, _events) = detours();
    assert!(!detours.begin_run("a") && !detours.begin_run("a"));
    let (_, _frames, cancel) = detours.lane(Framing::IceTcp).unwrap();
    assert!(detours.begin_run("b") && !cancel.is_cancelled(), "what is on its way still comes");
    assert!(detours.begin_run("c") && cancel.is_cancelled());
}

/// A stream is used for a while, then silent for a while, and ends; whether the engine hears of it.
async fn told(framing: Framing, was_connected: bool, settled: Duration, silent: Duration, restarts: bool) -> bool {
    let (detours, mut events) = detours();
    detours.begin_run("a");
    detours.set_connected(was_connected);
    let (placeholder, _frames, _) = detours.lane(framing).unwrap();
    let (_, target) = server().await;
    sleep(settled).await;
    let last_used = Instant::now();
    sleep(silent).await;
    let ended = detours.on_ended(framing, &target, placeholder, Some(Ended { why: StreamError::Closed, last_used }));
    let restart = async {
        if restarts {
            detours.begin_run("b");
        }
    };
    tokio::join!(ended, restart);
    matches!(events.try_recv(), Ok(PeerEvent::StreamLost(Side::Publisher)))
}

#[tokio::test(start_paused = true)]
async fn only_the_loss_of_a_stream_in_use_is_told() {
    let tcp = Framing::IceTcp;
    assert!(told(tcp, true, SETTLED, Duration::ZERO, false).await);
    assert!(!told(tcp, false, SETTLED, Duration::ZERO, false).await, "media was not up");
    assert!(!told(tcp, true, Duration::ZERO, Duration::ZERO, false).await, "another way was chosen just now");
    assert!(!told(tcp, true, SETTLED, IN_USE, false).await, "media went elsewhere");
    assert!(!told(tcp, true, SETTLED, Duration::ZERO, true).await, "the server restarts ICE");
    let turn = Framing::Turn;
    assert!(told(turn, true, Duration::ZERO, Duration::ZERO, false).await, "no TURN server closes what was not chosen");
    assert!(told(turn, true, SETTLED, Duration::ZERO, true).await, "a restart by an allocation that is gone");
    assert!(!told(turn, true, SETTLED, IN_USE, false).await, "media went elsewhere");
}

#[tokio::test]
async fn turn_servers_get_other_placeholders_once_after_the_loss_of_a_stream() {
    let (detours, mut events) = detours();
    let (listener, target) = server().await;
    let (first, inbox) = (detours.turn_server(target.clone()).unwrap(), Arc::new(Inbox::default()));
    detours.send(&inbox, first, &request(3, 1));
    let (stream, _) = listener.accept().await.unwrap();
    assert!(!detours.take_turn_lost());
    detours.set_connected(true);
    drop(stream);
    assert!(matches!(events.recv().await, Some(PeerEvent::StreamLost(Side::Publisher))));
    assert!(detours.take_turn_lost() && !detours.take_turn_lost());
    let second = detours.turn_server(target).unwrap();
    assert_ne!(first, second);
    // The same request again, which is another allocation's now.
    detours.send(&Arc::new(Inbox::default()), second, &request(3, 1));
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut asked = [0; 20];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(asked[..], request(3, 1));
}
