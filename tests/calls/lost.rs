//! Workers that are lost in the middle of calls: killed, or cut off from Postgres. The caller stays, and another worker goes on.
//!
//! `make test-long` does the same with ten calls at once (`FRONTDESK_LOST_CALLS`) and a longer outage (`FRONTDESK_AWAY_S`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use frontdesk_agent::CallRecord;
use frontdesk_conversation::{EndReason, Speaker};
use frontdesk_simulators::caller::{Act, CallEnd, CallOutcome, CallerEvent, CallerPlan, Heard, Reactive};
use sqlx::Row as _;
use tokio::time::sleep;

use crate::calls::{Placed, UntilTold};
use crate::clinic::GREETING;
use crate::desk::{Desk, DeskOptions, Service};
use crate::documents::{codes, said, transcript};
use crate::people::{GOODBYE, PEOPLE, Person, SECOND, WISH, YES};
use crate::run;

/// Longer than a take-over takes on a busy machine.
pub(crate) const TAKE_OVER_MAX: Duration = Duration::from_secs(30);

/// A number of the environment, or this one.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// So many calls at once, of those there are callers for.
fn calls_at_once(otherwise: u64) -> usize {
    usize::try_from(number("FRONTDESK_LOST_CALLS", otherwise)).map_or(PEOPLE.len(), |calls| calls.min(PEOPLE.len()))
}

/// So often a caller chooses again at most, because what he has chosen was taken meanwhile: all want the same time.
const RIVALS_MAX: u32 = 12;

/// A caller who says nothing when he is asked for his number, until he is told that he was lost.
fn cut_off(person: &Person) -> Reactive {
    let say = |text: &str| Act::Say(text.to_owned());
    Reactive::new()
        .rule(&["confirmation code is"], say(GOODBYE), 2)
        .rule(&["Shall I book that"], say(YES), RIVALS_MAX)
        .rule(&["full name"], say(&person.introduction()), 2)
        .rule(&["from the start"], say(&person.tells_number()), 2)
        // The question, and the bridge's asking for a moment.
        .rule(&["area code"], Act::Listen, 5)
        .rule(&["area code"], say(&person.tells_number()), 2)
        .rule(&["rest of the number"], say(&person.tells_number()), 2)
        .rule(&["Which one would you like"], say(SECOND), RIVALS_MAX)
        .rule(&["Would that suit you"], say(YES), RIVALS_MAX)
        .rule(&["How can I help"], say(WISH), 2)
        .rule(&["still there"], say(WISH), 2)
}

/// Says again what nobody answers, as people do: a sentence may be lost on a machine that is busy with other tests. Who waits for the
/// agent goes on waiting.
struct Insistent {
    inner: Reactive,
    last: Option<Act>,
}

impl CallerPlan for Insistent {
    fn act(&mut self, heard: Heard<'_>) -> Act {
        // The agent's words may have come too late for the moment at which it had finished: they count even now.
        match (self.inner.act(heard), &self.last) {
            (Act::Listen, Some(last @ (Act::Say(_) | Act::Listen))) if heard.is_overdue => last.clone(),
            (act, _) => self.last.insert(act).clone(),
        }
    }
}

/// A call whose caller has introduced himself and was asked for his number.
pub(crate) struct Asked {
    pub(crate) person: &'static Person,
    pub(crate) placed: Placed,
    /// When it was answered, as far as a test can tell.
    pub(crate) answered: Instant,
    /// Ends it.
    pub(crate) hang_up: Arc<AtomicBool>,
}

/// Places calls, and waits until each caller was asked for his number.
pub(crate) async fn asked(desk: &Desk, people: &'static [Person]) -> Vec<Asked> {
    let place = |person: &'static Person| {
        let hang_up = Arc::new(AtomicBool::new(false));
        let inner = Insistent { inner: cut_off(person), last: None };
        let mut options = desk.new_options(UntilTold { inner, hang_up: Arc::clone(&hang_up) });
        // While the slowest of them is waited for, the others wait.
        options.habits.silence_max = TAKE_OVER_MAX * 4;
        (person, desk.place_with(options), hang_up)
    };
    let placed: Vec<_> = people.iter().map(place).collect();
    let mut calls = Vec::new();
    for (person, mut placed, hang_up) in placed {
        placed.until("an answer", |event| matches!(event, CallerEvent::Answered { .. })).await;
        calls.push(Asked { person, placed, answered: Instant::now(), hang_up });
    }
    for call in &mut calls {
        let introduction = call.person.introduction();
        call.placed.until("he introduces himself", |event| matches!(event, CallerEvent::Spoke { text } if *text == introduction)).await;
        call.placed.until_agent_finished().await;
    }
    calls
}

/// Waits until the bridge has heard another agent in so many calls.
pub(crate) async fn heard_again(desk: &Desk, calls: usize) -> Instant {
    let deadline = Instant::now() + TAKE_OVER_MAX;
    while desk.bridge.log_text().matches("another agent is heard").count() < calls {
        assert!(Instant::now() < deadline, "no other agent is heard:\n{}", desk.tails());
        sleep(Duration::from_millis(20)).await;
    }
    Instant::now()
}

/// When the caller heard the new agent: the first sound after the bridge had dropped what it said itself.
pub(crate) fn first_sound(outcome: &CallOutcome, answered: Instant, after: Instant) -> Instant {
    let since = usize::try_from((after - answered).as_millis() * 8).expect("a sample");
    let later = outcome.recording.agent[since.min(outcome.recording.agent.len())..].chunks(80);
    let blocks = later.take_while(|block| block.iter().all(|sample| sample.unsigned_abs() <= 1000)).count();
    after + Duration::from_millis(10) * u32::try_from(blocks).expect("a few")
}

/// The record of a call that two workers had: its history and fields are whole, and it was booked once.
pub(crate) fn assert_whole(record: &CallRecord, person: &Person) {
    let (agent, caller) = (said(record, Speaker::Agent).join(" "), said(record, Speaker::Caller));
    assert_eq!(record.outcome, EndReason::Completed, "{}", transcript(record));
    assert!(agent.contains(GREETING) && agent.contains("I lost you for a moment. You were giving me your phone number"), "{agent}");
    assert_eq!(agent.matches(GREETING).count(), 1, "{agent}");
    // On a slow machine one sentence may become two turns.
    let words = format!("{WISH} {} {}", person.introduction(), person.tells_number());
    assert!(caller.join(" ").starts_with(&words), "{}", transcript(record));
    assert!(record.incidents.iter().any(|incident| incident.starts_with("worker: lost")), "{:?}", record.incidents);
    let field = |name: &str| record.fields.iter().find(|field| field.name == name).map(|field| field.value.as_str());
    assert_eq!(field("patient_name"), Some(person.name));
    assert!(field("phone").is_some_and(|phone| phone.chars().filter(char::is_ascii_digit).collect::<String>().ends_with(person.digits)));
    for tool in ["confirm", "end_call"] {
        assert_eq!(record.tools.iter().filter(|call| call.name == tool).count(), 1, "{tool}: {}", transcript(record));
    }
}

/// How often the audit log tells of an act.
pub(crate) async fn audited(desk: &Desk, action: &str) -> i64 {
    let mut connection = desk.database.connect().await.expect("the database is there");
    let count = sqlx::query("SELECT count(*) AS count FROM audit_events WHERE action = $1").bind(action);
    count.fetch_one(&mut connection).await.expect("a readable table").get("count")
}

/// Kills the worker of so many calls; another is there.
async fn kill_worker_of(people: &'static [Person]) {
    let mut desk = Desk::open(DeskOptions { away_s: 60.0, ..DeskOptions::default() }).await;
    let calls = asked(&desk, people).await;
    let mut other = desk.hire("second").await;
    desk.worker.kill().await.expect("it can be killed");
    let killed = Instant::now();
    let heard = heard_again(&desk, calls.len()).await;
    let mut silences = Vec::new();
    for Asked { person, placed, answered, .. } in calls {
        let outcome = placed.outcome().await;
        assert_eq!(outcome.end, CallEnd::Agent, "{}: {:?}\n{}", person.name, outcome.turns, desk.tails());
        silences.push(first_sound(&outcome, answered, heard) - killed);
    }
    silences.sort_unstable();
    println!("kill -9 of a worker with {} calls: the callers hear the next one after {silences:?}", silences.len());
    let records = desk.records(people.len()).await;
    let appointments = desk.appointments().await;
    assert_eq!(appointments.len(), people.len(), "{appointments:#?}");
    for record in &records {
        let name = record.fields.iter().find(|field| field.name == "patient_name").map(|field| field.value.as_str());
        let person = people.iter().find(|person| Some(person.name) == name).unwrap_or_else(|| panic!("{}", transcript(record)));
        assert_whole(record, person);
        let booked: Vec<_> = appointments.iter().filter(|appointment| appointment.call_id == record.call_id).collect();
        assert_eq!(booked.len(), 1);
        assert_eq!(codes(record), [booked[0].code.clone()]);
    }
    let calls = i64::try_from(people.len()).expect("a few");
    assert_eq!((audited(&desk, "call.resumed").await, audited(&desk, "appointment.booked").await), (calls, calls));
    assert!(other.stop(TAKE_OVER_MAX).await.expect("it ends").success());
    desk.close_bridge().await;
}

#[test]
fn callers_of_a_killed_worker_go_on_with_another_and_book_once() {
    run(kill_worker_of(&PEOPLE[..calls_at_once(2)]));
}

/// Longer than a lease lasts, and than whoever would take a call over waits.
const LONGER_THAN_A_LEASE_S: u64 = 5;

#[test]
fn without_postgres_for_a_while_no_call_is_stolen() {
    run(async {
        let desk = Desk::open(DeskOptions { away_s: 60.0, gated: Some(Service::Postgres), ..DeskOptions::default() }).await;
        let people = &PEOPLE[..calls_at_once(3)];
        let calls = asked(&desk, people).await;
        let mut other = desk.hire("second").await;
        // As if they had come through LiveKit's own SIP service: every worker may take them over.
        let mut admin = desk.database.connect().await.expect("the database is there");
        sqlx::query("UPDATE call_leases SET watched_by = 'rescue'").execute(&mut admin).await.expect("a writable table");
        desk.take_away();
        sleep(Duration::from_secs(number("FRONTDESK_AWAY_S", LONGER_THAN_A_LEASE_S))).await;
        let expired = "SELECT count(*) AS count FROM call_leases WHERE expires_at < clock_timestamp()";
        let expired: i64 = sqlx::query(expired).fetch_one(&mut admin).await.expect("a readable table").get("count");
        assert_eq!(usize::try_from(expired), Ok(people.len()), "all look orphaned");
        desk.give_back();
        sleep(Duration::from_secs(LONGER_THAN_A_LEASE_S)).await;
        let rows = sqlx::query("SELECT epoch, worker IS NOT NULL AND expires_at > clock_timestamp() AS held FROM call_leases");
        let rows = rows.fetch_all(&mut admin).await.expect("a readable table");
        for row in &rows {
            assert_eq!((row.get::<i64, _>("epoch"), row.get::<bool, _>("held")), (1, true));
        }
        assert_eq!(rows.len(), people.len());
        // The callers were not lost: the same worker hears them hang up.
        for call in &calls {
            call.hang_up.store(true, Ordering::Relaxed);
        }
        for call in calls {
            assert_eq!(call.placed.outcome().await.end, CallEnd::Caller);
        }
        for record in desk.records(people.len()).await {
            assert_eq!(record.outcome, EndReason::CallerHungUp, "{}", transcript(&record));
            assert!(!record.incidents.iter().any(|incident| incident.starts_with("worker:")), "{:?}", record.incidents);
            let caller = said(&record, Speaker::Caller).join(" ");
            assert!(people.iter().any(|person| caller.contains(&person.introduction())), "{}", transcript(&record));
        }
        assert!(other.stop(TAKE_OVER_MAX).await.expect("it ends").success());
        desk.close().await;
    });
}

#[test]
fn a_worker_that_registers_in_time_takes_the_call_and_without_one_the_caller_is_told() {
    run(async {
        let mut desk = Desk::open(DeskOptions { away_s: 60.0, ..DeskOptions::default() }).await;
        let call = asked(&desk, &PEOPLE[5..6]).await.remove(0);
        desk.worker.kill().await.expect("it can be killed");
        desk.bridge.logged("no agent is heard; one is dispatched again", TAKE_OVER_MAX).await.expect("the bridge notices");
        // Nobody is there. It comes within the bound.
        let mut late = desk.hire("late").await;
        heard_again(&desk, 1).await;
        let outcome = call.placed.outcome().await;
        assert_eq!(outcome.end, CallEnd::Agent, "{:?}", outcome.turns);
        assert_whole(&desk.records(1).await.remove(0), call.person);

        let call = asked(&desk, &PEOPLE[6..7]).await.remove(0);
        late.kill().await.expect("it can be killed");
        let killed = Instant::now();
        let outcome = call.placed.outcome().await;
        println!("with no other worker the call ends {:?} after the kill", killed.elapsed());
        assert_eq!(outcome.end, CallEnd::Agent);
        let since = usize::try_from((killed - call.answered).as_millis() * 8).expect("a sample");
        let heard = &outcome.recording.agent[since.min(outcome.recording.agent.len())..];
        assert!(crate::documents::sound(heard) > 16_000, "the caller was told: more than two seconds of speech");
        desk.close_bridge().await;
    });
}
