//! One byte sequence for one JSON value.

use serde_json::Value;

/// The value with the keys of every object sorted and no white space, so that equal arguments have equal bytes.
///
/// Numbers print as `serde_json` prints them; 1 and 1.0 stay different, which errs on the side of "not the same request".
#[must_use]
pub fn canonical_json(value: &Value) -> String {
    let mut out = String::new();
    write_value(value, &mut out);
    out
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            // Sorted here rather than trusted to the map: another crate's `preserve_order` would change its order.
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (position, (key, value)) in fields.into_iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_value(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn order_and_space_do_not_matter() {
        let one: Value = serde_json::from_str(r#"{"b": [1, {"y":null,"x":"é\n"}], "a": true}"#).unwrap();
        assert_eq!(canonical_json(&one), r#"{"a":true,"b":[1,{"x":"é\n","y":null}]}"#);
        assert_eq!(canonical_json(&one), canonical_json(&json!({"a": true, "b": [1, {"x": "é\n", "y": null}]})));
    }
}
