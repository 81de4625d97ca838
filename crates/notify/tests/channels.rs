//! Each channel against its simulated receiver: what arrives, and that a repetition after any fault arrives once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use chrono::{TimeDelta, Utc};
use frontdesk_notify::{
    CalendarChannel, CalendarOptions, Carrier, Channel, EmailChannel, EmailOptions, Event, FreeBusy, GoogleAccount, Notice, Readers,
    Secret, SendError, SheetsChannel, SheetsOptions, SmsChannel, SmsOptions, WebhookChannel, twilio, webhook_signature,
};
use frontdesk_simulators::receivers::{Fault, Google, MailServer, Twilio, Webhook, twilio_signature};
use serde_json::json;

const ACCOUNT: &str = "AC00000000000000000000000000000000";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn notice() -> Notice {
    let mut notice: Notice = serde_json::from_value(json!({
        "event": "appointment_booked", "language": "es", "clinic": "Lakeside", "zone": "America/New_York", "recipient": "+12025550143",
        "appointment": {"id": "0194d5f0-0000-7000-8000-000000000001", "revision": 0, "start": "2026-12-01T14:00:00Z",
            "duration_minutes": 30, "code": "K7M2X9", "name": "Jane Müller", "service": "check-up"},
    }))
    .unwrap();
    notice.delivery.key = "0194d5f0-0000-7000-8000-00000000000a".into();
    notice.delivery.attempt = 1;
    notice.delivery.created_at = Utc::now();
    notice.delivery.receipt_url = Some("https://desk.example/twilio/status?notice=demo.1".into());
    notice
}

/// The same notice in its n-th attempt.
fn attempt(n: u32) -> Notice {
    let mut notice = notice();
    notice.delivery.attempt = n;
    notice
}

fn of(event: Event, revision: u32, start: &str) -> Notice {
    let mut notice = notice();
    notice.event = event;
    let appointment = notice.appointment.as_mut().unwrap();
    (appointment.revision, appointment.start) = (revision, start.parse().unwrap());
    notice
}

fn code(result: Result<frontdesk_notify::Receipt, SendError>) -> (String, bool) {
    let error = result.unwrap_err();
    (error.code, error.is_retryable)
}

async fn sms() -> (Twilio, SmsChannel) {
    let twilio = Twilio::start(ACCOUNT, TOKEN).await.unwrap();
    let channel = sms_to(&twilio, TOKEN);
    (twilio, channel)
}

fn sms_to(twilio: &Twilio, token: &str) -> SmsChannel {
    let options =
        SmsOptions { base_url: twilio.base_url(), account_sid: ACCOUNT.into(), auth_token: Secret::new(token), from: "+15550100".into() };
    SmsChannel::new(options).unwrap()
}

#[tokio::test]
async fn a_text_message_is_sent_with_the_address_of_its_receipt() {
    let (twilio, channel) = sms().await;
    let receipt = channel.send(&notice()).await.unwrap();
    let sent = twilio.messages().remove(0);
    assert_eq!((receipt.provider_id, receipt.is_delivered), (Some(sent.sid.clone()), false));
    assert_eq!((sent.to.as_str(), sent.from.as_str()), ("+12025550143", "+15550100"));
    assert!(sent.body.starts_with("Lakeside: su cita es el martes 1 de diciembre de 2026, 9:00"), "{}", sent.body);
    assert_eq!(sent.status_callback, notice().delivery.receipt_url);
}

#[tokio::test]
async fn a_text_message_whose_answer_was_lost_is_found_and_not_sent_again() {
    let (twilio, channel) = sms().await;
    twilio.fail([Fault::Status(503), Fault::StatusAfter(502)]);
    assert_eq!(code(channel.send(&notice()).await), ("http.503".into(), true));
    assert_eq!(code(channel.send(&attempt(2)).await), ("http.502".into(), true));
    let receipt = channel.send(&attempt(3)).await.unwrap();
    let sent = twilio.messages();
    assert_eq!(sent.len(), 1);
    assert_eq!(receipt.provider_id.as_ref(), Some(&sent[0].sid));
    // The same words of an hour later are another message; so is one after a message that could not be delivered.
    let mut later = attempt(2);
    later.delivery.created_at += TimeDelta::hours(1);
    channel.send(&later).await.unwrap();
    assert_eq!(twilio.messages().len(), 2);
}

#[tokio::test]
async fn what_twilio_refuses_keeps_twilios_number_and_no_word() {
    let (twilio, channel) = sms().await;
    let mut nobody = notice();
    nobody.recipient = Some("12".to_owned().into());
    assert_eq!(code(channel.send(&nobody).await), ("http.400.21211".into(), false));
    assert_eq!(code(sms_to(&twilio, "wrong").send(&notice()).await), ("http.401.20003".into(), false));
    nobody.recipient = None;
    assert_eq!(code(channel.send(&nobody).await), ("no_recipient".into(), false));
    let nowhere = SmsOptions {
        base_url: "http://127.0.0.1:1".into(),
        account_sid: ACCOUNT.into(),
        auth_token: Secret::new(TOKEN),
        from: "+15550100".into(),
    };
    assert_eq!(code(SmsChannel::new(nowhere).unwrap().send(&notice()).await), ("unreachable".into(), true));
}

#[tokio::test]
async fn a_callback_is_signed_as_ours_expects() {
    let (twilio, channel) = sms().await;
    channel.send(&notice()).await.unwrap();
    let sent = twilio.messages().remove(0);
    let (form, signature) = twilio.callback(&sent, "delivered", None);
    let url = sent.status_callback.unwrap();
    assert!(twilio::is_genuine(&Secret::new(TOKEN), &url, &form, &signature));
    assert!(!twilio::is_genuine(&Secret::new(TOKEN), &url, &form, &twilio_signature("other", &url, &form)));
}

#[tokio::test]
async fn a_webhook_is_signed_and_says_its_key() {
    let webhook = Webhook::start().await.unwrap();
    let secret = Secret::new("hunter2");
    let channel = WebhookChannel::new(&webhook.url(), secret.clone()).unwrap();
    webhook.fail([Fault::Status(500), Fault::StatusAfter(500)]);
    for attempt_number in 1..=2 {
        assert_eq!(code(channel.send(&attempt(attempt_number)).await), ("http.500".into(), true));
    }
    assert!(channel.send(&attempt(3)).await.unwrap().is_delivered);
    assert_eq!((webhook.posted().len(), webhook.taken().len()), (2, 1));
    let posted = webhook.taken().remove(0);
    assert_eq!(posted.key, notice().delivery.key);
    let (timestamp, signature) = posted.signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let timestamp: i64 = timestamp.parse().unwrap();
    assert!((Utc::now().timestamp() - timestamp).abs() < 60);
    assert_eq!(signature, webhook_signature(&secret, timestamp, &posted.body));
    assert_ne!(signature, webhook_signature(&secret, timestamp + 1, &posted.body));
    let body: serde_json::Value = serde_json::from_slice(&posted.body).unwrap();
    assert_eq!((&body["id"], &body["event"]), (&json!(notice().delivery.key), &json!("appointment_booked")));
    assert_eq!(body["appointment"]["code"], "K7M2X9");
    assert!(body.get("recipient").is_none(), "{body}");
    webhook.fail([Fault::Status(410)]);
    assert_eq!(code(channel.send(&notice()).await), ("http.410".into(), false));
}

fn to_the_clinic() -> EmailOptions {
    let to = Readers::Clinic(vec!["a@lake.example".into(), "b@lake.example".into()]);
    EmailOptions { from: "Lakeside <desk@lake.example>".into(), to }
}

fn email(server: &MailServer) -> EmailChannel {
    EmailChannel::new(Carrier::Smtp(Secret::new(server.url())), &to_the_clinic()).unwrap()
}

#[tokio::test]
async fn an_email_invites_and_lies_once_in_the_mailbox() {
    let server = MailServer::start().await.unwrap();
    let channel = email(&server);
    server.fail([Fault::Status(451), Fault::StatusAfter(451)]);
    for attempt_number in 1..=2 {
        assert_eq!(code(channel.send(&attempt(attempt_number)).await), ("smtp.451".into(), true));
    }
    assert!(!channel.send(&attempt(3)).await.unwrap().is_delivered);
    assert_eq!((server.received().len(), server.inbox().len()), (2, 1));
    let mail = server.inbox().remove(0);
    assert_eq!((mail.from.as_str(), mail.to.len()), ("desk@lake.example", 2));
    assert_eq!(mail.header("Message-ID").unwrap(), format!("<{}@lake.example>", notice().delivery.key));
    for expected in ["text/html", "text/plain", "method=REQUEST", "invite.ics"] {
        assert!(mail.text.contains(expected), "{expected} in {}", mail.text);
    }
    server.fail([Fault::Status(550)]);
    assert_eq!(code(channel.send(&notice()).await), ("smtp.550".into(), false));
    channel.send(&of(Event::AppointmentCancelled, 1, "2026-12-01T14:00:00Z")).await.unwrap();
    assert!(server.received().last().unwrap().text.contains("method=CANCEL"));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_never_answers_is_not_waited_for() {
    let server = MailServer::start().await.unwrap();
    server.fail([Fault::HangAfter]);
    assert_eq!(code(email(&server).send(&notice()).await), ("timeout".into(), true));
    let webhook = Webhook::start().await.unwrap();
    webhook.fail([Fault::Hang]);
    let channel = WebhookChannel::new(&webhook.url(), Secret::new("s")).unwrap();
    assert_eq!(code(channel.send(&notice()).await), ("timeout".into(), true));
}

fn account(google: &Google) -> GoogleAccount {
    GoogleAccount::from_json(&Secret::new(google.service_account())).unwrap()
}

fn gmail(google: &Google, options: &EmailOptions) -> EmailChannel {
    EmailChannel::new(Carrier::Gmail { base_url: google.gmail_url(), account: account(google) }, options).unwrap()
}

#[tokio::test]
async fn an_email_by_gmail_is_sent_as_its_sender_and_once() {
    let google = Google::start().await.unwrap();
    let channel = gmail(&google, &to_the_clinic());
    google.fail([Fault::Status(503), Fault::StatusAfter(502)]);
    assert_eq!(code(channel.send(&notice()).await), ("http.503".into(), true));
    // Nothing was sent: the second attempt finds nothing, and sends.
    assert_eq!(code(channel.send(&attempt(2)).await), ("http.502".into(), true));
    let receipt = channel.send(&attempt(3)).await.unwrap();
    let sent = google.sent_from("desk@lake.example");
    assert_eq!((sent.len(), receipt.is_delivered), (1, false));
    assert!(receipt.provider_id.is_some_and(|id| !id.is_empty()));
    assert_eq!(sent[0].to, ["a@lake.example", "b@lake.example"]);
    assert_eq!(sent[0].header("Frontdesk-Notice").unwrap(), notice().delivery.key);
    assert!(sent[0].text.contains("method=REQUEST") && sent[0].text.contains("text/html"), "{}", sent[0].text);
    // Another notice is another mail, in whichever attempt.
    let mut another = attempt(2);
    another.delivery.key = "another".into();
    channel.send(&another).await.unwrap();
    assert_eq!(google.sent_from("desk@lake.example").len(), 2);
    google.revoke_tokens();
    assert_eq!(code(channel.send(&notice()).await), ("http.401".into(), true));
}

#[tokio::test]
async fn a_patient_is_written_to_at_his_address_by_either_way() {
    let options = EmailOptions { from: "desk@lake.example".into(), to: Readers::Patient };
    let mut to_jane = notice();
    to_jane.recipient = Some("jane@mail.example".to_owned().into());
    let google = Google::start().await.unwrap();
    gmail(&google, &options).send(&to_jane).await.unwrap();
    let server = MailServer::start().await.unwrap();
    EmailChannel::new(Carrier::Smtp(Secret::new(server.url())), &options).unwrap().send(&to_jane).await.unwrap();
    for mail in [google.sent_from("desk@lake.example").remove(0), server.inbox().remove(0)] {
        assert_eq!(mail.to, ["jane@mail.example"]);
        assert!(mail.text.contains("invite.ics"), "{}", mail.text);
        assert_eq!(mail.header("Subject").unwrap(), "Lakeside: Cita reservada");
    }
    // A number is no address.
    assert_eq!(code(gmail(&google, &options).send(&notice()).await), ("no_recipient".into(), false));
}

#[tokio::test]
async fn a_calendar_follows_the_appointment() {
    let google = Google::start().await.unwrap();
    let options = CalendarOptions { base_url: google.calendar_url(), calendar_id: "desk@lake.example".into(), account: account(&google) };
    let channel = CalendarChannel::new(options).unwrap();
    google.fail([Fault::StatusAfter(500)]);
    assert_eq!(code(channel.send(&notice()).await), ("http.500".into(), true));
    let receipt = channel.send(&attempt(2)).await.unwrap();
    assert!(receipt.is_delivered);
    let events = || google.events("desk@lake.example");
    assert_eq!(events().len(), 1, "exists already is done");
    assert_eq!(events()[0]["id"].as_str(), receipt.provider_id.as_deref());
    assert_eq!(events()[0]["start"], json!({ "dateTime": "2026-12-01T14:00:00+00:00", "timeZone": "America/New_York" }));
    assert_eq!(events()[0]["summary"], "check-up, Jane Müller");
    google.revoke_tokens();
    let moved = of(Event::AppointmentMoved, 1, "2026-12-02T14:00:00Z");
    assert_eq!(code(channel.send(&moved).await), ("http.401".into(), true));
    channel.send(&moved).await.unwrap();
    assert_eq!((events().len(), &events()[0]["start"]["dateTime"]), (1, &json!("2026-12-02T14:00:00+00:00")));
    for _ in 0..2 {
        channel.send(&of(Event::AppointmentCancelled, 2, "2026-12-02T14:00:00Z")).await.unwrap();
        assert_eq!((events().len(), &events()[0]["status"]), (1, &json!("cancelled")));
    }
    let mut unknown = of(Event::AppointmentMoved, 1, "2026-12-02T14:00:00Z");
    unknown.appointment.as_mut().unwrap().id = uuid::Uuid::from_u128(7);
    channel.send(&unknown).await.unwrap();
    assert_eq!(events().len(), 2, "booked before the calendar was switched on");
    google.fail([Fault::Status(403)]);
    assert_eq!(code(channel.send(&unknown).await), ("http.403".into(), false));
}

#[tokio::test]
async fn busy_times_are_read_and_an_unknown_calendar_is_left_out() {
    let google = Google::start().await.unwrap();
    let at = |text: &str| text.parse::<chrono::DateTime<Utc>>().unwrap();
    let (from, until) = (at("2026-12-01T14:00:00Z"), at("2026-12-01T15:00:00Z"));
    google.take("ada@lake.example", from, until);
    google.take("ada@lake.example", at("2027-03-01T14:00:00Z"), at("2027-03-01T15:00:00Z"));
    let calendars = FreeBusy::new(&google.calendar_url(), account(&google)).unwrap();
    let asked = ["ada@lake.example".to_owned(), "nobody@lake.example".to_owned()];
    let found = calendars.ask(&asked, at("2026-12-01T00:00:00Z"), at("2027-01-01T00:00:00Z")).await.unwrap();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [("ada@lake.example".to_owned(), vec![(from, until)])]);
    let too_long = calendars.ask(&asked, at("2026-12-01T00:00:00Z"), at("2027-12-01T00:00:00Z")).await.unwrap_err();
    assert_eq!((too_long.code.as_str(), too_long.is_retryable), ("http.400", false));
    google.fail([Fault::Status(503)]);
    let error = calendars.ask(&asked, from, until).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.is_retryable), ("http.503", true));
}

#[tokio::test]
async fn a_sheet_is_made_when_absent_and_holds_each_notice_once() {
    let google = Google::start().await.unwrap();
    let options = SheetsOptions { base_url: google.sheets_url(), spreadsheet_id: "doc1".into(), account: account(&google) };
    let channel = SheetsChannel::new(options).unwrap();
    assert_eq!(google.rows("doc1", "Appointments"), None);
    google.fail([Fault::Status(500), Fault::StatusAfter(500)]);
    for attempt_number in 1..=2 {
        assert_eq!(code(channel.send(&attempt(attempt_number)).await), ("http.500".into(), true));
    }
    google.fail([Fault::StatusAfter(503)]);
    assert_eq!(code(channel.send(&attempt(3)).await), ("http.503".into(), true));
    assert!(channel.send(&attempt(4)).await.unwrap().is_delivered);
    let rows = google.rows("doc1", "Appointments").unwrap();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!((rows[0][0].as_str(), &rows[1][0]), ("key", &notice().delivery.key));
    let mut another = notice();
    another.delivery.key = "another".into();
    channel.send(&another).await.unwrap();
    assert_eq!(google.rows("doc1", "Appointments").unwrap().len(), 3);
    // Patients have a sheet of their own.
    let mut registered = notice();
    registered.event = Event::PatientRegistered;
    registered.appointment = None;
    let id = "0194d5f0-0000-7000-8000-000000000003";
    registered.patient = serde_json::from_value(json!({"id": id, "registered_at": "2026-12-01T14:00:00Z", "name": "Jane Müller"})).unwrap();
    google.fail([Fault::StatusAfter(500), Fault::StatusAfter(503)]);
    for expected in ["http.500", "http.503"] {
        assert_eq!(code(channel.send(&registered).await), (expected.into(), true));
    }
    channel.send(&registered).await.unwrap();
    let rows = google.rows("doc1", "Patients").unwrap();
    assert_eq!(
        (rows.len(), rows[0][3].as_str(), rows[1][2..5].join("|")),
        (2, "registered_at", format!("{id}|2026-12-01T09:00:00-05:00|Jane Müller"))
    );
}
