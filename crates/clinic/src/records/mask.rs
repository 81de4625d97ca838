//! What may be shown without a purpose: enough to tell one from another, too little to know who it is.

use serde_json::{Map, Value};

/// The last four digits: `•••0143`.
#[must_use]
pub fn phone(number: &str) -> String {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    // All digits are ASCII, so that a byte is a character.
    let last = digits.len().saturating_sub(4);
    format!("•••{}", if digits.len() > 4 { &digits[last..] } else { "" })
}

/// First letter and domain: `j****@example.com`.
#[must_use]
pub fn email(address: &str) -> String {
    match address.split_once('@') {
        Some((local, domain)) => format!("{}****@{domain}", local.chars().next().unwrap_or('*')),
        None => "****".into(),
    }
}

/// Initials: `A. L.`
#[must_use]
pub fn name(name: &str) -> String {
    let initial = |word: &str| word.chars().find(|c| c.is_alphanumeric()).map(|c| format!("{}.", c.to_uppercase()));
    name.split_whitespace().filter_map(initial).collect::<Vec<_>>().join(" ")
}

/// The text with all runs of digits that are long enough to be a number of somebody's (seven, or a social security number's nine)
/// reduced to their last four, whatever stands between the digits. A social security number loses those as well.
#[must_use]
pub fn numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        out.push_str(&rest[..start]);
        let run = run_of_digits(&rest[start..]);
        let digits = run.chars().filter(char::is_ascii_digit).count();
        match digits {
            _ if is_date(run) => out.push_str(run),
            ..7 => out.push_str(run),
            9 => out.push_str("•••-••-••••"),
            _ => out.push_str(&phone(run)),
        }
        rest = &rest[start + run.len()..];
    }
    out.push_str(rest);
    out
}

/// The digits at the beginning of a text, with single separators between them.
fn run_of_digits(text: &str) -> &str {
    let mut end = 0;
    let mut gap = 0;
    for (position, c) in text.char_indices() {
        if c.is_ascii_digit() {
            end = position + 1;
            gap = 0;
        } else if " -.()/\u{2011}".contains(c) && gap < 2 {
            gap += 1;
        } else {
            break;
        }
    }
    &text[..end]
}

/// An ISO 8601 day, which is no number of somebody's. Days of birth are masked by their names.
fn is_date(run: &str) -> bool {
    let parts: Vec<usize> = run.split('-').map(str::len).collect();
    parts == [4, 2, 2] && run.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// Names of ids and of times that the program itself wrote; shown as they are.
const OWN: [&str; 11] = [
    "call_id",
    "appointment",
    "appointment_id",
    "patient_id",
    "message_id",
    "tenant_id",
    "started_at",
    "ended_at",
    "at",
    "created_at",
    "noted_at",
];

/// Names of values that say nothing of a person and are shown, but for numbers in them. Everything that is not on the list is
/// reduced to its length: a field that is added later is masked until somebody decides otherwise.
const PLAIN: [&str; 36] = [
    "action",
    "actor",
    "agent",
    "caller_type",
    "confirmation_id",
    "currency",
    "department",
    "end",
    "event",
    "intent",
    "language",
    "name",
    "outcome",
    "place",
    "practitioner",
    "practitioner_name",
    "principal",
    "procedure_code",
    "provider",
    "purpose",
    "record_key",
    "refusal",
    "service",
    "service_code",
    "service_name",
    "speaker",
    "start",
    "stage",
    "status",
    "subject",
    "target",
    "tool",
    "unpriced",
    "window_end",
    "window_start",
    "zone",
];

/// A record, or any other document, with all that is personal masked: by the names of its values.
#[must_use]
pub fn document(value: &Value) -> Value {
    walk("", value, "")
}

fn walk(key: &str, value: &Value, parent: &str) -> Value {
    match value {
        Value::Object(fields) => Value::Object(object(fields, key)),
        Value::Array(items) => Value::Array(items.iter().map(|item| walk(key, item, parent)).collect()),
        Value::String(text) => Value::String(string(key, text, parent)),
        // Numbers and booleans: times, counts, confidences. A number in which a telephone number would fit is none of them.
        Value::Number(number) if number.as_f64().is_some_and(|number| number.abs() >= 1e9) => Value::String("[number]".into()),
        other => other.clone(),
    }
}

fn object(fields: &Map<String, Value>, parent: &str) -> Map<String, Value> {
    // A field that was learnt from the caller: its name says what its value is.
    if let (Some(Value::String(name)), Some(value)) = (fields.get("name"), fields.get("value")) {
        let mut masked: Map<String, Value> = fields.iter().map(|(key, value)| (key.clone(), walk(key, value, "fields"))).collect();
        masked.insert("name".into(), Value::String(name.clone()));
        masked.insert("value".into(), walk(name, value, "value"));
        return masked;
    }
    fields.iter().map(|(key, value)| (key.clone(), walk(key, value, parent))).collect()
}

fn string(key: &str, text: &str, parent: &str) -> String {
    let lower = key.to_lowercase();
    if lower.contains("phone") || lower.contains("number") {
        return phone(text);
    }
    if lower.contains("email") {
        return email(text);
    }
    // "name" alone is a tool's, a field's or a service's; inside of a value that a caller gave it is a person's.
    let is_person = lower.ends_with("_name") && !PLAIN.contains(&lower.as_str()) || (lower == "name" && parent == "value");
    if is_person {
        return name(text);
    }
    if OWN.contains(&lower.as_str()) && parent != "value" {
        return text.to_owned();
    }
    if PLAIN.contains(&lower.as_str()) && parent != "value" { numbers(text) } else { format!("[{} characters]", text.chars().count()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn masks_as_they_look() {
        assert_eq!(phone("+1 (202) 555-0143"), "•••0143");
        assert_eq!(phone("0143"), "•••");
        assert_eq!(email("jane.doe@example.com"), "j****@example.com");
        assert_eq!(email("jane"), "****");
        assert_eq!(email("@x"), "*****@x");
        assert_eq!(name("Ada  King-Lovelace"), "A. K.");
        assert_eq!(name("ñandú 'o"), "Ñ. O.");
    }

    #[test]
    fn numbers_are_found_however_they_are_written() {
        for (text, expected) in [
            ("my social is 123-45-6789.", "my social is •••-••-••••."),
            ("123 45 6789", "•••-••-••••"),
            ("123456789", "•••-••-••••"),
            ("call 202-555-0143 at 9", "call •••0143 at 9"),
            ("2026-12-01T09:00", "2026-12-01T09:00"),
            ("call (202) 555 0143, please", "call (•••0143, please"),
            ("room 12 on 2026", "room 12 on 2026"),
            ("é5", "é5"),
        ] {
            assert_eq!(numbers(text), expected);
        }
    }

    #[test]
    fn a_document_shows_what_is_on_the_list_and_nothing_else() {
        let masked = document(&json!({
            "call_id": "c-1", "outcome": "completed", "duration_ms": 61_000, "brand_new_field": "Ada",
            "transcript": [{"speaker": "caller", "text": "I am Ada, two oh two", "start_ms": 0}],
            "fields": [{"name": "phone", "value": "+12025550143"}, {"name": "patient_name", "value": "Ada Lovelace"},
                       {"name": "allergies", "value": "nuts"}, {"name": "name", "value": "Ada"}],
            "tools": [{"name": "book_appointment", "status": "done",
                       "arguments": {"patient_name": "Ada Lovelace", "phone": 12_025_550_143_u64, "start": "2026-12-01T09:00", "note": "Ada"},
                       "result": {"practitioner_name": "Doctor Okafor", "email": "ada@example.com", "status": "for 202 555 0143"}}],
        }));
        assert_eq!(
            masked,
            json!({
                "call_id": "c-1", "outcome": "completed", "duration_ms": 61_000, "brand_new_field": "[3 characters]",
                "transcript": [{"speaker": "caller", "text": "[20 characters]", "start_ms": 0}],
                "fields": [{"name": "phone", "value": "•••0143"}, {"name": "patient_name", "value": "A. L."},
                           {"name": "allergies", "value": "[4 characters]"}, {"name": "name", "value": "A."}],
                "tools": [{"name": "book_appointment", "status": "done",
                           "arguments": {"patient_name": "A. L.", "phone": "[number]", "start": "2026-12-01T09:00", "note": "[3 characters]"},
                           "result": {"practitioner_name": "Doctor Okafor", "email": "a****@example.com", "status": "for •••0143"}}],
            })
        );
    }

    proptest! {
        #[test]
        fn no_long_number_survives(before in "[a-z é]{0,5}", digits in proptest::collection::vec((0_u8..10, "[ .-]{0,1}"), 7..16), after in "[a-zé]{0,5}") {
            let number: String = digits.iter().map(|(digit, gap)| format!("{digit}{gap}")).collect();
            let masked = numbers(&format!("{before}{number}{after}"));
            prop_assert!(masked.chars().filter(char::is_ascii_digit).count() <= 4, "{masked}");
        }

        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = (numbers(&text), phone(&text), email(&text), name(&text));
        }
    }
}
