//! A text message's whole way: booked, sent to Twilio, called back, noted. And every way to forge the call-back.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use frontdesk_clinic::booking::{BookingWish, Settled};
use frontdesk_clinic::config::{SmsNotices, import, load_tenant};
use frontdesk_clinic::outbox::{Channels, Dispatcher, DispatcherOptions, NoticeStatus, Receipts};
use frontdesk_clinic::{ClinicStore, Clock, CommitKey, Database, DatabaseOptions, Keyring, PhoneNumber, TenantId, local_time, migrate};
use frontdesk_notify::{Channel, ChannelKind, Event, Field, Secret, SmsChannel, SmsOptions};
use frontdesk_simulators::receivers::{SentMessage, Twilio, twilio_signature};
use frontdesk_simulators::stack;
use frontdesk_web::{TWILIO_STATUS_PATH, Web, router};
use tokio::net::TcpListener;

const ACCOUNT: &str = "AC00000000000000000000000000000000";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

struct Stage {
    clinic: ClinicStore,
    twilio: Twilio,
    /// As Twilio knows it.
    sent: SentMessage,
    /// Dropped last.
    database: stack::Database,
}

impl Stage {
    /// One appointment booked, its text message sent.
    async fn set() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../agent-config/demo").canonicalize().unwrap();
        let mut tenant = load_tenant(&folder).unwrap();
        tenant.notifications.csv = None;
        let on = vec![Event::AppointmentBooked];
        tenant.notifications.sms = Some(SmsNotices { from: "+15550100".into(), on, fields: vec![Field::Code] });
        let tenant = Arc::new(tenant);
        let database = stack::Database::scratch().await.unwrap();
        migrate(&database.url()).await.unwrap();
        import(&database.url(), &tenant).await.unwrap();
        let pool = Database::open(&DatabaseOptions::new(database.url())).unwrap();
        let keys = Arc::new(Keyring::from_master([7; 32]));
        let clinic = ClinicStore::new(pool.clone(), Arc::clone(&keys), tenant.id.clone())
            .with_clock(Clock::Fixed("2026-11-30T12:00:00Z".parse().unwrap()))
            .with_notices(&tenant);

        let twilio = Twilio::start(ACCOUNT, TOKEN).await.unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let public_url = format!("http://{}", listener.local_addr().unwrap());
        let web = Web { receipts: Receipts::new(pool.clone()), twilio_token: Secret::new(TOKEN), public_url: public_url.clone() };
        tokio::spawn(async move { axum::serve(listener, router(web)).await });

        book(&clinic).await;
        let options = SmsOptions {
            base_url: twilio.base_url(),
            account_sid: ACCOUNT.into(),
            auth_token: Secret::new(TOKEN),
            from: "+15550100".into(),
        };
        let sms = Arc::new(SmsChannel::new(options).unwrap()) as Arc<dyn Channel>;
        let channels: Channels = HashMap::from([(TenantId::new("demo").unwrap(), HashMap::from([(ChannelKind::Sms, sms)]))]);
        let options = DispatcherOptions { receipt_url: Some(format!("{public_url}{TWILIO_STATUS_PATH}")), ..DispatcherOptions::default() };
        assert_eq!(Dispatcher::new(pool, keys, channels, options).round().await.unwrap().sent, 1);
        let sent = twilio.messages().remove(0);
        Self { clinic, twilio, sent, database }
    }

    async fn status(&self) -> NoticeStatus {
        self.clinic.notices(&[]).await.unwrap()[0].status
    }

    async fn refusals(&self) -> i64 {
        let pool = sqlx::PgPool::connect(&self.database.url()).await.unwrap();
        let count = "SELECT count(*) FROM audit_events WHERE action = 'webhook.refused'";
        sqlx::query_scalar(count).fetch_one(&pool).await.unwrap()
    }

    async fn post(&self, url: &str, form: &[(String, String)], signature: Option<&str>) -> u16 {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = reqwest::Client::new().post(url).header("content-type", "application/x-www-form-urlencoded").body(body);
        if let Some(signature) = signature {
            request = request.header("x-twilio-signature", signature);
        }
        request.send().await.unwrap().status().as_u16()
    }
}

async fn book(clinic: &ClinicStore) {
    let wish = BookingWish {
        start: local_time::parse("2026-12-01T09:00", "America/New_York".parse().unwrap()).unwrap(),
        duration_minutes: 30,
        practitioner: None,
        service: None,
        location: None,
        department: None,
        patient_name: "Jane Miller".to_owned().into(),
        phone: PhoneNumber::parse("+12025550143", "1").unwrap(),
    };
    let prepared = clinic.prepare_booking("call", &wish).await.unwrap();
    let key = CommitKey { call_id: "call".into(), confirmation_id: "c1".into() };
    assert!(matches!(clinic.commit_booking(&key, &prepared.booking).await.unwrap(), Settled::Done(_)));
}

#[tokio::test]
async fn a_receipt_settles_its_notice_once() {
    let stage = Stage::set().await;
    assert_eq!(stage.status().await, NoticeStatus::Sent);
    for (status, expected) in [("sent", NoticeStatus::Sent), ("delivered", NoticeStatus::Delivered), ("delivered", NoticeStatus::Delivered)]
    {
        assert_eq!(stage.twilio.call_back(&stage.sent, status, None).await.unwrap(), 204, "{status}");
        assert_eq!(stage.status().await, expected);
    }
    assert_eq!(stage.twilio.call_back(&stage.sent, "failed", Some(30003)).await.unwrap(), 204);
    assert_eq!(stage.status().await, NoticeStatus::Delivered, "what has arrived is not unsaid");
    assert_eq!(stage.refusals().await, 0);
}

#[tokio::test]
async fn a_message_that_could_not_be_delivered_says_so() {
    let stage = Stage::set().await;
    assert_eq!(stage.twilio.call_back(&stage.sent, "undelivered", Some(30003)).await.unwrap(), 204);
    let listed = stage.clinic.notices(&[NoticeStatus::Failed]).await.unwrap().remove(0);
    assert_eq!(listed.last_error.as_deref(), Some("undelivered.30003"));
}

#[tokio::test]
async fn what_twilio_did_not_sign_has_no_effect_and_is_written_down() {
    let stage = Stage::set().await;
    let url = stage.sent.status_callback.clone().unwrap();
    let (form, signature) = stage.twilio.callback(&stage.sent, "delivered", None);
    let mut altered = form.clone();
    altered[3].1.push('0');
    let mut added = form.clone();
    added.push(("Extra".into(), "1".into()));
    let other_url = format!("{url}&x=1");
    let forged = twilio_signature("another token", &url, &form);
    for (what, url, form, signature) in [
        ("no signature", &url, &form, None),
        ("an empty one", &url, &form, Some("")),
        ("another key's", &url, &form, Some(forged.as_str())),
        ("another address", &other_url, &form, Some(signature.as_str())),
        ("an altered value", &url, &altered, Some(signature.as_str())),
        ("an added value", &url, &added, Some(signature.as_str())),
    ] {
        assert_eq!(stage.post(url, form, signature).await, 403, "{what}");
        assert_eq!(stage.status().await, NoticeStatus::Sent, "{what}");
    }
    assert_eq!(stage.refusals().await, 6);
    let nowhere = url.replace("demo.", "nobody.");
    assert_eq!(stage.post(&nowhere, &form, None).await, 403);
    assert_eq!(stage.refusals().await, 6, "a tenant that does not exist has no audit log");
    assert_eq!(stage.post(&url, &form, Some(&signature)).await, 204, "the genuine one is heeded all the same");
    assert_eq!(stage.status().await, NoticeStatus::Delivered);
}
