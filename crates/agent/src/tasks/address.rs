//! A postal address.

use std::fmt;

use frontdesk_conversation::ToolError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::collect::{Collect, Field};
use crate::arguments::fault;
use crate::spoken;

/// Collects a postal address.
pub type CollectAddress = Collect<Address>;

/// A postal address.
#[derive(Debug, Clone, Copy, Default)]
pub struct Address;

impl CollectAddress {
    /// The caller's own address.
    #[must_use]
    pub const fn new() -> Self {
        Self::of(Address)
    }
}

impl Default for CollectAddress {
    fn default() -> Self {
        Self::new()
    }
}

/// An address in its parts. Debug prints `{redacted}`.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct PostalAddress {
    /// Street and house number, or post-office box.
    pub street: String,
    /// Flat, floor, care of.
    pub extra: Option<String>,
    /// Town.
    pub city: String,
    /// State, province or county, where it belongs to an address.
    pub region: Option<String>,
    /// Postal code, in upper case.
    pub postal_code: String,
}

impl fmt::Debug for PostalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{redacted}")
    }
}

/// What the model gives.
#[derive(Deserialize, JsonSchema, garde::Validate)]
#[serde(deny_unknown_fields)]
pub struct AddressArguments {
    /// Street and house number, or post-office box.
    #[garde(length(chars, min = 1, max = 120))]
    #[schemars(extend("examples" = ["12 Main Street"]))]
    street: String,
    /// Flat, floor or care of, if there is one.
    #[serde(default)]
    #[garde(length(chars, max = 120))]
    extra: Option<String>,
    /// Town.
    #[garde(length(chars, min = 1, max = 80))]
    #[schemars(extend("examples" = ["Springfield"]))]
    city: String,
    /// State, province or county, where it belongs to an address.
    #[serde(default)]
    #[garde(length(chars, max = 80))]
    region: Option<String>,
    /// Postal code.
    #[garde(length(chars, min = 1, max = 40))]
    #[schemars(extend("examples" = ["62704"]))]
    postal_code: String,
}

fn tidy(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn optional(text: Option<String>) -> Option<String> {
    text.map(|text| tidy(&text)).filter(|text| !text.is_empty())
}

impl Field for Address {
    type Arguments = AddressArguments;
    type Value = PostalAddress;

    fn task(&self) -> &'static str {
        "collect_address"
    }

    fn tool(&self) -> &'static str {
        "give_address"
    }

    fn what(&self) -> String {
        "the caller's postal address".into()
    }

    fn guidance(&self) -> String {
        "It needs street with house number, town and postal code; ask for what is missing, one thing at a time.".into()
    }

    fn check(&self, given: AddressArguments) -> Result<PostalAddress, ToolError> {
        let street = tidy(&given.street);
        if !spoken::digits_in(&street).chars().any(|c| c.is_ascii_digit()) {
            return Err(fault::<AddressArguments>("street", &street, "the house number, too").into());
        }
        let city = tidy(&given.city);
        if !city.chars().any(char::is_alphabetic) {
            return Err(fault::<AddressArguments>("city", &city, "the name of a town").into());
        }
        let code = tidy(&given.postal_code).to_uppercase();
        let characters = code.chars().filter(|c| c.is_ascii_alphanumeric()).count();
        let plain = code.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-'));
        if !plain || !(3..=10).contains(&characters) || !code.chars().any(|c| c.is_ascii_digit()) {
            return Err(fault::<AddressArguments>("postal_code", &code, "3 to 10 letters and digits, written as such").into());
        }
        Ok(PostalAddress { street, extra: optional(given.extra), city, region: optional(given.region), postal_code: code })
    }

    fn read_back(&self, value: &PostalAddress) -> Option<String> {
        let parts = [Some(&value.street), value.extra.as_ref(), Some(&value.city), value.region.as_ref()];
        let place: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        Some(format!(
            "I have {}, postal code {}. Is that right?",
            place.join(", "),
            spoken::code(&value.postal_code.replace([' ', '-'], ""))
        ))
    }
}
