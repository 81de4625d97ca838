//! Where in a file a key stands.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The line, from 1, of a key like `practitioners[1].hours[0].closes`; of the innermost table that is there, if the key is not. `None`
/// for what is no key of the file, or if the file is no TOML.
pub(super) fn line_of(text: &str, key: &str) -> Option<usize> {
    let file = DeTable::parse(text).ok()?;
    let mut place = None;
    let mut table = Some(file.get_ref());
    for part in key.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, index)) => (name, index.strip_suffix(']').and_then(|index| index.parse::<usize>().ok())),
            None => (part, None),
        };
        let Some((found, value)) = table.and_then(|table| table.iter().find(|(known, _)| known.get_ref() == name)) else { break };
        let value = match (index, value.get_ref()) {
            (Some(index), DeValue::Array(items)) => items.get(index),
            _ => Some(value),
        };
        // A value may begin lines below its key; of a member of an array, nothing but the value has a place.
        place = Some(if index.is_some() { value.map_or(found.span().start, start) } else { found.span().start });
        table = value.and_then(|value| value.get_ref().as_table());
    }
    place.map(|at| text.get(..at.min(text.len())).unwrap_or_default().matches('\n').count() + 1)
}

fn start(value: &Spanned<DeValue<'_>>) -> usize {
    value.span().start
}

#[cfg(test)]
mod tests {
    use super::line_of;

    const TEXT: &str = "id = \"demo\"\nclosed_days = [\n  \"2026-12-25\",\n  \"2027-01-01\",\n]\n\n[[practitioners]]\nid = \"a\"\n\n[[practitioners]]\nid = \"b\"\nhours = [\n  { days = [], opens = \"09:00\" },\n]\n[voice]\nkey_terms = []\n";

    #[test]
    fn keys_have_their_lines() {
        for (key, line) in [
            ("id", Some(1)),
            ("closed_days", Some(2)),
            ("closed_days[1]", Some(4)),
            ("practitioners[1].id", Some(11)),
            ("practitioners[1].hours[0].opens", Some(13)),
            ("practitioners[1].name", Some(10)),
            ("voice.key_terms", Some(16)),
            ("greeting", None),
            ("(file)", None),
        ] {
            assert_eq!(line_of(TEXT, key), line, "{key}");
        }
        assert_eq!(line_of("id = ", "id"), None);
    }
}
