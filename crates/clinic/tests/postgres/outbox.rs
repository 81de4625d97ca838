//! Notices: written with their act or not at all, sent until they are taken, never twice to one receiver.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use frontdesk_agent::store::CallStore;
use frontdesk_clinic::booking::{Booked, Reschedule, RescheduleWish, Settled};
use frontdesk_clinic::config::{CsvNotices, SmsNotices};
use frontdesk_clinic::messages::CallerMessage;
use frontdesk_clinic::outbox::{Channels, Dispatcher, DispatcherOptions, NoticeStatus, Round};
use frontdesk_clinic::{ClinicStore, Database, PgCallStore, Tenant, TenantId};
use frontdesk_notify::{Channel, ChannelKind, Event, Field, Notice, Receipt, SendError};
use tokio::sync::Notify;

use super::calls::record;
use super::support::proxy::{Loss, Proxy};
use super::support::{TestDatabase, demo_tenant, keys, open};
use super::wishes::{at, key, wish};

const SLOT: &str = "2026-12-01T09:00";

/// The demo clinic, telling everything by text message and in a file.
pub(super) fn telling() -> Arc<Tenant> {
    let mut tenant = demo_tenant();
    let appointments = Event::ALL.into_iter().filter(|event| event.is_about_an_appointment()).collect();
    tenant.notifications.sms = Some(SmsNotices { from: "+15550100".into(), on: appointments, fields: vec![Field::Code] });
    tenant.notifications.csv = Some(CsvNotices { on: Event::ALL.to_vec(), fields: Vec::new() });
    Arc::new(tenant)
}

pub(super) fn telling_clinic(test: &TestDatabase) -> ClinicStore {
    test.clinic().with_notices(&telling())
}

pub(super) async fn book(clinic: &ClinicStore, call: &str, slot: &str, caller: usize) -> Booked {
    let prepared = clinic.prepare_booking(call, &wish(slot, caller)).await.unwrap();
    match clinic.commit_booking(&key(call, "c1"), &prepared.booking).await.unwrap() {
        Settled::Done(booked) => booked,
        Settled::Refused(refusal) => panic!("{refusal}"),
    }
}

async fn shift(clinic: &ClinicStore, call: &str, booked: &Booked, caller: usize, to: &str) -> Reschedule {
    let wish = RescheduleWish {
        confirmation_code: booked.confirmation_code.clone(),
        phone: wish(SLOT, caller).phone,
        start: at(to),
        practitioner: None,
    };
    let prepared = clinic.prepare_reschedule(call, &wish).await.unwrap();
    let settled = clinic.commit_reschedule(&key(call, "c1"), &prepared.reschedule).await.unwrap();
    assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
    prepared.reschedule
}

async fn cancel(clinic: &ClinicStore, call: &str, booked: &Booked, caller: usize) {
    let prepared = clinic.prepare_cancellation(call, &booked.confirmation_code, &wish(SLOT, caller).phone).await.unwrap();
    let settled = clinic.commit_cancellation(&key(call, "c1"), &prepared.cancellation).await.unwrap();
    assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
}

/// What a receiver does with the next attempt; takes it, when nothing is planned.
#[derive(Clone)]
enum Plan {
    Refuse(SendError),
    /// Holds still before the notice is in: the sender can be killed there.
    HangBefore,
    /// The same after it is in, before the sender is answered.
    HangAfter,
    /// Answers only when it is let go.
    WaitAfter,
}

/// A receiver that knows keys, as ours all do: what comes twice under one is there once.
#[derive(Default)]
struct Inbox {
    plans: Mutex<Vec<Plan>>,
    /// Every attempt's key, in the order of arrival.
    attempts: Mutex<Vec<String>>,
    /// By key.
    taken: Mutex<BTreeMap<String, Notice>>,
    /// Fires when a sender hangs.
    hung: Notify,
    /// Lets one go that waits.
    go: Notify,
}

impl Inbox {
    fn planning(plans: impl IntoIterator<Item = Plan>) -> Arc<Self> {
        let mut plans: Vec<Plan> = plans.into_iter().collect();
        plans.reverse();
        Arc::new(Self { plans: Mutex::new(plans), ..Self::default() })
    }

    fn taken(&self) -> Vec<Notice> {
        self.taken.lock().unwrap().values().cloned().collect()
    }

    fn attempts(&self) -> Vec<String> {
        self.attempts.lock().unwrap().clone()
    }
}

#[async_trait]
impl Channel for Inbox {
    async fn send(&self, notice: &Notice) -> Result<Receipt, SendError> {
        let plan = self.plans.lock().unwrap().pop();
        if let Some(Plan::HangBefore) = plan {
            self.hung.notify_one();
            std::future::pending::<()>().await;
        }
        self.attempts.lock().unwrap().push(notice.delivery.key.clone());
        if let Some(Plan::Refuse(error)) = plan {
            return Err(error);
        }
        self.taken.lock().unwrap().entry(notice.delivery.key.clone()).or_insert_with(|| notice.clone());
        if let Some(Plan::HangAfter) = plan {
            self.hung.notify_one();
            std::future::pending::<()>().await;
        }
        if let Some(Plan::WaitAfter) = plan {
            self.hung.notify_one();
            self.go.notified().await;
        }
        Ok(Receipt { provider_id: Some(format!("SM{}", notice.delivery.key)), is_delivered: false })
    }
}

/// A dispatcher that sends everything of the demo clinic into one inbox.
fn dispatcher(database: Database, inbox: &Arc<Inbox>) -> Dispatcher {
    let inbox = Arc::clone(inbox) as Arc<dyn Channel>;
    let channels = [ChannelKind::Sms, ChannelKind::Csv].map(|kind| (kind, Arc::clone(&inbox)));
    let all: Channels = HashMap::from([(TenantId::new("demo").unwrap(), HashMap::from(channels))]);
    let options = DispatcherOptions { tries_max: 3, wait_min: Duration::from_secs(60), ..DispatcherOptions::default() };
    Dispatcher::new(database, keys(), all, options)
}

/// Nobody waits in tests: what would be due in hours is due now, and leases have run out.
async fn time_passes(test: &TestDatabase) {
    sqlx::query("UPDATE outbox SET next_attempt_at = now() - interval '1 s' WHERE status = 'pending'").execute(&test.admin).await.unwrap();
    sqlx::query("UPDATE outbox SET lease_until = now() - interval '1 s' WHERE status = 'sending'").execute(&test.admin).await.unwrap();
}

async fn rows(test: &TestDatabase) -> Vec<(String, String, String)> {
    sqlx::query_as("SELECT event, channel, status FROM outbox ORDER BY position").fetch_all(&test.admin).await.unwrap()
}

#[tokio::test]
async fn every_act_is_told_once_on_every_channel_that_is_on() {
    let test = TestDatabase::new().await;
    let clinic = telling_clinic(&test);
    let booked = book(&clinic, "one", SLOT, 1).await;
    // The same confirmation again, and a caller who comes too late: neither is news.
    let prepared = clinic.prepare_booking("late", &wish("2026-12-01T09:30", 2)).await.unwrap();
    let again = clinic.commit_booking(&key("late", "c1"), &prepared.booking).await.unwrap();
    assert_eq!(clinic.commit_booking(&key("late", "c1"), &prepared.booking).await.unwrap(), again);
    let mut too_late = prepared.booking.clone();
    too_late.phone = wish(SLOT, 3).phone;
    let refused = clinic.commit_booking(&key("later", "c1"), &too_late).await.unwrap();
    assert!(matches!(refused, Settled::Refused(_)), "{refused:?}");
    shift(&clinic, "two", &booked, 1, "2026-12-01T10:00").await;
    cancel(&clinic, "three", &booked, 1).await;
    let message = CallerMessage { text: "Call me.".to_owned().into(), recipient: None, caller_name: None, phone: None };
    for _ in 0..2 {
        clinic.take_message("one", "m1", &message, true).await.unwrap();
    }
    let calls = PgCallStore::new(clinic.clone());
    for _ in 0..2 {
        calls.finish(&record("one", "demo")).await.unwrap();
    }
    let told: Vec<(String, String)> = rows(&test).await.into_iter().map(|(event, channel, _)| (event, channel)).collect();
    let both = |event: &str| [(event.to_owned(), "sms".to_owned()), (event.to_owned(), "csv".to_owned())];
    let mut expected = Vec::new();
    for event in ["appointment_booked", "appointment_booked", "appointment_moved", "appointment_cancelled"] {
        expected.extend(both(event));
    }
    expected.extend(["message_taken", "call_ended"].map(|event| (event.to_owned(), "csv".to_owned())));
    assert_eq!(told, expected);

    let inbox = Inbox::planning([]);
    let dispatcher = dispatcher(test.database(), &inbox);
    while dispatcher.round().await.unwrap().claimed > 0 {}
    assert_eq!(inbox.taken().len(), expected.len());
    let of_the_first: Vec<(Event, u32)> = inbox
        .taken()
        .iter()
        .filter(|notice| notice.recipient.is_some())
        .filter_map(|notice| notice.appointment.as_ref().map(|it| (notice.event, it.id, it.revision)))
        .filter(|(_, id, _)| *id == booked.appointment.0)
        .map(|(event, _, revision)| (event, revision))
        .collect();
    assert_eq!(of_the_first, [(Event::AppointmentBooked, 0), (Event::AppointmentMoved, 1), (Event::AppointmentCancelled, 2)]);
}

#[tokio::test]
async fn a_text_message_knows_its_number_and_a_file_nothing_personal() {
    let test = TestDatabase::new().await;
    let booked = book(&telling_clinic(&test), "one", SLOT, 1).await;
    let inbox = Inbox::planning([]);
    dispatcher(test.database(), &inbox).round().await.unwrap();
    for notice in inbox.taken() {
        let it = notice.appointment.unwrap();
        assert_eq!((it.start, it.duration_minutes, it.name, it.phone, it.practitioner), (at(SLOT), 30, None, None, None));
        match notice.recipient {
            Some(number) => assert_eq!((number.expose().as_str(), it.code), ("+12025550001", Some(booked.confirmation_code.clone()))),
            None => assert_eq!(it.code, None),
        }
    }
}

#[tokio::test]
async fn a_clinic_that_tells_nobody_writes_nothing() {
    let test = TestDatabase::new().await;
    book(&test.clinic(), "one", SLOT, 1).await;
    assert_eq!(rows(&test).await, []);
}

#[tokio::test]
async fn what_fails_is_tried_again_given_up_and_may_be_asked_for_again() {
    let test = TestDatabase::new().await;
    let mut tenant = Tenant::clone(&telling());
    tenant.notifications.csv = None;
    let clinic = test.clinic().with_notices(&Arc::new(tenant));
    book(&clinic, "one", SLOT, 1).await;
    let inbox = Inbox::planning(vec![Plan::Refuse(SendError::passing("http.503")); 3]);
    let dispatcher = dispatcher(test.database(), &inbox);
    for attempt in 1..=3_u32 {
        let round = dispatcher.round().await.unwrap();
        let (postponed, dead) = if attempt < 3 { (1, 0) } else { (0, 1) };
        assert_eq!(round, Round { claimed: 1, sent: 0, postponed, dead });
        let listed = clinic.notices(&[]).await.unwrap().remove(0);
        assert_eq!((listed.attempts, listed.last_error.as_deref()), (attempt, Some("http.503")));
        assert_eq!(dispatcher.round().await.unwrap(), Round::default(), "not before its time");
        time_passes(&test).await;
    }
    assert_eq!(clinic.notices(&[NoticeStatus::Dead]).await.unwrap().len(), 1);
    assert_eq!(dispatcher.round().await.unwrap(), Round::default());
    assert_eq!(clinic.retry_notices(&[]).await.unwrap(), 1);
    assert_eq!(dispatcher.round().await.unwrap().sent, 1);
    let notice = inbox.taken().remove(0);
    assert_eq!(notice.delivery.attempt, 4, "attempts are counted on: an earlier one may have arrived");
    let keys = inbox.attempts();
    assert!(keys.len() == 4 && keys.iter().all(|key| *key == notice.delivery.key), "{keys:?}");
    assert_eq!(clinic.retry_notices(&[notice.delivery.key.parse().unwrap()]).await.unwrap(), 0, "what was sent stays sent");
}

#[tokio::test]
async fn waits_double_and_are_bounded() {
    let test = TestDatabase::new().await;
    book(&telling_clinic(&test), "one", SLOT, 1).await;
    sqlx::query("DELETE FROM outbox WHERE channel = 'csv'").execute(&test.admin).await.unwrap();
    let patient = SendError { retry_after: Some(Duration::from_secs(1000)), ..SendError::passing("http.429") };
    let inbox = Inbox::planning([Plan::Refuse(SendError::passing("timeout")), Plan::Refuse(patient)]);
    let dispatcher = dispatcher(test.database(), &inbox);
    for (least, most) in [(30.0, 60.0), (1000.0, 1001.0)] {
        dispatcher.round().await.unwrap();
        let wait: f64 = sqlx::query_scalar("SELECT extract(epoch FROM next_attempt_at - updated_at)::float8 FROM outbox")
            .fetch_one(&test.admin)
            .await
            .unwrap();
        assert!((least..=most).contains(&wait), "{wait}");
        time_passes(&test).await;
    }
}

#[tokio::test]
async fn a_lasting_refusal_is_not_tried_again_and_lets_the_next_one_go() {
    let test = TestDatabase::new().await;
    let clinic = telling_clinic(&test);
    let booked = book(&clinic, "one", SLOT, 1).await;
    cancel(&clinic, "two", &booked, 1).await;
    sqlx::query("DELETE FROM outbox WHERE channel = 'csv'").execute(&test.admin).await.unwrap();
    let inbox = Inbox::planning([Plan::Refuse(SendError::lasting("http.400.21211"))]);
    let dispatcher = dispatcher(test.database(), &inbox);
    assert_eq!(
        dispatcher.round().await.unwrap(),
        Round { claimed: 1, dead: 1, ..Round::default() },
        "the cancellation waits for the booking"
    );
    assert_eq!(dispatcher.round().await.unwrap(), Round { claimed: 1, sent: 1, ..Round::default() });
    assert_eq!(inbox.taken().remove(0).event, Event::AppointmentCancelled);
}

/// The sender ends at a point of its work; another one finishes it.
async fn killed_at(plan: Plan) -> (TestDatabase, Arc<Inbox>) {
    let test = TestDatabase::new().await;
    book(&telling_clinic(&test), "one", SLOT, 1).await;
    sqlx::query("DELETE FROM outbox WHERE channel = 'csv'").execute(&test.admin).await.unwrap();
    let inbox = Inbox::planning([plan]);
    let first = dispatcher(test.database(), &inbox);
    let sender = tokio::spawn(async move { first.round().await });
    inbox.hung.notified().await;
    sender.abort();
    assert!(sender.await.unwrap_err().is_cancelled());
    let second = dispatcher(test.database(), &inbox);
    assert_eq!(second.round().await.unwrap(), Round::default(), "the lease keeps others off");
    time_passes(&test).await;
    assert_eq!(second.round().await.unwrap(), Round { claimed: 1, sent: 1, ..Round::default() });
    assert_eq!(inbox.taken().len(), 1, "the receiver has it once");
    (test, inbox)
}

#[tokio::test]
async fn a_sender_killed_before_it_sent_is_followed_by_another() {
    let (_test, inbox) = killed_at(Plan::HangBefore).await;
    assert_eq!(inbox.attempts().len(), 1);
}

#[tokio::test]
async fn a_sender_killed_after_it_sent_is_repeated_under_the_same_key() {
    let (test, inbox) = killed_at(Plan::HangAfter).await;
    let keys = inbox.attempts();
    assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
    assert_eq!(test.count("SELECT count(*) FROM outbox WHERE status = 'sent' AND attempts = 2").await, 1);
}

#[tokio::test]
async fn a_claim_or_a_note_that_is_lost_at_commit_does_no_harm() {
    // Whether the note was lost on the way there or its answer on the way back: in the one case the row is sent again.
    for (loss, attempts) in [(Loss::BeforeServer, 2), (Loss::AfterServer, 1)] {
        let test = TestDatabase::new().await;
        book(&telling_clinic(&test), "one", SLOT, 1).await;
        sqlx::query("DELETE FROM outbox WHERE channel = 'csv'").execute(&test.admin).await.unwrap();
        let proxy = Proxy::in_front_of(&test.url).await;
        let inbox = Inbox::planning([Plan::WaitAfter]);
        let lossy = dispatcher(open(&proxy.url(&test.url)), &inbox);
        proxy.lose_next_commit(loss);
        assert_eq!(lossy.round().await.unwrap(), Round::default(), "the claim is lost: nothing is sent by it");
        assert_eq!((proxy.lost(), inbox.attempts().len()), (1, 0));
        time_passes(&test).await;
        let sender = tokio::spawn(async move { lossy.round().await.unwrap() });
        inbox.hung.notified().await;
        proxy.lose_next_commit(loss);
        inbox.go.notify_one();
        assert_eq!(sender.await.unwrap(), Round { claimed: 1, ..Round::default() }, "it is not known to have been noted");
        assert_eq!(proxy.lost(), 2);
        time_passes(&test).await;
        dispatcher(test.database(), &inbox).round().await.unwrap();
        assert_eq!((inbox.taken().len(), inbox.attempts().len()), (1, attempts), "{loss:?}");
        assert!(rows(&test).await.iter().all(|(_, _, status)| status == "sent"));
    }
}

#[tokio::test]
async fn whoever_vanishes_too_often_over_one_notice_is_not_given_it_again() {
    let test = TestDatabase::new().await;
    book(&telling_clinic(&test), "one", SLOT, 1).await;
    sqlx::query("DELETE FROM outbox WHERE channel = 'csv'").execute(&test.admin).await.unwrap();
    let inbox = Inbox::planning(vec![Plan::HangBefore; 3]);
    for _ in 0..3 {
        let sender = dispatcher(test.database(), &inbox);
        let sender = tokio::spawn(async move { sender.round().await });
        inbox.hung.notified().await;
        sender.abort();
        assert!(sender.await.unwrap_err().is_cancelled());
        time_passes(&test).await;
    }
    assert_eq!(dispatcher(test.database(), &inbox).round().await.unwrap(), Round { claimed: 1, dead: 1, ..Round::default() });
    assert_eq!(inbox.attempts().len(), 0);
    assert_eq!(test.count("SELECT count(*) FROM outbox WHERE last_error = 'sender.vanished'").await, 1);
}

#[tokio::test]
async fn many_dispatchers_send_each_notice_once() {
    let test = TestDatabase::new().await;
    let clinic = telling_clinic(&test);
    for caller in 0..20 {
        let message = CallerMessage { text: "Hello.".to_owned().into(), recipient: None, caller_name: None, phone: None };
        clinic.take_message("one", &format!("m{caller}"), &message, false).await.unwrap();
    }
    let inbox = Inbox::planning([]);
    let mut dispatchers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut dispatcher = dispatcher(test.database(), &inbox);
        dispatchers.spawn(async move {
            let mut sent = 0;
            loop {
                let round = dispatcher.round().await.unwrap();
                if round.claimed == 0 {
                    return sent;
                }
                sent += round.sent;
                dispatcher = dispatcher.clone();
            }
        });
    }
    let sent: u32 = dispatchers.join_all().await.into_iter().sum();
    assert_eq!((sent, inbox.attempts().len(), inbox.taken().len()), (20, 20, 20));
    assert!(rows(&test).await.iter().all(|(_, _, status)| status == "sent"));
}

#[tokio::test]
async fn what_a_process_knows_no_channel_for_waits_or_is_left_to_others() {
    let test = TestDatabase::new().await;
    book(&telling_clinic(&test), "one", SLOT, 1).await;
    let options = DispatcherOptions::default;
    let stranger = Dispatcher::new(test.database(), keys(), HashMap::new(), options());
    assert_eq!(stranger.round().await.unwrap(), Round::default());
    let bare: Channels = HashMap::from([(TenantId::new("demo").unwrap(), HashMap::new())]);
    let bare = Dispatcher::new(test.database(), keys(), bare, options());
    assert_eq!(bare.round().await.unwrap(), Round { claimed: 2, postponed: 2, ..Round::default() });
    assert_eq!(test.count("SELECT count(*) FROM outbox WHERE last_error = 'not_configured'").await, 2);
}
