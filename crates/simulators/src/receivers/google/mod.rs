//! Google's token endpoint for service accounts, Calendar (version 3, events), Sheets (version 4, values and new sheets) and Gmail
//! (version 1, sending and looking at what was sent).

mod gmail;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{Fault, Faults, Mail, Server, locked};

/// Whose key it is.
const EMAIL: &str = "frontdesk@clinic.iam.gserviceaccount.com";
const CALENDAR_SCOPE: &str = "https://www.googleapis.com/auth/calendar.events";
const FREE_BUSY_SCOPE: &str = "https://www.googleapis.com/auth/calendar.freebusy";
const SHEETS_SCOPE: &str = "https://www.googleapis.com/auth/spreadsheets";

/// An event as the calendar has it.
pub type CalendarEvent = Value;

/// From the first moment to the one after the last.
type Period = (DateTime<Utc>, DateTime<Utc>);

/// The cells of a sheet, row by row.
type Rows = Vec<Vec<String>>;

#[derive(Debug)]
struct Shared {
    public_key: Vec<u8>,
    faults: Faults,
    /// Token → what it is good for.
    tokens: Mutex<HashMap<String, Granted>>,
    /// Calendar → event's id → event.
    events: Mutex<BTreeMap<(String, String), CalendarEvent>>,
    /// Spreadsheet → sheet → rows.
    sheets: Mutex<BTreeMap<(String, String), Rows>>,
    /// Mailbox → what was sent from it, oldest first.
    sent: Mutex<BTreeMap<String, Vec<gmail::Sent>>>,
    /// Calendar → when it is taken, by what its owner wrote into it himself.
    taken: Mutex<BTreeMap<String, Vec<Period>>>,
}

/// What a token is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Granted {
    scope: String,
    /// As which user, if not as the account itself.
    user: Option<String>,
}

/// The services.
#[derive(Debug)]
pub struct Google {
    server: Server,
    shared: Arc<Shared>,
    private_key: Vec<u8>,
}

impl Google {
    /// Listens on a free port, with one service account whose key is made now.
    ///
    /// # Errors
    /// There is no port, or no randomness.
    pub async fn start() -> std::io::Result<Self> {
        let unspecified = |_| std::io::Error::other("no key could be made");
        let key = KeyPair::generate(KeySize::Rsa2048).map_err(unspecified)?;
        let private_key = key.as_der().map_err(unspecified)?.as_ref().to_vec();
        let shared = Arc::new(Shared {
            public_key: key.public_key().as_ref().to_vec(),
            faults: Faults::default(),
            tokens: Mutex::default(),
            events: Mutex::default(),
            sheets: Mutex::default(),
            sent: Mutex::default(),
            taken: Mutex::default(),
        });
        let router = Router::new()
            .route("/token", post(token))
            .route("/calendar/v3/freeBusy", post(free_busy))
            .route("/calendar/v3/calendars/{calendar}/events", post(insert))
            .route("/calendar/v3/calendars/{calendar}/events/{event}", patch(change).delete(delete))
            .route("/v4/spreadsheets/{document}", post(batch_update))
            .route("/v4/spreadsheets/{document}/values/{range}", get(column).post(append))
            .merge(gmail::routes())
            .with_state(Arc::clone(&shared));
        Ok(Self { server: Server::http(router).await?, shared, private_key })
    }

    /// The JSON key file of the service account.
    #[must_use]
    pub fn service_account(&self) -> String {
        let text = STANDARD.encode(&self.private_key);
        let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        let kind = "PRIVATE KEY";
        json!({
            "type": "service_account", "project_id": "clinic", "private_key_id": "1", "client_email": EMAIL,
            "private_key": format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n")),
            "token_uri": format!("http://{}/token", self.server.address),
        })
        .to_string()
    }

    /// Base URL of Calendar.
    #[must_use]
    pub fn calendar_url(&self) -> String {
        format!("http://{}/calendar/v3", self.server.address)
    }

    /// Base URL of Sheets.
    #[must_use]
    pub fn sheets_url(&self) -> String {
        format!("http://{}/v4", self.server.address)
    }

    /// Base URL of Gmail.
    #[must_use]
    pub fn gmail_url(&self) -> String {
        format!("http://{}/gmail/v1", self.server.address)
    }

    /// What was sent from a mailbox, oldest first.
    #[must_use]
    pub fn sent_from(&self, mailbox: &str) -> Vec<Mail> {
        locked(&self.shared.sent).get(mailbox).into_iter().flatten().map(gmail::Sent::mail).collect()
    }

    /// Fails so, one fault a request that changes something, after those that are planned already.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.faults.plan(faults);
    }

    /// Waits until a request hangs.
    pub async fn hung(&self) {
        self.shared.faults.hung.notified().await;
    }

    /// Withdraws every token that was given.
    pub fn revoke_tokens(&self) {
        locked(&self.shared.tokens).clear();
    }

    /// Marks a time of a calendar as taken; the calendar can be asked for busy times from then on.
    pub fn take(&self, calendar: &str, from: DateTime<Utc>, until: DateTime<Utc>) {
        locked(&self.shared.taken).entry(calendar.to_owned()).or_default().push((from, until));
    }

    /// The events of a calendar, cancelled ones included.
    #[must_use]
    pub fn events(&self, calendar: &str) -> Vec<CalendarEvent> {
        locked(&self.shared.events).iter().filter(|((of, _), _)| of == calendar).map(|(_, event)| event.clone()).collect()
    }

    /// The rows of a sheet; `None` if there is no such sheet.
    #[must_use]
    pub fn rows(&self, document: &str, sheet: &str) -> Option<Vec<Vec<String>>> {
        locked(&self.shared.sheets).get(&(document.to_owned(), sheet.to_owned())).cloned()
    }
}

fn refusal(status: StatusCode, reason: &str, message: &str) -> Response {
    let errors = json!([{ "domain": "global", "reason": reason, "message": message }]);
    (status, Json(json!({ "error": { "code": status.as_u16(), "message": message, "errors": errors } }))).into_response()
}

fn insufficient() -> Response {
    refusal(StatusCode::FORBIDDEN, "insufficientPermissions", "Request had insufficient authentication scopes.")
}

fn unauthorised() -> Response {
    refusal(StatusCode::UNAUTHORIZED, "authError", "Invalid Credentials")
}

impl Shared {
    /// What the token of a request is good for.
    fn granted(&self, headers: &HeaderMap) -> Option<Granted> {
        let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
        locked(&self.tokens).get(given).cloned()
    }

    /// The refusal of a request without the right token.
    fn refuse(&self, headers: &HeaderMap, scope: &str) -> Option<Response> {
        match self.granted(headers) {
            Some(granted) if granted.scope == scope && granted.user.is_none() => None,
            Some(_) => Some(insufficient()),
            None => Some(unauthorised()),
        }
    }

    /// What an assertion asks for, if it is signed and valid.
    fn asked(&self, assertion: &str) -> Option<Granted> {
        let (signed, signature) = assertion.rsplit_once('.')?;
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public_key);
        key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        let part = |text: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(text).ok()?).ok();
        let (head, claims) = signed.split_once('.').and_then(|(head, claims)| Some((part(head)?, part(claims)?)))?;
        let now = Utc::now().timestamp();
        let (issued, until) = (claims["iat"].as_i64()?, claims["exp"].as_i64()?);
        let is_valid = head["alg"] == "RS256"
            && claims["iss"] == EMAIL
            && claims["aud"].as_str().is_some_and(|audience| audience.ends_with("/token"))
            && issued <= now + 60
            && until > now
            && until - issued <= 3600;
        let scope = claims["scope"].as_str().filter(|_| is_valid)?.to_owned();
        Some(Granted { scope, user: claims["sub"].as_str().map(String::from) })
    }
}

async fn token(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let form: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    let is_grant = form.get("grant_type").is_some_and(|grant| grant == "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let Some(granted) = form.get("assertion").filter(|_| is_grant).and_then(|assertion| shared.asked(assertion)) else {
        let fault = json!({ "error": "invalid_grant", "error_description": "Invalid JWT" });
        return (StatusCode::BAD_REQUEST, Json(fault)).into_response();
    };
    let token = format!("ya29.{}", uuid::Uuid::now_v7().simple());
    locked(&shared.tokens).insert(token.clone(), granted);
    Json(json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer" })).into_response()
}

async fn insert(
    State(shared): State<Arc<Shared>>,
    Path(calendar): Path<String>,
    headers: HeaderMap,
    Json(event): Json<CalendarEvent>,
) -> Response {
    if let Some(refused) = shared.refuse(&headers, CALENDAR_SCOPE) {
        return refused;
    }
    let id = event["id"].as_str().unwrap_or_default().to_owned();
    let is_id = (5..=1024).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'v').contains(&byte));
    if !is_id || event["start"]["dateTime"].is_null() || event["end"]["dateTime"].is_null() {
        return refusal(StatusCode::BAD_REQUEST, "invalid", "Invalid resource id value.");
    }
    let effect = || {
        let mut events = locked(&shared.events);
        if events.contains_key(&(calendar.clone(), id.clone())) {
            return refusal(StatusCode::CONFLICT, "duplicate", "The requested identifier already exists.");
        }
        events.insert((calendar, id), event.clone());
        Json(event).into_response()
    };
    shared.faults.answer(effect).await
}

async fn change(
    State(shared): State<Arc<Shared>>,
    Path(place): Path<(String, String)>,
    headers: HeaderMap,
    Json(changes): Json<Value>,
) -> Response {
    if let Some(refused) = shared.refuse(&headers, CALENDAR_SCOPE) {
        return refused;
    }
    let effect = || match locked(&shared.events).get_mut(&place) {
        None => refusal(StatusCode::NOT_FOUND, "notFound", "Not Found"),
        Some(event) => {
            for (key, value) in changes.as_object().into_iter().flatten() {
                event[key.as_str()] = value.clone();
            }
            Json(event.clone()).into_response()
        }
    };
    shared.faults.answer(effect).await
}

async fn delete(State(shared): State<Arc<Shared>>, Path(place): Path<(String, String)>, headers: HeaderMap) -> Response {
    if let Some(refused) = shared.refuse(&headers, CALENDAR_SCOPE) {
        return refused;
    }
    let effect = || match locked(&shared.events).get_mut(&place) {
        None => refusal(StatusCode::NOT_FOUND, "notFound", "Not Found"),
        Some(event) if event["status"] == "cancelled" => refusal(StatusCode::GONE, "deleted", "Resource has been deleted"),
        Some(event) => {
            event["status"] = "cancelled".into();
            StatusCode::NO_CONTENT.into_response()
        }
    };
    shared.faults.answer(effect).await
}

async fn free_busy(State(shared): State<Arc<Shared>>, headers: HeaderMap, Json(asked): Json<Value>) -> Response {
    if let Some(refused) = shared.refuse(&headers, FREE_BUSY_SCOPE) {
        return refused;
    }
    let moment = |key: &str| asked[key].as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok());
    let (Some(from), Some(until)) = (moment("timeMin"), moment("timeMax")) else {
        return refusal(StatusCode::BAD_REQUEST, "required", "Missing timeMin or timeMax.");
    };
    if until - from > TimeDelta::days(62) {
        return refusal(StatusCode::BAD_REQUEST, "timeRangeTooLong", "The requested time range is too long.");
    }
    let effect = || {
        let all = locked(&shared.taken);
        let calendar = |id: &str| match all.get(id) {
            None => json!({ "errors": [{ "domain": "global", "reason": "notFound" }], "busy": [] }),
            Some(taken) => {
                let busy = taken.iter().filter(|(start, end)| *start < until && *end > from);
                json!({ "busy": busy.map(|(start, end)| json!({ "start": start, "end": end })).collect::<Vec<_>>() })
            }
        };
        let ids = asked["items"].as_array().into_iter().flatten().filter_map(|item| item["id"].as_str());
        let calendars: serde_json::Map<String, Value> = ids.map(|id| (id.to_owned(), calendar(id))).collect();
        Json(json!({ "kind": "calendar#freeBusy", "calendars": calendars })).into_response()
    };
    shared.faults.answer(effect).await
}

async fn batch_update(
    State(shared): State<Arc<Shared>>,
    Path(target): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    if let Some(refused) = shared.refuse(&headers, SHEETS_SCOPE) {
        return refused;
    }
    let title = body["requests"][0]["addSheet"]["properties"]["title"].as_str();
    let (Some((document, "batchUpdate")), Some(title)) = (target.split_once(':'), title) else {
        return refusal(StatusCode::BAD_REQUEST, "badRequest", "Invalid JSON payload received.");
    };
    let place = (document.to_owned(), title.to_owned());
    let effect = || {
        let mut sheets = locked(&shared.sheets);
        if sheets.contains_key(&place) {
            let message = format!("Invalid requests[0].addSheet: A sheet with the name \"{}\" already exists.", place.1);
            return refusal(StatusCode::BAD_REQUEST, "badRequest", &message);
        }
        sheets.insert(place, Vec::new());
        Json(json!({ "replies": [{}] })).into_response()
    };
    shared.faults.answer(effect).await
}

fn no_range(range: &str) -> Response {
    refusal(StatusCode::BAD_REQUEST, "badRequest", &format!("Unable to parse range: {range}"))
}

async fn column(State(shared): State<Arc<Shared>>, Path((document, range)): Path<(String, String)>, headers: HeaderMap) -> Response {
    if let Some(refused) = shared.refuse(&headers, SHEETS_SCOPE) {
        return refused;
    }
    let sheet = range.strip_suffix("!A:A").map(str::to_owned);
    let rows = sheet.and_then(|sheet| locked(&shared.sheets).get(&(document, sheet)).cloned());
    let Some(rows) = rows else { return no_range(&range) };
    let keys: Vec<&String> = rows.iter().filter_map(|row| row.first()).collect();
    // An empty range has no `values` at all.
    let mut answer = json!({ "range": range, "majorDimension": "COLUMNS" });
    if !keys.is_empty() {
        answer["values"] = json!([keys]);
    }
    Json(answer).into_response()
}

async fn append(
    State(shared): State<Arc<Shared>>,
    Path((document, range)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    if let Some(refused) = shared.refuse(&headers, SHEETS_SCOPE) {
        return refused;
    }
    let sheet = range.strip_suffix("!A1:append").unwrap_or_default().to_owned();
    let Ok(rows) = serde_json::from_value::<Vec<Vec<String>>>(body["values"].clone()) else {
        return refusal(StatusCode::BAD_REQUEST, "badRequest", "Invalid values");
    };
    let effect = || match locked(&shared.sheets).get_mut(&(document, sheet)) {
        None => no_range(&range),
        Some(kept) => {
            kept.extend(rows);
            Json(json!({ "updates": {} })).into_response()
        }
    };
    shared.faults.answer(effect).await
}
