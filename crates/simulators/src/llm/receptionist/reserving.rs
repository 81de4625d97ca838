//! An appointment for who asks for it in Spanish: name, number, day, choice, read-back, code.

use serde_json::{Value, json};

use super::names;
use super::registering::{agrees, bare, spanish_name};
use super::slots::{self, Slot, offered, stopped};
use super::task::{Heard, Known, Outcome, Pending, Reaction, Step};
use super::words::wants_repetition;

/// After so many failures somebody else has to look.
const FAILURES_MAX: u32 = 3;
const NOT_FOUND: &str = "Lo siento, no encuentro nada libre.";

/// A booking under way.
#[derive(Debug, Default)]
pub(super) struct Reserving {
    /// The caller's own words about when.
    said: Option<String>,
    /// What was found for them.
    slots: Option<Vec<Slot>>,
    choice: Option<Slot>,
    pub(super) pending: Option<Pending>,
    pub(super) over: bool,
    failures: u32,
}

impl Reserving {
    /// Takes an utterance; whether it could be used.
    pub(super) fn hear(&mut self, heard: &Heard<'_>, known: &mut Known, reaction: &mut Reaction) -> bool {
        let yes = agrees(heard);
        if let Some(pending) = &mut self.pending {
            match yes {
                Some(true) => pending.agreed = true,
                Some(false) => {
                    (self.pending, self.choice) = (None, None);
                    *reaction = Reaction::say("De acuerdo, no la he reservado.");
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
        if known.phone.is_none() {
            known.phone = Some(bare(heard.text));
            return true;
        }
        if let Some(slots) = &self.slots {
            self.choice = position(heard, offered(slots).len()).and_then(|at| slots.get(at).cloned());
            if self.choice.is_some() {
                return true;
            }
        }
        (self.said, self.slots) = (Some(bare(heard.text)), None);
        true
    }

    /// What is needed next.
    pub(super) fn step(&self, known: &Known) -> Step {
        if let Some(pending) = &self.pending {
            return pending.step_with(true);
        }
        let Some(name) = &known.name else { return Step::Ask("¿Cuál es el nombre completo del paciente?".into()) };
        let Some(phone) = &known.phone else { return Step::Ask("¿Cuál es su número de teléfono?".into()) };
        let Some(said) = &self.said else { return Step::Ask("¿Qué día y a qué hora le conviene?".into()) };
        let Some(slots) = &self.slots else {
            return Step::Call { say: "Voy a ver qué hay libre.", name: "find_slots", arguments: json!({ "when": said }) };
        };
        let Some(choice) = &self.choice else { return Step::Ask(offer(slots)) };
        let arguments = json!({ "start": choice.start, "patient_name": name, "phone": phone });
        Step::Call { say: "Muy bien.", name: "book_appointment", arguments }
    }

    /// Takes a tool's output.
    pub(super) fn settle(&mut self, outcome: Outcome, known: &mut Known) -> Reaction {
        let Some(outcome) = Pending::turn(&mut self.pending, outcome) else { return Reaction::default() };
        let fault = match outcome {
            Outcome::Result(found) => {
                self.found(slots::read(found.get("slots").unwrap_or(&Value::Null)));
                return if self.slots.is_none() { Reaction::say(NOT_FOUND) } else { Reaction::default() };
            }
            Outcome::Done(result) => {
                self.over = true;
                let code = result.get("confirmation_code_spoken").and_then(Value::as_str).unwrap_or_default();
                return Reaction::say(format!("Su cita está reservada. Su código de confirmación es {}", stopped(code)));
            }
            Outcome::Unknown => {
                return Reaction::say("Estoy comprobando si ha quedado reservada. Nos pondremos en contacto con usted.");
            }
            Outcome::Failed(fault) => fault,
            Outcome::Prepared(_) => return Reaction::default(),
        };
        self.failures += 1;
        match fault.code.as_str() {
            _ if fault.is_passing() => Reaction::default(),
            _ if self.failures > FAILURES_MAX => Reaction::stuck("Lo siento, no puedo reservar la cita por teléfono."),
            "slot_taken" | "not_bookable" => {
                self.found(slots::read(fault.details.get("alternatives").unwrap_or(&Value::Null)));
                Reaction::say("Lo siento, esa hora ya está ocupada.")
            }
            "invalid_arguments" => {
                for field in fault.fields() {
                    match field {
                        "phone" => known.phone = None,
                        "patient_name" => known.name = None,
                        _ => self.found(Vec::new()),
                    }
                }
                Reaction::say("Lo siento, no le he entendido.")
            }
            _ => Reaction::stuck("Lo siento, ahora no puedo ver el calendario."),
        }
    }

    /// Takes the times that are free; with none, the caller is asked for another day.
    fn found(&mut self, slots: Vec<Slot>) {
        self.choice = None;
        if slots.is_empty() {
            self.said = None;
        }
        self.slots = (!slots.is_empty()).then_some(slots);
    }
}

/// The offer in words, ending with a question.
fn offer(slots: &[Slot]) -> String {
    let spoken: Vec<&str> = offered(slots).iter().map(|slot| slot.spoken.as_str()).collect();
    match spoken.as_slice() {
        [only] => format!("Tengo libre el {only}. ¿Le conviene?"),
        [before @ .., last] => format!("Tengo libre el {}, o el {last}. ¿Cuál prefiere?", before.join(", el ")),
        [] => NOT_FOUND.into(),
    }
}

/// "La segunda", "el primero", "la última"; of one time, yes.
fn position(heard: &Heard<'_>, count: usize) -> Option<usize> {
    const ORDINALS: [[&str; 3]; 3] = [["primera", "primero", "primer"], ["segunda", "segundo", "dos"], ["tercera", "tercero", "tercer"]];
    if heard.words.any(&["última", "último"]) || (count == 1 && agrees(heard) == Some(true)) {
        return count.checked_sub(1);
    }
    ORDINALS.iter().position(|words| heard.words.any(words)).filter(|at| *at < count)
}
