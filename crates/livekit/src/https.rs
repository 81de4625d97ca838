//! The signal client's HTTP requests: which regions there are when the nearest does not answer, and why a connection was refused.
//!
//! The client that LiveKit brings is built without TLS here, so that over `https` neither could be asked.

use std::time::Duration;

use async_trait::async_trait;
use livekit_net::{Header, HttpClient, HttpMethod, HttpResponse, TransportError};
use reqwest::redirect::Policy;

/// A caller waits for it.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Lists of regions have a few kilobytes.
const BODY_MAX: usize = 256 * 1024;

/// Asks over HTTP or, with the system's certificates, HTTPS.
pub(crate) struct SignalRequests(reqwest::Client);

impl SignalRequests {
    /// A client; `None` if TLS cannot be set up, e.g. without any certificate on this machine.
    pub(crate) fn new() -> Option<Self> {
        // The token goes with the request: to nobody else.
        let client = reqwest::Client::builder().timeout(TIMEOUT).redirect(Policy::none()).no_proxy().pool_max_idle_per_host(0).build();
        client.inspect_err(|error| tracing::warn!(%error, "LiveKit's regions cannot be asked for")).ok().map(Self)
    }
}

#[async_trait]
impl HttpClient for SignalRequests {
    async fn request(
        &self,
        method: HttpMethod,
        url: String,
        headers: Vec<Header>,
        body: Option<Vec<u8>>,
    ) -> Result<HttpResponse, TransportError> {
        let mut request = match method {
            HttpMethod::Get => self.0.get(url),
            HttpMethod::Post => self.0.post(url),
        };
        for Header { name, value } in headers {
            request = request.header(name, value);
        }
        let mut response = request.body(body.unwrap_or_default()).send().await.map_err(failed)?;
        let header = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
            Some(Header { name: name.as_str().to_owned(), value: value.to_str().ok()?.to_owned() })
        };
        let (status, headers) = (response.status().as_u16(), response.headers().iter().filter_map(header).collect());
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            if body.len() + piece.len() > BODY_MAX {
                return Err(TransportError::Other("the answer is too long".to_owned()));
            }
            body.extend_from_slice(&piece);
        }
        Ok(HttpResponse { status, headers, body })
    }
}

/// The error without its URL, which may hold the token, and with its causes.
fn failed(error: reqwest::Error) -> TransportError {
    if error.is_timeout() {
        return TransportError::Timeout;
    }
    let error = error.without_url();
    let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    TransportError::Connection(causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}")))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn it_asks_in_the_clear_and_over_tls() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let mut first = Vec::new();
            for _ in 0..2 {
                let (mut client, _) = listener.accept().await.unwrap();
                let mut bytes = vec![0; 4096];
                let size = client.read(&mut bytes).await.unwrap();
                first.push(bytes[..size].to_vec());
                client.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno").await.unwrap();
            }
            first
        });
        crate::server_url::ServerUrl::parse("wss://127.0.0.1").unwrap().prepare_tls();
        let client = SignalRequests::new().expect("certificates");
        let ask = async |scheme: &str| {
            let header = Header { name: "authorization".into(), value: "Bearer canary".into() };
            client.request(HttpMethod::Get, format!("{scheme}://127.0.0.1:{port}/settings/regions?t=canary"), vec![header], None).await
        };
        let answer = ask("http").await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (401, b"no".as_slice()));
        // The server speaks no TLS: what it is sent shows that we do.
        let error = ask("https").await.unwrap_err().to_string();
        assert!(!error.contains("canary"), "{error}");
        let first = server.await.unwrap();
        let clear = String::from_utf8_lossy(&first[0]).to_lowercase();
        assert!(clear.starts_with("get /settings/regions") && clear.contains("authorization: bearer canary"), "{clear}");
        assert_eq!(first[1][..2], [22, 3], "a handshake of TLS (RFC 8446 section 5.1)");
    }
}
