//! From the model's JSON to a valid Rust value, or to a precise error.

use frontdesk_conversation::ToolError;
use garde::Validate;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// One thing that is wrong with the arguments.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    /// The argument.
    pub field: String,
    /// What came; null if nothing.
    pub got: Value,
    /// What should have come.
    pub expected: String,
    /// A good value, if one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<Value>,
}

impl Fault {
    /// A fault of the argument `field`.
    #[must_use]
    pub fn new(field: impl Into<String>, got: impl Into<Value>, expected: impl Into<String>, example: Option<Value>) -> Self {
        Self { field: field.into(), got: got.into(), expected: expected.into(), example }
    }

    fn sentence(&self) -> String {
        let example = self.example.as_ref().map(|example| format!(", for example {example}")).unwrap_or_default();
        format!("{}: got {}, expected {}{example}", self.field, self.got, self.expected)
    }
}

/// The error for arguments that do not validate.
#[must_use]
pub fn invalid(faults: &[Fault]) -> ToolError {
    let message = faults.iter().map(Fault::sentence).collect::<Vec<_>>().join("; ");
    ToolError { code: "invalid_arguments".into(), message, details: Some(json!({ "faults": faults })), retryable: false }
}

impl From<Fault> for ToolError {
    fn from(fault: Fault) -> Self {
        invalid(&[fault])
    }
}

/// The JSON Schema of a tool's arguments: one flat object, everything in line, no title. Optional arguments are told by
/// `required` alone; `null` is accepted for them but not advertised, because small models then send it everywhere.
#[must_use]
pub fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    if let Some(object) = schema.as_object_mut() {
        object.remove("title");
        object.remove("description");
        object.entry("properties").or_insert_with(|| json!({}));
        for property in object.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
            drop_null(property.1);
        }
    }
    schema
}

fn drop_null(property: &mut Value) {
    let Some(property) = property.as_object_mut() else { return };
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            property.insert("type".into(), only);
        }
    }
    if property.get("default") == Some(&Value::Null) {
        property.remove("default");
    }
    // What a "format" such as uint32 means is said by minimum and maximum.
    property.remove("format");
}

/// Reads and validates arguments.
///
/// # Errors
/// `invalid_arguments`, with every fault by field: what came, what is expected and an example.
pub fn read<T>(arguments: Value) -> Result<T, ToolError>
where
    T: DeserializeOwned + JsonSchema + Validate<Context = ()>,
{
    let schema = schema::<T>();
    let Value::Object(given) = &arguments else {
        let expected = "a JSON object with the tool's arguments";
        return Err(Fault::new("(arguments)", shortened(&arguments), expected, None).into());
    };
    let faults = shape_faults(&schema, given);
    if !faults.is_empty() {
        return Err(invalid(&faults));
    }
    let value: T = serde_json::from_value(arguments.clone())
        .map_err(|error| ToolError::from(Fault::new("(arguments)", Value::Null, error.to_string(), None)))?;
    match value.validate() {
        Ok(()) => Ok(value),
        Err(report) => {
            let fault = |(path, error): &(garde::Path, garde::Error)| {
                let field = path.to_string();
                let got = given.get(&field).map_or(Value::Null, shortened);
                let property = property(&schema, &field);
                let expected = property.map(expectation).unwrap_or_default();
                Fault::new(field, got, format!("{expected}; fault: {error}"), property.and_then(example))
            };
            Err(invalid(&report.iter().map(fault).collect::<Vec<_>>()))
        }
    }
}

/// A fault of one argument, worded by its schema.
#[must_use]
pub fn fault<T: JsonSchema>(field: &str, got: &str, expected: &str) -> Fault {
    Fault::new(field, got, expected, property(&schema::<T>(), field).and_then(example))
}

fn property<'a>(schema: &'a Value, field: &str) -> Option<&'a Value> {
    schema.get("properties")?.get(field)
}

fn example(property: &Value) -> Option<Value> {
    property.get("examples")?.get(0).cloned()
}

/// What is missing, too much, or of the wrong type.
fn shape_faults(schema: &Value, given: &Map<String, Value>) -> Vec<Fault> {
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_required = |name: &str| required.iter().any(|field| field == name);
    let mut faults = Vec::new();
    for (name, property) in properties {
        let value = given.get(name).filter(|value| !value.is_null());
        let is_wrong = match value {
            None => is_required(name),
            Some(value) => !fits(property, value),
        };
        if is_wrong {
            faults.push(Fault::new(name, value.map_or(Value::Null, shortened), expectation(property), example(property)));
        }
    }
    for (name, value) in given.iter().filter(|(name, _)| !properties.contains_key(*name)) {
        let known = properties.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        faults.push(Fault::new(name, shortened(value), format!("no such argument; the arguments are {known}"), None));
    }
    faults
}

fn fits(property: &Value, value: &Value) -> bool {
    let of_type = match property.get("type").and_then(Value::as_str) {
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        _ => true,
    };
    let in_list = property.get("enum").and_then(Value::as_array).is_none_or(|list| list.contains(value));
    of_type && in_list
}

fn expectation(property: &Value) -> String {
    if let Some(list) = property.get("enum").and_then(Value::as_array) {
        let words: Vec<String> = list.iter().map(Value::to_string).collect();
        return format!("one of {}", words.join(", "));
    }
    let kind = property.get("type").and_then(Value::as_str).unwrap_or("value");
    match property.get("description").and_then(Value::as_str) {
        Some(description) => format!("{kind}: {}", description.replace('\n', " ").trim_end_matches('.')),
        None => kind.into(),
    }
}

/// Long values would fill the model's context with its own mistake.
fn shortened(value: &Value) -> Value {
    match value {
        Value::String(text) if text.chars().count() > 80 => Value::from(format!("{}…", text.chars().take(80).collect::<String>())),
        Value::Array(_) | Value::Object(_) => Value::from("a list or an object"),
        other => other.clone(),
    }
}
