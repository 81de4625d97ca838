//! Messages: what, from whom, read back, passed on.

use serde_json::{Map, Value, json};

use super::names;
use super::slots::stopped;
use super::task::{Heard, Known, Outcome, Reaction, Step};
use super::words::wants_repetition;

/// A message under way.
#[derive(Debug, Default)]
pub(super) struct Errand {
    text: Option<String>,
    agreed: bool,
    pub(super) taken: bool,
    /// The number that is known is not one that can be called.
    without_phone: bool,
}

impl Errand {
    pub(super) fn open(heard: &Heard<'_>) -> Self {
        // "Please tell the doctor that I will be late."
        let text = heard.text.split_once(" that ").filter(|_| heard.words.any(&["tell", "message"])).map(|(_, text)| capitalised(text));
        Self { text, ..Self::default() }
    }

    pub(super) fn hear(&mut self, heard: &Heard<'_>, known: &mut Known) -> bool {
        if self.text.is_none() {
            let is_message = heard.words.list().len() > 1 && !wants_repetition(&heard.words);
            if is_message {
                self.text = Some(capitalised(heard.text));
            }
            return is_message;
        }
        if known.name.is_none() {
            known.name = names::answered(heard.text);
            return known.name.is_some();
        }
        match heard.yes {
            Some(true) => self.agreed = true,
            Some(false) => self.text = None,
            None => return known.changed,
        }
        true
    }

    pub(super) fn step(&self, known: &Known) -> Step {
        let Some(text) = &self.text else { return Step::Ask("What shall I tell them?".into()) };
        let Some(name) = &known.name else { return Step::Ask("May I have your full name?".into()) };
        if !self.agreed {
            return Step::Ask(format!("I will pass this on. {} Is that right?", stopped(text)));
        }
        let mut arguments = Map::from_iter([("message".to_owned(), json!(text)), ("caller_name".to_owned(), json!(name))]);
        if let Some(phone) = known.phone.as_ref().filter(|_| !self.without_phone) {
            arguments.insert("phone".into(), json!(phone));
        }
        Step::Call { say: "Thank you.", name: "take_message", arguments: Value::Object(arguments) }
    }

    pub(super) fn settle(&mut self, outcome: Outcome, known: &mut Known) -> Reaction {
        match outcome {
            Outcome::Result(_) => {
                self.taken = true;
                Reaction::say("I have passed that on.")
            }
            Outcome::Failed(fault) if fault.fields().contains(&"phone") && !self.without_phone => {
                self.without_phone = true;
                Reaction::default()
            }
            Outcome::Failed(fault) if fault.fields().contains(&"caller_name") => {
                known.name = None;
                Reaction::default()
            }
            Outcome::Failed(fault) if fault.is_passing() => Reaction::default(),
            _ => Reaction::stuck("I'm sorry, I cannot take a message at the moment. Please call again a little later."),
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.trim().chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
