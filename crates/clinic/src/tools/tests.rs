//! Schemas and the errors that a model gets; no database.

use serde_json::json;

use super::*;
use crate::config::load_tenant;
use crate::{Database, DatabaseOptions, Keyring};

/// The demo tenant's tools, in front of a database that does not exist.
fn tools() -> ToolSet {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../agent-config/demo").canonicalize().unwrap();
    let tenant = Arc::new(load_tenant(&folder).unwrap());
    let mut options = DatabaseOptions::new("postgres://nobody@127.0.0.1:1/none");
    options.acquire_timeout = std::time::Duration::from_millis(100);
    let database = Database::open(&options).unwrap();
    tool_set(&ClinicStore::new(database, Arc::new(Keyring::from_master([0; 32])), tenant.id.clone()), &tenant)
}

fn context() -> frontdesk_agent::ToolContext {
    frontdesk_agent::ToolContext {
        call_id: "call".into(),
        tenant_id: "demo".into(),
        tool_call_id: "1".into(),
        language: "en".into(),
        caller_number: None,
        call: frontdesk_agent::CallControl::default(),
    }
}

async fn error(tool: &str, arguments: serde_json::Value) -> frontdesk_conversation::ToolError {
    let tools = tools();
    let tool = tools.get(tool).unwrap();
    match tool.effect() {
        frontdesk_conversation::Effect::Commit => tool.prepare(&context(), arguments).await.unwrap_err(),
        _ => tool.run(&context(), arguments).await.unwrap_err(),
    }
}

#[tokio::test]
async fn schemas_are_flat_objects() {
    for schema in tools().schemas() {
        let parameters = schema.parameters;
        assert_eq!(parameters["type"], "object", "{}", schema.name);
        assert_eq!(parameters["additionalProperties"], false, "{}", schema.name);
        for (name, property) in parameters["properties"].as_object().unwrap() {
            assert!(property["type"].is_string(), "{}.{name}: {property}", schema.name);
            assert!(property["description"].is_string(), "{}.{name}", schema.name);
            assert!(property.get("format").is_none() && property.get("$ref").is_none(), "{}.{name}", schema.name);
        }
    }
}

#[tokio::test]
async fn the_closed_list_of_intents_is_in_the_schema() {
    let tools = tools();
    let parameters = tools.get("note_intent").unwrap().parameters();
    let list = json!(["book", "move", "cancel", "question", "insurance", "message", "emergency", "other"]);
    assert_eq!(parameters["properties"]["intent"]["enum"], list);
    assert_eq!(parameters["required"], json!(["intent"]));
}

#[tokio::test]
async fn bad_arguments_name_field_value_expectation_and_example() {
    for (tool, arguments, expected) in [
        ("find_slots", json!("{not json"), r#"(arguments): got "{not json", expected a JSON object"#),
        (
            "find_slots",
            json!({"exact_start": "tomorrow"}),
            r#"exact_start: got "tomorrow", expected a local date and time, YYYY-MM-DDTHH:MM; this is not a local date and time, for example "2026-12-01T09:00""#,
        ),
        ("find_slots", json!({"exact_start": "2027-03-14T02:30"}), "does not exist: the clocks go forward"),
        ("find_slots", json!({"duration_minutes": "30"}), r#"duration_minutes: got "30", expected integer: Length in minutes"#),
        (
            "find_slots",
            json!({"duration_minutes": 3}),
            "duration_minutes: got 3, expected integer: Length in minutes, 5 to 480. The service's length, or 30, if left out; fault: lower than 5, for example 30",
        ),
        (
            "find_slots",
            json!({"window_start": "2026-12-02", "window_end": "2026-12-01T09:00"}),
            "window_end: got \"2026-12-01T09:00\", expected a time after window_start",
        ),
        ("find_slots", json!({"at": "now"}), r#"at: got "now", expected no such argument; the arguments are "#),
        (
            "find_slots",
            json!({"when": "not on Tuesday"}),
            r#"when: got "not on Tuesday", expected words about a day or time to come; "not" is not understood; give only the words about"#,
        ),
        ("find_slots", json!({"when": "yesterday"}), "that time is past; ask for a time to come, for example \"next Tuesday morning\""),
        ("find_slots", json!({"when": "tomorrow", "window_start": "2026-12-01"}), "expected the caller's words alone, or exact_start"),
        (
            "find_slots",
            json!({"practitioner": "Dr. Who"}),
            r#"practitioner: got "Dr. Who", expected one of Doctor Ada Lovelace, Doctor Chidi Okafor"#,
        ),
        (
            "book_appointment",
            json!({"start": "2026-12-01T09:00", "phone": "202 555 0143"}),
            r#"patient_name: got null, expected string: The patient's full name, for example "Jane Miller""#,
        ),
        (
            "book_appointment",
            json!({"start": "2026-12-01T09:00", "phone": "555 0143", "patient_name": "Jane Miller"}),
            r#"phone: got "555 0143", expected a telephone number; this one has 7 digits; expected 10, area code included, for example "202 555 0143""#,
        ),
        (
            "book_appointment",
            json!({"start": "2026-12-01T09:00", "phone": "2025550143", "patient_name": "12"}),
            "patient_name: got \"12\", expected string: The patient's full name; fault: has no letter",
        ),
        ("note_intent", json!({"intent": "buy"}), r#"intent: got "buy", expected one of "book", "move""#),
        ("cancel_appointment", json!({"confirmation_code": 7, "phone": "1"}), "confirmation_code: got 7, expected string"),
        ("take_message", json!({"message": ""}), "message: got \"\", expected"),
        ("end_call", json!([]), "(arguments): got"),
    ] {
        let error = error(tool, arguments.clone()).await;
        assert_eq!(error.code, "invalid_arguments", "{tool} {arguments}: {error:?}");
        assert!(error.message.contains(expected), "{tool} {arguments}:\n{}", error.message);
        assert!(error.details.unwrap()["faults"][0]["field"].is_string());
    }
}

#[tokio::test]
async fn all_faults_come_at_once() {
    let error = error("book_appointment", json!({"patient_name": 1, "colour": "red"})).await;
    let faults = error.details.unwrap()["faults"].as_array().unwrap().len();
    assert_eq!(faults, 4, "{}", error.message);
}

#[tokio::test]
async fn without_a_database_nothing_is_promised_and_the_call_goes_on() {
    let error = error("find_slots", json!({"exact_start": "2026-12-01T09:00", "service": null})).await;
    assert_eq!((error.code.as_str(), error.retryable), ("unavailable", true));
    let tools = tools();
    let book = tools.get("book_appointment").unwrap();
    let prepared = book.prepare(&context(), json!({"start": "2026-12-01T09:00", "phone": "2025550143", "patient_name": "Jane"})).await;
    assert_eq!(prepared.unwrap_err().code, "unavailable");
    let canonical = json!({"start": "2026-12-01T14:00:00Z", "duration_minutes": 30, "practitioner": "dr-lovelace", "patient_name": "Jane", "phone": "+12025550143"});
    match book.commit(&context(), "c1", canonical).await {
        frontdesk_conversation::CommitOutcome::Refused(error) => assert_eq!(error.code, "unavailable"),
        other => panic!("{other:?}"),
    }
    let noted = tools.get("note_intent").unwrap().run(&context(), json!({"intent": "book"})).await;
    assert_eq!(noted.unwrap(), json!({"noted": true}));
    let ended = tools.get("end_call").unwrap();
    assert!(ended.ends_call());
    assert_eq!(ended.run(&context(), json!({})).await.unwrap(), json!({"ending": true}));
}

#[tokio::test]
async fn collected_fields_are_told() {
    let tools = tools();
    let fields =
        tools.get("book_appointment").unwrap().fields(&json!({"patient_name": " Jane Miller", "phone": "2025550143", "start": "x"}));
    assert_eq!(fields, [("patient_name".into(), "Jane Miller".into()), ("phone".into(), "2025550143".into())]);
}

#[tokio::test]
async fn a_transfer_goes_to_a_name_of_the_tenant_and_is_offered_only_if_there_is_one() {
    let tools = tools();
    let transfer = tools.get("transfer_call").unwrap();
    assert!(transfer.transfers_call());
    assert_eq!(transfer.parameters()["properties"]["target"]["enum"], json!(["front office"]));
    let shown = format!("{}{}", transfer.description(), transfer.parameters());
    assert!(!shown.contains("+1"), "the model sees no number: {shown}");
    assert_eq!(transfer.run(&context(), json!({"target": "Front office"})).await.unwrap(), json!({"target": "front office"}));
    let error = error("transfer_call", json!({"target": "+15550199"})).await;
    assert_eq!((error.code.as_str(), error.message.contains("front office")), ("invalid_arguments", true));

    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../agent-config/demo").canonicalize().unwrap();
    let mut alone = load_tenant(&folder).unwrap();
    alone.transfer_targets.clear();
    assert!(transfer::TransferCall::of(&Arc::new(alone)).is_none());
}

#[tokio::test]
async fn a_confirmation_is_sent_again_only_by_a_clinic_that_sends_text_messages() {
    let desk = |tenant: Tenant| {
        let mut options = DatabaseOptions::new("postgres://nobody@127.0.0.1:1/none");
        options.acquire_timeout = std::time::Duration::from_millis(100);
        let keys = Arc::new(Keyring::from_master([0; 32]));
        let tenant = Arc::new(tenant);
        tool_set(&ClinicStore::new(Database::open(&options).unwrap(), keys, tenant.id.clone()).with_notices(&tenant), &tenant)
    };
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../agent-config/demo").canonicalize().unwrap();
    let mut tenant = load_tenant(&folder).unwrap();
    assert!(desk(tenant.clone()).get("resend_confirmation").is_none());
    let on = vec![frontdesk_notify::Event::AppointmentBooked];
    tenant.notifications.sms = Some(crate::config::SmsNotices { from: "+15550100".into(), on, fields: Vec::new() });
    let tools = desk(tenant);
    let tool = tools.get("resend_confirmation").unwrap();
    assert!(tool.description().contains("never say that it was sent"));
    let error = tool.run(&context(), json!({"phone": "202 555 0143"})).await.unwrap_err();
    assert!(error.message.contains("patient_name: got \"\""), "{}", error.message);
}
