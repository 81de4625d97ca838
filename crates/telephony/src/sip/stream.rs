//! One TCP connection: bytes into messages one way, bytes out the other (RFC 3261 §18.3).

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use sipx_sip::{Limits, Message, StreamParser};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::flow::ConnectionId;

/// Messages that may wait for a slow peer; with more, the connection is closed.
const WRITES_MAX: usize = 64;
/// How long an outgoing connection may take to open.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long one write may take.
const WRITE_MAX: Duration = Duration::from_secs(10);
/// How long a message may stay incomplete.
const MESSAGE_MAX: Duration = Duration::from_secs(20);
/// How long a connection may be silent. Longer than any keep-alive in use.
const IDLE_MAX: Duration = Duration::from_secs(600);

/// What a connection tells the endpoint's task.
#[derive(Debug)]
pub(super) enum StreamEvent {
    Message(ConnectionId, Box<Message>),
    /// Always the last.
    Closed(ConnectionId, Closed),
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// By a peer, a time-out or an error of the network.
    Ended,
    /// The bytes were no SIP messages; where the next one begins cannot be known.
    Malformed,
}

/// The writing end of a connection. Dropping it closes the connection.
pub(super) type StreamWriter = mpsc::Sender<Bytes>;

/// Serves a connection that a peer opened.
pub(super) fn serve(id: ConnectionId, stream: TcpStream, limits: Limits, events: mpsc::Sender<StreamEvent>) -> StreamWriter {
    let (writer, queue) = mpsc::channel(WRITES_MAX);
    tokio::spawn(async move {
        let closed = pump(id, stream, limits, &events, queue).await;
        let _endpoint_gone = events.send(StreamEvent::Closed(id, closed)).await;
    });
    writer
}

/// Opens a connection and serves it. What is written meanwhile waits.
pub(super) fn open(id: ConnectionId, to: SocketAddr, limits: Limits, events: mpsc::Sender<StreamEvent>) -> StreamWriter {
    let (writer, queue) = mpsc::channel(WRITES_MAX);
    tokio::spawn(async move {
        let closed = match timeout(CONNECT_MAX, TcpStream::connect(to)).await {
            Ok(Ok(stream)) => pump(id, stream, limits, &events, queue).await,
            Ok(Err(_)) | Err(_) => Closed::Ended,
        };
        let _endpoint_gone = events.send(StreamEvent::Closed(id, closed)).await;
    });
    writer
}

async fn pump(
    id: ConnectionId,
    stream: TcpStream,
    limits: Limits,
    events: &mpsc::Sender<StreamEvent>,
    queue: mpsc::Receiver<Bytes>,
) -> Closed {
    // Signalling is a few small messages; waiting to fill a segment only delays them.
    let _unsupported = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    let (pongs, ponged) = mpsc::channel(4);
    tokio::select! {
        closed = read(id, reader, limits, events, pongs) => closed,
        () = write(writer, queue, ponged) => Closed::Ended,
    }
}

async fn read(
    id: ConnectionId,
    mut reader: OwnedReadHalf,
    limits: Limits,
    events: &mpsc::Sender<StreamEvent>,
    pongs: mpsc::Sender<()>,
) -> Closed {
    let mut parser = StreamParser::new(limits);
    let mut buffer = vec![0_u8; 4096];
    let mut deadline = Instant::now() + IDLE_MAX;
    loop {
        let Ok(Ok(length @ 1..)) = timeout_at(deadline, reader.read(&mut buffer)).await else {
            return Closed::Ended;
        };
        let was_idle = parser.pending() == 0;
        let Ok(messages) = parser.push(&buffer[..length]) else {
            return Closed::Malformed;
        };
        if parser.take_keepalives() >= 2 {
            // CRLFCRLF is a ping and wants CRLF back (RFC 5626 §4.4.1). A full queue has pongs enough.
            let _enough = pongs.try_send(());
        }
        let completed = !messages.is_empty();
        for message in messages {
            if events.send(StreamEvent::Message(id, Box::new(message))).await.is_err() {
                return Closed::Ended;
            }
        }
        deadline = match parser.pending() {
            0 => Instant::now() + IDLE_MAX,
            // The clock of a message runs from its first byte, so that dribbling does not stop it.
            _ if was_idle || completed => Instant::now() + MESSAGE_MAX,
            _ => deadline,
        };
    }
}

async fn write(mut writer: OwnedWriteHalf, mut queue: mpsc::Receiver<Bytes>, mut pongs: mpsc::Receiver<()>) {
    loop {
        let bytes = tokio::select! {
            bytes = queue.recv() => match bytes {
                Some(bytes) => bytes,
                None => return,
            },
            Some(()) = pongs.recv() => Bytes::from_static(b"\r\n"),
        };
        if !matches!(timeout(WRITE_MAX, writer.write_all(&bytes)).await, Ok(Ok(()))) {
            return;
        }
    }
}
