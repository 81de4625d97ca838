//! `/twilio/status`: what became of a text message.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use frontdesk_clinic::TenantId;
use frontdesk_clinic::outbox::Delivered;
use frontdesk_notify::twilio::{SIGNATURE_HEADER, is_genuine};
use uuid::Uuid;

use super::Web;

/// The notice that the query names, as `notice=<tenant>.<id>`.
fn notice(query: &str) -> Option<(TenantId, Uuid)> {
    let (_, value) = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "notice")?;
    let (tenant, id) = value.split_once('.')?;
    Some((TenantId::new(tenant).ok()?, id.parse().ok()?))
}

/// What a status of Twilio's means; `None` for those on the way to one.
fn meaning(form: &[(String, String)]) -> Option<(&str, Delivered)> {
    let field = |name: &str| form.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
    let delivered = match field("MessageStatus")? {
        "delivered" | "read" => Delivered::Yes,
        "undelivered" | "failed" => Delivered::No(field("ErrorCode").and_then(|code| code.parse().ok())),
        _ => return None,
    };
    Some((field("MessageSid")?, delivered))
}

pub(super) async fn status(State(web): State<Arc<Web>>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let form: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
    let named = notice(uri.query().unwrap_or_default());
    let url = format!("{}{}", web.public_url.trim_end_matches('/'), uri.path_and_query().map_or("", |path| path.as_str()));
    let signature = headers.get(SIGNATURE_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !is_genuine(&web.twilio_token, &url, &form, signature) {
        tracing::warn!("a receipt without Twilio's signature is refused");
        if let Err(error) = web.receipts.refuse(named.as_ref().map(|(tenant, _)| tenant)).await {
            tracing::warn!(%error, "a refused receipt could not be written into the audit log");
        }
        return StatusCode::FORBIDDEN;
    }
    let (Some((tenant, id)), Some((sid, delivered))) = (named, meaning(&form)) else { return StatusCode::NO_CONTENT };
    match web.receipts.heed(&tenant, id, sid, delivered).await {
        Ok(_) => StatusCode::NO_CONTENT,
        Err(error) => {
            tracing::warn!(%error, %tenant, notice = %id, "a receipt could not be noted");
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_name_a_notice_or_nothing() {
        let id = Uuid::from_u128(1);
        let (tenant, found) = notice(&format!("a=b&notice=demo.{id}")).unwrap();
        assert_eq!((tenant.as_str(), found), ("demo", id));
        for bad in ["", "notice=", "notice=demo", "notice=demo.1", "notice=De%20mo.00000000-0000-0000-0000-000000000001"] {
            assert!(notice(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn only_the_end_of_a_way_has_a_meaning() {
        let form = |status: &str| {
            [("MessageSid", "SM1"), ("MessageStatus", status), ("ErrorCode", "30003")].map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec()
        };
        for (status, expected) in [
            ("delivered", Some(("SM1", Delivered::Yes))),
            ("undelivered", Some(("SM1", Delivered::No(Some(30003))))),
            ("failed", Some(("SM1", Delivered::No(Some(30003))))),
            ("sent", None),
            ("", None),
        ] {
            assert_eq!(meaning(&form(status)), expected, "{status}");
        }
    }
}
