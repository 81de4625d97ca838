//! The JSON Schema of a tenant's files, for editors that complete and check while one types.

use serde_json::{Value, json};

use super::model::Tenant;

/// The JSON Schema (2020-12) of `tenant.toml`.
#[must_use]
pub fn tenant_schema() -> Value {
    let mut schema = schemars::schema_for!(Tenant).to_value();
    schema["title"] = json!("tenant.toml of frontdesk");
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_takes_the_demo_tenant_and_refuses_what_is_mistyped() {
        let validator = jsonschema::validator_for(&tenant_schema()).unwrap();
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../agent-config/demo/tenant.toml");
        let text = std::fs::read_to_string(folder).unwrap();
        let read = |text: &str| serde_json::to_value(toml::from_str::<toml::Value>(text).unwrap()).unwrap();
        let faults: Vec<String> = validator.iter_errors(&read(&text)).map(|error| error.to_string()).collect();
        assert!(faults.is_empty(), "{faults:?}");
        for (from, to) in [
            ("slot_minutes = 30", "slot_minutes = \"thirty\""),
            ("greeting = ", "greting = "),
            ("days = [\"monday\", ", "days = [\"montag\", "),
            ("turn_detection = \"vad\"", "turn_detection = \"guess\""),
        ] {
            assert!(text.contains(from), "{from}");
            assert!(!validator.is_valid(&read(&text.replacen(from, to, 1))), "{to}");
        }
    }
}
