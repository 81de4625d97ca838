//! A TCP proxy in front of the server's signal port, whose connections can be cut. Media does not pass through it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

pub struct Proxy {
    port: u16,
    cut: Arc<std::sync::Mutex<CancellationToken>>,
    refusing: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
    _stop: tokio_util::sync::DropGuard,
}

impl Proxy {
    pub async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let cut = Arc::new(std::sync::Mutex::new(CancellationToken::new()));
        let (refusing, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let stop = CancellationToken::new();
        let (stopped, cuts, refuse, count) = (stop.clone(), cut.clone(), refusing.clone(), accepted.clone());
        tokio::spawn(stopped.run_until_cancelled_owned(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                if refuse.load(Ordering::SeqCst) {
                    continue;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let cut = cuts.lock().expect("unpoisoned").clone();
                tokio::spawn(cut.run_until_cancelled_owned(async move {
                    if let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                }));
            }
        }));
        Self { port, cut, refusing, accepted, _stop: stop.drop_guard() }
    }

    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Cuts every connection; new ones are let through, or refused.
    pub fn cut(&self, refuse: bool) {
        self.refusing.store(refuse, Ordering::SeqCst);
        let mut cut = self.cut.lock().expect("unpoisoned");
        cut.cancel();
        *cut = CancellationToken::new();
    }

    /// Lets new connections through again.
    pub fn mend(&self) {
        self.refusing.store(false, Ordering::SeqCst);
    }

    /// Connections that were let through.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}
