//! HTTP with bounds: on every wait, and on what is read.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::channel::SendError;

/// For name look-up, TCP and TLS.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// From the first byte out to the last byte in.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);
/// Largest answer that is read. The longest that is wanted is the first column of a spreadsheet, some 40 bytes a row.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// A receiver that asks for more patience than this is asked sooner all the same.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// Why a channel cannot be made: a fault of its settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {reason}")]
pub struct ClientError {
    /// Which setting.
    pub what: &'static str,
    /// What is wrong with it, without its value.
    pub reason: String,
}

/// A client. Connections are kept for the next request.
#[derive(Debug, Clone)]
pub(crate) struct Http(Client);

/// An answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl Http {
    pub(crate) fn new() -> Result<Self, ClientError> {
        let client = Client::builder()
            .connect_timeout(CONNECT_LIMIT)
            .timeout(REQUEST_LIMIT)
            // A redirect would carry the notice to another host.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| ClientError { what: "HTTP client", reason: error.without_url().to_string() })?;
        Ok(Self(client))
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn run(&self, request: RequestBuilder) -> Result<Answer, SendError> {
        let mut response = request.send().await.map_err(|error| typed(&error))?;
        let (status, retry_after) = (response.status(), retry_after(response.headers()));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| typed(&error))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(SendError::lasting("answer.too_large"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, retry_after, body })
    }
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, SendError> {
        // What was answered is not of the protocol; the effect may be there, so it is not given up.
        serde_json::from_slice(&self.body).map_err(|_| SendError::passing("answer.unreadable"))
    }

    /// The error of a status that is no success; `detail` is a number or word of the receiver's own closed list.
    pub(crate) fn refusal(&self, detail: Option<&str>) -> SendError {
        let detail = detail.map(|detail| format!(".{detail}")).unwrap_or_default();
        let passes = self.status.is_server_error()
            || matches!(self.status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS);
        SendError { code: format!("http.{}{detail}", self.status.as_u16()), is_retryable: passes, retry_after: self.retry_after }
    }
}

/// The texts of these errors hold addresses, and addresses hold numbers: only their kind is kept.
fn typed(error: &reqwest::Error) -> SendError {
    if error.is_timeout() {
        SendError::passing("timeout")
    } else if error.is_builder() {
        SendError::lasting("request.malformed")
    } else if error.is_connect() {
        SendError::passing("unreachable")
    } else {
        SendError::passing("connection.lost")
    }
}

/// `Retry-After` in seconds (RFC 9110 section 10.2.3), bounded.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// A base URL without the slashes at its end.
pub(crate) fn base_url(what: &'static str, text: &str) -> Result<String, ClientError> {
    let text = text.trim_end_matches('/');
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(text.to_owned()),
        _ => Err(ClientError { what, reason: "is no http:// or https:// URL".into() }),
    }
}

/// A base, and segments of a path below it, each encoded.
pub(crate) fn url(base: &str, segments: &[&str]) -> Result<Url, SendError> {
    let malformed = || SendError::lasting("request.malformed");
    let mut url = Url::parse(base).map_err(|_| malformed())?;
    url.path_segments_mut().map_err(|()| malformed())?.pop_if_empty().extend(segments);
    Ok(url)
}

/// The body of a form, `application/x-www-form-urlencoded`.
pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}
