//! Gmail: a user's mails are sent, listed newest first, and shown without their words.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::{Mail, locked};
use super::{Shared, insufficient, refusal, unauthorised};

const SEND_SCOPE: &str = "https://www.googleapis.com/auth/gmail.send";
const METADATA_SCOPE: &str = "https://www.googleapis.com/auth/gmail.metadata";
/// As many as a page holds if nothing is said.
const PAGE: usize = 100;

/// A mail that was sent.
#[derive(Debug)]
pub(super) struct Sent {
    id: String,
    at: DateTime<Utc>,
    from: String,
    text: String,
}

impl Sent {
    pub(super) fn mail(&self) -> Mail {
        let mut mail = Mail { from: self.from.clone(), to: Vec::new(), text: self.text.clone() };
        let to = mail.header("To").unwrap_or_default();
        mail.to = to.split(", ").map(String::from).collect();
        mail
    }
}

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/gmail/v1/users/{user}/messages", get(list))
        .route("/gmail/v1/users/{user}/messages/send", post(send))
        .route("/gmail/v1/users/{user}/messages/{id}", get(show))
}

/// Whose mailbox it is: a service account has none of its own, it acts for a user of its domain.
fn mailbox(shared: &Shared, headers: &HeaderMap, (user, scope): (&str, &str)) -> Result<String, Box<Response>> {
    let granted = shared.granted(headers).ok_or_else(|| Box::new(unauthorised()))?;
    if granted.scope != scope {
        return Err(insufficient().into());
    }
    let acting_as =
        granted.user.ok_or_else(|| Box::new(refusal(StatusCode::BAD_REQUEST, "failedPrecondition", "Precondition check failed.")))?;
    if user == "me" || user == acting_as { Ok(acting_as) } else { Err(insufficient().into()) }
}

async fn send(State(shared): State<Arc<Shared>>, Path(user): Path<String>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let from = match mailbox(&shared, &headers, (&user, SEND_SCOPE)) {
        Ok(from) => from,
        Err(refused) => return *refused,
    };
    let raw = body["raw"].as_str().and_then(|raw| URL_SAFE.decode(raw).ok()).and_then(|raw| String::from_utf8(raw).ok());
    let Some(text) = raw.filter(|text| text.contains("\r\n\r\n")) else {
        return refusal(StatusCode::BAD_REQUEST, "invalidArgument", "Recipient address required");
    };
    let effect = || {
        let id = format!("{:x}", uuid::Uuid::now_v7().as_u128() >> 64);
        let answer = json!({ "id": id, "threadId": id, "labelIds": ["SENT"] });
        locked(&shared.sent).entry(from.clone()).or_default().push(Sent { id, at: Utc::now(), from, text });
        Json(answer).into_response()
    };
    shared.faults.answer(effect).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    label_ids: String,
    max_results: Option<usize>,
    q: Option<String>,
}

async fn list(State(shared): State<Arc<Shared>>, Path(user): Path<String>, Query(asked): Query<Listing>, headers: HeaderMap) -> Response {
    let of = match mailbox(&shared, &headers, (&user, METADATA_SCOPE)) {
        Ok(of) => of,
        Err(refused) => return *refused,
    };
    if asked.q.is_some() {
        return refusal(StatusCode::FORBIDDEN, "forbidden", "Metadata scope does not support 'q' parameter");
    }
    let sent = locked(&shared.sent);
    let all = sent.get(&of).into_iter().flatten().rev().filter(|_| asked.label_ids == "SENT");
    let page: Vec<Value> = all.take(asked.max_results.unwrap_or(PAGE)).map(|one| json!({ "id": one.id, "threadId": one.id })).collect();
    // An empty page has no `messages` at all.
    let answer = if page.is_empty() { json!({ "resultSizeEstimate": 0 }) } else { json!({ "messages": page }) };
    Json(answer).into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Showing {
    format: String,
    metadata_headers: String,
}

async fn show(
    State(shared): State<Arc<Shared>>,
    Path((user, id)): Path<(String, String)>,
    Query(asked): Query<Showing>,
    headers: HeaderMap,
) -> Response {
    let of = match mailbox(&shared, &headers, (&user, METADATA_SCOPE)) {
        Ok(of) => of,
        Err(refused) => return *refused,
    };
    if asked.format != "metadata" {
        return refusal(StatusCode::FORBIDDEN, "forbidden", "Metadata scope doesn't allow format FULL");
    }
    let sent = locked(&shared.sent);
    let Some(one) = sent.get(&of).into_iter().flatten().find(|one| one.id == id) else {
        return refusal(StatusCode::NOT_FOUND, "notFound", "Requested entity was not found.");
    };
    let name = asked.metadata_headers;
    let header = one.mail().header(&name).map(|value| json!({ "name": name, "value": value }));
    let headers: Vec<Value> = header.into_iter().collect();
    Json(json!({ "id": one.id, "internalDate": one.at.timestamp_millis().to_string(), "payload": { "headers": headers } })).into_response()
}
