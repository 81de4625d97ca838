//! Rows in a Google spreadsheet (`/spreadsheets/{id}`, version 4); a sheet that is not there is made, with its header.

use async_trait::async_trait;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::channel::{Channel, Receipt, SendError};
use crate::google::{self, GoogleAccount};
use crate::http::{Answer, ClientError, base_url, url};
use crate::notice::Notice;
use crate::table::{Row, row};

const SCOPE: &str = "https://www.googleapis.com/auth/spreadsheets";

/// Which spreadsheet.
#[derive(Debug, Clone)]
pub struct SheetsOptions {
    /// `https://sheets.googleapis.com/v4`.
    pub base_url: String,
    /// The spreadsheet's id, as in its address; shared with the service account, which may edit.
    pub spreadsheet_id: String,
    /// As whom.
    pub account: GoogleAccount,
}

/// Appends one row a notice.
#[derive(Debug, Clone)]
pub struct SheetsChannel {
    options: SheetsOptions,
}

#[derive(Deserialize)]
struct Column {
    #[serde(default)]
    values: Vec<Vec<Value>>,
}

impl SheetsChannel {
    /// Connects to nobody yet.
    ///
    /// # Errors
    /// The base URL is none.
    pub fn new(mut options: SheetsOptions) -> Result<Self, ClientError> {
        options.base_url = base_url("Google Sheets' base URL", &options.base_url)?;
        Ok(Self { options })
    }

    async fn call(&self, method: Method, tail: &[&str], query: &[(&str, &str)], body: Option<&Value>) -> Result<Answer, SendError> {
        let segments: Vec<&str> = ["spreadsheets"].iter().chain(tail).copied().collect();
        let mut url = url(&self.options.base_url, &segments)?;
        for (name, value) in query {
            url.query_pairs_mut().append_pair(name, value);
        }
        let mut request = self.options.account.http().client().request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.options.account.run(SCOPE, request).await
    }

    /// The keys that are there; `None` if there is no such sheet.
    async fn keys(&self, table: &str) -> Result<Option<Vec<Value>>, SendError> {
        let range = format!("{table}!A:A");
        let answer =
            self.call(Method::GET, &[&self.options.spreadsheet_id, "values", &range], &[("majorDimension", "COLUMNS")], None).await?;
        if answer.status.is_success() {
            return Ok(Some(answer.json::<Column>()?.values.into_iter().next().unwrap_or_default()));
        }
        if google::is_about_a_range(&answer) { Ok(None) } else { Err(google::refusal(&answer)) }
    }

    async fn add_sheet(&self, table: &str) -> Result<(), SendError> {
        let batch = format!("{}:batchUpdate", self.options.spreadsheet_id);
        let body = json!({ "requests": [{ "addSheet": { "properties": { "title": table } } }] });
        let answer = self.call(Method::POST, &[&batch], &[], Some(&body)).await?;
        // Another process was faster.
        if answer.status.is_success() || google::is_there_already(&answer) { Ok(()) } else { Err(google::refusal(&answer)) }
    }

    /// Appends rows below whatever is there. RAW: a cell that begins with `=` stays text.
    async fn append(&self, table: &str, rows: &[Value]) -> Result<(), SendError> {
        let range = format!("{table}!A1:append");
        let query = [("valueInputOption", "RAW"), ("insertDataOption", "INSERT_ROWS")];
        let answer =
            self.call(Method::POST, &[&self.options.spreadsheet_id, "values", &range], &query, Some(&json!({ "values": rows }))).await?;
        if answer.status.is_success() { Ok(()) } else { Err(google::refusal(&answer)) }
    }
}

#[async_trait]
impl Channel for SheetsChannel {
    async fn send(&self, notice: &Notice) -> Result<Receipt, SendError> {
        let Row { table, header, cells } = row(notice).ok_or_else(|| SendError::lasting("not_for_this_channel"))?;
        let keys = match self.keys(table).await? {
            Some(keys) => keys,
            None => {
                self.add_sheet(table).await?;
                Vec::new()
            }
        };
        if !keys.iter().any(|key| key.as_str() == cells.first().map(String::as_str)) {
            let header = keys.is_empty().then(|| json!(header));
            let rows: Vec<Value> = header.into_iter().chain([json!(cells)]).collect();
            self.append(table, &rows).await?;
        }
        Ok(Receipt { provider_id: None, is_delivered: true })
    }
}
