//! How an agent asks our SIP bridge to hand its caller to somebody else, in data packets on one topic.
//!
//! The bridge's participant has the attribute [`BRIDGE_ATTRIBUTE`]; LiveKit's own SIP service has not, and is asked by its API. The
//! agent sends a [`Request`] to the caller's identity, reliably; the bridge answers the sender with a [`Reply`] of the same id, once
//! the target has answered, refused, or the bridge's own bound is over. A number in a request never reaches a log.

use std::fmt;

use bytes::Bytes;
use serde_json::{Value, json};

/// Topic of requests and replies.
pub const TRANSFER_TOPIC: &str = "frontdesk.transfer";
/// Attribute of the caller behind our bridge; its value names what the bridge can do.
pub const BRIDGE_ATTRIBUTE: &str = "frontdesk.bridge";
/// Value of [`BRIDGE_ATTRIBUTE`].
pub const BRIDGE_TRANSFERS: &str = "transfer";
/// Longest packet that is looked into.
const BYTES_MAX: usize = 1024;

/// An agent wants its caller handed over.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Names it in the reply.
    pub id: String,
    /// Where to: a telephone number in E.164.
    pub number: String,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The request's.
    pub id: String,
    /// The final SIP status, of the target or of a trunk that refused to try; `None` if nothing final is known.
    pub status: Option<u16>,
}

fn parse(payload: &[u8]) -> Option<Value> {
    (payload.len() <= BYTES_MAX).then(|| serde_json::from_slice(payload).ok()).flatten()
}

/// `+`, then 4 to 15 digits.
fn is_e164(number: &str) -> bool {
    number.strip_prefix('+').is_some_and(|digits| (4..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

impl Request {
    /// As it is sent.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        json!({ "id": self.id, "number": self.number }).to_string().into()
    }

    /// Reads a packet; `None` if it is something else, or the number is none.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let value = parse(payload)?;
        let text = |key: &str| value.get(key)?.as_str().map(str::to_owned);
        let number = text("number").filter(|number| is_e164(number))?;
        Some(Self { id: text("id")?, number })
    }

    /// The number as a URI (RFC 3966).
    #[must_use]
    pub fn uri(&self) -> String {
        format!("tel:{}", self.number)
    }
}

impl Reply {
    /// As it is sent.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        json!({ "id": self.id, "status": self.status }).to_string().into()
    }

    /// Reads a packet; `None` if it is something else.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let value = parse(payload)?;
        let id = value.get("id")?.as_str()?.to_owned();
        let status = value.get("status")?.as_u64().and_then(|status| u16::try_from(status).ok());
        Some(Self { id, status })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_survive_the_wire_and_nothing_else_is_taken() {
        let request = Request { id: "T_1".into(), number: "+15550188".into() };
        assert_eq!(Request::parse(&request.to_bytes()), Some(request.clone()));
        assert_eq!(request.uri(), "tel:+15550188");
        assert!(!format!("{request:?}").contains("555"), "a number must not reach a log");
        for status in [Some(200), Some(486), None] {
            let reply = Reply { id: "T_1".into(), status };
            assert_eq!(Reply::parse(&reply.to_bytes()), Some(reply));
        }
        for payload in ["", "{}", "nonsense", r#"{"id":"1","number":"tel:+1"}"#, r#"{"id":"1","number":"+1555;x=1"}"#] {
            assert_eq!(Request::parse(payload.as_bytes()), None, "{payload}");
        }
        assert_eq!(Request::parse(format!("{{\"id\":\"{}\",\"number\":\"+15550188\"}}", "x".repeat(2000)).as_bytes()), None);
    }
}
