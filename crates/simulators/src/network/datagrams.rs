//! Datagrams: media over UDP.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::sync::Arc;

use tokio::net::UdpSocket;

use super::{LOOPBACK, Relay};

/// Larger than any datagram of WebRTC.
const DATAGRAM_MAX: usize = 2048;
/// Participants' sockets that are relayed to one address at most.
const SOCKETS_MAX: usize = 64;

fn socket() -> io::Result<UdpSocket> {
    let socket = StdSocket::bind(LOOPBACK)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Relays one address of the server; the address that stands for it.
pub(super) fn start(relay: &Arc<Relay>, server: SocketAddr) -> io::Result<SocketAddr> {
    let front = Arc::new(socket()?);
    let address = front.local_addr()?;
    let relay = Arc::clone(relay);
    let stop = relay.stop.clone();
    tokio::spawn(stop.run_until_cancelled_owned(async move {
        let mut backs: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
        let mut buffer = [0; DATAGRAM_MAX];
        loop {
            // An error tells of a datagram that did not arrive, which is no news here.
            let Ok((size, from)) = front.recv_from(&mut buffer).await else { continue };
            if !backs.contains_key(&from) && backs.len() < SOCKETS_MAX {
                match back(&relay, &front, from, server).await {
                    Ok(back) => drop(backs.insert(from, back)),
                    Err(error) => tracing::warn!(%error, "a participant's socket is not relayed"),
                }
            }
            if let Some(back) = backs.get(&from) {
                pass(&relay, back, &buffer[..size], None);
            }
        }
    }));
    Ok(address)
}

/// A socket by which the server knows one of a participant's.
async fn back(relay: &Arc<Relay>, front: &Arc<UdpSocket>, participant: SocketAddr, server: SocketAddr) -> io::Result<Arc<UdpSocket>> {
    let back = Arc::new(socket()?);
    back.connect(server).await?;
    let (relay, front, from) = (Arc::clone(relay), Arc::clone(front), Arc::clone(&back));
    let stop = relay.stop.clone();
    tokio::spawn(stop.run_until_cancelled_owned(async move {
        let mut buffer = [0; DATAGRAM_MAX];
        loop {
            if let Ok(size) = from.recv(&mut buffer).await {
                pass(&relay, &front, &buffer[..size], Some(participant));
            }
        }
    }));
    Ok(back)
}

/// Sends on what is not lost, when it is due; over a connected socket, or to an address.
fn pass(relay: &Relay, socket: &Arc<UdpSocket>, datagram: &[u8], to: Option<SocketAddr>) {
    let Some(late) = relay.fate() else { return };
    let send = move |socket: &UdpSocket, datagram: &[u8]| match to {
        Some(to) => socket.try_send_to(datagram, to),
        None => socket.try_send(datagram),
    };
    if late.is_zero() {
        // A full buffer loses datagrams, as in any network.
        let _sent = send(socket, datagram);
        return;
    }
    let (socket, datagram) = (Arc::clone(socket), datagram.to_vec());
    tokio::spawn(relay.stop.clone().run_until_cancelled_owned(async move {
        tokio::time::sleep(late).await;
        let _sent = send(&socket, &datagram);
    }));
}
