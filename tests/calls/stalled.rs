//! A worker that is stalled in the middle of a call, and wakes up when another has it.

use std::time::Instant;

use frontdesk_livekit::room::ParticipantKind;
use frontdesk_simulators::caller::CallEnd;
use frontdesk_simulators::stack::Process;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::{Executor as _, PgConnection, Row as _};

use crate::calls::farewell;
use crate::desk::{Desk, DeskOptions};
use crate::lost::{TAKE_OVER_MAX, asked, assert_whole, audited, first_sound, heard_again};
use crate::people::PEOPLE;
use crate::run;

/// Tables that hold something of a call.
const TABLES: [&str; 10] = [
    "call_leases",
    "call_states",
    "call_records",
    "call_patients",
    "appointments",
    "tool_commits",
    "patients",
    "messages",
    "intents",
    "audit_events",
];
/// What is told of a call is inserted here; whoever sends it, of whatever call, notes that.
const OUTBOX: &str = "outbox";

fn signal(process: &Process, signal: Signal) {
    let id = process.id().and_then(|id| i32::try_from(id).ok()).expect("it runs");
    kill(Pid::from_raw(id), signal).expect("it can be signalled");
}

/// From here on the database notes which worker writes something of a call, by the mark of its connections ([`Desk::hire`]).
async fn note_writes(admin: &mut PgConnection) {
    let mut script = "CREATE TABLE written (at timestamptz NOT NULL DEFAULT clock_timestamp(), what text NOT NULL, mark text NOT NULL);
        GRANT INSERT ON written TO PUBLIC;
        CREATE FUNCTION note_write() RETURNS trigger LANGUAGE plpgsql AS $note$ BEGIN
            INSERT INTO public.written (what, mark) VALUES (TG_TABLE_NAME, coalesce(current_setting('app.worker', true), ''));
            RETURN NULL;
        END $note$;"
        .to_owned();
    let all = TABLES.map(|table| ("INSERT OR UPDATE OR DELETE", table));
    for (acts, table) in all.into_iter().chain([("INSERT", OUTBOX)]) {
        script += &format!("CREATE TRIGGER note_write AFTER {acts} ON {table} FOR EACH ROW EXECUTE FUNCTION note_write();");
    }
    admin.execute(sqlx::AssertSqlSafe(script)).await.expect("an administrator may");
}

/// What workers with this mark have written since a moment of the database's clock, each table once.
async fn written(admin: &mut PgConnection, mark: &str, since: f64) -> Vec<String> {
    let query = "SELECT DISTINCT what FROM written WHERE mark = $1 AND extract(epoch FROM at)::float8 > $2 ORDER BY what";
    let rows = sqlx::query(query).bind(mark).bind(since).fetch_all(admin).await.expect("a readable table");
    rows.iter().map(|row| row.get("what")).collect()
}

async fn now(admin: &mut PgConnection) -> f64 {
    let row = sqlx::query("SELECT extract(epoch FROM clock_timestamp())::float8 AS now").fetch_one(admin).await;
    row.expect("an answer").get("now")
}

/// The agents in the rooms of a desk.
async fn agents(desk: &Desk) -> Vec<String> {
    let api = desk.api();
    let mut agents = Vec::new();
    for room in api.list_rooms(&[]).await.expect("a list").iter().filter(|room| room.name.starts_with(&desk.agent)) {
        let present = api.list_participants(&room.name).await.expect("a list");
        agents.extend(present.into_iter().filter(|other| other.kind == ParticipantKind::Agent).map(|agent| agent.identity));
    }
    agents
}

#[test]
fn a_stalled_worker_that_wakes_up_writes_nothing_and_leaves() {
    run(async {
        // LiveKit goes on offering jobs to a worker that is stalled, and drops those that it does not answer. A full one is spared.
        let mut desk = Desk::open(DeskOptions { away_s: 60.0, max_jobs: 1, ..DeskOptions::default() }).await;
        let call = asked(&desk, &PEOPLE[2..3]).await.remove(0);
        let mut other = desk.hire("second").await;
        let before = agents(&desk).await;
        let mut admin = desk.database.connect().await.expect("the database is there");
        note_writes(&mut admin).await;
        signal(&desk.worker, Signal::SIGSTOP);
        let stalled = Instant::now();
        let heard = heard_again(&desk, 1).await;
        let woken = now(&mut admin).await;
        signal(&desk.worker, Signal::SIGCONT);
        desk.worker.logged("the call goes on at another worker; nothing more is stored", TAKE_OVER_MAX).await.expect("it finds out");
        let after = agents(&desk).await;
        assert_eq!((before.len(), after.len()), (1, 1), "one agent a time");
        assert_ne!(before, after, "the stalled one has left");
        let outcome = call.placed.outcome().await;
        println!("a stalled worker: the caller hears the next one after {:?}", first_sound(&outcome, call.answered, heard) - stalled);
        assert_eq!(outcome.end, CallEnd::Agent, "{:?}\n{}", outcome.turns, desk.tails());
        let record = desk.records(1).await.remove(0);
        assert_whole(&record, call.person);
        assert_eq!(desk.appointments().await.len(), 1);
        assert_eq!((audited(&desk, "call.recorded").await, audited(&desk, "appointment.booked").await), (1, 1));
        assert_eq!(written(&mut admin, "", woken).await, [""; 0], "the stalled worker has written nothing");
        let by_the_other = written(&mut admin, "second", woken).await;
        assert!(by_the_other.iter().any(|table| table == "call_records"), "writes are noted: {by_the_other:?}");
        // The stalled one is as good as before.
        assert!(other.stop(TAKE_OVER_MAX).await.expect("it ends").success());
        let next = desk.place(farewell()).hung_up_by_agent().await;
        assert!(next.greeted_after.is_some());
        desk.close().await;
    });
}
