//! The UDP sockets that media goes through, without what large transfers want: a call has fifty small packets a second each way, which
//! the kernel has nothing to coalesce in, and the buffers for that (96 kB each, two a connection) are most of what a connection holds.
//!
//! What is for a placeholder goes through a stream instead ([`super::detour`]).

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime, TokioRuntime, Transmit,
};

use super::detour::{Detours, Inbox};

/// Tokio, with sockets that receive and send one packet at a time.
#[derive(Debug)]
pub(super) struct PacketRuntime(pub(super) Arc<Detours>);

impl Runtime for PacketRuntime {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        socket.set_nonblocking(true)?;
        Ok(Arc::new(PacketSocket { udp: UdpSocket::from_std(socket)?, inbox: Arc::default(), detours: self.0.clone() }))
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        remote_addr: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Arc<dyn AsyncTcpStream>>> + Send + 'a>> {
        TokioRuntime.connect_tcp(remote_addr)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>> {
        TokioRuntime.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        TokioRuntime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn yield_now(&self) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        TokioRuntime.yield_now()
    }

    fn name(&self) -> &'static str {
        "tokio, packet by packet"
    }
}

#[derive(Debug)]
struct PacketSocket {
    udp: UdpSocket,
    inbox: Arc<Inbox>,
    detours: Arc<Detours>,
}

impl AsyncUdpSocket for PacketSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        if self.detours.is_placeholder(transmit.destination) {
            self.detours.send(&self.inbox, transmit.destination, transmit.contents);
            return Poll::Ready(Ok(transmit.contents.len()));
        }
        self.udp.poll_send_to(cx, transmit.contents, transmit.destination)
    }

    fn poll_recv(&self, cx: &mut Context<'_>, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> Poll<io::Result<usize>> {
        let (Some(buffer), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else { return Poll::Ready(Ok(0)) };
        let mut buffer = ReadBuf::new(buffer);
        let from = match self.inbox.poll(cx) {
            Poll::Ready((from, datagram)) => {
                let length = datagram.len().min(buffer.remaining());
                buffer.put_slice(&datagram[..length]);
                from
            }
            Poll::Pending => ready!(self.udp.poll_recv_from(cx, &mut buffer))?,
        };
        let length = buffer.filled().len();
        *meta = RecvMeta::default();
        (meta.addr, meta.len, meta.stride) = (from, length, length.max(1));
        Poll::Ready(Ok(1))
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::room::peer::Side;

    fn socket() -> Arc<dyn AsyncUdpSocket> {
        let events = tokio::sync::mpsc::channel(1).0;
        let detours = Detours::new(Side::Publisher, &[], None, events, TaskTracker::new(), CancellationToken::new());
        PacketRuntime(detours).wrap_udp_socket(std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap()
    }

    #[tokio::test]
    async fn packets_arrive_whole_one_by_one_with_their_sender() {
        let (here, there) = (socket(), socket());
        for packet in [&b"one"[..], b"", b"three"] {
            assert_eq!(here.send_to(packet, there.local_addr().unwrap()).await.unwrap(), packet.len());
        }
        let mut buffer = [0; 16];
        for packet in [&b"one"[..], b"", b"three"] {
            let (length, from) = there.recv_from(&mut buffer).await.unwrap();
            assert_eq!((&buffer[..length], from), (packet, here.local_addr().unwrap()));
        }
        assert_eq!((there.max_gro_segments(), there.max_gso_segments()), (1, 1));
    }
}
