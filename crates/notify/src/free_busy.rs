//! When calendars are taken (`POST /freeBusy`, Google Calendar version 3): times alone, nothing of what takes them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use crate::channel::SendError;
use crate::google::{self, GoogleAccount};
use crate::http::{ClientError, base_url, url};

const SCOPE: &str = "https://www.googleapis.com/auth/calendar.freebusy";
/// So many calendars are answered for in one request.
const CALENDARS_MAX: usize = 50;

/// Asks for busy times.
#[derive(Debug, Clone)]
pub struct FreeBusy {
    base_url: String,
    account: GoogleAccount,
}

#[derive(Deserialize)]
struct Answered {
    #[serde(default)]
    calendars: HashMap<String, Calendar>,
}

#[derive(Deserialize)]
struct Calendar {
    #[serde(default)]
    busy: Vec<Period>,
    #[serde(default)]
    errors: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Period {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

/// From the first moment to the one after the last.
pub type Taken = (DateTime<Utc>, DateTime<Utc>);

impl FreeBusy {
    /// Connects to nobody yet.
    ///
    /// # Errors
    /// The base URL is none.
    pub fn new(base: &str, account: GoogleAccount) -> Result<Self, ClientError> {
        Ok(Self { base_url: base_url("Google Calendar's base URL", base)?, account })
    }

    /// The busy times of calendars from one moment to another, at most two months. A calendar that cannot be read (it does not exist,
    /// or is not shared with the account) is missing from the answer.
    ///
    /// # Errors
    /// [`SendError`], when nothing can be said of any.
    pub async fn ask(
        &self,
        calendars: &[String],
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<HashMap<String, Vec<Taken>>, SendError> {
        let mut taken = HashMap::new();
        for some in calendars.chunks(CALENDARS_MAX) {
            let items: Vec<_> = some.iter().map(|id| json!({ "id": id })).collect();
            let body = json!({ "timeMin": from.to_rfc3339(), "timeMax": until.to_rfc3339(), "items": items });
            let request = self.account.http().client().post(url(&self.base_url, &["freeBusy"])?).json(&body);
            let answer = self.account.run(SCOPE, request).await?;
            if !answer.status.is_success() {
                return Err(google::refusal(&answer));
            }
            let readable = answer.json::<Answered>()?.calendars.into_iter().filter(|(_, calendar)| calendar.errors.is_empty());
            taken.extend(readable.map(|(id, calendar)| (id, calendar.busy.iter().map(|period| (period.start, period.end)).collect())));
        }
        Ok(taken)
    }
}
