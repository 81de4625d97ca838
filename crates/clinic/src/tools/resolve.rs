//! What the model calls people, services and numbers, brought back to what the configuration calls them.

use chrono::NaiveDate;
use frontdesk_agent::{Pii, ToolContext};
use frontdesk_conversation::ToolError;
use schemars::JsonSchema;
use serde_json::Value;

use super::arguments::{self, fault};
use super::errors::Fault;
use super::result::Said;
use super::{Desk, errors};
use crate::config::{DepartmentConfig, LocationConfig, PractitionerConfig, ServiceConfig};
use crate::ids::{DepartmentId, LocationId, PractitionerId};
use crate::local_time;
use crate::patients::is_plausible_birth;
use crate::phone::PhoneNumber;
use crate::spoken::{self, Customs, DateOrder};
use crate::wording::{self, Wording};

/// An appointment lasts this long unless the service or the caller says otherwise.
const DEFAULT_DURATION_MINUTES: u32 = 30;

/// How it is said in the language of the call.
pub(super) fn wording(context: &ToolContext) -> &'static dyn Wording {
    wording::of(&context.language)
}

impl Desk {
    /// The practitioner whom a name means: by id, by full name, or by a part of the name that only one has.
    pub(super) fn practitioner(&self, asked: Option<&str>) -> Result<Option<PractitionerId>, ToolError> {
        let Some(asked) = particular(asked) else { return Ok(None) };
        let all = &self.tenant.practitioners;
        match practitioner_of(all, asked) {
            Some(one) => Ok(Some(one.id.clone())),
            None => Err(unknown("practitioner", asked, all.iter().map(|one| one.name.clone()).collect())),
        }
    }

    /// The service that a name means, in the same way.
    pub(super) fn service(&self, asked: Option<&str>) -> Result<Option<&ServiceConfig>, ToolError> {
        let Some(asked) = asked.map(str::trim).filter(|asked| !asked.is_empty()) else { return Ok(None) };
        let all = &self.tenant.services;
        match find(all, asked, |one: &ServiceConfig| (one.code.to_string(), one.name.clone())) {
            Some(one) => Ok(Some(one)),
            None => Err(unknown("service", asked, all.iter().map(|one| one.name.clone()).collect())),
        }
    }

    /// The place that a name means, in the same way.
    pub(super) fn location(&self, asked: Option<&str>) -> Result<Option<LocationId>, ToolError> {
        let Some(asked) = particular(asked) else { return Ok(None) };
        let all = &self.tenant.locations;
        match find(all, asked, |one: &LocationConfig| (one.id.to_string(), one.name.clone())) {
            Some(one) => Ok(Some(one.id.clone())),
            // There is but one place, whatever it is called.
            None if all.is_empty() => Ok(None),
            None => Err(unknown("location", asked, all.iter().map(|one| one.name.clone()).collect())),
        }
    }

    /// The department that a name means, in the same way, or a word that callers say who need it.
    pub(super) fn department(&self, asked: Option<&str>) -> Result<Option<DepartmentId>, ToolError> {
        let Some(asked) = particular(asked) else { return Ok(None) };
        let all = &self.tenant.departments;
        match department_of(all, asked) {
            Some(one) => Ok(Some(one.id.clone())),
            // There is but one, whatever it is called.
            None if all.is_empty() => Ok(None),
            None => Err(unknown("department", asked, all.iter().map(|one| one.name.clone()).collect())),
        }
    }

    /// The schema of a tool's arguments, without those that mean nothing at this clinic.
    pub(super) fn schema<T: JsonSchema>(&self) -> Value {
        let mut schema = arguments::schema::<T>();
        let absent = [("department", self.tenant.departments.is_empty()), ("location", self.tenant.locations.is_empty())];
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            for (name, _) in absent.into_iter().filter(|(_, is_absent)| *is_absent) {
                properties.remove(name);
            }
        }
        schema
    }

    /// How long an appointment is to last.
    pub(super) fn duration(asked: Option<u32>, service: Option<&ServiceConfig>) -> u32 {
        asked.or(service.map(|service| service.duration_minutes)).unwrap_or(DEFAULT_DURATION_MINUTES)
    }

    /// A telephone number as the caller gave it, in digits or in words.
    pub(super) fn phone<T: JsonSchema>(&self, text: &str) -> Result<PhoneNumber, ToolError> {
        PhoneNumber::parse(&spoken::digits_in(text), &self.tenant.country_calling_code)
            .map_err(|error| fault::<T>("phone", text, &format!("a telephone number; this one {error}")).into())
    }
}

impl Desk {
    /// How moments are said in the language of the call, and in which zone.
    pub(super) fn said(&self, context: &ToolContext) -> Said<'static> {
        (self.tenant.zone, wording(context))
    }

    /// The number that the caller calls from, if the trunk gave one that can be called.
    pub(super) fn caller_number(&self, context: &ToolContext) -> Option<PhoneNumber> {
        let number = context.caller_number.as_ref()?;
        PhoneNumber::parse(number.expose(), &self.tenant.country_calling_code).ok()
    }

    /// A date of birth as the caller gave it, read by the customs of the clinic's country.
    pub(super) fn birth<T: JsonSchema>(&self, text: &str) -> Result<NaiveDate, ToolError> {
        let today = local_time::local(self.store.clock_now(), self.tenant.zone).date();
        let customs = Customs { order: DateOrder::of_country(&self.tenant.country_calling_code), today };
        let refuse = |expected: &str| ToolError::from(fault::<T>("date_of_birth", text, expected));
        let born = spoken::date_of_birth(text, Some(customs)).map_err(refuse)?;
        if is_plausible_birth(born, today) { Ok(born) } else { Err(refuse("a day of the last 125 years; ask for the year")) }
    }

    /// Where the clinic demands it, the call has to have identified the patient of this name.
    pub(super) async fn demand_identification(&self, tool: &'static str, call_id: &str, name: &Pii<String>) -> Result<(), ToolError> {
        if !self.tenant.require_identification {
            return Ok(());
        }
        match self.store.has_identified(call_id, name).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(ToolError {
                code: "not_identified".into(),
                message: "the patient of this name has not been identified in this call; use identify_patient, or register_patient for \
                          whoever is new to the clinic"
                    .into(),
                details: None,
                retryable: false,
            }),
            Err(error) => Err(errors::database(tool, &error)),
        }
    }
}

/// The practitioner of an id, a full name, or a part of the name that only one has.
pub(crate) fn practitioner_of<'a>(all: &'a [PractitionerConfig], asked: &str) -> Option<&'a PractitionerConfig> {
    find(all, asked, |one: &PractitionerConfig| (one.id.to_string(), one.name.clone()))
}

/// The department of a name, or of one of the words that callers say who need it.
pub(crate) fn department_of<'a>(all: &'a [DepartmentConfig], asked: &str) -> Option<&'a DepartmentConfig> {
    let says = |one: &&DepartmentConfig| one.about.iter().any(|about| words(about) == words(asked));
    find(all, asked, |one: &DepartmentConfig| (one.id.to_string(), one.name.clone())).or_else(|| all.iter().find(says))
}

fn unknown(field: &str, asked: &str, known: Vec<String>) -> ToolError {
    let expected = format!("one of {}", known.join(", "));
    Fault::new(field, asked, expected, known.into_iter().next().map(Value::from)).into()
}

/// What models write although the argument could be left out.
const ANYBODY: [&str; 6] = ["any", "anyone", "anybody", "either", "none", "no preference"];

/// What is asked for, unless it is nothing in particular.
fn particular(asked: Option<&str>) -> Option<&str> {
    let is_any = |asked: &str| asked.is_empty() || ANYBODY.iter().any(|word| word.eq_ignore_ascii_case(asked));
    asked.map(str::trim).filter(|asked| !is_any(asked))
}

/// Titles say nothing about who is meant.
const TITLES: [&str; 4] = ["dr", "doctor", "prof", "professor"];

fn words(text: &str) -> Vec<String> {
    let plain: String = text.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    plain.split_whitespace().filter(|word| !TITLES.contains(word)).map(String::from).collect()
}

fn find<'a, T>(all: &'a [T], asked: &str, names: impl Fn(&T) -> (String, String)) -> Option<&'a T> {
    if let Some(exact) = all.iter().find(|one| names(one).0 == asked) {
        return Some(exact);
    }
    let asked = words(asked);
    let is_meant = |one: &&T| {
        let (id, name) = names(one);
        let (id, name) = (words(&id), words(&name));
        !asked.is_empty() && (id == asked || asked.iter().all(|word| name.contains(word)))
    };
    let mut meant = all.iter().filter(is_meant);
    let first = meant.next()?;
    if meant.next().is_none() {
        return Some(first);
    }
    // "Ann Lee" is meant when somebody is called so, even if there is an "Ann Lee Jones" as well.
    let mut exact = all.iter().filter(|one| words(&names(one).1) == asked);
    exact.next().filter(|_| exact.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_found_by_any_unique_part_of_their_name() {
        let all = ["Doctor Ada Lovelace", "Doctor Ann Lee", "Doctor Ann Lee Jones"];
        let find = |asked: &str| find(&all, asked, |name| (name.to_lowercase().replace(' ', "-"), (*name).into())).copied();
        for (asked, expected) in [
            ("Dr. Lovelace", Some(all[0])),
            ("ada", Some(all[0])),
            ("doctor-ada-lovelace", Some(all[0])),
            ("Ann Lee", Some(all[1])),
            ("jones", Some(all[2])),
            ("Ann", None),
            ("Doctor", None),
            ("Smith", None),
        ] {
            assert_eq!(find(asked), expected, "{asked}");
        }
    }
}
