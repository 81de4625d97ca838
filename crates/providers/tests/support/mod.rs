//! Small servers on the loopback interface.

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;

/// Serves until the test's runtime ends.
pub(crate) async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, router).await.expect("serving") });
    address
}

/// A port that accepts connections and never says a word. Keep the listener alive.
pub(crate) async fn silent() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    (listener.local_addr().expect("bound"), listener)
}

/// A port on which nobody listens.
pub(crate) async fn closed() -> SocketAddr {
    silent().await.0
}
