//! A person's name.

use std::fmt;

use frontdesk_conversation::{FieldKind, ToolError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::collect::{Collect, Field};
use crate::arguments::fault;

/// Collects a person's name.
pub type CollectName = Collect<Name>;

/// A person's name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Name;

impl CollectName {
    /// The caller's own name.
    #[must_use]
    pub const fn new() -> Self {
        Self::of(Name)
    }
}

impl Default for CollectName {
    fn default() -> Self {
        Self::new()
    }
}

/// A name in its parts. Debug prints `{redacted}`.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct PersonName {
    /// Given names.
    pub given: String,
    /// Family names.
    pub family: String,
}

impl fmt::Debug for PersonName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{redacted}")
    }
}

/// What the model gives.
#[derive(Deserialize, JsonSchema, garde::Validate)]
#[serde(deny_unknown_fields)]
pub struct NameArguments {
    /// Given names, spelled as the caller spelled them.
    #[garde(length(chars, min = 1, max = 60))]
    #[schemars(extend("examples" = ["Ada"]))]
    given: String,
    /// Family names.
    #[garde(length(chars, min = 1, max = 60))]
    #[schemars(extend("examples" = ["Lovelace"]))]
    family: String,
}

/// One part of a name: letters, and what joins them.
fn part(field: &str, text: &str) -> Result<String, ToolError> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let allowed = |c: char| c.is_alphabetic() || matches!(c, ' ' | '-' | '\'' | '’' | '.');
    if !text.chars().any(char::is_alphabetic) || !text.chars().all(allowed) {
        return Err(fault::<NameArguments>(field, &text, "letters, spaces, hyphens and apostrophes only").into());
    }
    Ok(text)
}

/// Letter by letter, as a synthesiser says it best.
fn spelled(text: &str) -> String {
    text.chars().filter(|c| c.is_alphabetic()).map(|c| c.to_uppercase().to_string()).collect::<Vec<_>>().join(", ")
}

impl Field for Name {
    type Arguments = NameArguments;
    type Value = PersonName;

    fn task(&self) -> &'static str {
        "collect_name"
    }

    fn tool(&self) -> &'static str {
        "give_name"
    }

    fn what(&self) -> String {
        "the caller's full name".into()
    }

    fn guidance(&self) -> String {
        "Ask for given and family name, and to spell what can be written in several ways. Join letters that were spelled.".into()
    }

    fn expects(&self) -> Option<FieldKind> {
        Some(FieldKind::SpelledName)
    }

    fn check(&self, NameArguments { given, family }: NameArguments) -> Result<PersonName, ToolError> {
        Ok(PersonName { given: part("given", &given)?, family: part("family", &family)? })
    }

    fn read_back(&self, value: &PersonName) -> Option<String> {
        Some(format!("I have {} {}, spelled {}. Is that right?", value.given, value.family, spelled(&value.family)))
    }

    fn recorded(&self, arguments: &Value) -> Vec<(String, String)> {
        let part = |key| arguments.get(key).and_then(Value::as_str).unwrap_or_default();
        vec![("name".into(), format!("{} {}", part("given"), part("family")))]
    }
}
