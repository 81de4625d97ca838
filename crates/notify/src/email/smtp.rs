//! By a mail server (RFC 5321). It takes no key: `Message-ID` is the same in every attempt.

use std::time::Duration;

use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::channel::{Receipt, SendError};
use crate::http::ClientError;
use crate::secret::Secret;

/// For each answer of the server.
const STEP_LIMIT: Duration = Duration::from_secs(10);
/// For all of it.
const SEND_LIMIT: Duration = Duration::from_secs(20);

/// A mail server.
#[derive(Clone)]
pub(super) struct Smtp(AsyncSmtpTransport<Tokio1Executor>);

impl Smtp {
    pub(super) fn new(url: &Secret) -> Result<Self, ClientError> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose())
            // Its text may quote the URL, and that holds the password.
            .map_err(|_| ClientError { what: "SMTP server", reason: "is no smtp:// or smtps:// URL".into() })?
            .timeout(Some(STEP_LIMIT))
            .build();
        Ok(Self(transport))
    }

    pub(super) async fn send(&self, message: Message) -> Result<Receipt, SendError> {
        match tokio::time::timeout(SEND_LIMIT, self.0.send(message)).await {
            // The server has taken it; whether it arrives, nobody tells.
            Ok(Ok(_)) => Ok(Receipt { provider_id: None, is_delivered: false }),
            Ok(Err(error)) => Err(typed(&error)),
            Err(_) => Err(SendError::passing("timeout")),
        }
    }
}

/// The server's words may quote the message: only its code is kept.
fn typed(error: &lettre::transport::smtp::Error) -> SendError {
    let code = error.status().map(|code| code.to_string());
    match code {
        Some(code) if error.is_permanent() => SendError::lasting(format!("smtp.{code}")),
        Some(code) => SendError::passing(format!("smtp.{code}")),
        None if error.is_timeout() => SendError::passing("timeout"),
        None if error.is_tls() => SendError::passing("tls"),
        None => SendError::passing("connection.lost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_none_is_not_shown() {
        for url in ["hunter2", "ftp://user:hunter2@host"] {
            let Err(error) = Smtp::new(&Secret::new(url)) else { panic!("{url}") };
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        assert!(Smtp::new(&Secret::new("smtp://127.0.0.1:1")).is_ok());
    }
}
