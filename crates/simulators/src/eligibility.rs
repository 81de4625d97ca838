//! A clearing house that answers inquiries about insurance: X12 270/271 as JSON, on a local port.
//!
//! It knows the members that it is told of, wants its key, and can be made to fail, to hang, and to talk nonsense.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What an insurer says of one procedure of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Benefit {
    /// Covered, with a co-payment as the wire has it, "25.00".
    Covered {
        /// What the patient pays.
        copay: &'static str,
    },
    /// Not covered.
    NotCovered,
}

/// A member of an insurer.
#[derive(Debug, Clone, Default)]
pub struct Member {
    /// Whether the insurance is in force.
    pub is_active: bool,
    /// By procedure code; of others nothing is said.
    pub benefits: HashMap<&'static str, Benefit>,
}

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mood {
    /// As it shall.
    #[default]
    Well,
    /// With HTTP status 500.
    Fails,
    /// Never.
    Hangs,
    /// With something that is no 271.
    Babbles,
    /// That the insurer cannot answer now (AAA03 code 42).
    InsurerIsAway,
}

#[derive(Debug, Default)]
struct Shared {
    key: String,
    members: HashMap<String, Member>,
    mood: Mutex<Mood>,
    asked: AtomicU32,
    last: Mutex<Option<Value>>,
}

/// A running clearing house; ends when it is dropped.
#[derive(Debug)]
pub struct ClearingHouse {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl ClearingHouse {
    /// Listens on a free port of 127.0.0.1; `members` by the number on their card.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start(key: &str, members: HashMap<String, Member>) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { key: key.into(), members, ..Shared::default() });
        let app = Router::new().route("/eligibility", post(answer)).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!("the simulated clearing house ended: {error}");
            }
        });
        Ok(Self { address, shared, server })
    }

    /// To which inquiries are posted.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/eligibility", self.address)
    }

    /// How it answers from now on.
    pub fn set_mood(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// How many inquiries came, whatever became of them.
    #[must_use]
    pub fn asked(&self) -> u32 {
        self.shared.asked.load(Ordering::Relaxed)
    }

    /// The last inquiry that carried the right key.
    #[must_use]
    pub fn last(&self) -> Option<Value> {
        self.shared.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for ClearingHouse {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap, Json(inquiry): Json<Value>) -> Response {
    shared.asked.fetch_add(1, Ordering::Relaxed);
    let given = headers.get("authorization").and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("Key "));
    if given != Some(shared.key.as_str()) {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "message": "Unauthorized" }))).into_response();
    }
    *shared.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(inquiry.clone());
    let mood = *shared.mood.lock().unwrap_or_else(PoisonError::into_inner);
    match mood {
        Mood::Well => Json(benefits(&shared, &inquiry)).into_response(),
        Mood::Fails => (StatusCode::INTERNAL_SERVER_ERROR, "out of order").into_response(),
        Mood::Hangs => std::future::pending().await,
        Mood::Babbles => "<html>busy</html>".into_response(),
        Mood::InsurerIsAway => {
            Json(json!({ "errors": [{ "code": "42", "description": "Unable to Respond at Current Time" }] })).into_response()
        }
    }
}

fn benefits(shared: &Shared, inquiry: &Value) -> Value {
    let text = |pointer: &str| inquiry.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let Some(member) = shared.members.get(text("/subscriber/memberId")) else {
        return json!({ "errors": [{ "code": "75", "description": "Subscriber/Insured Not Found" }] });
    };
    let (code, name) = if member.is_active { ("1", "Active Coverage") } else { ("6", "Inactive") };
    let mut all = vec![json!({ "code": code, "name": name, "serviceTypeCodes": ["30"] })];
    let procedure = text("/encounter/procedureCode");
    let of_procedure = |code: &str, name: &str, amount: Option<&str>| {
        json!({
            "code": code, "name": name, "benefitAmount": amount, "inPlanNetworkIndicatorCode": "Y",
            "compositeMedicalProcedureIdentifier": { "productOrServiceIDQualifierCode": "HC", "procedureCode": procedure },
        })
    };
    match member.benefits.get(procedure) {
        Some(Benefit::Covered { copay }) => all.push(of_procedure("B", "Co-Payment", Some(copay))),
        Some(Benefit::NotCovered) => all.push(of_procedure("I", "Non-Covered", None)),
        None => {}
    }
    json!({ "subscriber": { "memberId": text("/subscriber/memberId") }, "benefitsInformation": all })
}
