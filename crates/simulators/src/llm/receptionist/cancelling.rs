//! Cancelling: code, number, read-back.

use serde_json::json;

use super::numbers;
use super::task::{CHECKING, Heard, Known, Outcome, Pending, Reaction, Step};

/// After so many wrong codes somebody else has to look.
const FAILURES_MAX: u32 = 2;

/// A cancellation under way.
#[derive(Debug, Default)]
pub(super) struct Cancelling {
    /// It makes way for another that was booked just now.
    is_old: bool,
    code: Option<String>,
    pub(super) pending: Option<Pending>,
    /// It is done, or turned out to be needless.
    pub(super) cancelled: bool,
    failures: u32,
}

impl Cancelling {
    /// The cancellation that completes a move.
    pub(super) fn of_old() -> Self {
        Self { is_old: true, ..Self::default() }
    }

    pub(super) fn hear(&mut self, heard: &Heard<'_>, known: &mut Known, reaction: &mut Reaction) -> bool {
        let code = numbers::code(&heard.words);
        let has_code = code.is_some();
        if has_code {
            self.code = code;
        }
        if let Some(pending) = &mut self.pending {
            if has_code || known.changed {
                self.pending = None;
                return true;
            }
            match heard.yes {
                Some(true) => pending.agreed = true,
                Some(false) => {
                    self.cancelled = true;
                    *reaction = Reaction::say("All right, the appointment stays as it is.");
                }
                None => return false,
            }
            return true;
        }
        let has_none = heard.yes == Some(false) || heard.words.any(&["lost", "forgot", "forgotten"]) || heard.words.says(&["dont know"]);
        if self.code.is_none() && has_none {
            *reaction = Reaction::stuck("I'm sorry, without the code I cannot find it.");
            return true;
        }
        let phone = !has_code && self.code.is_some() && known.phone.is_none() && !known.changed && known.hear_phone(&heard.words);
        has_code || phone || known.changed
    }

    pub(super) fn step(&self, known: &Known) -> Step {
        if let Some(pending) = &self.pending {
            return pending.step();
        }
        let Some(code) = &self.code else {
            let which = if self.is_old { "your old appointment" } else { "the appointment" };
            return Step::Ask(format!("What is the confirmation code of {which}, letter by letter?"));
        };
        let Some(phone) = &known.phone else { return known.ask_phone() };
        let arguments = json!({ "confirmation_code": code, "phone": phone });
        Step::Call { say: "Let me see.", name: "cancel_appointment", arguments }
    }

    pub(super) fn settle(&mut self, outcome: Outcome, known: &mut Known) -> Reaction {
        let Some(outcome) = Pending::turn(&mut self.pending, outcome) else { return Reaction::default() };
        let fault = match outcome {
            Outcome::Done(result) => {
                self.cancelled = true;
                let which =
                    result.get("spoken").and_then(|spoken| spoken.as_str()).map(|spoken| format!(" on {spoken}")).unwrap_or_default();
                return Reaction::say(format!("That is done. Your appointment{which} is cancelled."));
            }
            Outcome::Unknown => return Reaction::say(CHECKING),
            Outcome::Failed(fault) => fault,
            Outcome::Result(_) | Outcome::Prepared(_) => return Reaction::default(),
        };
        match fault.code.as_str() {
            "not_found" => {
                self.failures += 1;
                self.code = None;
                known.phone = None;
                let say = "I'm sorry, I find no appointment under that code and number.";
                if self.failures < FAILURES_MAX { Reaction::say(say) } else { Reaction::stuck(say) }
            }
            "already_cancelled" => {
                self.cancelled = true;
                Reaction::say("That appointment was cancelled before.")
            }
            "past" => {
                self.cancelled = true;
                Reaction::say("That appointment is past.")
            }
            "invalid_arguments" if fault.fields().iter().all(|field| ["confirmation_code", "phone"].contains(field)) => {
                for field in fault.fields() {
                    if field == "phone" { known.phone = None } else { self.code = None }
                }
                Reaction::say("I'm sorry, that does not seem to be complete.")
            }
            _ if fault.is_passing() => Reaction::default(),
            _ => Reaction::stuck("I'm sorry, I cannot reach the calendar at the moment."),
        }
    }
}
