//! A service account of Google's: a signed assertion is exchanged for a token of an hour (RFC 7523;
//! <https://developers.google.com/identity/protocols/oauth2/service-account>).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::RequestBuilder;
use reqwest::header::CONTENT_TYPE;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use crate::channel::SendError;
use crate::http::{Answer, ClientError, Http, base_url, form};
use crate::secret::Secret;

/// Google allows an hour at most.
const ASSERTION_LIFE: TimeDelta = TimeDelta::minutes(55);
/// A token is not used in its last minute.
const MARGIN: TimeDelta = TimeDelta::minutes(1);

/// Why a service account cannot be used. Holds nothing of its key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GoogleError {
    /// Expected the JSON key file that Google's console makes.
    #[error("the service account is no JSON key file with client_email, private_key and token_uri")]
    Unreadable,
    /// `private_key` is expected to be PKCS #8 in PEM, RSA.
    #[error("the service account's private_key is no RSA key in PEM")]
    Key,
    /// A setting.
    #[error(transparent)]
    Client(#[from] ClientError),
}

#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    private_key: String,
    token_uri: String,
    #[serde(default)]
    private_key_id: Option<String>,
}

/// A service account. Cheap to clone; its tokens are shared.
#[derive(Clone)]
pub struct GoogleAccount {
    inner: Arc<Inner>,
    /// As whom it acts, if not as itself.
    subject: Option<Arc<str>>,
}

/// A scope, and as whom.
type TokenOf = (&'static str, Option<Arc<str>>);

struct Inner {
    http: Http,
    email: String,
    key: RsaKeyPair,
    key_id: Option<String>,
    token_uri: String,
    /// Held while one is fetched, so that it is fetched once.
    tokens: Mutex<HashMap<TokenOf, Token>>,
}

#[derive(Clone)]
struct Token {
    value: Secret,
    until: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: i64,
}

/// What Google's interfaces answer instead of what was asked for.
#[derive(Deserialize)]
struct Refused {
    error: RefusedError,
}

#[derive(Deserialize)]
struct RefusedError {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    reason: String,
}

impl fmt::Debug for GoogleAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GoogleAccount").finish_non_exhaustive()
    }
}

impl GoogleAccount {
    /// Reads the JSON key file. Connects to nobody yet.
    ///
    /// # Errors
    /// [`GoogleError`].
    pub fn from_json(text: &Secret) -> Result<Self, GoogleError> {
        let file: KeyFile = serde_json::from_str(text.expose()).map_err(|_| GoogleError::Unreadable)?;
        let der = PrivatePkcs8KeyDer::from_pem_slice(file.private_key.as_bytes()).map_err(|_| GoogleError::Key)?;
        let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| GoogleError::Key)?;
        base_url("service account's token_uri", &file.token_uri)?;
        let inner = Inner {
            http: Http::new()?,
            email: file.client_email,
            key,
            key_id: file.private_key_id,
            token_uri: file.token_uri,
            tokens: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner), subject: None })
    }

    /// The same account as a user of its domain, which has to have delegated the scopes that are asked for to it
    /// ("domain-wide delegation").
    pub(crate) fn acting_as(&self, user: &str) -> Self {
        Self { inner: Arc::clone(&self.inner), subject: Some(user.into()) }
    }

    pub(crate) fn http(&self) -> &Http {
        &self.inner.http
    }

    /// Sends a request as this account. A token that is refused is forgotten, so that a later attempt gets another.
    pub(crate) async fn run(&self, scope: &'static str, request: RequestBuilder) -> Result<Answer, SendError> {
        let token = self.token(scope).await?;
        let answer = self.inner.http.run(request.bearer_auth(token.expose())).await?;
        if answer.status == reqwest::StatusCode::UNAUTHORIZED {
            self.inner.tokens.lock().await.remove(&(scope, self.subject.clone()));
            return Err(SendError::passing("http.401"));
        }
        Ok(answer)
    }

    async fn token(&self, scope: &'static str) -> Result<Secret, SendError> {
        let mut tokens = self.inner.tokens.lock().await;
        let now = Utc::now();
        if let Some(token) = tokens.get(&(scope, self.subject.clone())).filter(|token| token.until > now) {
            return Ok(token.value.clone());
        }
        let assertion = self.assertion(scope, now)?;
        let body = form(&[("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &assertion)]);
        let request = self.inner.http.client().post(&self.inner.token_uri);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        let answer = self.inner.http.run(request).await?;
        if !answer.status.is_success() {
            let mut refusal = answer.refusal(None);
            refusal.code = format!("token.{}", refusal.code);
            return Err(refusal);
        }
        let granted: Granted = answer.json()?;
        let life = TimeDelta::try_seconds(granted.expires_in.clamp(0, 3600)).unwrap_or_default();
        let token = Token { value: Secret::new(granted.access_token), until: now + life - MARGIN };
        let value = token.value.clone();
        tokens.insert((scope, self.subject.clone()), token);
        Ok(value)
    }

    /// A JSON Web Token, RS256.
    fn assertion(&self, scope: &str, now: DateTime<Utc>) -> Result<String, SendError> {
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": self.inner.key_id });
        let until = now + ASSERTION_LIFE;
        let mut claims = json!({
            "iss": self.inner.email, "scope": scope, "aud": self.inner.token_uri, "iat": now.timestamp(), "exp": until.timestamp(),
        });
        if let Some(subject) = &self.subject {
            claims["sub"] = subject.as_ref().into();
        }
        let mut text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut signature = vec![0; self.inner.key.public_modulus_len()];
        self.inner
            .key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|_| SendError::lasting("token.unsigned"))?;
        text.push('.');
        text.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Ok(text)
    }
}

/// The error of an answer that is no success. Google says "too many requests" by 403, too.
pub(crate) fn refusal(answer: &Answer) -> SendError {
    let mut refusal = answer.refusal(None);
    let refused: Option<Refused> = answer.json().ok();
    let reasons = refused.map(|refused| refused.error.errors).unwrap_or_default();
    if reasons.iter().any(|one| ["rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"].contains(&one.reason.as_str())) {
        refusal.is_retryable = true;
        refusal.code.push_str(".rate_limit");
    }
    refusal
}

/// Whether Google objects to the name of a sheet that is not there; it has no code for that.
pub(crate) fn is_about_a_range(answer: &Answer) -> bool {
    answer.json::<Refused>().is_ok_and(|refused| refused.error.message.starts_with("Unable to parse range"))
}

/// Whether Google objects because something is there already.
pub(crate) fn is_there_already(answer: &Answer) -> bool {
    answer.json::<Refused>().is_ok_and(|refused| refused.error.message.contains("already exists"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_that_is_none_is_refused_without_being_shown() {
        for (text, expected) in [
            ("{}", GoogleError::Unreadable),
            ("hunter2", GoogleError::Unreadable),
            (r#"{"client_email":"a@b","private_key":"hunter2","token_uri":"https://x"}"#, GoogleError::Key),
        ] {
            let error = GoogleAccount::from_json(&Secret::new(text)).unwrap_err();
            assert_eq!(error, expected);
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }
}
