//! A door in front of a server, which can be shut: connections break, and new ones are refused.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A TCP relay on a port of its own. Ends with its value.
#[derive(Debug)]
pub(crate) struct Gate {
    address: SocketAddr,
    open: watch::Sender<bool>,
    relay: JoinHandle<()>,
}

impl Gate {
    /// An open gate in front of `target`.
    pub(crate) async fn before(target: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (open, is_open) = watch::channel(true);
        Self { address, open, relay: tokio::spawn(relay(listener, address, target, is_open)) }
    }

    /// A gate in front of the server of a URL, and the URL that leads through the gate.
    pub(crate) async fn before_url(url: &str) -> (Self, String) {
        let authority = url.find("://").map_or(0, |at| at + 3);
        let begin = url[authority..].find('@').map_or(authority, |at| authority + at + 1);
        let end = url[begin..].find(['/', '?']).map_or(url.len(), |at| begin + at);
        let gate = Self::before(url[begin..end].to_owned()).await;
        let through = format!("{}{}{}", &url[..begin], gate.address, &url[end..]);
        (gate, through)
    }

    /// Breaks all connections and refuses new ones.
    pub(crate) fn shut(&self) {
        self.open.send_replace(false);
    }

    /// Lets everybody through again.
    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

async fn relay(listener: TcpListener, address: SocketAddr, target: String, mut is_open: watch::Receiver<bool>) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = accepted => if let Ok((client, _)) = accepted {
                connections.spawn(carry(client, target.clone()));
            },
            changed = is_open.changed() => {
                if changed.is_err() {
                    return;
                }
                let open = *is_open.borrow_and_update();
                if !open {
                    // Without a listener, the system refuses.
                    listener = None;
                    connections.abort_all();
                } else if listener.is_none() {
                    listener = Some(TcpListener::bind(address).await.expect("the port is still free"));
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(mut client: TcpStream, target: String) {
    if let Ok(mut server) = TcpStream::connect(target).await {
        let _delayed = (client.set_nodelay(true), server.set_nodelay(true));
        // Whoever ends it, both sides see it.
        let _ended = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}
