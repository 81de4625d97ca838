//! TCP connections that can be cut, or stop passing anything on, from outside.

use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Accepts connections, each with a [`Line`].
pub(super) struct LineListener {
    listener: TcpListener,
    /// Cuts all of them.
    cut: CancellationToken,
}

impl LineListener {
    pub(super) const fn new(listener: TcpListener, cut: CancellationToken) -> Self {
        Self { listener, cut }
    }
}

impl Listener for LineListener {
    type Io = LineStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (LineStream, SocketAddr) {
        // The library's own accept waits and tries again when there are no more file descriptors.
        let (tcp, address) = Listener::accept(&mut self.listener).await;
        // Without it, small messages may wait 40 ms for an acknowledgement; a socket that refuses is dead anyway.
        let _ = tcp.set_nodelay(true);
        let line = Line { dead: self.cut.child_token(), stalled: Arc::default() };
        let death = Box::pin(line.dead.clone().cancelled_owned());
        (LineStream { tcp, line, death, is_dead: false }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// What can be done to a connection from outside.
#[derive(Debug, Clone)]
pub(super) struct Line {
    dead: CancellationToken,
    stalled: Arc<AtomicBool>,
}

impl Line {
    /// Cuts it: both sides see it broken.
    pub(super) fn cut(&self) {
        self.dead.cancel();
    }

    /// Lets nothing pass any more.
    pub(super) fn stall(&self) {
        self.stalled.store(true, Ordering::Release);
    }

    /// Waits for its end.
    pub(super) async fn over(&self) {
        self.dead.cancelled().await;
    }

    /// Does something to it after a delay, unless it ends before.
    pub(super) fn later(&self, delay: Duration, act: fn(&Self)) {
        let line = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(delay) => act(&line),
                () = line.over() => {}
            }
        });
    }
}

impl Connected<IncomingStream<'_, LineListener>> for Line {
    fn connect_info(stream: IncomingStream<'_, LineListener>) -> Self {
        stream.io().line.clone()
    }
}

/// A connection with its [`Line`].
pub(super) struct LineStream {
    tcp: TcpStream,
    line: Line,
    death: Pin<Box<WaitForCancellationFutureOwned>>,
    is_dead: bool,
}

impl LineStream {
    /// Fails once the connection was cut, and makes sure that the task is woken when it is.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        self.is_dead = self.is_dead || self.death.as_mut().poll(context).is_ready();
        if self.is_dead { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }

    fn is_stalled(&self) -> bool {
        self.line.stalled.load(Ordering::Acquire)
    }
}

impl Drop for LineStream {
    fn drop(&mut self) {
        self.line.dead.cancel();
    }
}

impl AsyncRead for LineStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        if self.is_stalled() {
            // Only its end wakes it.
            return Poll::Pending;
        }
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for LineStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        if self.is_stalled() {
            // Swallowed, as by a network that loses everything.
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
