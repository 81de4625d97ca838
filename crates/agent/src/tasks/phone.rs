//! A telephone number.

use frontdesk_conversation::{FieldKind, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::collect::{Collect, Field};
use crate::arguments::fault;
use crate::phone::{PhoneError, PhoneNumber};
use crate::spoken;

/// Collects a telephone number as E.164.
pub type CollectPhone = Collect<Phone>;

/// A telephone number.
#[derive(Debug, Clone)]
pub struct Phone {
    country_calling_code: String,
}

impl Phone {
    /// A national number is one of `country_calling_code` (digits only, "1" for North America).
    #[must_use]
    pub fn new(country_calling_code: impl Into<String>) -> Self {
        Self { country_calling_code: country_calling_code.into() }
    }
}

impl CollectPhone {
    /// A national number is one of `country_calling_code` (digits only, "1" for North America).
    #[must_use]
    pub fn new(country_calling_code: impl Into<String>) -> Self {
        Self::of(Phone::new(country_calling_code))
    }
}

/// What the model gives.
#[derive(Deserialize, JsonSchema, garde::Validate)]
#[serde(deny_unknown_fields)]
pub struct PhoneArguments {
    /// The number with its area code, as digits or as the caller said it.
    #[garde(length(chars, min = 1, max = 120))]
    #[schemars(extend("examples" = ["202 555 0143"]))]
    number: String,
}

impl Field for Phone {
    type Arguments = PhoneArguments;
    type Value = PhoneNumber;

    fn task(&self) -> &'static str {
        "collect_phone"
    }

    fn tool(&self) -> &'static str {
        "give_phone_number"
    }

    fn what(&self) -> String {
        "the caller's telephone number".into()
    }

    fn guidance(&self) -> String {
        "It must have its area code. Wait until the whole number was said.".into()
    }

    fn expects(&self) -> Option<FieldKind> {
        Some(FieldKind::Phone)
    }

    fn check(&self, PhoneArguments { number }: PhoneArguments) -> Result<PhoneNumber, ToolError> {
        let digits = spoken::digits_in(&number);
        PhoneNumber::parse(&digits, &self.country_calling_code).map_err(|error| {
            let expected = match error {
                PhoneError::WrongLength { got, expected } => format!("{expected} digits with the area code; these are {got}"),
                PhoneError::NotDigits => "digits, or number words".into(),
            };
            fault::<PhoneArguments>("number", &number, &expected).into()
        })
    }

    fn read_back(&self, value: &PhoneNumber) -> Option<String> {
        Some(format!("Your number is {}. Is that right?", value.spoken(&self.country_calling_code)))
    }

    fn recorded(&self, arguments: &Value) -> Vec<(String, String)> {
        let number = arguments.get("number").and_then(Value::as_str);
        number.map(|number| ("phone".into(), number.into())).into_iter().collect()
    }
}
