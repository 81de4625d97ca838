//! A TCP proxy in front of Postgres that loses connections around COMMIT, or refuses them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// Where the next COMMIT gets lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Before the server sees it: nothing is committed.
    BeforeServer = 1,
    /// After the server carried it out: it is committed, and the client does not learn of it.
    AfterServer = 2,
}

/// The proxy; stops with the value.
pub(crate) struct Proxy {
    address: SocketAddr,
    upstream: String,
    armed: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
    accepting: AbortHandle,
}

impl Proxy {
    /// A proxy in front of the server of a URL.
    pub(crate) async fn in_front_of(url: &str) -> Self {
        let authority = url.rsplit_once('@').unwrap().1;
        let upstream = authority.split_once('/').unwrap().0.to_string();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (armed, lost) = (Arc::default(), Arc::default());
        let accepting = accept(listener, upstream.clone(), Arc::clone(&armed), Arc::clone(&lost));
        Self { address, upstream, armed, lost, accepting }
    }

    /// The URL through the proxy.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replace(&self.upstream, &self.address.to_string())
    }

    /// Loses the next COMMIT.
    pub(crate) fn lose_next_commit(&self, loss: Loss) {
        self.armed.store(loss as usize, Ordering::SeqCst);
    }

    /// How many COMMITs were lost.
    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }

    /// Refuses connections from now on and cuts those that are open.
    pub(crate) async fn stop(&mut self) {
        self.accepting.abort();
        // The port is free once a connection attempt is refused.
        while TcpStream::connect(self.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    /// Accepts connections again, on the same port.
    pub(crate) async fn start(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.accepting = accept(listener, self.upstream.clone(), Arc::clone(&self.armed), Arc::clone(&self.lost));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn accept(listener: TcpListener, upstream: String, armed: Arc<AtomicUsize>, lost: Arc<AtomicUsize>) -> AbortHandle {
    let accepting = tokio::spawn(async move {
        // Dropped with the task, and every connection with it.
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(&upstream).await else { continue };
            connections.spawn(relay(client, server, Arc::clone(&armed), Arc::clone(&lost)));
        }
    });
    accepting.abort_handle()
}

async fn relay(mut client: TcpStream, mut server: TcpStream, armed: Arc<AtomicUsize>, lost: Arc<AtomicUsize>) {
    let (mut from_client, mut from_server) = (vec![0; 16_384], vec![0; 16_384]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let Ok(length @ 1..) = read else { return };
                let bytes = &from_client[..length];
                // Message `Q` of the protocol: a simple query, which is how transactions are ended.
                let is_commit = bytes.windows(7).any(|window| window == b"COMMIT\0");
                let loss = if is_commit { armed.swap(0, Ordering::SeqCst) } else { 0 };
                if loss == Loss::BeforeServer as usize {
                    lost.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                if server.write_all(bytes).await.is_err() {
                    return;
                }
                if loss == Loss::AfterServer as usize {
                    // The answer is what proves that it was carried out; it goes no further.
                    let _ = server.read(&mut from_server).await;
                    lost.fetch_add(1, Ordering::SeqCst);
                    return;
                }
            }
            read = server.read(&mut from_server) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&from_server[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
