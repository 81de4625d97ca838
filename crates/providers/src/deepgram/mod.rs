//! Deepgram: streaming speech-to-text and text-to-speech over WebSockets.

mod budget;
mod driver;
mod listen;
mod speak;
mod utterances;
mod wire;

use std::fmt::Write as _;
use std::time::Duration;

use frontdesk_agent::ProviderError;

use crate::connect::{Endpoint, authorization};
use crate::{Secret, Timeouts};

pub use listen::{DeepgramStt, ListenSettings};
pub use speak::{DeepgramTts, SpeakSettings};

/// The provider's name in errors, records and metrics.
const PROVIDER: &str = "deepgram";

/// Where Deepgram is and how to talk to it; the same for listening and speaking.
#[derive(Debug, Clone)]
pub struct DeepgramOptions {
    /// `wss://api.deepgram.com`, or a self-hosted server; `https` and `http` count as `wss` and `ws`. A path is kept as a prefix.
    pub base_url: String,
    /// The API key, sent as `Authorization: Token …`.
    pub api_key: Secret,
    /// Bounds of every wait.
    pub timeouts: Timeouts,
    /// How often an idle connection gets a sign of life. Deepgram asks for 3 to 5 s and closes a silent `/v1/listen` after 10 s.
    pub keep_alive: Duration,
}

impl DeepgramOptions {
    /// The public service with default time-outs.
    #[must_use]
    pub fn new(api_key: impl Into<Secret>) -> Self {
        Self {
            base_url: "wss://api.deepgram.com".into(),
            api_key: api_key.into(),
            timeouts: Timeouts::default(),
            keep_alive: Duration::from_secs(4),
        }
    }

    /// The endpoint of a path with its query.
    fn endpoint(&self, path: &str, query: &[(&str, &str)]) -> Result<Endpoint, ProviderError> {
        let base = self.base_url.trim_end_matches('/');
        let (scheme, rest) = base.split_once("://").unwrap_or_default();
        let scheme = match scheme {
            "wss" | "https" => "wss",
            "ws" | "http" => "ws",
            _ => {
                let reason = "the base URL does not begin with wss://, https://, ws:// or http://".into();
                return Err(ProviderError::Rejected { provider: PROVIDER, reason });
            }
        };
        let mut url = format!("{scheme}://{rest}{path}");
        for (index, (key, value)) in query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(key);
            url.push('=');
            percent_encode(value, &mut url);
        }
        Ok(Endpoint { provider: PROVIDER, url, authorization: authorization(PROVIDER, "Token", &self.api_key)? })
    }
}

/// Encodes a query value: all but the unreserved characters of RFC 3986 section 2.3.
fn percent_encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
}

/// Little-endian bytes of `linear16`.
fn to_bytes(samples: &[i16]) -> impl Iterator<Item = u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_encoded_and_schemes_mapped() {
        let mut options = DeepgramOptions::new("key");
        options.base_url = "http://127.0.0.1:80/prefix/".into();
        let endpoint = options.endpoint("/v1/listen", &[("model", "nova-3"), ("keyterm", "Dr. Müller")]).expect("a valid base");
        assert_eq!(endpoint.url, "ws://127.0.0.1:80/prefix/v1/listen?model=nova-3&keyterm=Dr.%20M%C3%BCller");
        assert!(!format!("{endpoint:?} {options:?}").contains("key\""));
        options.base_url = "api.deepgram.com".into();
        assert!(matches!(options.endpoint("/", &[]), Err(ProviderError::Rejected { .. })));
    }
}
