//! What a practice is made of: places, departments, people, services, and what insurance covers.

use chrono::{NaiveTime, Weekday};
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::Deserialize;

use super::model::Tenant;
use super::read;
use crate::ids::{DepartmentId, LocationId, PractitionerId, ServiceCode};
use crate::local_time;
use crate::schedule::Span;

/// A place of the clinic's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocationConfig {
    /// Short name.
    pub id: LocationId,
    /// As it is spoken: "Oak Street".
    pub name: String,
    /// In which its hours count and its times are spoken, where it is not the clinic's zone.
    #[serde(default, deserialize_with = "read::optional_zone")]
    #[schemars(with = "Option<String>")]
    pub zone: Option<Tz>,
}

impl Tenant {
    /// The department of an id.
    #[must_use]
    pub fn department(&self, id: &DepartmentId) -> Option<&DepartmentConfig> {
        self.departments.iter().find(|one| one.id == *id)
    }
}

/// A department of the clinic's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DepartmentConfig {
    /// Short name.
    pub id: DepartmentId,
    /// As it is spoken: "Dermatology".
    pub name: String,
    /// What callers say who need it: `["skin", "rash"]`.
    #[serde(default)]
    pub about: Vec<String>,
}

/// One who works at the clinic.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PractitionerConfig {
    /// Short name.
    pub id: PractitionerId,
    /// As it is spoken: "Doctor Ada Lovelace".
    pub name: String,
    /// In which the hours count, where it is not the clinic's zone.
    #[serde(default, deserialize_with = "read::optional_zone")]
    #[schemars(with = "Option<String>")]
    pub zone: Option<Tz>,
    /// Working hours.
    pub hours: Vec<Hours>,
    /// The id of a department.
    #[serde(default)]
    pub department: Option<DepartmentId>,
    /// Codes of the services offered; all, if left out.
    #[serde(default)]
    pub services: Option<Vec<ServiceCode>>,
    /// Absences.
    #[serde(default)]
    pub time_off: Vec<TimeOff>,
    /// Id of a Google Calendar of the practitioner's own: when it is taken, no appointment is offered.
    #[serde(default)]
    pub busy_calendar: Option<String>,
}

/// An absence, in the practitioner's zone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeOff {
    /// A day, `"2026-12-21"`, or a local date and time, `"2026-12-21T13:00"`.
    pub from: String,
    /// The last day, or the local date and time at which work begins again.
    pub until: String,
}

impl TimeOff {
    /// From when to when, in a zone; `None` if either edge is none, or the end not after the beginning.
    #[must_use]
    pub fn span(&self, zone: Tz) -> Option<Span> {
        let start = local_time::parse_edge(&self.from, zone, false).ok()?;
        let end = local_time::parse_edge(&self.until, zone, true).ok()?;
        (start < end).then_some(Span { start, end })
    }
}

/// A working period on some days of the week.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// `["monday", "tuesday"]`.
    #[serde(deserialize_with = "read::weekdays")]
    #[schemars(with = "Vec<Day>")]
    pub days: Vec<Weekday>,
    /// `"09:00"`.
    #[serde(deserialize_with = "read::time")]
    #[schemars(with = "String", regex(pattern = "^[0-2][0-9]:[0-5][05]$"))]
    pub opens: NaiveTime,
    /// `"12:30"`.
    #[serde(deserialize_with = "read::time")]
    #[schemars(with = "String", regex(pattern = "^[0-2][0-9]:[0-5][05]$"))]
    pub closes: NaiveTime,
    /// At which place; needed only where there are several.
    #[serde(default)]
    pub location: Option<LocationId>,
}

/// Something that is offered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceConfig {
    /// Short name.
    pub code: ServiceCode,
    /// As it is spoken.
    pub name: String,
    /// How long it takes.
    pub duration_minutes: u32,
    /// What it costs who pays himself, in hundredths of the clinic's currency.
    #[serde(default)]
    pub price_cents: Option<u32>,
    /// How long before it the practitioner sees nobody else.
    #[serde(default)]
    pub buffer_before_minutes: u32,
    /// And after it.
    #[serde(default)]
    pub buffer_after_minutes: u32,
}

/// A row of the insurance table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CoverageRow {
    /// The insurer.
    pub payer: String,
    /// The plan.
    pub plan: String,
    /// The procedure, `99213`.
    pub procedure_code: String,
    /// Whether it is covered.
    pub covered: bool,
    /// What the patient pays, in hundredths of the clinic's currency.
    pub copay_cents: Option<u32>,
    /// Remark.
    #[serde(default)]
    pub notes: String,
}

/// A day of the week as it is written in the files; for the schema.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
#[expect(dead_code, reason = "only its schema is wanted")]
enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}
