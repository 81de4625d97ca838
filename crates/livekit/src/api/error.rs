//! What can go wrong with a request to the server API.

use livekit_api::services::{ServerError, ServerErrorCode, ServiceError, SipCallError};

use super::token::TokenError;
use crate::server_url::ServerUrlError;

/// Why a request to the server API failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The configured address is no address. Correct `LIVEKIT_URL`.
    #[error(transparent)]
    Url(#[from] ServerUrlError),
    /// Nothing answers there. Check that the server runs and that `LIVEKIT_URL` names it.
    #[error("no LiveKit server can be reached at {url}: {reason}")]
    Unreachable {
        /// The address that was tried.
        url: String,
        /// The cause, from the operating system or the HTTP library.
        reason: String,
    },
    /// The server took too long; it may have done what was asked. Look before trying again.
    #[error("LiveKit at {url} did not answer `{request}` in time")]
    Timeout {
        /// The address that was asked.
        url: String,
        /// The request.
        request: &'static str,
    },
    /// Key or secret are wrong. Check `LIVEKIT_API_KEY` and `LIVEKIT_API_SECRET`.
    #[error("LiveKit at {url} refused the API key or secret: check LIVEKIT_API_KEY and LIVEKIT_API_SECRET")]
    Unauthorized {
        /// The address that was asked.
        url: String,
    },
    /// The room, participant or dispatch does not exist (any more).
    #[error("`{request}` found nothing: {message}")]
    NotFound {
        /// The request.
        request: &'static str,
        /// The server's words.
        message: String,
    },
    /// The server understood and refused, or failed itself.
    #[error("LiveKit refused `{request}`: {code}: {message}")]
    Server {
        /// The request.
        request: &'static str,
        /// The Twirp code.
        code: String,
        /// The server's words.
        message: String,
    },
    /// No token could be made.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Why a caller was not transferred.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The target, or the trunk, answered with this final SIP status.
    #[error("the call was not taken: SIP status {status}")]
    Sip {
        /// The status.
        status: u16,
    },
    /// The request failed.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// The SIP status that the SIP service attaches to its error.
pub(super) fn sip_status(error: &ServiceError) -> Option<u16> {
    SipCallError::from_error(error)?.sip_status_code().and_then(|status| u16::try_from(status).ok())
}

impl ApiError {
    /// Whether the same request may succeed when tried again later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::Server { code, .. } => {
                [ServerErrorCode::UNAVAILABLE, ServerErrorCode::RESOURCE_EXHAUSTED, ServerErrorCode::DEADLINE_EXCEEDED]
                    .contains(&code.as_str())
            }
            _ => false,
        }
    }
}

/// What is left of a library error, once it is known whether the server accepts our key.
pub(super) enum Failure {
    /// The error as it is told.
    Known(ApiError),
    /// The answer was not the API's format, as when LiveKit answers 401 in plain text: ask the worker endpoint.
    Unreadable(String),
}

/// Reads the library's error. Its text is kept out where it could hold a token.
pub(super) fn classify(url: &str, request: &'static str, error: ServiceError) -> Failure {
    let error = match error {
        ServiceError::Twirp(error) => error,
        other => return Failure::Known(ApiError::Token(TokenError::Sign(other.to_string()))),
    };
    match error {
        ServerError::Request(error) if error.is_decode() => Failure::Unreadable(root_cause(&error)),
        ServerError::Request(error) if error.is_timeout() => Failure::Known(ApiError::Timeout { url: url.to_owned(), request }),
        ServerError::Request(error) => Failure::Known(ApiError::Unreachable { url: url.to_owned(), reason: root_cause(&error) }),
        ServerError::Twirp(error) => Failure::Known(classify_code(url, request, error)),
        ServerError::Url(error) => Failure::Known(ApiError::Unreachable { url: url.to_owned(), reason: error.to_string() }),
        ServerError::Prost(error) => Failure::Unreadable(error.to_string()),
    }
}

fn classify_code(url: &str, request: &'static str, error: ServerErrorCode) -> ApiError {
    match error.code.as_str() {
        ServerErrorCode::UNAUTHENTICATED | ServerErrorCode::PERMISSION_DENIED => ApiError::Unauthorized { url: url.to_owned() },
        ServerErrorCode::NOT_FOUND => ApiError::NotFound { request, message: error.msg },
        _ => ApiError::Server { request, code: error.code, message: error.msg },
    }
}

/// A request whose failure changes nothing: it is logged, unless what it was about is gone already.
pub fn tolerate(what: &str, result: Result<(), ApiError>) {
    match result {
        Ok(()) | Err(ApiError::NotFound { .. }) => {}
        Err(error) => tracing::warn!(%error, "cannot {what}"),
    }
}

/// The innermost cause: "connection refused" rather than "error sending request".
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
