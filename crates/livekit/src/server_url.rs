//! The address of a LiveKit server, in its WebSocket and HTTP forms.

use std::net::IpAddr;

use tokio_tungstenite::tungstenite::http::Uri;

/// A checked server address. `ws` and `http`, `wss` and `https` mean the same server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    tls: bool,
    host: String,
    /// Host, port and path without a trailing slash.
    rest: String,
}

/// Why an address is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerUrlError {
    /// Write it as `ws://host:port` or `wss://host`.
    #[error("`{0}` is not a LiveKit address: expected ws://, wss://, http:// or https:// and a host")]
    Malformed(String),
}

impl ServerUrl {
    /// Reads an address such as `ws://127.0.0.1:7880` or `wss://example.livekit.cloud`.
    ///
    /// # Errors
    /// [`ServerUrlError::Malformed`] if scheme or host are missing or unknown.
    pub fn parse(text: &str) -> Result<Self, ServerUrlError> {
        let malformed = || ServerUrlError::Malformed(text.to_owned());
        let uri: Uri = text.trim().parse().map_err(|_| malformed())?;
        let tls = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            _ => return Err(malformed()),
        };
        let authority = uri.authority().ok_or_else(malformed)?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(malformed());
        }
        let rest = format!("{authority}{}", uri.path().trim_end_matches('/'));
        Ok(Self { tls, host, rest })
    }

    /// With the scheme `ws` or `wss`.
    #[must_use]
    pub fn websocket(&self) -> String {
        format!("{}://{}", if self.tls { "wss" } else { "ws" }, self.rest)
    }

    /// With the scheme `http` or `https`.
    #[must_use]
    pub fn http(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.rest)
    }

    /// Where it listens; the port is the scheme's unless the address names one.
    #[must_use]
    pub fn host_and_port(&self) -> (&str, u16) {
        let authority = self.rest.split('/').next().unwrap_or_default();
        let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        (&self.host, port.unwrap_or(if self.tls { 443 } else { 80 }))
    }

    /// Chooses the TLS implementation of LiveKit's signal client and of the worker's WebSocket, if the program has not.
    /// With two of them compiled in (some dependencies bring `ring`, others `aws-lc-rs`), rustls otherwise panics.
    pub(crate) fn prepare_tls(&self) {
        if self.tls {
            prepare_tls();
        }
    }

    /// Whether the server runs on this machine's loopback interface, where media must be bound as well.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

/// The same for other connections.
pub(crate) fn prepare_tls() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails only if another thread was faster.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}

/// Whether a host, without brackets, is this machine's loopback interface.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl std::fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.websocket())
    }
}

#[cfg(test)]
mod tests {
    use super::ServerUrl;

    #[test]
    fn both_forms_of_an_address() {
        let url = ServerUrl::parse("ws://127.0.0.1:7880/").unwrap();
        assert_eq!((url.websocket().as_str(), url.http().as_str()), ("ws://127.0.0.1:7880", "http://127.0.0.1:7880"));
        assert!(url.is_loopback());
        let url = ServerUrl::parse("https://example.livekit.cloud").unwrap();
        assert_eq!(url.websocket(), "wss://example.livekit.cloud");
        assert!(!url.is_loopback());
        assert_eq!(url.host_and_port(), ("example.livekit.cloud", 443));
        assert_eq!(ServerUrl::parse("http://[::1]:7880/v1").unwrap().host_and_port(), ("::1", 7880));
        assert_eq!(ServerUrl::parse("ws://[::1]").unwrap().host_and_port(), ("::1", 80));
        assert!(ServerUrl::parse("http://[::1]:7880").unwrap().is_loopback());
        assert!(ServerUrl::parse("http://localhost:7880/sub/").unwrap().http().ends_with("7880/sub"));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "127.0.0.1:7880", "ftp://host", "ws://", "not a url"] {
            assert!(ServerUrl::parse(text).is_err(), "{text}");
        }
    }
}
