//! Compares what came of a call with what was expected.

mod aftermath;

use frontdesk_conversation::Speaker;
use regex::RegexBuilder;
use serde_json::Value;

use super::scenario::{Appointment, By, Expect, Said, Scenario, ToolCall};
use super::trace::{Booked, Trace};

/// Silence that no scenario allows while the agent owes the floor, in seconds: the conversation's bound, and what synthesis takes.
const DEAD_AIR_MAX_S: f64 = 4.5;

/// Everything that is not as expected, in sentences; none if all is.
#[must_use]
pub fn judge(scenario: &Scenario, trace: &Trace) -> Vec<String> {
    let expect = &scenario.expect;
    let mut found: Vec<String> = trace.trouble.iter().map(|trouble| format!("caller: {trouble}")).collect();
    found.extend(trace.violations.iter().cloned());
    let outcome = serde_json::to_value(trace.record.outcome).unwrap_or_default();
    if let Some(expected) = expect.outcome.as_deref().filter(|expected| outcome != **expected) {
        found.push(format!("outcome: {expected} is expected, it is {outcome}"));
    }
    tools(expect, trace, &mut found);
    for (key, expected, booked) in
        [("appointments", &expect.appointments, &trace.appointments), ("earlier", &expect.earlier, &trace.earlier)]
    {
        if let Some(expected) = expected {
            appointments(key, expected, booked, &mut found);
        }
    }
    if let Some(expected) = expect.text_messages.filter(|expected| *expected != trace.text_messages) {
        found.push(format!("text messages: {expected} are expected, {} are in the outbox", trace.text_messages));
    }
    aftermath::compare(expect, trace, &mut found);
    for said in &expect.said {
        let count = count(said, trace);
        if said.times.map_or(count == 0, |times| times != count) {
            let times = said.times.map_or_else(|| "at least once".to_owned(), |times| format!("{times} times"));
            found.push(format!("said: {} is expected {times}, it was said {count} times", describe(said)));
        }
    }
    found.extend(
        expect.never_said.iter().filter(|said| count(said, trace) > 0).map(|said| format!("never_said: {} was said", describe(said))),
    );
    let remembered = trace.remembered.join(" ").to_lowercase();
    let forgotten = expect.remembered.iter().filter(|text| !remembered.contains(&text.to_lowercase()));
    found.extend(forgotten.map(|text| format!("remembered: {text:?} is not in the model's last history")));
    if let Some(expected) = expect.interruptions.filter(|expected| *expected != trace.record.interruptions) {
        found.push(format!("interruptions: {expected} are expected, there were {}", trace.record.interruptions));
    }
    incidents(expect, trace, &mut found);
    timing(expect, trace, &mut found);
    found
}

fn tools(expect: &Expect, trace: &Trace, found: &mut Vec<String>) {
    let called = &trace.record.tools;
    let mut from = 0;
    for expected in &expect.tools {
        let matches = |tool: &&frontdesk_agent::record::RecordTool| {
            let status = serde_json::to_value(tool.status).unwrap_or_default();
            tool.name == expected.tool
                && expected.arguments.as_ref().is_none_or(|arguments| holds(&tool.arguments, arguments))
                && expected.status.as_ref().is_none_or(|wanted| status == **wanted)
        };
        match called.iter().skip(from).position(|tool| matches(&tool)) {
            Some(at) => from += at + 1,
            None => {
                let names: Vec<String> = called.iter().map(|tool| format!("{}{} [{:?}]", tool.name, tool.arguments, tool.status)).collect();
                found.push(format!("tools: {} is expected (in this place); called were: {}", wanted(expected), names.join(", ")));
                break;
            }
        }
    }
    let never = expect.never_tools.iter().filter(|name| called.iter().any(|tool| tool.name == **name));
    found.extend(never.map(|name| format!("never_tools: {name} was called")));
}

fn wanted(call: &ToolCall) -> String {
    let arguments = call.arguments.as_ref().map(ToString::to_string).unwrap_or_default();
    let status = call.status.as_ref().map(|status| format!(" [{status}]")).unwrap_or_default();
    format!("{}{arguments}{status}", call.tool)
}

/// Whether what was given holds all that is expected: members of objects, texts within texts.
fn holds(given: &Value, expected: &Value) -> bool {
    match (given, expected) {
        (Value::Object(given), Value::Object(expected)) => {
            expected.iter().all(|(name, value)| given.get(name).is_some_and(|given| holds(given, value)))
        }
        (Value::String(given), Value::String(expected)) => given.to_lowercase().contains(&expected.to_lowercase()),
        _ => given == expected,
    }
}

fn appointments(key: &str, expected: &[Appointment], booked: &[Booked], found: &mut Vec<String>) {
    let list = || {
        let all: Vec<String> = booked
            .iter()
            .map(|row| format!("{} {} with {} for {} ({})", row.status, row.start, row.practitioner, row.name, row.phone))
            .collect();
        if all.is_empty() { "none".to_owned() } else { all.join("; ") }
    };
    if expected.len() != booked.len() {
        found.push(format!("{key}: {} are expected, in the database: {}", expected.len(), list()));
        return;
    }
    let is_so = |row: &Booked, wanted: &Appointment| {
        row.status == wanted.status
            && wanted.practitioner.as_ref().is_none_or(|practitioner| *practitioner == row.practitioner)
            && wanted.start.as_ref().is_none_or(|start| row.start.starts_with(start))
            && wanted.name.as_ref().is_none_or(|name| *name == row.name)
            && ends_with_digits(&row.phone, wanted.phone.as_deref())
            && wanted.service.as_ref().is_none_or(|service| *service == row.service)
    };
    for (row, wanted) in booked.iter().zip(expected).filter(|(row, wanted)| !is_so(row, wanted)) {
        found.push(format!("{key}: {} is expected, in the database: {}", described(wanted), shown(row)));
    }
}

/// Whether a number ends with these digits; anything will do if none are given.
fn ends_with_digits(number: &str, digits: Option<&str>) -> bool {
    let only = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    digits.is_none_or(|digits| only(number).ends_with(&only(digits)))
}

fn shown(row: &Booked) -> String {
    let service = if row.service.is_empty() { String::new() } else { format!(", {}", row.service) };
    format!("{} {} with {} for {} ({}){service}", row.status, row.start, row.practitioner, row.name, row.phone)
}

fn described(wanted: &Appointment) -> String {
    let parts = [
        (" ", &wanted.start),
        (" with ", &wanted.practitioner),
        (" for ", &wanted.name),
        (" number ", &wanted.phone),
        (" service ", &wanted.service),
    ];
    let given: String = parts.iter().filter_map(|(word, part)| part.as_ref().map(|part| format!("{word}{part}"))).collect();
    format!("{}{given}", wanted.status)
}

/// How often something was said, by the transcript.
fn count(said: &Said, trace: &Trace) -> usize {
    let is_meant = |speaker: Speaker| match said.by {
        None => true,
        Some(By::Caller) => speaker == Speaker::Caller,
        Some(By::Agent) => speaker == Speaker::Agent,
    };
    let lines = trace.record.transcript.iter().filter(|line| is_meant(line.speaker));
    let text = lines.map(|line| line.text.as_str()).collect::<Vec<_>>().join(" ");
    match (&said.text, &said.pattern) {
        (Some(part), _) => text.to_lowercase().matches(&part.to_lowercase()).count(),
        (_, Some(pattern)) => {
            RegexBuilder::new(pattern).case_insensitive(true).build().map_or(0, |pattern| pattern.find_iter(&text).count())
        }
        _ => 0,
    }
}

fn describe(said: &Said) -> String {
    let text = said.text.as_ref().or(said.pattern.as_ref()).cloned().unwrap_or_default();
    let by = match said.by {
        None => "",
        Some(By::Caller) => " by the caller",
        Some(By::Agent) => " by the agent",
    };
    format!("{text:?}{by}")
}

fn incidents(expect: &Expect, trace: &Trace, found: &mut Vec<String>) {
    let occurred = &trace.record.incidents;
    let unexpected = occurred.iter().filter(|incident| !expect.incidents.iter().any(|part| incident.contains(part)));
    found.extend(unexpected.map(|incident| format!("incidents: {incident:?} is not expected")));
    let missing = expect.incidents.iter().filter(|part| !occurred.iter().any(|incident| incident.contains(*part)));
    found.extend(missing.map(|part| format!("incidents: {part:?} is expected, the record has {occurred:?}")));
}

fn timing(expect: &Expect, trace: &Trace, found: &mut Vec<String>) {
    let mut latencies = trace.latencies();
    latencies.sort_unstable();
    if let (Some(budget), Some(worst)) = (&expect.latency, latencies.last()) {
        let median = latencies[latencies.len() / 2];
        if let Some(limit) = budget.median_ms_max.filter(|limit| median > *limit) {
            found.push(format!("latency: a median of at most {limit} ms is expected, it is {median} ms"));
        }
        if let Some(limit) = budget.ms_max.filter(|limit| worst > limit) {
            found.push(format!("latency: at most {limit} ms are expected, the slowest turn took {worst} ms"));
        }
    } else if expect.latency.is_some() {
        found.push("latency: no turn was answered".into());
    }
    let limit = expect.dead_air_max.unwrap_or(DEAD_AIR_MAX_S);
    if let Some((at, gap)) = trace.dead_air().filter(|(_, gap)| *gap > limit) {
        found.push(format!("dead air: {gap:.1} s of silence from {at:.1} s on, at most {limit} s are allowed"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_are_a_subset_and_texts_are_parts() {
        assert!(holds(&json!({"a": "Ada Lovelace", "b": 1}), &json!({"a": "lovelace"})));
        assert!(!holds(&json!({"a": "Ada"}), &json!({"a": "Ada", "b": 1})));
        assert!(!holds(&json!({"b": 2}), &json!({"b": 1})));
    }
}
