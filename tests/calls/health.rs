//! The health pages of a worker.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How long all that a worker needs may take to be found.
const WELL_WITHIN: Duration = Duration::from_secs(60);
/// Postgres, LiveKit and three providers.
const PARTS: usize = 5;

/// What a health page answers, head and all.
pub(crate) async fn page(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the pages are served");
    let request = format!("GET {path} HTTP/1.1\r\nHost: frontdesk\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

/// Waits until a worker has found all that it needs.
pub(crate) async fn all_well(port: u16) {
    let well = async {
        while page(port, "/health/detailed").await.matches("\"state\":\"ok\"").count() < PARTS {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(WELL_WITHIN, well).await.expect("Postgres, LiveKit and three providers are there");
}
