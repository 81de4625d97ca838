//! A TCP proxy in front of Postgres that loses connections on purpose: at a COMMIT, at the n-th message, or altogether; that holds
//! everything up; or that swallows what is said on connections which stay open, like a firewall that has forgotten them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// On which side of the server's work a connection gets lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Before the server sees the message: nothing of it is done.
    BeforeServer,
    /// After the server answered it: it is done, and the client does not learn of it.
    AfterServer,
}

/// Which message it happens at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trigger {
    Commit,
    Countdown(usize),
}

#[derive(Default)]
struct Plan {
    armed: Mutex<Option<(Trigger, Loss)>>,
    lost: AtomicUsize,
    /// Turn away whoever comes after a loss.
    refuse_after_loss: AtomicBool,
    refusing: AtomicBool,
    turned_away: AtomicUsize,
    /// Connections so far; each has a number.
    connections: AtomicUsize,
    /// Those with lower numbers lead nowhere any more, and nobody tells.
    forgotten_below: AtomicUsize,
    /// While set, nothing passes in either direction.
    stalled: watch::Sender<bool>,
}

impl Plan {
    /// Waits while everything is held up.
    async fn pass(&self) {
        // The plan owns the sender, so there is always one.
        let _ = self.stalled.subscribe().wait_for(|stalled| !stalled).await;
    }

    fn is_forgotten(&self, number: usize) -> bool {
        number < self.forgotten_below.load(Ordering::SeqCst)
    }

    /// Whether this message is the one, and then how it is lost.
    fn strike(&self, bytes: &[u8]) -> Option<Loss> {
        let mut armed = self.armed.lock().unwrap();
        let (trigger, loss) = (*armed)?;
        let strikes = match trigger {
            // Message `Q` of the protocol: a simple query, which is how transactions are ended.
            Trigger::Commit => bytes.windows(7).any(|window| window == b"COMMIT\0"),
            Trigger::Countdown(0) => true,
            Trigger::Countdown(left) => {
                *armed = Some((Trigger::Countdown(left - 1), loss));
                false
            }
        };
        if !strikes {
            return None;
        }
        *armed = None;
        self.refusing.store(self.refuse_after_loss.load(Ordering::SeqCst), Ordering::SeqCst);
        Some(loss)
    }
}

/// The proxy; stops with the value.
pub(crate) struct Proxy {
    address: SocketAddr,
    upstream: String,
    plan: Arc<Plan>,
    accepting: AbortHandle,
}

impl Proxy {
    /// A proxy in front of the server of a URL.
    pub(crate) async fn in_front_of(url: &str) -> Self {
        let authority = url.rsplit_once('@').unwrap().1;
        let upstream = authority.split_once('/').unwrap().0.to_string();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plan = Arc::default();
        let accepting = accept(listener, upstream.clone(), Arc::clone(&plan));
        Self { address, upstream, plan, accepting }
    }

    /// The URL through the proxy.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replace(&self.upstream, &self.address.to_string())
    }

    /// Loses the next COMMIT.
    pub(crate) fn lose_next_commit(&self, loss: Loss) {
        *self.plan.armed.lock().unwrap() = Some((Trigger::Commit, loss));
    }

    /// Loses the n-th message of the client from now, counted from 0 over all connections.
    pub(crate) fn lose_message(&self, n: usize, loss: Loss) {
        *self.plan.armed.lock().unwrap() = Some((Trigger::Countdown(n), loss));
    }

    /// Forgets what was to be lost; tells whether it was still to come.
    pub(crate) fn disarm(&self) -> bool {
        self.plan.armed.lock().unwrap().take().is_some()
    }

    /// From the next loss on, turns every new connection away and ends every other at its next word, until [`Proxy::admit`].
    pub(crate) fn refuse_after_loss(&self) {
        self.plan.refuse_after_loss.store(true, Ordering::SeqCst);
    }

    /// Takes connections again.
    pub(crate) fn admit(&self) {
        self.plan.refuse_after_loss.store(false, Ordering::SeqCst);
        self.plan.refusing.store(false, Ordering::SeqCst);
    }

    /// How many connections were turned away.
    pub(crate) fn turned_away(&self) -> usize {
        self.plan.turned_away.load(Ordering::SeqCst)
    }

    /// How many messages were lost.
    pub(crate) fn lost(&self) -> usize {
        self.plan.lost.load(Ordering::SeqCst)
    }

    /// Holds up everything, new connections included, until [`Proxy::flow`]. Nothing is lost.
    pub(crate) fn stall(&self) {
        self.plan.stalled.send_replace(true);
    }

    /// Lets everything pass again, what was held up first.
    pub(crate) fn flow(&self) {
        self.plan.stalled.send_replace(false);
    }

    /// Swallows whatever is said on the connections that are open now, in both directions, and keeps them open. New ones work.
    pub(crate) fn forget(&self) {
        self.plan.forgotten_below.store(self.plan.connections.load(Ordering::SeqCst), Ordering::SeqCst);
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
        self.accepting = accept(listener, self.upstream.clone(), Arc::clone(&self.plan));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn accept(listener: TcpListener, upstream: String, plan: Arc<Plan>) -> AbortHandle {
    let accepting = tokio::spawn(async move {
        // Dropped with the task, and every connection with it.
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            if plan.refusing.load(Ordering::SeqCst) {
                plan.turned_away.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            let Ok(server) = TcpStream::connect(&upstream).await else { continue };
            let number = plan.connections.fetch_add(1, Ordering::SeqCst);
            connections.spawn(relay(client, server, number, Arc::clone(&plan)));
        }
    });
    accepting.abort_handle()
}

async fn relay(mut client: TcpStream, mut server: TcpStream, number: usize, plan: Arc<Plan>) {
    let (mut from_client, mut from_server) = (vec![0; 16_384], vec![0; 16_384]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let Ok(length @ 1..) = read else { return };
                plan.pass().await;
                if plan.is_forgotten(number) {
                    continue;
                }
                if plan.refusing.load(Ordering::SeqCst) {
                    return;
                }
                let bytes = &from_client[..length];
                let loss = plan.strike(bytes);
                if loss != Some(Loss::BeforeServer) && server.write_all(bytes).await.is_err() {
                    return;
                }
                if loss == Some(Loss::AfterServer) {
                    // The answer is what proves that it was carried out; it goes no further.
                    let _ = server.read(&mut from_server).await;
                }
                if loss.is_some() {
                    plan.lost.fetch_add(1, Ordering::SeqCst);
                    return;
                }
            }
            read = server.read(&mut from_server) => {
                let Ok(length @ 1..) = read else { return };
                plan.pass().await;
                if plan.is_forgotten(number) {
                    continue;
                }
                if client.write_all(&from_server[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
