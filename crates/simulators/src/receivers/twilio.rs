//! Twilio's messages: `POST` and `GET /2010-04-01/Accounts/{sid}/Messages.json`, and signed status callbacks.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha1::Sha1;

use super::{Fault, Faults, Server, locked};

/// Longest body that Twilio takes (error 21617).
const BODY_CHARS_MAX: usize = 1600;

/// A message that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMessage {
    /// `SM…`.
    pub sid: String,
    /// To whom.
    pub to: String,
    /// From whom: a number or a messaging service.
    pub from: String,
    /// The words.
    pub body: String,
    /// Where its status is told.
    pub status_callback: Option<String>,
    /// When.
    pub created_at: DateTime<Utc>,
    /// `queued`, `delivered`, …
    pub status: String,
}

#[derive(Debug)]
struct Shared {
    account: String,
    token: String,
    faults: Faults,
    messages: Mutex<Vec<SentMessage>>,
}

/// The service.
#[derive(Debug)]
pub struct Twilio {
    server: Server,
    shared: Arc<Shared>,
}

/// The signature of a request to a webhook: HMAC-SHA1, under the account's token, of the URL and the sorted parameters, in base64.
#[must_use]
pub fn signature(token: &str, url: &str, parameters: &[(String, String)]) -> String {
    let mut sorted = parameters.to_vec();
    sorted.sort();
    let text = sorted.iter().fold(url.to_owned(), |text, (name, value)| text + name + value);
    let mut mac = <Hmac<Sha1> as Mac>::new_from_slice(token.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

impl Twilio {
    /// Listens on a free port, for one account.
    ///
    /// # Errors
    /// There is none.
    pub async fn start(account: &str, token: &str) -> std::io::Result<Self> {
        let shared =
            Arc::new(Shared { account: account.into(), token: token.into(), faults: Faults::default(), messages: Mutex::default() });
        let router =
            Router::new().route("/2010-04-01/Accounts/{account}/Messages.json", get(list).post(create)).with_state(Arc::clone(&shared));
        Ok(Self { server: Server::http(router).await?, shared })
    }

    /// Its address.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// Fails so, one fault a request that makes a message, after those that are planned already.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.faults.plan(faults);
    }

    /// Waits until a request hangs.
    pub async fn hung(&self) {
        self.shared.faults.hung.notified().await;
    }

    /// All messages, oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<SentMessage> {
        locked(&self.shared.messages).clone()
    }

    /// The form of a status callback, and its signature.
    #[must_use]
    pub fn callback(&self, message: &SentMessage, status: &str, error: Option<u32>) -> (Vec<(String, String)>, String) {
        let mut form: Vec<(String, String)> = [
            ("AccountSid", self.shared.account.as_str()),
            ("ApiVersion", "2010-04-01"),
            ("From", &message.from),
            ("MessageSid", &message.sid),
            ("MessageStatus", status),
            ("SmsSid", &message.sid),
            ("SmsStatus", status),
            ("To", &message.to),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        form.extend(error.map(|code| ("ErrorCode".to_owned(), code.to_string())));
        let url = message.status_callback.clone().unwrap_or_default();
        let signature = signature(&self.shared.token, &url, &form);
        (form, signature)
    }

    /// Tells the status of a message to its callback; the status of the answer.
    ///
    /// # Errors
    /// Nobody answers there, or the message has no callback.
    pub async fn call_back(&self, message: &SentMessage, status: &str, error: Option<u32>) -> Result<u16, reqwest::Error> {
        for kept in locked(&self.shared.messages).iter_mut().filter(|kept| kept.sid == message.sid) {
            status.clone_into(&mut kept.status);
        }
        let (form, signature) = self.callback(message, status, error);
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = reqwest::Client::new()
            .post(message.status_callback.clone().unwrap_or_default())
            .header("X-Twilio-Signature", signature)
            .header("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(body);
        Ok(request.send().await?.status().as_u16())
    }
}

impl Shared {
    /// The refusal of a request without the account's token.
    fn refuse(&self, account: &str, headers: &HeaderMap) -> Option<Response> {
        let expected = format!("Basic {}", STANDARD.encode(format!("{}:{}", self.account, self.token)));
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if account == self.account && given == Some(&expected) {
            return None;
        }
        Some(refusal(StatusCode::UNAUTHORIZED, 20003, "Authenticate"))
    }
}

fn refusal(status: StatusCode, code: u32, message: &str) -> Response {
    let more = format!("https://www.twilio.com/docs/errors/{code}");
    (status, Json(json!({ "code": code, "message": message, "more_info": more, "status": status.as_u16() }))).into_response()
}

fn shown(message: &SentMessage, account: &str) -> Value {
    json!({
        "account_sid": account, "api_version": "2010-04-01", "body": message.body, "date_created": message.created_at.to_rfc2822(),
        "date_sent": null, "direction": "outbound-api", "error_code": null, "from": message.from, "num_segments": "1",
        "sid": message.sid, "status": message.status, "to": message.to,
        "uri": format!("/2010-04-01/Accounts/{account}/Messages/{}.json", message.sid),
    })
}

async fn create(State(shared): State<Arc<Shared>>, Path(account): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(refused) = shared.refuse(&account, &headers) {
        return refused;
    }
    let form: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
    let field = |name: &str| form.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone());
    let bad = |code, message: &str| refusal(StatusCode::BAD_REQUEST, code, message);
    let Some(to) = field("To").filter(|to| to.starts_with('+') && to[1..].bytes().all(|byte| byte.is_ascii_digit())) else {
        return bad(21211, "The 'To' number is not a valid phone number.");
    };
    let Some(from) = field("From").or_else(|| field("MessagingServiceSid")) else {
        return bad(21603, "A 'From' phone number is required.");
    };
    let Some(text) = field("Body").filter(|text| !text.is_empty()) else { return bad(21602, "Message body is required.") };
    if text.chars().count() > BODY_CHARS_MAX {
        return bad(21617, "The concatenated message body exceeds the 1600 character limit");
    }
    let message = SentMessage {
        sid: format!("SM{}", uuid::Uuid::now_v7().simple()),
        to,
        from,
        body: text,
        status_callback: field("StatusCallback"),
        created_at: Utc::now(),
        status: "queued".into(),
    };
    let effect = || {
        let answer = (StatusCode::CREATED, Json(shown(&message, &account))).into_response();
        locked(&shared.messages).push(message);
        answer
    };
    shared.faults.answer(effect).await
}

async fn list(
    State(shared): State<Arc<Shared>>,
    Path(account): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    if let Some(refused) = shared.refuse(&account, &headers) {
        return refused;
    }
    let value = |name: &str| query.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
    let size: usize = value("PageSize").and_then(|size| size.parse().ok()).unwrap_or(50);
    let messages = locked(&shared.messages);
    let wanted = messages.iter().rev().filter(|message| value("To").is_none_or(|to| to == message.to)).take(size);
    let shown: Vec<Value> = wanted.map(|message| shown(message, &account)).collect();
    Json(json!({ "messages": shown, "page": 0, "page_size": size, "next_page_uri": null })).into_response()
}
