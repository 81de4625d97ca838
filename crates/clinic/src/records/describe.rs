//! What a record says to people besides what happened: a summary, and whom and what the caller asked for.
//!
//! Both are made of the record itself, by rules: no model is asked, so that nothing stands in a summary that was not done.

use frontdesk_agent::CallRecord;
use frontdesk_agent::record::RecordTool;
use frontdesk_conversation::{ToolStatus, TransferOutcome};
use serde_json::Value;

use crate::booking::{BOOK_TOOL, CANCEL_TOOL, RESCHEDULE_TOOL};
use crate::config::Tenant;
use crate::patients::REGISTER_TOOL;
use crate::store::ClinicStore;
use crate::tools::{self, MESSAGE_TOOL};
use crate::waiting::{JOIN_TOOL, LEAVE_TOOL};

/// Key of [`CallRecord::asked_for`].
const PRACTITIONER: &str = "practitioner";
/// The other.
const DEPARTMENT: &str = "department";

impl ClinicStore {
    /// Adds the summary, and whom and what the caller asked for, where the view knows the clinic's configuration.
    pub fn describe(&self, record: &mut CallRecord) {
        if let Some(tenant) = &self.notices {
            describe(tenant, record);
        }
    }
}

fn describe(tenant: &Tenant, record: &mut CallRecord) {
    record.asked_for.clear();
    for tool in &record.tools {
        for (kind, name) in asked_for(tenant, tool) {
            let names = record.asked_for.entry(kind.to_owned()).or_default();
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    record.summary = Some(summary(record));
}

/// The people and departments of the clinic that a tool was told of because the caller had named them. What a booking was made with is no
/// wish: it may be whoever was free.
fn asked_for(tenant: &Tenant, tool: &RecordTool) -> Vec<(&'static str, String)> {
    let keys: &[(&str, &str)] = match tool.name.as_str() {
        "find_slots" | "note_intent" | JOIN_TOOL => &[(PRACTITIONER, "practitioner"), (DEPARTMENT, "department")],
        REGISTER_TOOL => &[(PRACTITIONER, "preferred_practitioner"), (DEPARTMENT, "department")],
        _ => &[],
    };
    let given = |key: &str| {
        // What was prepared lies one deeper than what was asked.
        let value = tool.arguments.get(key).or_else(|| tool.arguments.get("intake")?.get(key))?;
        value.as_str().map(str::trim).filter(|text| !text.is_empty())
    };
    let resolve = |kind: &'static str, text: &str| match kind {
        PRACTITIONER => tools::practitioner_of(&tenant.practitioners, text).map(|one| (kind, one.name.clone())),
        _ => tools::department_of(&tenant.departments, text).map(|one| (kind, one.name.clone())),
    };
    keys.iter().filter_map(|(kind, key)| resolve(kind, given(key)?)).collect()
}

/// In English: it is for the people of the practice.
fn summary(record: &CallRecord) -> String {
    let mut sentences = Vec::new();
    let mut wishes: Vec<&str> = Vec::new();
    for intent in &record.intents {
        let wish = wish(&intent.intent);
        if !wishes.contains(&wish) {
            wishes.push(wish);
        }
    }
    if !wishes.is_empty() {
        sentences.push(format!("Wanted {}.", wishes.join(", ")));
    }
    let named: Vec<&str> = record.asked_for.values().flatten().map(String::as_str).collect();
    if !named.is_empty() {
        sentences.push(format!("Asked for {}.", named.join(", ")));
    }
    for (at, tool) in record.tools.iter().enumerate() {
        // What was changed, or tried again, is told by how it came out in the end.
        let is_last = !record.tools[at + 1..].iter().any(|later| later.name == tool.name);
        sentences.extend(outcome(tool).filter(|_| is_last || tool.status == ToolStatus::Done));
    }
    for transfer in &record.transfers {
        let became = match transfer.outcome {
            Some(TransferOutcome::Accepted) => "put through",
            Some(_) => "not reached",
            None => "tried",
        };
        sentences.push(format!("{}: {became}.", capitalised(&transfer.target)));
    }
    sentences.push(format!("Ended: {}.", record.outcome.as_str().replace('_', " ")));
    sentences.join(" ")
}

fn wish(intent: &str) -> &str {
    match intent {
        "book" => "an appointment",
        "move" => "to move an appointment",
        "cancel" => "to cancel an appointment",
        "question" => "to know something about the practice",
        "insurance" => "to know what insurance covers",
        "message" => "to leave a message",
        "emergency" => "help in an emergency",
        _ => "something else",
    }
}

/// What came of an act, if the tool is one.
fn outcome(tool: &RecordTool) -> Option<String> {
    let (did, what) = match tool.name.as_str() {
        BOOK_TOOL => ("Booked", "booking"),
        RESCHEDULE_TOOL => ("Moved to", "moving"),
        CANCEL_TOOL => ("Cancelled", "cancelling"),
        REGISTER_TOOL => ("Registered", "registering"),
        JOIN_TOOL => ("Put on the waiting list", "joining the waiting list"),
        LEAVE_TOOL => ("Taken off the waiting list", "leaving the waiting list"),
        MESSAGE_TOOL => ("Left a message", "taking a message"),
        _ => return None,
    };
    Some(match tool.status {
        ToolStatus::Done => {
            let result = tool.result.get("result").unwrap_or(&tool.result);
            let text = |key| result.get(key).and_then(Value::as_str);
            match (text("spoken"), text("practitioner")) {
                (Some(when), Some(who)) => format!("{did} {when}, {who}."),
                (Some(when), None) => format!("{did} {when}."),
                _ => format!("{did}."),
            }
        }
        ToolStatus::Prepared => format!("Not confirmed: {what}."),
        ToolStatus::Unknown => format!("To be looked at: the outcome of {what} is unknown."),
        ToolStatus::Failed => format!("Not done: {what}{}.", reason(&tool.result)),
        ToolStatus::Cancelled => return None,
    })
}

/// The code of the error that a tool gave.
fn reason(result: &Value) -> String {
    let code = result.get("error").and_then(|error| error.get("code")?.as_str());
    code.map(|code| format!(" ({})", code.replace('_', " "))).unwrap_or_default()
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::load_tenant;

    fn tenant() -> Tenant {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../agent-config/demo");
        let mut tenant = load_tenant(&folder).unwrap();
        tenant.departments = serde_json::from_value(json!([{"id": "skin", "name": "Dermatology", "about": ["rash"]}])).unwrap();
        tenant
    }

    fn record(tools: &Value) -> CallRecord {
        let mut record: CallRecord = serde_json::from_value(json!({
            "schema_version": 1, "call_id": "one", "tenant_id": "demo", "started_at": "2026-12-01T14:00:00Z",
            "ended_at": "2026-12-01T14:02:00Z", "duration_ms": 120_000, "language": "en", "outcome": "caller_hung_up",
            "transcript": [], "intents": [], "fields": [], "tools": tools, "turns": [], "interruptions": 0, "recording": null,
            "incidents": [],
        }))
        .unwrap();
        describe(&tenant(), &mut record);
        record
    }

    fn tool(name: &str, arguments: &Value, status: &str, result: &Value) -> Value {
        json!({ "name": name, "arguments": arguments, "result": result, "status": status, "start_ms": 0, "duration_ms": 1, "turn": 1 })
    }

    #[test]
    fn whom_the_caller_named_is_noted_once_and_whoever_was_free_is_not() {
        let record = record(&json!([
            tool("find_slots", &json!({ "practitioner": "Dr. Lovelace" }), "done", &json!({})),
            tool("find_slots", &json!({ "practitioner": "lovelace", "department": "rash" }), "done", &json!({})),
            tool("find_slots", &json!({ "practitioner": "Dr. House", "department": "any" }), "failed", &json!({})),
            tool("book_appointment", &json!({ "practitioner": "dr-okafor" }), "prepared", &json!({})),
            tool("register_patient", &json!({ "intake": { "preferred_practitioner": "Doctor Chidi Okafor" } }), "prepared", &json!({})),
        ]));
        assert_eq!(
            json!(record.asked_for),
            json!({ "practitioner": ["Doctor Ada Lovelace", "Doctor Chidi Okafor"], "department": ["Dermatology"] })
        );
        assert_eq!(
            record.summary.as_deref(),
            Some(
                "Asked for Dermatology, Doctor Ada Lovelace, Doctor Chidi Okafor. Not confirmed: booking. Not confirmed: registering. \
                 Ended: caller hung up."
            )
        );
    }

    #[test]
    fn the_summary_tells_what_was_done_and_what_was_not() {
        let booked = json!({ "status": "done", "result": { "spoken": "Tuesday at nine a.m.", "practitioner": "Doctor Ada Lovelace" } });
        let late = json!({ "spoken": "Friday at noon" });
        let refused = json!({ "status": "refused", "error": { "code": "slot_taken" } });
        for (name, status, result, expected) in [
            ("book_appointment", "done", &booked, "Booked Tuesday at nine a.m., Doctor Ada Lovelace. Ended: caller hung up."),
            ("reschedule_appointment", "done", &late, "Moved to Friday at noon. Ended: caller hung up."),
            ("cancel_appointment", "failed", &refused, "Not done: cancelling (slot taken). Ended: caller hung up."),
            ("take_message", "done", &json!({ "taken": true }), "Left a message. Ended: caller hung up."),
            (
                "join_waiting_list",
                "unknown",
                &Value::Null,
                "To be looked at: the outcome of joining the waiting list is unknown. Ended: caller hung up.",
            ),
            ("practice_information", "done", &json!({}), "Ended: caller hung up."),
        ] {
            assert_eq!(record(&json!([tool(name, &json!({}), status, result)])).summary.as_deref(), Some(expected));
        }
        let moved = json!([
            tool("book_appointment", &json!({}), "prepared", &json!({})),
            tool("book_appointment", &json!({}), "failed", &refused),
            tool("book_appointment", &json!({}), "done", &booked),
        ]);
        let expected = "Booked Tuesday at nine a.m., Doctor Ada Lovelace. Ended: caller hung up.";
        assert_eq!(record(&moved).summary.as_deref(), Some(expected), "what came of it, not the way to it");
        let mut record = record(&json!([]));
        record.intents = serde_json::from_value(json!([
            { "intent": "book", "note": null, "at_ms": 1 }, { "intent": "book", "note": null, "at_ms": 2 },
            { "intent": "insurance", "note": null, "at_ms": 3 },
        ]))
        .unwrap();
        record.transfers = serde_json::from_value(json!([{ "target": "front office", "at_ms": 5, "outcome": null }])).unwrap();
        describe(&tenant(), &mut record);
        let expected = "Wanted an appointment, to know what insurance covers. Front office: tried. Ended: caller hung up.";
        assert_eq!(record.summary.as_deref(), Some(expected));
    }
}
