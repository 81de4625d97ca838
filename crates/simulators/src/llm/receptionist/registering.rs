//! Registration of a new patient: name, date of birth, number, e-mail, allergies, read-back. In Spanish for who asks in Spanish.

use serde_json::{Map, Value, json};

use super::names;
use super::task::{CHECKING, Heard, Known, Outcome, Pending, Reaction, Step};
use super::words::wants_repetition;

/// After so many failures somebody else has to look.
const FAILURES_MAX: u32 = 3;

/// What is said, in English and Spanish.
const NAME: [&str; 2] = ["May I have your full name?", "¿Cuál es su nombre completo?"];
const BORN: [&str; 2] = ["What is your date of birth?", "¿Cuál es su fecha de nacimiento?"];
const PHONE: [&str; 2] = ["May I have your telephone number, with the area code?", "¿Cuál es su número de teléfono?"];
const EMAIL: [&str; 2] = ["What is your e-mail address? You may say none.", "¿Cuál es su correo electrónico? Puede decir ninguno."];
const ALLERGIES: [&str; 2] = ["Do you have any allergies?", "¿Tiene alguna alergia?"];
const DONE: [&str; 2] = ["You are registered now.", "Ya está registrado."];
const KNOWN: [&str; 2] = ["You are registered already.", "Usted ya está registrado."];
const KEPT_OUT: [&str; 2] = ["All right, I have not registered you.", "De acuerdo, no lo he registrado."];

/// A registration under way.
#[derive(Debug, Default)]
pub(super) struct Registering {
    pub(super) is_spanish: bool,
    born: Option<String>,
    /// An answer that is none is an answer.
    email: Option<Option<String>>,
    allergies: Option<Option<String>>,
    pub(super) pending: Option<Pending>,
    pub(super) over: bool,
    failures: u32,
}

impl Registering {
    pub(super) fn open(heard: &Heard<'_>) -> Self {
        Self { is_spanish: heard.is_spanish(), ..Self::default() }
    }

    /// Whether something else than a number was asked for: digits in the answer are no telephone number then.
    pub(super) fn wants_words(&self, known: &Known) -> bool {
        known.name.is_some() && (self.born.is_none() || (known.phone.is_some() && self.pending.is_none()))
    }

    /// What is said while the wish is noted.
    pub(super) const fn acknowledgement(&self) -> &'static str {
        if self.is_spanish { "Con gusto." } else { "Gladly." }
    }

    fn say(&self, texts: [&str; 2]) -> String {
        texts[usize::from(self.is_spanish)].into()
    }

    pub(super) fn hear(&mut self, heard: &Heard<'_>, known: &mut Known, reaction: &mut Reaction) -> bool {
        let yes = agrees(heard);
        if let Some(pending) = &mut self.pending {
            match yes {
                Some(true) => pending.agreed = true,
                Some(false) => {
                    *reaction = Reaction::say(self.say(KEPT_OUT));
                    self.over = true;
                }
                None => return false,
            }
            return true;
        }
        if heard.words.is_empty() || wants_repetition(&heard.words) {
            return false;
        }
        if known.name.is_none() {
            known.name = spanish_name(heard.text).or_else(|| names::answered(heard.text));
            return known.name.is_some();
        }
        if self.born.is_none() {
            // The name was told with the wish.
            if known.changed {
                return true;
            }
            self.born = Some(bare(heard.text));
            return true;
        }
        if known.phone.is_none() {
            if !self.is_spanish {
                return known.hear_phone(&heard.words);
            }
            known.phone = Some(bare(heard.text));
            return true;
        }
        let none = yes == Some(false) || heard.words.any(&["none", "no", "ninguno", "ninguna", "nothing"]);
        let answer = if none { None } else { Some(bare(heard.text)) };
        for field in [&mut self.email, &mut self.allergies] {
            if field.is_none() {
                if known.changed {
                    return true;
                }
                *field = Some(answer);
                return true;
            }
        }
        known.changed
    }

    pub(super) fn step(&self, known: &Known) -> Step {
        if let Some(pending) = &self.pending {
            return pending.step_with(self.is_spanish);
        }
        let Some(name) = &known.name else { return Step::Ask(self.say(NAME)) };
        let Some(born) = &self.born else { return Step::Ask(self.say(BORN)) };
        let Some(phone) = &known.phone else {
            return if known.partial.is_empty() { Step::Ask(self.say(PHONE)) } else { known.ask_phone() };
        };
        let Some(email) = &self.email else { return Step::Ask(self.say(EMAIL)) };
        let Some(allergies) = &self.allergies else { return Step::Ask(self.say(ALLERGIES)) };
        let mut arguments = Map::from_iter([
            ("patient_name".to_owned(), json!(name)),
            ("date_of_birth".to_owned(), json!(born)),
            ("phone".to_owned(), json!(phone)),
            ("allergies".to_owned(), json!(allergies.as_deref().unwrap_or("none"))),
        ]);
        if let Some(email) = email {
            arguments.insert("email".into(), json!(email));
        }
        if self.is_spanish {
            arguments.insert("language".into(), json!("Spanish"));
        }
        Step::Call {
            say: if self.is_spanish { "Un momento." } else { "One moment." },
            name: "register_patient",
            arguments: Value::Object(arguments),
        }
    }

    pub(super) fn settle(&mut self, outcome: Outcome, known: &mut Known) -> Reaction {
        let Some(outcome) = Pending::turn(&mut self.pending, outcome) else { return Reaction::default() };
        let fault = match outcome {
            Outcome::Done(result) => {
                self.over = true;
                let was_known = result.get("already_registered").and_then(Value::as_bool).unwrap_or_default();
                return Reaction::say(self.say(if was_known { KNOWN } else { DONE }));
            }
            Outcome::Unknown => return Reaction::say(CHECKING),
            Outcome::Failed(fault) => fault,
            Outcome::Result(_) | Outcome::Prepared(_) => return Reaction::default(),
        };
        match fault.code.as_str() {
            "invalid_arguments" if self.failures < FAILURES_MAX => {
                self.failures += 1;
                for field in fault.fields() {
                    match field {
                        "date_of_birth" => self.born = None,
                        "email" => self.email = None,
                        "phone" => known.phone = None,
                        "patient_name" => known.name = None,
                        _ => self.allergies = None,
                    }
                }
                Reaction::say("I'm sorry, I did not get that.")
            }
            _ if fault.is_passing() => Reaction::default(),
            _ => Reaction::stuck("I'm sorry, I cannot register you by telephone."),
        }
    }
}

/// A yes or a no in either language.
pub(super) fn agrees(heard: &Heard<'_>) -> Option<bool> {
    if heard.words.any(&["sí", "si", "correcto", "claro"]) { Some(true) } else { heard.yes }
}

/// "Me llamo …", "mi nombre es …".
pub(super) fn spanish_name(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let after = ["me llamo ", "mi nombre es ", "soy "].iter().find_map(|trigger| {
        let at = lower.find(trigger)? + trigger.len();
        text.get(at..).filter(|_| lower.len() == text.len())
    });
    after.and_then(names::answered)
}

/// An answer without its opening and its last full stop.
pub(super) fn bare(text: &str) -> String {
    let trimmed = text.trim().trim_end_matches(['.', '!', '?', ',']);
    let lower = trimmed.to_lowercase();
    let openings = ["i was born on ", "it is ", "it's ", "on ", "yes, i am allergic to ", "i am allergic to ", "yes, ", "my e-mail is "];
    let opening = openings.iter().find(|opening| lower.starts_with(**opening) && lower.len() == trimmed.len());
    opening.map_or(trimmed, |opening| &trimmed[opening.len()..]).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::numbers;
    use super::super::words::Words;
    use super::*;

    #[test]
    fn answers_are_bare_and_spanish_names_are_found() {
        assert_eq!(bare("I was born on the third of May, eighty-one."), "the third of May, eighty-one");
        assert_eq!(spanish_name("Me llamo Ana López.").as_deref(), Some("Ana López"));
        assert!(numbers::phone(&Words::of("the third of May nineteen eighty-one")).is_none());
    }
}
