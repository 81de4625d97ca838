//! What docs/conversation.md says of states and settings is what the code says.
//!
//! `FRONTDESK_WRITE_DOCS=1 cargo test -p frontdesk-conversation --test documentation` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use frontdesk_conversation::floor::{Floor, STEPS};
use frontdesk_conversation::{
    Config, config::Endpointing, config::Interruption, config::Misunderstanding, config::Phrases, config::Silence,
};
use schemars::schema_for;
use serde_json::Value;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/conversation.md");

fn diagram() -> String {
    let mut text = String::from("```mermaid\nstateDiagram-v2\n    [*] --> waiting\n");
    for step in STEPS {
        // A colon would end the label.
        let _ = writeln!(text, "    {} --> {}: {}", step.from.as_str(), step.to.as_str(), step.when.replace(':', " –"));
    }
    let _ = write!(text, "    {} --> [*]\n```", Floor::Ended.as_str());
    text
}

/// A default as people write it.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.contains_key("secs") && fields.contains_key("nanos") => {
            let seconds = fields["secs"].as_f64().unwrap_or_default() + fields["nanos"].as_f64().unwrap_or_default() / 1e9;
            format!("{seconds} s")
        }
        Value::Object(fields) if fields.is_empty() => "none".into(),
        Value::Array(items) if items.is_empty() => "none".into(),
        Value::Object(_) | Value::Array(_) => "see the code".into(),
        Value::String(text) if text.is_empty() => "none".into(),
        Value::String(text) => format!("\u{201c}{text}\u{201d}"),
        other => other.to_string(),
    }
}

fn table(heading: &str, schema: schemars::Schema, defaults: Value) -> String {
    let mut text = format!("### {heading}\n\n| setting | default | meaning |\n|---|---|---|\n");
    let schema = Value::from(schema);
    let properties = schema["properties"].as_object().expect("settings are an object");
    for (key, property) in properties {
        let default = &defaults[key];
        // Groups have tables of their own.
        if property.get("$ref").is_some() && default.is_object() && default.get("secs").is_none() {
            continue;
        }
        let meaning = property["description"].as_str().unwrap_or_else(|| panic!("{heading}.{key} says nothing of itself"));
        let meaning = meaning.replace('\n', " ").replace('|', "\\|").replace("[`", "`").replace("`]", "`");
        let _ = writeln!(text, "| `{key}` | {} | {meaning} |", shown(default));
    }
    text
}

fn settings() -> String {
    let json = |value: Result<Value, serde_json::Error>| value.expect("settings are JSON");
    [
        table("The call", schema_for!(Config), json(serde_json::to_value(Config::default()))),
        table("`endpointing`: the end of the caller's turn", schema_for!(Endpointing), json(serde_json::to_value(Endpointing::default()))),
        table("`interruption`: barge-in", schema_for!(Interruption), json(serde_json::to_value(Interruption::default()))),
        table("`misunderstanding`: trouble", schema_for!(Misunderstanding), json(serde_json::to_value(Misunderstanding::default()))),
        table("`silence`", schema_for!(Silence), json(serde_json::to_value(Silence::default()))),
        table("`phrases`: what the agent says by itself", schema_for!(Phrases), json(serde_json::to_value(Phrases::default()))),
    ]
    .join("\n")
}

/// Puts a text between the marks of that name.
fn replaced(page: &str, name: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("\n<!-- end of {name} -->"));
    let from = page.find(&begin).unwrap_or_else(|| panic!("docs/conversation.md has no mark {begin}")) + begin.len();
    let to = from + page[from..].find(&end).unwrap_or_else(|| panic!("docs/conversation.md has no mark {end}"));
    format!("{}{text}{}", &page[..from], &page[to..])
}

#[test]
fn the_page_shows_the_states_and_settings_of_the_code() {
    let page = std::fs::read_to_string(PAGE).expect("docs/conversation.md");
    let expected = replaced(&replaced(&page, "states", &diagram()), "settings", settings().trim_end());
    if std::env::var_os("FRONTDESK_WRITE_DOCS").is_some() {
        std::fs::write(Path::new(PAGE), &expected).expect("docs/conversation.md can be written");
    }
    let told = "docs/conversation.md is stale: FRONTDESK_WRITE_DOCS=1 cargo test -p frontdesk-conversation --test documentation";
    assert!(page == expected || std::env::var_os("FRONTDESK_WRITE_DOCS").is_some(), "{told}");
}
