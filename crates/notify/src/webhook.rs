//! JSON to a server of the clinic's, signed.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use reqwest::header::CONTENT_TYPE;
use serde::Serialize;
use sha2::Sha256;

use crate::channel::{Channel, Receipt, SendError};
use crate::http::{ClientError, Http, base_url};
use crate::notice::{Appointment, Call, CallerMessage, Notice, Patient};
use crate::secret::Secret;

/// Carries time and signature: `t=1764590400,v1=<hex>`.
const SIGNATURE_HEADER: &str = "Frontdesk-Signature";

/// Sends to one address.
#[derive(Debug, Clone)]
pub struct WebhookChannel {
    http: Http,
    url: String,
    secret: Secret,
}

#[derive(Serialize)]
struct Body<'a> {
    id: &'a str,
    event: &'static str,
    clinic: &'a str,
    zone: &'static str,
    created_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    appointment: Option<&'a Appointment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a CallerMessage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patient: Option<&'a Patient>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<&'a Call>,
}

/// Hexadecimal HMAC-SHA256 of `<seconds since 1970>.<body>`: the time is signed with the body, so that the receiver can refuse what
/// was recorded and sent again later.
#[must_use]
pub fn signature(secret: &Secret, timestamp: i64, body: &[u8]) -> String {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes a key of any length");
    mac.update(format!("{timestamp}.").as_bytes());
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl WebhookChannel {
    /// Connects to nobody yet.
    ///
    /// # Errors
    /// The URL is none.
    pub fn new(url: &str, secret: Secret) -> Result<Self, ClientError> {
        base_url("webhook's URL", url)?;
        Ok(Self { http: Http::new()?, url: url.to_owned(), secret })
    }
}

#[async_trait]
impl Channel for WebhookChannel {
    async fn send(&self, notice: &Notice) -> Result<Receipt, SendError> {
        let body = Body {
            id: &notice.delivery.key,
            event: notice.event.as_str(),
            clinic: &notice.clinic,
            zone: notice.zone.name(),
            created_at: notice.delivery.created_at,
            appointment: notice.appointment.as_ref(),
            message: notice.message.as_ref(),
            patient: notice.patient.as_ref(),
            call: notice.call.as_ref(),
        };
        let body = serde_json::to_vec(&body).map_err(|_| SendError::lasting("request.malformed"))?;
        let timestamp = Utc::now().timestamp();
        let signed = format!("t={timestamp},v1={}", signature(&self.secret, timestamp, &body));
        let request = self
            .http
            .client()
            .post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .header("Idempotency-Key", &notice.delivery.key)
            .header(SIGNATURE_HEADER, signed)
            .body(body);
        let answer = self.http.run(request).await?;
        if answer.status.is_success() { Ok(Receipt { provider_id: None, is_delivered: true }) } else { Err(answer.refusal(None)) }
    }
}
