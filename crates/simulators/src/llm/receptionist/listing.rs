//! The caller's own appointments, or the confirmation of the next one by text message: name, number, answer.

use serde_json::{Value, json};

use super::names;
use super::slots::stopped;
use super::task::{Heard, Known, Outcome, Reaction, Step};

/// After so many failures somebody else has to look.
const FAILURES_MAX: u32 = 2;

/// A question for one's own appointments.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// It is answered.
    pub(super) told: bool,
    failures: u32,
    /// The confirmation is to be sent, not the appointments told.
    resends: bool,
}

impl Listing {
    pub(super) fn resending() -> Self {
        Self { resends: true, ..Self::default() }
    }

    pub(super) fn hear(&self, heard: &Heard<'_>, known: &mut Known) -> bool {
        if known.name.is_none()
            && let Some(name) = names::answered(heard.text)
        {
            known.name = Some(name);
            known.changed = true;
            return true;
        }
        known.changed || (known.name.is_some() && known.phone.is_none() && known.hear_phone(&heard.words))
    }

    pub(super) fn step(&self, known: &Known) -> Step {
        let Some(name) = &known.name else { return Step::Ask("May I have the patient's full name?".into()) };
        let Some(phone) = &known.phone else { return known.ask_phone() };
        let tool = if self.resends { "resend_confirmation" } else { "list_appointments" };
        Step::Call { say: "Let me see.", name: tool, arguments: json!({ "patient_name": name, "phone": phone }) }
    }

    pub(super) fn settle(&mut self, outcome: Outcome, known: &mut Known) -> Reaction {
        let fault = match outcome {
            Outcome::Result(found) => {
                self.told = true;
                return Reaction::say(if self.resends { on_its_way(&found) } else { told(&found) });
            }
            Outcome::Failed(fault) => fault,
            _ => return Reaction::default(),
        };
        match fault.code.as_str() {
            "unknown_patient" => {
                self.failures += 1;
                (known.name, known.phone) = (None, None);
                let say = "I'm sorry, I find nobody under that name and number.";
                if self.failures < FAILURES_MAX { Reaction::say(say) } else { Reaction::stuck(say) }
            }
            "invalid_arguments" => {
                known.phone = None;
                Reaction::say("I'm sorry, that number does not seem to be complete.")
            }
            "nothing_to_come" => {
                self.told = true;
                Reaction::say("You have no appointment to come.")
            }
            "sent_too_often" => {
                self.told = true;
                Reaction::say("I'm sorry, it was sent several times today, I cannot send it again.")
            }
            "too_many_attempts" => Reaction::stuck("I'm sorry, I cannot look that up."),
            _ if fault.is_passing() => Reaction::default(),
            _ => Reaction::stuck("I'm sorry, I cannot reach the calendar at the moment."),
        }
    }
}

/// The appointments in a sentence.
fn told(found: &Value) -> String {
    let text = |one: &Value, key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let all = found.get("appointments").and_then(Value::as_array);
    let all: Vec<String> =
        all.into_iter().flatten().map(|one| format!("{} with {}", text(one, "spoken"), text(one, "practitioner"))).collect();
    match all.as_slice() {
        [] => "You have no appointment to come.".into(),
        [only] => format!("You have one appointment: {}", stopped(only)),
        several => format!("You have {} appointments: {}", several.len(), stopped(&several.join(", and "))),
    }
}

/// What becomes of the confirmation, in a sentence.
fn on_its_way(found: &Value) -> String {
    let text = |key: &str| found.get(key).and_then(Value::as_str).unwrap_or_default();
    format!("The confirmation of your appointment on {} is on its way.", text("appointment"))
}
