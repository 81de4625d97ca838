//! The waiting list: name, number, days and times, read-back; or leaving it.

use serde_json::{Map, Value, json};

use super::facts::Facts;
use super::names;
use super::task::{CHECKING, Heard, Known, Outcome, Pending, Reaction, Step};
use super::words::wants_repetition;

/// After so many failures somebody else has to look.
const FAILURES_MAX: u32 = 2;

/// An entry under way, or its end.
#[derive(Debug, Default)]
pub(super) struct Queueing {
    leaves: bool,
    when: Option<String>,
    practitioner: Option<String>,
    service: Option<String>,
    pub(super) pending: Option<Pending>,
    pub(super) over: bool,
    failures: u32,
}

impl Queueing {
    pub(super) fn open(heard: &Heard<'_>, facts: &Facts) -> Self {
        let leaves = heard.words.any(&["off", "leave", "remove", "from"]);
        let named = |name: Option<&String>| name.cloned();
        let practitioner = named(facts.practitioner(&heard.words));
        Self { leaves, practitioner, service: named(facts.service(&heard.words)), ..Self::default() }
    }

    pub(super) fn hear(&mut self, heard: &Heard<'_>, known: &mut Known, facts: &Facts, reaction: &mut Reaction) -> bool {
        if let Some(pending) = &mut self.pending {
            match heard.yes {
                Some(true) => pending.agreed = true,
                Some(false) => {
                    *reaction = Reaction::say("All right, I have changed nothing.");
                    self.over = true;
                }
                None => return false,
            }
            return true;
        }
        if known.changed {
            return true;
        }
        if known.name.is_none() {
            known.name = names::answered(heard.text);
            return known.name.is_some();
        }
        if known.phone.is_none() {
            return known.hear_phone(&heard.words);
        }
        if self.when.is_some() || heard.words.is_empty() || wants_repetition(&heard.words) {
            return false;
        }
        if self.practitioner.is_none() {
            self.practitioner = facts.practitioner(&heard.words).cloned();
        }
        self.when = Some(heard.text.trim().trim_end_matches(['.', '!', '?', ',']).trim_end_matches(", please").to_owned());
        true
    }

    pub(super) fn step(&self, known: &Known) -> Step {
        if let Some(pending) = &self.pending {
            return pending.step();
        }
        let Some(name) = &known.name else { return Step::Ask("May I have the patient's full name?".into()) };
        let Some(phone) = &known.phone else { return known.ask_phone() };
        if self.leaves {
            let arguments = json!({ "patient_name": name, "phone": phone });
            return Step::Call { say: "Let me see.", name: "leave_waiting_list", arguments };
        }
        let Some(when) = &self.when else { return Step::Ask("Which days or times would suit you?".into()) };
        let mut arguments = Map::from_iter([
            ("patient_name".to_owned(), json!(name)),
            ("phone".to_owned(), json!(phone)),
            ("when".to_owned(), json!(when)),
        ]);
        for (key, wish) in [("practitioner", &self.practitioner), ("service", &self.service)] {
            if let Some(wish) = wish {
                arguments.insert(key.into(), json!(wish));
            }
        }
        Step::Call { say: "Very well.", name: "join_waiting_list", arguments: Value::Object(arguments) }
    }

    pub(super) fn settle(&mut self, outcome: Outcome, known: &mut Known) -> Reaction {
        let Some(outcome) = Pending::turn(&mut self.pending, outcome) else { return Reaction::default() };
        let fault = match outcome {
            Outcome::Done(_) => {
                self.over = true;
                let left = "You are off the waiting list.";
                return Reaction::say(if self.leaves { left } else { "You are on the waiting list. We call you if a time becomes free." });
            }
            Outcome::Unknown => return Reaction::say(CHECKING),
            Outcome::Failed(fault) => fault,
            Outcome::Result(_) | Outcome::Prepared(_) => return Reaction::default(),
        };
        self.failures += 1;
        let again = |say: &str, failures: u32| if failures < FAILURES_MAX { Reaction::say(say) } else { Reaction::stuck(say) };
        match fault.code.as_str() {
            "already_waiting" => {
                self.over = true;
                Reaction::say("You are on the waiting list for that already.")
            }
            "not_waiting" => {
                (known.name, known.phone) = (None, None);
                again("I'm sorry, I find nobody under that name and number.", self.failures)
            }
            "not_bookable" => {
                self.when = None;
                again("I'm sorry, nobody works then.", self.failures)
            }
            "invalid_arguments" => {
                for field in fault.fields() {
                    match field {
                        "when" => self.when = None,
                        "phone" => known.phone = None,
                        "practitioner" => self.practitioner = None,
                        "service" => self.service = None,
                        _ => known.name = None,
                    }
                }
                again("I'm sorry, I did not get that.", self.failures)
            }
            _ if fault.is_passing() => Reaction::default(),
            _ => Reaction::stuck("I'm sorry, I cannot do that at the moment."),
        }
    }
}
