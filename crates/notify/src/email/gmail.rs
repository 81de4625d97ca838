//! By Gmail's API (`users.messages.send`, version 1), as the sender's own mailbox.
//!
//! It takes no key. From the second attempt on, the mails that the mailbox has sent since the notice was made are looked through for
//! the notice's own header, newest first. That needs the scope `gmail.metadata`, which shows headers and no words; a search by
//! `Message-ID` would need one that reads the whole mailbox.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use chrono::{DateTime, TimeDelta, Utc};
use lettre::Message;
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::json;

use super::letter::KEY_HEADER;
use crate::channel::{Receipt, SendError};
use crate::google::{self, GoogleAccount};
use crate::http::{Answer, ClientError, base_url, url};
use crate::notice::Delivery;

const SEND_SCOPE: &str = "https://www.googleapis.com/auth/gmail.send";
const LOOK_SCOPE: &str = "https://www.googleapis.com/auth/gmail.metadata";
/// So many mails are looked through at most.
const LOOKED_THROUGH: usize = 25;
/// Google's clock is not ours.
const CLOCK_SLACK: TimeDelta = TimeDelta::seconds(30);

/// A mailbox at Gmail.
#[derive(Debug, Clone)]
pub(super) struct Gmail {
    base_url: String,
    account: GoogleAccount,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    messages: Vec<Sent>,
}

#[derive(Deserialize)]
struct Sent {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    /// Milliseconds since 1970, as text.
    internal_date: String,
    #[serde(default)]
    payload: Payload,
}

#[derive(Default, Deserialize)]
struct Payload {
    #[serde(default)]
    headers: Vec<Header>,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: String,
}

impl Seen {
    fn at(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(self.internal_date.parse().ok()?)
    }

    fn is_of(&self, key: &str) -> bool {
        self.payload.headers.iter().any(|header| header.name.eq_ignore_ascii_case(KEY_HEADER) && header.value == key)
    }
}

impl Gmail {
    /// `sender`: the mailbox's address, as which the account acts.
    pub(super) fn new(base: &str, account: &GoogleAccount, sender: &str) -> Result<Self, ClientError> {
        Ok(Self { base_url: base_url("Gmail's base URL", base)?, account: account.acting_as(sender) })
    }

    pub(super) async fn send(&self, message: &Message, delivery: &Delivery) -> Result<Receipt, SendError> {
        if delivery.attempt > 1
            && let Some(id) = self.find_sent(delivery).await?
        {
            return Ok(Receipt { provider_id: Some(id), is_delivered: false });
        }
        let body = json!({ "raw": URL_SAFE.encode(message.formatted()) });
        let request = self.account.http().client().request(Method::POST, self.url(&["send"])?).json(&body);
        let answer = self.account.run(SEND_SCOPE, request).await?;
        if !answer.status.is_success() {
            return Err(google::refusal(&answer));
        }
        Ok(Receipt { provider_id: Some(answer.json::<Sent>()?.id), is_delivered: false })
    }

    /// The id of this very mail, if an earlier attempt has sent it.
    async fn find_sent(&self, delivery: &Delivery) -> Result<Option<String>, SendError> {
        let mut list = self.url(&[])?;
        list.query_pairs_mut().append_pair("labelIds", "SENT").append_pair("maxResults", &LOOKED_THROUGH.to_string());
        let listed: Listed = self.look(list).await?.json()?;
        for Sent { id } in listed.messages.into_iter().take(LOOKED_THROUGH) {
            let mut one = self.url(&[&id])?;
            one.query_pairs_mut().append_pair("format", "metadata").append_pair("metadataHeaders", KEY_HEADER);
            let seen: Seen = self.look(one).await?.json()?;
            if seen.is_of(&delivery.key) {
                return Ok(Some(id));
            }
            if seen.at().is_some_and(|at| at < delivery.created_at - CLOCK_SLACK) {
                break;
            }
        }
        Ok(None)
    }

    async fn look(&self, url: Url) -> Result<Answer, SendError> {
        let answer = self.account.run(LOOK_SCOPE, self.account.http().client().request(Method::GET, url)).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(google::refusal(&answer)) }
    }

    fn url(&self, tail: &[&str]) -> Result<Url, SendError> {
        let segments: Vec<&str> = ["users", "me", "messages"].into_iter().chain(tail.iter().copied()).collect();
        url(&self.base_url, &segments)
    }
}
