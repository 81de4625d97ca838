//! A service goes away: the caller is not left in silence, the call ends in good order, and the next one is as if nothing had been.

use frontdesk_agent::CallRecord;
use frontdesk_conversation::{EndReason, Speaker};
use frontdesk_simulators::caller::{Act, CallOutcome, Reactive};

use crate::calls::farewell;
use crate::desk::{Desk, DeskOptions, Service};
use crate::documents::{said, sound, transcript};
use crate::people::{GOODBYE, PEOPLE, Person, WISH};
use crate::{Scenarios, run};

/// Asks for an appointment, again and again if he must, and gives up when told that there is none to be had.
fn stubborn(person: &Person) -> Reactive {
    let say = |text: &str| Act::Say(text.to_owned());
    Reactive::new()
        .rule(&["calendar"], say(GOODBYE), 3)
        .rule(&["anything else"], say(GOODBYE), 3)
        .rule(&["full name"], say(&person.introduction()), 2)
        .rule(&["area code"], say(&person.tells_number()), 2)
        .rule(&["say it once more"], say(WISH), 3)
        .rule(&["How can I help"], say(WISH), 2)
        .rule(&["still there"], say(WISH), 2)
}

/// What came of a call in which a service went away.
struct Lost {
    outcome: CallOutcome,
    record: CallRecord,
    logs: String,
}

const SERVICES: [Service; 4] = [Service::Postgres, Service::SpeechToText, Service::LanguageModel, Service::TextToSpeech];

async fn lost(service: Service) -> &'static Lost {
    static LOST: Scenarios<Service, Lost> = Scenarios::new();
    let lost = LOST.get(service, &SERVICES, lose).await;
    println!("{}\n{}", transcript(&lost.record), lost.logs);
    lost
}

/// A call in which a service goes away after the greeting; then one in which it is there again.
async fn lose(service: Service) -> Lost {
    let desk = Desk::open(DeskOptions { gated: Some(service), ..DeskOptions::default() }).await;
    let mut call = desk.place(stubborn(&PEOPLE[5]));
    call.until_agent_finished().await;
    desk.take_away();
    let outcome = call.hung_up_by_agent().await;
    let record = desk.records(1).await.remove(0);
    assert_eq!(desk.appointments().await, []);
    let logs = desk.tails();

    desk.restore().await;
    let next = desk.place(farewell()).hung_up_by_agent().await;
    assert!(next.greeted_after.is_some());
    let records = desk.records(2).await;
    assert_eq!((records[1].outcome, records[1].incidents.len()), (EndReason::Completed, 0), "{}", transcript(&records[1]));
    desk.close().await;
    Lost { outcome, record, logs }
}

/// The caller heard something after the last thing that he said.
fn assert_was_answered(outcome: &CallOutcome) {
    let last = outcome.turns.last().expect("he said something");
    let after = &outcome.recording.agent[usize::try_from(last.last_sound.as_millis() * 8).expect("a sample")..];
    assert!(sound(after) > 4000, "half a second of speech at least");
}

fn assert_incident(record: &CallRecord, service: &str) {
    assert!(record.incidents.iter().any(|incident| incident.starts_with(service)), "{:?}", record.incidents);
}

/// The last words of the agent apologise and take leave.
fn assert_farewell(record: &CallRecord, apology: &str) {
    let agent = said(record, Speaker::Agent);
    assert!(agent.last().is_some_and(|text| text.contains(apology) && text.contains("Goodbye")), "{agent:?}");
}

#[test]
fn without_a_database_nothing_is_booked_and_the_caller_is_told() {
    run(async {
        let Lost { outcome, record, .. } = lost(Service::Postgres).await;
        assert_was_answered(outcome);
        assert_incident(record, "store:");
        assert_eq!(record.outcome, EndReason::Completed);
        let agent = said(record, Speaker::Agent).join(" ");
        assert!(agent.contains("calendar"), "{agent}");
    });
}

#[test]
fn without_a_language_model_the_agent_apologises_and_hangs_up() {
    run(async {
        let Lost { outcome, record, .. } = lost(Service::LanguageModel).await;
        assert_was_answered(outcome);
        assert_incident(record, "language model:");
        assert_eq!(record.outcome, EndReason::Failed);
        assert!(said(record, Speaker::Agent).iter().any(|text| text.contains("once more")), "{}", transcript(record));
        assert_farewell(record, "sorry");
    });
}

#[test]
fn without_speech_to_text_the_agent_says_that_it_hears_nothing_and_hangs_up() {
    run(async {
        let Lost { outcome, record, .. } = lost(Service::SpeechToText).await;
        assert_was_answered(outcome);
        assert_incident(record, "speech-to-text:");
        // To the agent, a caller whom nobody understands and one who is silent are alike, unless it gave up on the service.
        match record.outcome {
            EndReason::CallerAway => assert_farewell(record, "can't hear you"),
            outcome => {
                assert_eq!(outcome, EndReason::Failed);
                assert_farewell(record, "sorry");
            }
        }
    });
}

#[test]
fn without_text_to_speech_the_caller_hears_a_recorded_apology() {
    run(async {
        let Lost { outcome, record, .. } = lost(Service::TextToSpeech).await;
        assert_was_answered(outcome);
        assert_incident(record, "text-to-speech:");
        assert_eq!(record.outcome, EndReason::Failed);
        assert_farewell(record, "sorry");
    });
}

#[test]
fn a_call_that_begins_without_a_provider_is_answered_with_an_apology() {
    run(async {
        let desk = Desk::open(DeskOptions { gated: Some(Service::TextToSpeech), ..DeskOptions::default() }).await;
        desk.take_away();
        let outcome = desk.place(Reactive::new()).hung_up_by_agent().await;
        assert!(sound(&outcome.recording.agent) > 8000, "a second of speech at least");
        let record = desk.records(1).await.remove(0);
        assert_eq!(record.outcome, EndReason::Failed);
        assert_incident(&record, "start:");
        desk.close().await;
    });
}
