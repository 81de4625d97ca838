//! The record holds what the summary says, and its committed schema describes it.

use std::path::Path;
use std::sync::Arc;

use chrono::DateTime;
use frontdesk_conversation::{
    CallSummary, CallTime, Effect, EndReason, HeardWord, SaidLine, Speaker, ToolCallId, ToolStatus, ToolTrace, TransferOutcome,
    TransferTrace, TurnId, TurnMetrics,
};
use serde_json::{Value, json};

use super::{CallRecord, assemble};
use crate::session::SessionOptions;
use crate::testing::FakeTool;
use crate::tool::ToolSet;

const fn ms(ms: u64) -> CallTime {
    CallTime::from_millis(ms)
}

fn said(text: &str, confidences: &[f32]) -> SaidLine {
    let word = |(text, confidence): (&str, &f32)| HeardWord { text: text.into(), start: ms(0), end: ms(0), confidence: *confidence };
    let words = text.split_whitespace().zip(confidences).map(word).collect();
    SaidLine { speaker: Speaker::Caller, text: text.into(), start: ms(1_000), end: ms(2_500), words, interrupted: false }
}

fn trace(name: &str, arguments: Value, status: ToolStatus) -> ToolTrace {
    ToolTrace {
        call: ToolCallId(format!("call-{name}")),
        name: name.into(),
        arguments,
        output: json!({ "ok": true }),
        status,
        confirmation: None,
        start: ms(3_000),
        end: ms(3_250),
        turn: Some(TurnId(1)),
    }
}

fn record() -> CallRecord {
    let book = FakeTool::new("book", Effect::Commit).collecting("patient_name", "Ada Lovelace").collecting("phone", "555 0100");
    let message = FakeTool::new("message", Effect::Record).collecting("phone", "555 0199");
    let mut options = SessionOptions::new("call-1", "demo");
    options.tools = ToolSet::new(vec![Arc::new(book), Arc::new(message)]);
    let summary = CallSummary {
        end: EndReason::Completed,
        ended_at: ms(60_000),
        transcript: vec![said("Ada Lovelace five five five oh one oh oh", &[0.97, 0.91, 0.9, 0.9, 0.9, 0.72, 0.9, 0.9, 0.9])],
        tools: vec![
            trace("note_intent", json!({ "intent": "book", "note": "" }), ToolStatus::Done),
            trace("note_intent", json!({ "intent": "dance" }), ToolStatus::Failed),
            trace("book", json!({}), ToolStatus::Done),
            trace("message", json!({}), ToolStatus::Failed),
        ],
        turns: vec![TurnMetrics {
            turn: TurnId(1),
            last_speech: Some(ms(2_500)),
            committed: Some(ms(2_900)),
            playback_started: Some(ms(3_600)),
            ..TurnMetrics::default()
        }],
        hand_offs: Vec::new(),
        interruptions: 2,
        misunderstood: 1,
        offers: 0,
        transfers: vec![TransferTrace { target: "front office".into(), at: ms(50_000), outcome: Some(TransferOutcome::from_sip(503)) }],
        language: Some("en".into()),
    };
    let started = DateTime::from_timestamp(1_800_000_000, 0).expect("a valid time");
    assemble(summary, &options, started, vec!["store: audit unavailable".into()], None)
}

#[test]
fn times_are_counted_from_the_answer_and_latencies_from_the_last_sound() {
    let record = record();
    assert_eq!((record.duration_ms, (record.ended_at - record.started_at).num_milliseconds()), (60_000, 60_000));
    assert_eq!((record.transcript[0].start_ms, record.transcript[0].end_ms), (1_000, 2_500));
    assert_eq!(record.transcript[0].confidence, Some(0.72));
    assert_eq!((record.tools[0].start_ms, record.tools[0].duration_ms), (3_000, 250));
    let turn = record.turns[0];
    assert_eq!((turn.committed_ms, turn.first_token_ms, turn.playback_started_ms), (Some(400), None, Some(1_100)));
}

#[test]
fn intents_and_fields_come_from_tools_that_succeeded() {
    let record = record();
    let intents: Vec<_> = record.intents.iter().map(|intent| (intent.intent.as_str(), intent.note.as_deref())).collect();
    assert_eq!(intents, [("book", None)]);
    let fields: Vec<_> = record.fields.iter().map(|field| (field.name.as_str(), field.value.as_str(), field.confidence)).collect();
    assert_eq!(fields, [("patient_name", "Ada Lovelace", Some(0.91)), ("phone", "555 0100", Some(0.72))]);
}

#[test]
fn the_record_survives_its_json() {
    let record = record();
    let json = serde_json::to_string(&record).expect("a record is JSON");
    assert_eq!(serde_json::from_str::<CallRecord>(&json).expect("and back"), record);
}

/// Within a version records only grow: what was added since its first release may be missing.
#[test]
fn a_record_of_the_first_release_is_still_read() {
    let mut json = serde_json::to_value(record()).expect("a record is JSON");
    let fields = json.as_object_mut().expect("an object");
    for added in ["asked_for", "summary", "hand_offs", "latency_misses", "misunderstood", "transfers", "usage", "cost"] {
        assert!(fields.remove(added).is_some(), "{added}");
    }
    let first = serde_json::from_value::<CallRecord>(json).expect("it is read");
    let record = record();
    assert_eq!((first.call_id, first.outcome, first.tools), (record.call_id, record.outcome, record.tools));
}

/// `FRONTDESK_UPDATE_SCHEMAS=1 cargo test -p frontdesk-agent schema` writes the file anew.
#[test]
fn the_committed_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas/call-record.v1.json");
    let mut current = serde_json::to_string_pretty(&schemars::schema_for!(CallRecord)).expect("a schema is JSON");
    current.push('\n');
    if std::env::var_os("FRONTDESK_UPDATE_SCHEMAS").is_some() {
        std::fs::write(&path, &current).expect("docs/schemas can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == current,
        "docs/schemas/call-record.v1.json is out of date: run with FRONTDESK_UPDATE_SCHEMAS=1, and raise RECORD_VERSION if a field has gone or means something else"
    );
}
