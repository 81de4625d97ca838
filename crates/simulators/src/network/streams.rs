//! Streams: the API, workers, and media over TCP.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{LOOPBACK, Relay};

/// What is read at once.
const PIECE: usize = 16 * 1024;

/// Relays one address of the server; the address that stands for it.
pub(super) fn start(relay: &Arc<Relay>, server: SocketAddr) -> io::Result<SocketAddr> {
    let listener = StdListener::bind(LOOPBACK)?;
    listener.set_nonblocking(true)?;
    let (listener, relay) = (TcpListener::from_std(listener)?, Arc::clone(relay));
    let address = listener.local_addr()?;
    let stop = relay.stop.clone();
    tokio::spawn(stop.run_until_cancelled_owned(async move {
        while let Ok((client, _)) = listener.accept().await {
            let relay = Arc::clone(&relay);
            let stop = relay.stop.clone();
            tokio::spawn(stop.run_until_cancelled_owned(async move { media(&relay, client, server).await }));
        }
    }));
    Ok(address)
}

/// Carries a stream of media's until it is broken.
async fn media(relay: &Relay, client: TcpStream, server: SocketAddr) {
    relay.media_streams.fetch_add(1, Ordering::Relaxed);
    let mut breaks = relay.breaks.subscribe();
    if relay.weather.borrow().swallows_media_streams {
        let _broken = breaks.changed().await;
        return;
    }
    // Whoever breaks it, both sides see it.
    tokio::select! {
        ended = carry(relay, client, server) => drop(ended),
        broken = breaks.changed() => drop(broken),
    }
}

/// Carries a stream to the server and back until one side ends it.
pub(super) async fn carry(relay: &Relay, client: TcpStream, server: SocketAddr) -> io::Result<()> {
    relay.passes().await;
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        ended = pump(relay, from_client, to_server) => ended,
        ended = pump(relay, from_server, to_client) => ended,
    }
}

async fn pump(relay: &Relay, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let size = from.read(&mut piece).await?;
        relay.passes().await;
        if size == 0 {
            return to.shutdown().await;
        }
        to.write_all(&piece[..size]).await?;
    }
}
