//! The tools as a model uses them, from the first question to the cancelled appointment.

use std::sync::Arc;

use frontdesk_agent::{ToolContext, ToolSet};
use frontdesk_clinic::tools::tool_set;
use frontdesk_clinic::{ClinicStore, Tenant};
use frontdesk_conversation::{CommitOutcome, ToolError};
use serde_json::{Value, json};

use super::support::proxy::{Loss, Proxy};
use super::support::{TestDatabase, clinic, demo_tenant, open};

/// A call, as its model sees it.
pub(crate) struct Call {
    pub(crate) tools: ToolSet,
    pub(crate) context: ToolContext,
}

impl Call {
    fn new(test: &TestDatabase, call_id: &str) -> Self {
        Self::at(&test.clinic(), call_id)
    }

    /// A call that is answered with this clinic's tools.
    pub(crate) fn at(clinic: &ClinicStore, call_id: &str) -> Self {
        Self::with(clinic, call_id, demo_tenant())
    }

    /// The same, where the clinic is configured otherwise.
    pub(crate) fn with(clinic: &ClinicStore, call_id: &str, tenant: Tenant) -> Self {
        let tools = tool_set(clinic, &Arc::new(tenant));
        let caller_number = Some("+12025550199".to_string().into());
        let context = ToolContext {
            call_id: call_id.into(),
            tenant_id: "demo".into(),
            tool_call_id: "t1".into(),
            language: "en".into(),
            caller_number,
            call: frontdesk_agent::CallControl::default(),
        };
        Self { tools, context }
    }

    pub(crate) async fn run(&self, tool: &str, arguments: Value) -> Result<Value, ToolError> {
        self.tools.get(tool).unwrap().run(&self.context, arguments).await
    }

    pub(crate) async fn commit(&self, tool: &str, confirmation: &str, arguments: Value) -> (String, CommitOutcome) {
        let tool = self.tools.get(tool).unwrap();
        let prepared = tool.prepare(&self.context, arguments).await.unwrap();
        (prepared.read_back, tool.commit(&self.context, confirmation, prepared.arguments).await)
    }
}

/// The result of what was done.
pub(crate) fn done(outcome: CommitOutcome) -> Value {
    match outcome {
        CommitOutcome::Done(value) => value,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn find_book_and_cancel() {
    let test = TestDatabase::new().await;
    let call = Call::new(&test, "one");
    let found = call.run("find_slots", json!({"window_start": "2026-12-01", "window_end": "2026-12-01", "practitioner": "Lovelace"})).await;
    let found = found.unwrap();
    assert_eq!(
        found["slots"][0],
        json!({"start": "2026-12-01T09:00", "duration_minutes": 30, "practitioner": "Doctor Ada Lovelace",
               "spoken": "Tuesday the first of December at nine a.m."})
    );
    let exact = call.run("find_slots", json!({"exact_start": "2026-12-01T09:00", "service": "check-up"})).await.unwrap();
    assert_eq!(exact["available"], true);
    let wish = json!({"start": "2026-12-01T09:00", "patient_name": "Jane Miller", "phone": "202-555-0143", "service": "checkup"});
    let (read_back, booked) = call.commit("book_appointment", "c1", wish.clone()).await;
    assert!(read_back.starts_with("I have Tuesday the first of December at nine a.m. with Doctor Ada Lovelace"), "{read_back}");
    assert!(read_back.ends_with('?'));
    let booked = done(booked);
    let code = booked["confirmation_code"].as_str().unwrap();
    assert_eq!((booked["booked"].as_bool(), code.len()), (Some(true), 6));
    assert_eq!(booked["confirmation_code_spoken"].as_str().unwrap().split(", ").count(), 6);

    let second = Call::new(&test, "two");
    let mut same = wish;
    same["patient_name"] = json!("John Smith");
    let error = second.tools.get("book_appointment").unwrap().prepare(&second.context, same).await.unwrap_err();
    // Nobody in particular was asked for, and on Tuesdays only Doctor Lovelace works.
    assert_eq!(error.code, "slot_taken");
    assert_eq!(error.details.unwrap()["alternatives"].as_array().unwrap().len(), 3);
    let taken = second.run("find_slots", json!({"exact_start": "2026-12-01T09:00"})).await.unwrap();
    assert_eq!(taken["available"], false);
    assert_eq!(taken["slots"].as_array().unwrap().len(), 3);

    let arguments = json!({"confirmation_code": code, "phone": "+1 202 555 0143"});
    let (read_back, cancelled) = second.commit("cancel_appointment", "c1", arguments.clone()).await;
    assert!(read_back.starts_with("I will cancel the appointment on Tuesday the first of December at nine a.m."), "{read_back}");
    assert_eq!(done(cancelled)["cancelled"], true);
    let error = second.tools.get("cancel_appointment").unwrap().prepare(&second.context, arguments).await.unwrap_err();
    assert_eq!(error.code, "already_cancelled");
}

#[tokio::test]
async fn a_commit_is_answered_the_same_and_altered_arguments_are_refused() {
    let test = TestDatabase::new().await;
    let call = Call::new(&test, "one");
    let book = call.tools.get("book_appointment").unwrap();
    let wish = json!({"start": "2026-12-01T09:00", "patient_name": "Jane Miller", "phone": "202-555-0143"});
    let prepared = book.prepare(&call.context, wish).await.unwrap();
    let first = book.commit(&call.context, "c1", prepared.arguments.clone()).await;
    assert_eq!(book.commit(&call.context, "c1", prepared.arguments.clone()).await, first);
    done(first);
    let mut altered = prepared.arguments;
    altered["patient_name"] = json!("Somebody Else");
    match book.commit(&call.context, "c1", altered).await {
        CommitOutcome::Refused(error) => assert_eq!(error.code, "key_reused"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn half_an_hour_unless_service_or_caller_say_otherwise() {
    let test = TestDatabase::new().await;
    let call = Call::new(&test, "one");
    for (more, minutes) in [
        (json!({}), 30),
        (json!({"service": "vaccination", "practitioner": "anyone"}), 15),
        (json!({"service": "consultation"}), 60),
        (json!({"service": "consultation", "duration_minutes": 45}), 45),
    ] {
        let mut arguments = json!({"exact_start": "2026-12-01T09:00"});
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let found = call.run("find_slots", arguments).await.unwrap();
        let only = json!([{"start": "2026-12-01T09:00", "duration_minutes": minutes, "practitioner": "Doctor Ada Lovelace",
                           "spoken": "Tuesday the first of December at nine a.m."}]);
        assert_eq!(found, json!({"available": true, "slots": only}), "{more}");
    }
}

#[tokio::test]
async fn an_exact_time_that_cannot_be_had_is_explained() {
    let test = TestDatabase::new().await;
    let call = Call::new(&test, "one");
    for (start, minutes, reason) in [
        ("2026-12-25T09:00", 30, "the clinic is closed on that day; these are near it"),
        ("2026-12-01T12:00", 60, "that time is outside of working hours; these are near it"),
        ("2026-11-30T07:30", 30, "that time is past or too soon; these are near it"),
        ("2028-12-01T09:00", 30, "that time is too far ahead, and nothing near it is free; try a window"),
    ] {
        let found = call.run("find_slots", json!({"exact_start": start, "duration_minutes": minutes})).await.unwrap();
        assert_eq!((&found["available"], found["note"].as_str()), (&json!(false), Some(reason)), "{start}");
    }
}

#[tokio::test]
async fn the_callers_own_words_are_placed_on_the_clinics_calendar() {
    let test = TestDatabase::new().await;
    let call = Call::new(&test, "one");
    // It is Monday, 30 November.
    for (when, understood, starts) in [
        ("tomorrow after four", "Tuesday 2026-12-01, beginning from 16:00 on", &["2026-12-01T16:00", "2026-12-01T16:30"][..]),
        ("el martes por la mañana, a última hora", "", &[]),
        ("first thing Thursday", "Thursday 2026-12-03, beginning before 10:00", &["2026-12-03T09:00", "2026-12-03T09:30"]),
        ("pasado mañana a las nueve", "Wednesday 2026-12-02, at 09:00", &["2026-12-02T09:00"]),
        (
            "los martes después de las cuatro y media",
            "2026-11-30 to 2026-12-28, Tue, beginning from 16:30 on",
            &["2026-12-01T16:30", "2026-12-08T16:30", "2026-12-15T16:30", "2026-12-22T16:30"],
        ),
    ] {
        let found = call.run("find_slots", json!({"when": when})).await;
        if starts.is_empty() {
            assert!(found.unwrap_err().message.contains("contradict each other"), "{when}");
            continue;
        }
        let found = found.unwrap();
        let given: Vec<&str> = found["slots"].as_array().unwrap().iter().map(|slot| slot["start"].as_str().unwrap()).collect();
        assert_eq!((found["understood"].as_str().unwrap(), given.as_slice()), (understood, starts), "{when}");
    }
    let error = call.run("find_slots", json!({"when": "next Friday"})).await.unwrap_err();
    assert!(error.message.contains("it may mean 2026-12-04 (Fri) or 2026-12-11 (Fri); ask the caller which"), "{}", error.message);
    let error = call.run("find_slots", json!({"when": "in a year or so in the month of May 2028 on the third of June"})).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.retryable), ("invalid_arguments", false));
}

/// The connection is lost at COMMIT and the database stays away for a while: the tool keeps asking, and tells the truth.
#[tokio::test]
async fn a_tool_looks_an_unknown_outcome_up_until_it_is_known() {
    let test = TestDatabase::new().await;
    let proxy = Proxy::in_front_of(&test.url).await;
    let call = Call::at(&clinic(open(&proxy.url(&test.url)), "demo"), "one");
    let wish = json!({"start": "2026-12-01T09:00", "patient_name": "Jane Miller", "phone": "202-555-0143"});
    let book = call.tools.get("book_appointment").unwrap();
    let prepared = book.prepare(&call.context, wish).await.unwrap();
    proxy.refuse_after_loss();
    proxy.lose_next_commit(Loss::AfterServer);
    let admit = async {
        // As many as make up the first attempt and its repetitions.
        while proxy.turned_away() < 4 {
            tokio::task::yield_now().await;
        }
        proxy.admit();
    };
    let (outcome, ()) = tokio::join!(book.commit(&call.context, "c1", prepared.arguments), admit);
    done(outcome);
    assert_eq!(test.count("SELECT count(*) FROM appointments WHERE status = 'booked'").await, 1);
}

#[tokio::test]
async fn messages_and_intents_are_kept_once() {
    let test = TestDatabase::new().await;
    let call = Call::new(&test, "one");
    for _ in 0..2 {
        let taken = call.run("take_message", json!({"message": "Please call back.", "caller_name": "Jane", "urgent": true})).await;
        assert_eq!(taken.unwrap(), json!({"taken": true}));
        assert_eq!(call.run("note_intent", json!({"intent": "message"})).await.unwrap(), json!({"noted": true}));
    }
    let messages = test.clinic().messages_of_call("one").await.unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].phone.as_ref().unwrap().as_e164(), "+12025550199", "the number that the caller calls from");
    assert_eq!(test.count("SELECT count(*) FROM intents").await, 1);
}

#[tokio::test]
async fn coverage_is_told_with_what_would_have_been_known() {
    let test = TestDatabase::new().await;
    let call = Call::new(&test, "one");
    let ask = |payer: &str| call.run("check_insurance_coverage", json!({"payer": payer, "plan": "Gold", "procedure_code": "99213"}));
    let covered = ask("Northwind Health").await.unwrap();
    assert_eq!((covered["status"].as_str(), covered["copay_spoken"].as_str()), (Some("covered"), Some("twenty-five dollars")));
    let unknown = ask("Acme").await.unwrap();
    assert_eq!(
        unknown,
        json!({"status": "unknown", "known": "unknown", "unknown": "payer", "listed": ["Harbor Mutual", "Northwind Health"]})
    );
}

/// Everything at TRACE, that of the database driver included, while a call books, errs and leaves a message.
#[tokio::test]
async fn nothing_personal_reaches_a_log() {
    #[derive(Clone, Default)]
    struct Log(Arc<std::sync::Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let subscriber = tracing::Dispatch::new(subscriber);
    // While there is only one dispatcher, a log site that another test's thread reaches first is judged by that thread's, which
    // is none, and stays silent for ever: so there are two.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let guard = tracing::dispatcher::set_default(&subscriber);
    let test = TestDatabase::new().await;
    let call = Call::new(&test, "canary-call");
    let wish = json!({"start": "2026-12-01T09:00", "patient_name": "Canary Miller", "phone": "202-555-4711"});
    let (_, booked) = call.commit("book_appointment", "c1", wish.clone()).await;
    let code = done(booked)["confirmation_code"].as_str().unwrap().to_owned();
    let patient_busy = call.tools.get("book_appointment").unwrap().prepare(&call.context, wish).await;
    patient_busy.unwrap_err();
    call.run("take_message", json!({"message": "canary message", "caller_name": "Canary Miller"})).await.unwrap();
    call.run("take_message", json!({"message": "canary message", "phone": "canary phone"})).await.unwrap_err();
    test.clinic().appointments_of_call("canary-call").await.unwrap();
    let cancel = json!({"confirmation_code": code, "phone": "202-555-4711"});
    done(call.commit("cancel_appointment", "c2", cancel).await.1);
    // A row that the database itself refuses, whose error quotes values.
    sqlx::query("ALTER TABLE messages ADD CHECK (is_urgent) NOT VALID").execute(&test.admin).await.unwrap();
    let mut again = Call::new(&test, "canary-call");
    again.context.tool_call_id = "t2".into();
    again.run("take_message", json!({"message": "canary message"})).await.unwrap_err();
    drop(guard);
    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).to_lowercase();
    assert!(text.contains("insert into messages"), "the log holds statements");
    for canary in ["miller", "canary message", "canary phone", "5554711", "555-4711", "2025550199"] {
        assert!(!text.contains(canary), "{canary} is in the log");
    }
}
