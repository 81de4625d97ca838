//! The UDP sockets that media goes through, without what large transfers want: a call has fifty small packets a second each way, which
//! the kernel has nothing to coalesce in, and the buffers for that (96 kB each, two a connection) are most of what a connection holds.
//!
//! The reactor is asked for packets that come only. Asked for room to send as well, as tokio's own socket does, it wakes the process
//! once more for each packet that has gone.
//!
//! What is for a placeholder goes through a stream instead ([`super::detour`]).

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use frontdesk_audio::pace::grid;
use metrics::counter;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime, TokioRuntime, Transmit,
};

use super::detour::{DROPPED, Detours, Inbox};

/// A timer that is at least so far away goes off at a time of the grid: nothing is late by that.
const FAR: Duration = Duration::from_millis(50);

/// Tokio, with sockets that receive and send one packet at a time, and timers that keep to the grid.
#[derive(Debug)]
pub(super) struct PacketRuntime(pub(super) Arc<Detours>);

impl Runtime for PacketRuntime {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn wrap_udp_socket(&self, udp: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        udp.set_nonblocking(true)?;
        #[expect(deprecated, reason = "sound here, since a socket keeps its descriptor; what replaces it is an unsafe function")]
        let udp = AsyncFd::with_interest(udp, Interest::READABLE)?;
        Ok(Arc::new(PacketSocket { udp, inbox: Arc::default(), detours: self.0.clone() }))
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
        if duration < FAR {
            return TokioRuntime.sleep(duration);
        }
        match Instant::now().checked_add(duration) {
            Some(at) => Box::pin(sleep_until(grid::from(at))),
            None => TokioRuntime.sleep(duration),
        }
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
    udp: AsyncFd<UdpSocket>,
    inbox: Arc<Inbox>,
    detours: Arc<Detours>,
}

impl PacketSocket {
    fn poll_packet(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        loop {
            let mut ready = ready!(self.udp.poll_read_ready(cx))?;
            if let Ok(received) = ready.try_io(|udp| udp.get_ref().recv_from(buffer)) {
                return Poll::Ready(received);
            }
        }
    }
}

impl AsyncUdpSocket for PacketSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.udp.get_ref().local_addr()
    }

    fn poll_send(&self, _cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        if self.detours.is_placeholder(transmit.destination) {
            self.detours.send(&self.inbox, transmit.destination, transmit.contents);
            return Poll::Ready(Ok(transmit.contents.len()));
        }
        Poll::Ready(match self.udp.get_ref().send_to(transmit.contents, transmit.destination) {
            // The kernel's buffer is full, which hundreds of packets fit in: lost, as on any network.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                counter!(DROPPED, "direction" => "out").increment(1);
                Ok(transmit.contents.len())
            }
            sent => sent,
        })
    }

    fn poll_recv(&self, cx: &mut Context<'_>, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> Poll<io::Result<usize>> {
        let (Some(buffer), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else { return Poll::Ready(Ok(0)) };
        let (length, from) = match self.inbox.poll(cx) {
            Poll::Ready((from, datagram)) => {
                let length = datagram.len().min(buffer.len());
                buffer[..length].copy_from_slice(&datagram[..length]);
                (length, from)
            }
            Poll::Pending => ready!(self.poll_packet(cx, buffer))?,
        };
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
