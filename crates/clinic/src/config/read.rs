//! Reading values whose own parsers do not say what they expect.

use std::fmt::Display;
use std::str::FromStr;

use chrono::{NaiveDate, NaiveTime, Weekday};
use chrono_tz::Tz;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

fn parsed<T: FromStr, E: Error>(text: &str, expected: impl Display) -> Result<T, E> {
    text.parse().map_err(|_| E::custom(format!("got {text:?}, expected {expected}")))
}

const ZONE: &str = "an IANA time zone like \"America/New_York\"";

pub(super) fn zone<'de, D: Deserializer<'de>>(input: D) -> Result<Tz, D::Error> {
    parsed(&String::deserialize(input)?, ZONE)
}

pub(super) fn optional_zone<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Tz>, D::Error> {
    zone(input).map(Some)
}

pub(super) fn time<'de, D: Deserializer<'de>>(input: D) -> Result<NaiveTime, D::Error> {
    parsed(&String::deserialize(input)?, "a time of day like \"09:00\"")
}

pub(super) fn dates<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<NaiveDate>, D::Error> {
    Vec::<String>::deserialize(input)?.iter().map(|text| parsed(text, "a day like \"2026-12-25\"")).collect()
}

pub(super) fn weekdays<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<Weekday>, D::Error> {
    Vec::<String>::deserialize(input)?.iter().map(|text| parsed(text, "a day of the week like \"monday\"")).collect()
}
