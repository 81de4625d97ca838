//! `kill -9` at random moments of a call: another process goes on with what the first had stored, and nothing is lost or doubled.
//!
//! The process that is killed is this very program, started anew for one test that only it runs ([`the_process`]). Call after call it
//! books, cancels, ends the call and sends the notices, storing before each commit what it is about to commit, as a worker stores the
//! state of a conversation. What its caller would have heard, and every notice, it tells the test over a connection: bytes that have
//! left a process arrive, whatever becomes of it.
//!
//! `FRONTDESK_KILLS` sets how often.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use frontdesk_agent::store::CallStore;
use frontdesk_clinic::audit::{seal_all, verify};
use frontdesk_clinic::booking::{Booking, Cancellation, Settled};
use frontdesk_clinic::outbox::{Channels, Dispatcher, DispatcherOptions};
use frontdesk_clinic::{ClinicStore, Database, PgCallStore, TenantId};
use frontdesk_notify::{Channel, ChannelKind, Notice, Receipt, SendError};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::calls::record;
use super::outbox::telling;
use super::support::{TestDatabase, clinic, keys, open};
use super::wishes::{key, wish};

const KILLS: u64 = 3;
/// A kill comes when so many things were told, those of two calls, at the most; and within so many milliseconds after the last of them.
const TOLD: usize = 16;
const WITHIN_MS: u64 = 40;
/// Nobody waits longer than this for a process that does not go on.
const WAIT_MAX: Duration = Duration::from_secs(60);
const DATABASE: &str = "FRONTDESK_KILLED_DATABASE_URL";
const REPORTS: &str = "FRONTDESK_KILLED_REPORTS_TO";
const FIRST: &str = "FRONTDESK_KILLED_FIRST_CALL";

fn call_id(number: usize) -> String {
    format!("call-{number}")
}

/// What a call is about to commit.
#[derive(Debug, Serialize, Deserialize)]
enum Open {
    Booking(Booking),
    Cancellation(Cancellation),
}

/// A connection on which each line is answered once it is noted.
struct Reports(tokio::sync::Mutex<BufReader<TcpStream>>);

impl Reports {
    async fn tell(&self, line: String) {
        let mut stream = self.0.lock().await;
        stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        stream.read_line(&mut String::new()).await.unwrap();
    }
}

#[async_trait]
impl Channel for Reports {
    async fn send(&self, notice: &Notice) -> Result<Receipt, SendError> {
        self.tell(format!("notice {}", notice.delivery.key)).await;
        Ok(Receipt { provider_id: None, is_delivered: false })
    }
}

/// The process that is killed. Ends by itself only when its test has gone.
#[tokio::test]
#[ignore = "run by the tests of this file, as a process of its own"]
async fn the_process() {
    let setting = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: this is no test by itself"));
    let reports = TcpStream::connect(setting(REPORTS)).await.unwrap();
    let reports = Arc::new(Reports(tokio::sync::Mutex::new(BufReader::new(reports))));
    let database = open(&setting(DATABASE));
    let clinic = clinic(database.clone(), "demo").with_notices(&telling());
    let worker = Worker { calls: PgCallStore::new(clinic.clone()), dispatcher: dispatcher(database.clone(), &reports), clinic, reports };
    worker.reports.tell("ready".into()).await;
    for number in setting(FIRST).parse::<usize>().unwrap().. {
        worker.answer(number).await;
        seal_all(&database).await.unwrap();
    }
}

fn dispatcher(database: Database, reports: &Arc<Reports>) -> Dispatcher {
    let channel = Arc::clone(reports) as Arc<dyn Channel>;
    let channels = [ChannelKind::Sms, ChannelKind::Csv].map(|kind| (kind, Arc::clone(&channel)));
    let all: Channels = std::collections::HashMap::from([(TenantId::new("demo").unwrap(), channels.into())]);
    Dispatcher::new(database, keys(), all, DispatcherOptions::default())
}

struct Worker {
    clinic: ClinicStore,
    calls: PgCallStore,
    dispatcher: Dispatcher,
    reports: Arc<Reports>,
}

impl Worker {
    /// Begins a call, or goes on where another process left it.
    async fn answer(&self, number: usize) {
        let call = call_id(number);
        let stored = self.calls.load_state(&call).await.unwrap();
        let stored: Option<Open> = stored.map(|state| serde_json::from_slice(&state).unwrap());
        match stored {
            Some(Open::Cancellation(cancellation)) => self.cancel(number, cancellation).await,
            Some(Open::Booking(booking)) => self.book(number, booking).await,
            // Its state is gone with its record.
            None if !self.clinic.appointments_of_call(&call).await.unwrap().is_empty() => {}
            None => {
                let prepared = self.clinic.prepare_booking(&call, &wish("2026-12-01T09:00", number)).await.unwrap();
                self.book(number, prepared.booking).await;
            }
        }
        self.calls.finish(&record(&call, "demo")).await.unwrap();
        while self.dispatcher.round().await.unwrap().claimed > 0 {}
        self.reports.tell(format!("done {number}")).await;
    }

    async fn store(&self, call: &str, open: &Open) {
        self.calls.save_state(call, &serde_json::to_vec(open).unwrap()).await.unwrap();
    }

    async fn book(&self, number: usize, booking: Booking) {
        let call = call_id(number);
        let open = Open::Booking(booking);
        self.store(&call, &open).await;
        let Open::Booking(booking) = open else { unreachable!() };
        let settled = self.clinic.commit_booking(&key(&call, "c1"), &booking).await.unwrap();
        let Settled::Done(booked) = settled else { panic!("{call}: {settled:?}") };
        self.reports.tell(format!("booked {number} {}", booked.appointment)).await;
        let (code, phone) = (&booked.confirmation_code, &booking.phone);
        let prepared = self.clinic.prepare_cancellation(&call, code, phone).await.unwrap();
        self.cancel(number, prepared.cancellation).await;
    }

    async fn cancel(&self, number: usize, cancellation: Cancellation) {
        let call = call_id(number);
        let open = Open::Cancellation(cancellation);
        self.store(&call, &open).await;
        let Open::Cancellation(cancellation) = open else { unreachable!() };
        let settled = self.clinic.commit_cancellation(&key(&call, "c2"), &cancellation).await.unwrap();
        assert!(matches!(settled, Settled::Done(_)), "{call}: {settled:?}");
        self.reports.tell(format!("cancelled {number} {}", cancellation.appointment)).await;
    }
}

/// What the processes have told.
#[derive(Debug, Default)]
struct Heard {
    /// The appointments that a call was told to be booked, and those cancelled.
    booked: BTreeMap<usize, Vec<String>>,
    cancelled: BTreeMap<usize, Vec<String>>,
    /// How often each notice came, by key.
    notices: BTreeMap<String, usize>,
}

/// Hears the processes.
struct Hearing {
    address: String,
    heard: Arc<Mutex<Heard>>,
    /// How much was told in all.
    lines: watch::Receiver<usize>,
    ready: watch::Receiver<usize>,
    done: watch::Receiver<usize>,
    listening: AbortHandle,
}

impl Hearing {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heard = Arc::<Mutex<Heard>>::default();
        let (told, lines) = watch::channel(0);
        let (readies, ready) = watch::channel(0);
        let (dones, done) = watch::channel(0);
        let listening = tokio::spawn({
            let heard = Arc::clone(&heard);
            async move {
                // One process at a time, each until its end.
                while let Ok((stream, _)) = listener.accept().await {
                    let mut stream = BufReader::new(stream);
                    let mut line = String::new();
                    while stream.read_line(&mut line).await.is_ok_and(|length| length > 0) {
                        let words: Vec<&str> = line.split_whitespace().collect();
                        match words[..] {
                            ["ready"] => readies.send_modify(|count| *count += 1),
                            ["done", number] => dones.send_modify(|calls| *calls = number.parse::<usize>().unwrap() + 1),
                            ["notice", key] => *heard.lock().unwrap().notices.entry(key.into()).or_default() += 1,
                            ["booked", number, id] => {
                                heard.lock().unwrap().booked.entry(number.parse().unwrap()).or_default().push(id.into());
                            }
                            ["cancelled", number, id] => {
                                heard.lock().unwrap().cancelled.entry(number.parse().unwrap()).or_default().push(id.into());
                            }
                            _ => panic!("{line:?}"),
                        }
                        told.send_modify(|told| *told += 1);
                        line.clear();
                        // The process may be dead by now.
                        let _ = stream.write_all(b"noted\n").await;
                    }
                }
            }
        });
        Self { address, heard, lines, ready, done, listening: listening.abort_handle() }
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// A process, killed with the value.
struct Process(Child);

impl Process {
    fn start(test: &TestDatabase, hearing: &Hearing) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "killed::the_process"]).stdout(Stdio::null());
        let first = hearing.done.borrow().to_string();
        command.env(DATABASE, &test.url).env(REPORTS, &hearing.address).env(FIRST, first);
        Self(command.spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL. A process that has ended by itself is no fault here; the test finds out.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until so much was told. A process that has ended by itself, and said on its standard error why, tells nothing more.
async fn reaches(told: &mut watch::Receiver<usize>, count: usize) {
    let reached = tokio::time::timeout(WAIT_MAX, told.wait_for(|told| *told >= count)).await;
    assert!(reached.is_ok_and(|reached| reached.is_ok()), "the process tells nothing any more");
}

#[tokio::test]
async fn killed_at_any_moment_nothing_is_lost_or_doubled() {
    let kills = std::env::var("FRONTDESK_KILLS").map_or(KILLS, |text| text.parse().expect("FRONTDESK_KILLS is a number"));
    let test = TestDatabase::new().await;
    let mut hearing = Hearing::new().await;
    let mut amid_a_call = 0;
    for kill in 1..=kills {
        let process = Process::start(&test, &hearing);
        reaches(&mut hearing.ready, usize::try_from(kill).unwrap()).await;
        let told = *hearing.lines.borrow() + rand::random_range(0..TOLD);
        reaches(&mut hearing.lines, told).await;
        tokio::time::sleep(Duration::from_millis(rand::random_range(0..WITHIN_MS))).await;
        drop(process);
        let states = test.count("SELECT count(*) FROM call_states").await;
        assert!(states <= 1, "{states} calls are under way");
        amid_a_call += states;
        // The server carries a dead client's last statement out, and notices its death after it.
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'frontdesk'";
        while test.count(sessions).await > 0 {
            tokio::task::yield_now().await;
        }
        // Whoever sent notices is dead; nobody waits in a test for the lease to run out.
        sqlx::query("UPDATE outbox SET lease_until = now() - interval '1 s' WHERE status = 'sending'").execute(&test.admin).await.unwrap();
    }
    // The last one is left alone until it is through with what was left, and a call of its own.
    let process = Process::start(&test, &hearing);
    let at_least = *hearing.done.borrow() + 2;
    reaches(&mut hearing.done, at_least).await;
    drop(process);
    let calls = *hearing.done.borrow();
    println!("{kills} kills, {amid_a_call} of them between two commits of a call; {calls} calls");
    assert_nothing_lost_or_doubled(&test, &hearing, calls).await;
}

async fn assert_nothing_lost_or_doubled(test: &TestDatabase, hearing: &Hearing, calls: usize) {
    let database = test.database();
    seal_all(&database).await.unwrap();
    let verdict = verify(&database, &TenantId::new("demo").unwrap(), None).await.unwrap();
    assert_eq!((verdict.tail.count, verdict.fault), (0, None));

    let clinic = test.clinic();
    let heard = std::mem::take(&mut *hearing.heard.lock().unwrap());
    for number in 0..calls {
        let call = call_id(number);
        let appointments = clinic.appointments_of_call(&call).await.unwrap();
        let [appointment] = &appointments[..] else { panic!("{call}: {} appointments", appointments.len()) };
        assert_eq!(appointment.status, "cancelled", "{call}");
        // Whatever was told, and however often, is of this one appointment.
        let id = appointment.id.to_string();
        for told in [&heard.booked, &heard.cancelled] {
            assert!(told.get(&number).into_iter().flatten().all(|told| *told == id), "{call}: {heard:?}");
        }
        let audited = clinic.audited_of_call(&call).await.unwrap();
        for action in ["appointment.booked", "appointment.cancelled", "call.recorded"] {
            assert_eq!(audited.get(action), Some(&1), "{call}: {action}");
        }
    }
    let of_these = |table: &str| {
        // One more call may have begun before its process was killed.
        format!("SELECT count(*) FROM {table} WHERE split_part(call_id, '-', 2)::integer < {calls}")
    };
    for (table, each) in [("call_records", 1), ("tool_commits", 2), ("call_states", 0)] {
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(of_these(table))).fetch_one(&test.admin).await.unwrap();
        assert_eq!(count, i64::try_from(calls * each).unwrap(), "{table}");
    }
    // A text message and a line of the file for each booking and cancellation, a line for each call: all of them sent, and none under
    // two keys. One that was sent twice, since its sender died before it noted the first, came under one key, which receivers know.
    let rows: Vec<(String, String)> =
        sqlx::query_as(sqlx::AssertSqlSafe(of_these("outbox").replace("count(*)", "notice_id::text, status")))
            .fetch_all(&test.admin)
            .await
            .unwrap();
    assert_eq!(rows.len(), calls * 5);
    for (id, status) in &rows {
        assert_eq!(status, "sent", "{id}");
        assert!(heard.notices.contains_key(id), "{id} was never received");
    }
    let repeated = heard.notices.values().filter(|count| **count > 1).count();
    println!("{} notices, {repeated} of them came twice under their key", rows.len());
}
