//! Opening WebSockets, and the mapping of HTTP and WebSocket failures to typed errors.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use frontdesk_agent::ProviderError;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, http};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use crate::timeouts::{Stage, Timeouts};

/// A client connection.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Longest incoming message. Deepgram's are far smaller; this bounds what a faulty peer can make us hold.
const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// Of a connection, in each direction; a call has two, and it is cleared for every read. A longer message takes more while it comes.
const BUFFER_BYTES: usize = 8 * 1024;
/// Longest piece of a service's own wording that enters an error.
const MAX_REASON_CHARS: usize = 120;

/// Where to connect and with which credentials.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) provider: &'static str,
    /// `ws://` or `wss://`, query included.
    pub(crate) url: String,
    /// The complete `Authorization` value; marked sensitive, so that `Debug` hides it.
    pub(crate) authorization: HeaderValue,
}

/// Connects within `timeouts.connect`; a failure that may pass is answered by one more try within the same bound, for nothing was sent yet.
pub(crate) async fn open(endpoint: &Endpoint, timeouts: &Timeouts) -> Result<Socket, ProviderError> {
    let tries = async {
        match attempt(endpoint).await {
            Err(error) if worth_retrying(&error) => attempt(endpoint).await,
            result => result,
        }
    };
    match tokio::time::timeout(timeouts.connect, tries).await {
        Ok(result) => result,
        Err(_) => Err(timeouts.expired(endpoint.provider, Stage::Connection)),
    }
}

/// A service that limits requests is not asked again at once.
fn worth_retrying(error: &ProviderError) -> bool {
    matches!(error, ProviderError::Connect { .. } | ProviderError::Broken { .. })
}

async fn attempt(endpoint: &Endpoint) -> Result<Socket, ProviderError> {
    let provider = endpoint.provider;
    let mut request = endpoint.url.as_str().into_client_request().map_err(|error| from_ws(provider, error))?;
    request.headers_mut().insert(header::AUTHORIZATION, endpoint.authorization.clone());
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES);
    let connector = if endpoint.url.starts_with("wss:") { Connector::Rustls(tls(provider)?) } else { Connector::Plain };
    let (socket, _) =
        connect_async_tls_with_config(request, Some(config), true, Some(connector)).await.map_err(|error| from_ws(provider, error))?;
    Ok(socket)
}

/// TLS with the system's root certificates. The cryptography is named here because the final program links two implementations, and
/// rustls then refuses to choose one by itself.
fn tls(provider: &'static str) -> Result<Arc<rustls::ClientConfig>, ProviderError> {
    static CONFIG: OnceLock<Arc<rustls::ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let mut roots = rustls::RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err(ProviderError::Connect { provider, reason: "no root certificates found; install ca-certificates".into() });
    }
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ProviderError::Connect { provider, reason: error.to_string() })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::clone(CONFIG.get_or_init(|| Arc::new(config))))
}

/// Maps a failure of the WebSocket layer.
pub(crate) fn from_ws(provider: &'static str, error: WsError) -> ProviderError {
    match error {
        WsError::Http(response) => from_response(provider, &response),
        WsError::Url(error) => ProviderError::Rejected { provider, reason: format!("bad URL: {error}") },
        WsError::HttpFormat(error) => ProviderError::Rejected { provider, reason: format!("bad request: {error}") },
        WsError::Io(error) => ProviderError::Connect { provider, reason: error.to_string() },
        WsError::Tls(error) => ProviderError::Connect { provider, reason: error.to_string() },
        WsError::ConnectionClosed | WsError::AlreadyClosed => ProviderError::Broken { provider, reason: "connection closed".into() },
        // The text of these errors is about framing and never quotes the message.
        WsError::Protocol(error) => ProviderError::Broken { provider, reason: error.to_string() },
        WsError::Capacity(error) => ProviderError::Broken { provider, reason: error.to_string() },
        WsError::Utf8(_) => ProviderError::Broken { provider, reason: "a text message is not UTF-8".into() },
        WsError::WriteBufferFull(_) => ProviderError::Broken { provider, reason: "write buffer full".into() },
        WsError::AttackAttempt => ProviderError::Broken { provider, reason: "malformed handshake".into() },
    }
}

fn from_response(provider: &'static str, response: &Response<Option<Vec<u8>>>) -> ProviderError {
    let detail = response.headers().get("dg-error").and_then(|value| value.to_str().ok());
    from_status(provider, response.status(), response.headers(), detail)
}

/// Maps an HTTP status that is no success. `detail` is the service's own wording where it cannot hold personal data.
pub(crate) fn from_status(provider: &'static str, status: StatusCode, headers: &HeaderMap, detail: Option<&str>) -> ProviderError {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ProviderError::Unauthorized { provider },
        StatusCode::TOO_MANY_REQUESTS => ProviderError::RateLimited { provider, retry_after: retry_after(headers) },
        status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
            ProviderError::Broken { provider, reason: format!("HTTP status {}", status.as_u16()) }
        }
        status => {
            let detail = detail.map(|text| format!(": {}", clip(text))).unwrap_or_default();
            ProviderError::Rejected { provider, reason: format!("HTTP status {}{detail}", status.as_u16()) }
        }
    }
}

/// `Retry-After` in seconds (RFC 9110 section 10.2.3); the form with a date is not used by these services.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Maps the close of a connection that we did not ask for. 1008 is a policy violation (RFC 6455 section 7.4.1): the same data
/// would be refused again.
pub(crate) fn from_close(provider: &'static str, frame: Option<&CloseFrame>) -> ProviderError {
    let Some(frame) = frame else {
        return ProviderError::Broken { provider, reason: "connection closed without a reason".into() };
    };
    let code = u16::from(frame.code);
    // Only the code that leads the reason (`NET-0001`) is kept: the rest is free text.
    let name = frame.reason.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).next().unwrap_or_default();
    let reason = format!("connection closed with {code} {}", clip(name)).trim_end().to_owned();
    match code {
        1003 | 1008 => ProviderError::Rejected { provider, reason },
        _ => ProviderError::Broken { provider, reason },
    }
}

/// Shortens to what an error may carry.
pub(crate) fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_REASON_CHARS).collect()
}

/// The `Authorization` header; fails on a key that no header can hold (a line break from a file, say).
pub(crate) fn authorization(provider: &'static str, scheme: &str, key: &crate::Secret) -> Result<HeaderValue, ProviderError> {
    let mut value = HeaderValue::from_str(&format!("{scheme} {}", key.expose()))
        .map_err(|_| ProviderError::Rejected { provider, reason: "the API key holds characters that a header cannot carry".into() })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_become_typed_errors() {
        let none = HeaderMap::new();
        let mut wait = HeaderMap::new();
        wait.insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        let map = |code: u16, headers: &HeaderMap| {
            from_status("p", StatusCode::from_u16(code).expect("a valid status"), headers, Some("no such\nmodel"))
        };
        assert_eq!(map(401, &none), ProviderError::Unauthorized { provider: "p" });
        assert_eq!(map(403, &none), ProviderError::Unauthorized { provider: "p" });
        assert_eq!(map(429, &none), ProviderError::RateLimited { provider: "p", retry_after: None });
        assert_eq!(map(429, &wait), ProviderError::RateLimited { provider: "p", retry_after: Some(Duration::from_secs(7)) });
        assert_eq!(map(503, &none), ProviderError::Broken { provider: "p", reason: "HTTP status 503".into() });
        assert_eq!(map(400, &none), ProviderError::Rejected { provider: "p", reason: "HTTP status 400: no suchmodel".into() });
    }

    #[test]
    fn close_frames_keep_the_code_and_drop_the_prose() {
        let frame = CloseFrame { code: 1011.into(), reason: "NET-0001: did not receive audio, caller said X".into() };
        assert_eq!(
            from_close("p", Some(&frame)),
            ProviderError::Broken { provider: "p", reason: "connection closed with 1011 NET-0001".into() }
        );
        let frame = CloseFrame { code: 1008.into(), reason: "DATA-0000".into() };
        assert!(!from_close("p", Some(&frame)).is_retryable());
        assert!(from_close("p", None).is_retryable());
    }

    #[test]
    fn a_key_with_a_line_break_is_refused_without_showing_it() {
        let error = authorization("p", "Token", &"abc\ndef".into()).expect_err("no header holds a line break");
        assert!(!error.to_string().contains("abc"));
        let value = authorization("p", "Token", &"abc".into()).expect("a plain key");
        assert!(!format!("{value:?}").contains("abc"));
    }
}
