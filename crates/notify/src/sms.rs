//! Text messages by Twilio's REST API (`POST /2010-04-01/Accounts/{sid}/Messages.json`).

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;

use crate::channel::{Channel, Receipt, SendError};
use crate::http::{ClientError, Http, base_url, form, url};
use crate::notice::Notice;
use crate::secret::Secret;
use crate::text;

/// So many messages to one number are looked through, newest first.
const LOOKED_THROUGH: u32 = 100;
/// Twilio's times are whole seconds, by its own clock.
const CLOCK_SLACK: TimeDelta = TimeDelta::seconds(30);

/// How to reach Twilio, and as whom.
#[derive(Debug, Clone)]
pub struct SmsOptions {
    /// `https://api.twilio.com`.
    pub base_url: String,
    /// `AC…`.
    pub account_sid: String,
    /// The account's token.
    pub auth_token: Secret,
    /// A number in E.164, or a messaging service (`MG…`).
    pub from: String,
}

/// Sends to the patient's number.
#[derive(Debug, Clone)]
pub struct SmsChannel {
    http: Http,
    options: SmsOptions,
}

#[derive(Deserialize)]
struct Message {
    sid: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    direction: String,
    #[serde(default)]
    status: String,
    /// RFC 2822.
    #[serde(default)]
    date_created: String,
}

#[derive(Deserialize)]
struct Page {
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Refused {
    code: Option<u32>,
}

impl SmsChannel {
    /// Connects to nobody yet.
    ///
    /// # Errors
    /// The base URL is none.
    pub fn new(mut options: SmsOptions) -> Result<Self, ClientError> {
        options.base_url = base_url("Twilio's base URL", &options.base_url)?;
        Ok(Self { http: Http::new()?, options })
    }

    fn messages(&self) -> Result<reqwest::Url, SendError> {
        url(&self.options.base_url, &["2010-04-01", "Accounts", &self.options.account_sid, "Messages.json"])
    }

    /// The id of this very message, if an earlier attempt has sent it.
    async fn find_sent(&self, to: &str, body: &str, since: DateTime<Utc>) -> Result<Option<String>, SendError> {
        let mut url = self.messages()?;
        url.query_pairs_mut().append_pair("To", to).append_pair("PageSize", &LOOKED_THROUGH.to_string());
        let request = self.http.client().get(url).basic_auth(&self.options.account_sid, Some(self.options.auth_token.expose()));
        let answer = self.http.run(request).await?;
        if !answer.status.is_success() {
            return Err(answer.refusal(None));
        }
        let is_it = |message: &Message| {
            // A trial account puts words of Twilio's in front.
            message.body.ends_with(body)
                && message.direction.starts_with("outbound")
                && !["failed", "undelivered", "canceled"].contains(&message.status.as_str())
                && DateTime::parse_from_rfc2822(&message.date_created).is_ok_and(|at| at >= since - CLOCK_SLACK)
        };
        let page: Page = answer.json()?;
        Ok(page.messages.into_iter().find(is_it).map(|message| message.sid))
    }
}

#[async_trait]
impl Channel for SmsChannel {
    async fn send(&self, notice: &Notice) -> Result<Receipt, SendError> {
        let to = notice.recipient.as_ref().ok_or_else(|| SendError::lasting("no_recipient"))?.expose();
        let body = text::to_patient(notice).ok_or_else(|| SendError::lasting("not_for_this_channel"))?;
        if notice.delivery.attempt > 1
            && let Some(sid) = self.find_sent(to, &body, notice.delivery.created_at).await?
        {
            return Ok(Receipt { provider_id: Some(sid), is_delivered: false });
        }
        let sender = if self.options.from.starts_with("MG") { "MessagingServiceSid" } else { "From" };
        let mut pairs = vec![("To", to.as_str()), (sender, self.options.from.as_str()), ("Body", body.as_str())];
        pairs.extend(notice.delivery.receipt_url.as_deref().map(|url| ("StatusCallback", url)));
        let request = self
            .http
            .client()
            .post(self.messages()?)
            .basic_auth(&self.options.account_sid, Some(self.options.auth_token.expose()))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form(&pairs));
        let answer = self.http.run(request).await?;
        if !answer.status.is_success() {
            let code = answer.json::<Refused>().ok().and_then(|refused| refused.code).map(|code| code.to_string());
            return Err(answer.refusal(code.as_deref()));
        }
        Ok(Receipt { provider_id: Some(answer.json::<Message>()?.sid), is_delivered: false })
    }
}
