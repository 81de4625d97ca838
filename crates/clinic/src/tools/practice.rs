//! `practice_information`: opening hours, people, services and frequent questions, from the tenant's data and nothing else.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::Weekday;
use frontdesk_agent::{Tool, ToolContext};
use frontdesk_conversation::{Effect, ToolError};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::resolve::wording;
use super::{Desk, arguments, result};
use crate::config::{PractitionerConfig, Tenant};
use crate::wording::Wording;

/// Answers to one question.
const ANSWERS_MAX: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Topic {
    OpeningHours,
    People,
    Services,
    Other,
}

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct PracticeArguments {
    /// What the question is about; `other` for place, parking, what to bring and everything else.
    #[garde(skip)]
    topic: Topic,
    /// The caller's question in his words; needed for the topic `other`.
    #[serde(default)]
    #[schemars(with = "String", example = &"Where can I park?")]
    #[garde(inner(length(max = 300)))]
    question: Option<String>,
}

#[derive(Debug, Serialize, Validate)]
struct PracticeResult {
    /// Whether the practice has said anything about it.
    #[garde(skip)]
    known: bool,
    /// What it has said, as it is spoken.
    #[garde(length(max = 60), inner(length(min = 1)))]
    facts: Vec<String>,
}

pub(super) struct PracticeInformation(pub(super) Desk);

#[async_trait]
impl Tool for PracticeInformation {
    fn name(&self) -> &'static str {
        "practice_information"
    }

    fn description(&self) -> String {
        "What the practice says about itself: opening hours, people, services and prices, and answers to frequent questions. If \
         `known` is false, the practice has said nothing about it: say that you do not know and offer to take a message. Never answer \
         such a question from anything else."
            .into()
    }

    fn parameters(&self) -> Value {
        arguments::schema::<PracticeArguments>()
    }

    fn effect(&self) -> Effect {
        Effect::Read
    }

    async fn run(&self, context: &ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let PracticeArguments { topic, question } = arguments::read(arguments)?;
        let facts = facts(&self.0.tenant, topic, question.as_deref().unwrap_or_default(), wording(context));
        result::write(self.name(), &PracticeResult { known: !facts.is_empty(), facts })
    }
}

fn facts(tenant: &Tenant, topic: Topic, question: &str, wording: &dyn Wording) -> Vec<String> {
    match topic {
        Topic::OpeningHours => opening_hours(tenant, wording),
        Topic::People => tenant.practitioners.iter().map(|practitioner| person(tenant, practitioner)).collect(),
        Topic::Services => tenant.services.iter().map(|service| service_fact(tenant, service, wording)).collect(),
        Topic::Other => answers(tenant, question),
    }
}

fn person(tenant: &Tenant, practitioner: &PractitionerConfig) -> String {
    let department = practitioner.department.as_ref().and_then(|id| tenant.department(id));
    department.map_or_else(|| practitioner.name.clone(), |department| format!("{}, {}", practitioner.name, department.name))
}

fn service_fact(tenant: &Tenant, service: &crate::config::ServiceConfig, wording: &dyn Wording) -> String {
    let length = format!("{}: {}", service.name, wording.minutes(service.duration_minutes));
    match service.price_cents {
        Some(cents) => format!("{length}, {}", wording.money(cents, &tenant.currency)),
        None => length,
    }
}

/// One sentence a day, in the order of the week.
fn opening_hours(tenant: &Tenant, wording: &dyn Wording) -> Vec<String> {
    let week = [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];
    week.map(|day| wording.opening_hours(day, &tenant.open_on(day))).into()
}

/// Answers to the frequent questions that the caller's words speak of, the best first.
fn answers(tenant: &Tenant, question: &str) -> Vec<String> {
    let said = words(question);
    let hits = |about: &String| {
        let phrase = words(about);
        !phrase.is_empty() && phrase.iter().all(|word| said.contains(word))
    };
    let mut found: Vec<(usize, &String)> = tenant
        .questions
        .iter()
        .map(|entry| (entry.about.iter().filter(|about| hits(about)).count(), &entry.answer))
        .filter(|(hits, _)| *hits > 0)
        .collect();
    found.sort_by_key(|(hits, _)| std::cmp::Reverse(*hits));
    found.into_iter().take(ANSWERS_MAX).map(|(_, answer)| answer.clone()).collect()
}

/// The words of a text, lower case; a plural counts as its singular.
fn words(text: &str) -> BTreeSet<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| word.strip_suffix('s').filter(|stem| stem.len() > 2).unwrap_or(word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_tenant;
    use crate::wording::{English, Spanish};

    fn demo() -> Tenant {
        load_tenant(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../agent-config/demo").canonicalize().unwrap()).unwrap()
    }

    #[test]
    fn opening_hours_are_those_in_which_anybody_works() {
        let hours = facts(&demo(), Topic::OpeningHours, "", &English);
        assert_eq!(hours.len(), 7);
        assert_eq!(hours[0], "Monday: eight a.m. to one p.m. and one thirty p.m. to five p.m.");
        assert_eq!(hours[6], "Sunday: closed");
        let hours = facts(&demo(), Topic::OpeningHours, "", &Spanish);
        assert_eq!(
            hours[0],
            "lunes: de las ocho de la mañana a la una de la tarde y de la una y media de la tarde a las cinco de la tarde"
        );
        assert_eq!(hours[6], "domingo: cerrado");
    }

    #[test]
    fn services_have_their_length_and_price() {
        let services = facts(&demo(), Topic::Services, "", &English);
        assert_eq!(services[0], "check-up: thirty minutes, ninety dollars");
        assert_eq!(facts(&demo(), Topic::Services, "", &Spanish)[0], "check-up: treinta minutos, noventa dólares");
    }

    #[test]
    fn questions_are_answered_only_if_the_practice_has_said_something() {
        let tenant = demo();
        let about = |question| facts(&tenant, Topic::Other, question, &English);
        assert!(about("Where can I park my car?")[0].contains("behind the house"));
        assert!(about("Is there PARKING?")[0].contains("behind the house"));
        assert!(about("Do you sell spectacles?").is_empty());
        assert!(about("").is_empty());
    }
}
