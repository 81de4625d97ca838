//! A question about the practice, answered by what the practice says of itself.

use serde_json::{Value, json};

use super::slots::stopped;
use super::task::{Heard, Outcome, Reaction, Step};

/// A question under way.
#[derive(Debug)]
pub(super) struct Asking {
    topic: &'static str,
    question: String,
    pub(super) answered: bool,
}

impl Asking {
    pub(super) fn open(heard: &Heard<'_>) -> Self {
        let topic = if heard.words.any(&["hours", "open", "close", "closed"]) {
            "opening_hours"
        } else if heard.words.any(&["cost", "costs", "price", "prices"]) {
            "services"
        } else {
            "other"
        };
        Self { topic, question: heard.text.to_owned(), answered: false }
    }

    pub(super) fn step(&self) -> Step {
        Step::Call { say: "", name: "practice_information", arguments: json!({ "topic": self.topic, "question": self.question }) }
    }

    pub(super) fn settle(&mut self, outcome: Outcome) -> Reaction {
        match outcome {
            Outcome::Result(found) => {
                self.answered = true;
                let facts: Vec<String> =
                    found.get("facts").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(stopped).collect();
                if facts.is_empty() { Reaction::stuck("I'm sorry, I do not know that.") } else { Reaction::say(facts.join(" ")) }
            }
            Outcome::Failed(fault) if fault.is_passing() => Reaction::default(),
            _ => {
                self.answered = true;
                Reaction::stuck("I'm sorry, I do not know that.")
            }
        }
    }
}
