//! What the simulated Deepgram services have in common on the wire: keys, queries, refusals, closing.

use axum::Json;
use axum::extract::ws::{CloseFrame, Message};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A connection to which the client sends neither audio nor text for 10 s is closed with 1011 and this reason (developers.deepgram.com,
/// "Audio Keep Alive").
pub(crate) const NET_0001: &str = "NET-0001";
/// What cannot be decoded is answered by closing with 1008 and this reason (developers.deepgram.com, "Troubleshooting WebSocket,
/// DATA, and NET errors").
pub(crate) const DATA_0000: &str = "DATA-0000";
/// A text that is too long is answered by an error and closing with 1008 and this reason.
pub(crate) const DATA_0001: &str = "DATA-0001";
/// A fault of the service itself closes the connection with 1011 and this reason.
pub(crate) const NET_0000: &str = "NET-0000";

/// Whether a request carries the key: `Token` for API keys, `Bearer` for temporary tokens and OpenAI's manner.
pub(crate) fn authorised(headers: &HeaderMap, key: &str) -> bool {
    let value = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let given = value.split_once(' ').filter(|(scheme, _)| ["token", "bearer"].contains(&scheme.to_lowercase().as_str()));
    given.is_some_and(|(_, given)| given == key)
}

/// A refused handshake: a status, an error document and the header `dg-error`.
pub(crate) fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    let body = Json(json!({ "err_code": code, "err_msg": message, "request_id": uuid::Uuid::new_v4() }));
    let mut response = (status, body).into_response();
    if let Ok(value) = HeaderValue::from_str(message) {
        response.headers_mut().insert(HeaderName::from_static("dg-error"), value);
    }
    response
}

/// A handshake with a wrong key or none.
pub(crate) fn unauthorised() -> Response {
    refuse(StatusCode::UNAUTHORIZED, "INVALID_AUTH", "Invalid credentials.")
}

/// The pairs of a query, decoded, in order.
pub(crate) fn pairs(query: &str) -> Vec<(String, String)> {
    let pair = |part: &str| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        (decode(key), decode(value))
    };
    query.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (bytes[at], hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (b'+', _) => {
                out.push(b' ');
                at += 1;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The first pair whose key the service does not know.
pub(crate) fn unknown<'a>(pairs: &'a [(String, String)], known: &[&str]) -> Option<&'a str> {
    pairs.iter().map(|(key, _)| key.as_str()).find(|key| !known.contains(key))
}

/// The value of a key.
pub(crate) fn value<'a>(pairs: &'a [(String, String)], key: &str) -> Option<&'a str> {
    pairs.iter().find(|(given, _)| given == key).map(|(_, value)| value.as_str())
}

/// A close frame.
pub(crate) fn close(code: u16, reason: &'static str) -> Message {
    Message::Close(Some(CloseFrame { code, reason: reason.into() }))
}

/// Bytes of `linear16`.
pub(crate) fn bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// Samples of `linear16`; `None` for half a sample.
pub(crate) fn samples(bytes: &[u8]) -> Option<Vec<i16>> {
    bytes.len().is_multiple_of(2).then(|| bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_compared_whole() {
        let with = |value: &'static str| HeaderMap::from_iter([(axum::http::header::AUTHORIZATION, HeaderValue::from_static(value))]);
        assert!(authorised(&with("Token abc"), "abc") && authorised(&with("Bearer abc"), "abc") && authorised(&with("token abc"), "abc"));
        assert!(!authorised(&with("Token abcd"), "abc") && !authorised(&with("Basic abc"), "abc") && !authorised(&HeaderMap::new(), ""));
    }

    #[test]
    fn queries_are_decoded_and_checked() {
        let pairs = pairs("model=nova-3&keyterm=Dr.%20M%C3%BCller&keyterm=a+b&x&bad=%zz");
        assert_eq!(value(&pairs, "keyterm"), Some("Dr. Müller"));
        assert_eq!(pairs[2].1, "a b");
        assert_eq!(pairs[4].1, "%zz");
        assert_eq!(unknown(&pairs, &["model", "keyterm"]), Some("x"));
        assert_eq!(samples(&[1, 0, 2]), None);
        assert_eq!(samples(&bytes(&[1, -2])), Some(vec![1, -2]));
    }
}
