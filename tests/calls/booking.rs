//! One caller books, and all that is left behind.

use std::path::Path;
use std::time::Duration;

use frontdesk_agent::CallRecord;
use frontdesk_clinic::audit::{Verdict, verify};
use frontdesk_clinic::{Database, DatabaseOptions, TenantId};
use frontdesk_conversation::{EndReason, Speaker, ToolStatus};
use frontdesk_simulators::caller::{CallEnd, CallOutcome};
use tokio::sync::OnceCell;

use crate::calls::booking;
use crate::clinic::TENANT;
use crate::desk::{Desk, DeskOptions};
use crate::documents::{Appointment, codes, exported, said, sound, stereo, transcript};
use crate::operators::{self, Answers};
use crate::people::{GOODBYE, PEOPLE, Person, SECOND, WISH, YES};
use crate::run;

/// Who calls alone.
pub(crate) const CALLER: &Person = &PEOPLE[0];

/// A call in which everything went well, with all that it left behind; several tests look at it.
pub(crate) struct Example {
    /// The number that the call came from.
    pub(crate) from: String,
    pub(crate) outcome: CallOutcome,
    pub(crate) record: CallRecord,
    appointments: Vec<Appointment>,
    recording: (Vec<i16>, Vec<i16>),
    /// The lines of the notices about the appointment and the call.
    exported: [Vec<String>; 2],
    /// What the verifier says once the worker has sealed all that the call did.
    verdict: Verdict,
    /// What operators are told of it.
    pub(crate) operator: Answers,
    /// Everything that was logged by bridge and worker.
    pub(crate) logs: [String; 2],
}

/// The example, made when it is first asked for.
pub(crate) async fn example() -> &'static Example {
    static EXAMPLE: OnceCell<Example> = OnceCell::const_new();
    EXAMPLE.get_or_init(make_example).await
}

async fn make_example() -> Example {
    let desk = Desk::open(DeskOptions { log: "debug", ..DeskOptions::default() }).await;
    let call = desk.place(booking(CALLER, WISH, SECOND));
    let from = call.from.clone();
    let outcome = call.outcome().await;
    let record = desk.records(1).await.remove(0);
    let appointments = desk.appointments().await;
    let sealed = Path::new(record.recording.as_ref().expect("a recording was made"));
    assert!(sealed.starts_with(desk.recordings_dir()), "{sealed:?}");
    let operator = operators::answers(&desk.database.url(), &record.call_id).await;
    let exported_wav = desk.calls_dir().join("exported.wav");
    let told = operators::export_recording(&desk, &record.call_id, &exported_wav).await;
    assert!(exported_wav.exists(), "{told}");
    let recording = stereo(&exported_wav);
    std::fs::remove_file(&exported_wav).expect("it can be removed");
    let verdict = verdict(&desk.database.url()).await;
    let exported = [exported(&desk, "appointments.csv", 2).await, exported(&desk, "calls.csv", 2).await];
    let logs = [desk.bridge.log_text(), desk.worker.log_text()];
    assert_eq!((outcome.end.clone(), appointments.len()), (CallEnd::Agent, 1), "{}", transcript(&record));
    desk.close().await;
    Example { from, outcome, record, appointments, recording, verdict, exported, operator, logs }
}

/// Verifies the chain as soon as nothing waits for the worker's sealer any more.
async fn verdict(url: &str) -> Verdict {
    let database = Database::open(&DatabaseOptions::new(url)).expect("the database's address is one");
    let tenant = TenantId::new(TENANT).expect("the clinic's id is one");
    let sealed = async {
        loop {
            let verdict = verify(&database, &tenant, None).await.expect("the chain can be read");
            if verdict.tail.count == 0 {
                return verdict;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), sealed).await.expect("the worker seals what its calls did")
}

#[test]
fn one_caller_books_one_appointment_and_everything_is_recorded() {
    run(async {
        let Example { outcome, record, appointments, recording, verdict, .. } = example().await;
        assert_eq!(verdict.fault, None);
        assert!(verdict.verified > 5, "the import, and what the call did: {verdict:?}");
        println!("{}", transcript(record));
        let [appointment] = appointments.as_slice() else { panic!("exactly one appointment: {appointments:?}") };
        assert_eq!((appointment.status.as_str(), &appointment.call_id), ("booked", &record.call_id));
        assert_eq!(codes(record), std::slice::from_ref(&appointment.code));
        assert_eq!((record.outcome, record.interruptions), (EndReason::Completed, 0));
        // The simulated synthesiser shares two cores with all the other tests.
        let faults: Vec<&String> = record.incidents.iter().filter(|incident| *incident != "text-to-speech: slower than speech").collect();
        assert!(faults.is_empty(), "{faults:?}");

        let expected = [WISH.into(), CALLER.introduction(), CALLER.tells_number(), SECOND.into(), YES.into(), GOODBYE.into()];
        assert_eq!(said(record, Speaker::Caller), expected);
        let agent = said(record, Speaker::Agent).join(" ");
        for words in ["How can I help you?", "Shall I book that?", "confirmation code is", "oodbye"] {
            assert!(agent.contains(words), "{words}: {agent}");
        }
        assert!(record.transcript.windows(2).all(|lines| lines[0].start_ms <= lines[1].start_ms), "{:?}", record.transcript);
        check_tools(record);
        check_latencies(record, outcome);

        // At 16 kHz; each side speaks for more than five seconds.
        let (caller, agent) = recording;
        assert!(sound(caller) > 5 * 16_000 && sound(agent) > 5 * 16_000, "{} {}", sound(caller), sound(agent));
    });
}

#[test]
fn what_happened_is_told_on_the_channel_that_is_on_and_no_more_than_it_may_carry() {
    run(async {
        let Example { record, appointments, exported: [booked, ended], .. } = example().await;
        let cells = |lines: &[String]| lines[1].split(',').map(String::from).collect::<Vec<_>>();
        let (booked, ended) = (cells(booked), cells(ended));
        assert_eq!((booked[1].as_str(), &booked[6]), ("appointment_booked", &appointments[0].code));
        assert_eq!((ended[1].as_str(), &ended[2], ended[5].as_str()), ("call_ended", &record.call_id, "completed"));
        assert!(booked[7..].iter().chain(&ended[6..]).all(String::is_empty), "neither people nor numbers: {booked:?} {ended:?}");
    });
}

fn check_tools(record: &CallRecord) {
    assert_eq!(record.intents.iter().map(|intent| intent.intent.as_str()).collect::<Vec<_>>(), ["book"]);
    let field = |name: &str| record.fields.iter().find(|field| field.name == name).map(|field| field.value.as_str());
    assert_eq!(field("patient_name"), Some(CALLER.name));
    let digits: String = field("phone").expect("a number").chars().filter(char::is_ascii_digit).collect();
    assert!(digits.ends_with(CALLER.digits), "{digits}");
    for field in &record.fields {
        assert!(field.confidence.is_some_and(|confidence| confidence > 0.5), "{field:?}");
    }
    for name in ["note_intent", "find_slots", "book_appointment", "confirm", "end_call"] {
        let calls: Vec<_> = record.tools.iter().filter(|tool| tool.name == name).collect();
        let [call] = calls.as_slice() else { panic!("{name} was called {} times", calls.len()) };
        let is_prepared = name == "book_appointment" && call.status == ToolStatus::Prepared;
        assert!(call.status == ToolStatus::Done || is_prepared, "{call:?}");
        assert!(call.arguments.is_object() && !call.result.is_null() && call.start_ms < record.duration_ms, "{call:?}");
    }
}

/// Every turn of the caller has its latency by stage, in the order of the stages.
fn check_latencies(record: &CallRecord, outcome: &CallOutcome) {
    assert_eq!(record.turns.len(), 6, "{:?}", record.turns);
    for turn in &record.turns {
        // The recogniser may end its segment before the detector is sure, and the model be at work before either: before the turn is
        // committed, and before the detector has it that the speech is over.
        let heard = [turn.transcript_final_ms, turn.committed_ms, turn.first_audio_ms, turn.playback_started_ms];
        let ended = [turn.speech_ended_ms, turn.committed_ms];
        let answered = [turn.model_asked_ms, turn.first_token_ms, turn.first_clause_ms, turn.first_audio_ms];
        for stages in [&heard[..], &ended[..], &answered[..]] {
            assert!(stages.iter().all(Option::is_some) && stages.is_sorted(), "{turn:?}");
        }
    }
    assert_eq!(outcome.gaps().count(), 6, "{:?}", outcome.turns);
    println!("caller's last sound to agent's first, median of 6: {:?}", outcome.median_gap());
    println!("INVITE to 200: {:?}", outcome.answered_after);
    // Never dead air, however slow the machine is.
    assert!(outcome.gaps().all(|gap| gap < Duration::from_secs(4)), "{:?}", outcome.turns);
}
