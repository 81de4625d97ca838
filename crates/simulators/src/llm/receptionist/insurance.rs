//! Insurance: insurer, plan and procedure, then what the table says.

use serde_json::{Value, json};

use super::numbers::digit_rows;
use super::slots::stopped;
use super::task::{Heard, Outcome, Reaction, Step};
use super::words::{Words, wants_repetition};

/// After so many answers that the table does not know, somebody else has to look.
const FAILURES_MAX: u32 = 3;
/// Digits of a procedure code (CPT).
const CODE_DIGITS: usize = 5;
/// With what answers begin, longest first.
const OPENINGS: [&str; 16] = [
    "my insurer is",
    "my insurance is",
    "i am insured with",
    "i am with",
    "im with",
    "i have the",
    "i have",
    "it is the",
    "it is",
    "its the",
    "its",
    "the plan is",
    "its called",
    "that is",
    "thats",
    "the",
];

/// A question about coverage.
#[derive(Debug, Default)]
pub(super) struct Insurance {
    payer: Option<String>,
    plan: Option<String>,
    procedure: Option<String>,
    pub(super) answered: bool,
    failures: u32,
}

impl Insurance {
    pub(super) fn open(heard: &Heard<'_>) -> Self {
        Self { procedure: procedure_code(&heard.words), ..Self::default() }
    }

    pub(super) fn hear(&mut self, heard: &Heard<'_>) -> bool {
        let is_empty = heard.words.is_empty() || wants_repetition(&heard.words) || heard.words.says(&["dont know", "not sure"]);
        if is_empty || (heard.yes.is_some() && heard.words.list().len() < 3) {
            return false;
        }
        let code = procedure_code(&heard.words);
        if code.is_some() && (self.payer.is_some() && self.plan.is_some()) {
            self.procedure = code;
            return true;
        }
        for field in [&mut self.payer, &mut self.plan, &mut self.procedure] {
            if field.is_none() {
                *field = Some(bare(heard.text));
                return true;
            }
        }
        false
    }

    pub(super) fn step(&self) -> Step {
        let Some(payer) = &self.payer else { return Step::Ask("Which insurer are you with?".into()) };
        let Some(plan) = &self.plan else { return Step::Ask("And what is the name of your plan?".into()) };
        let Some(procedure) = &self.procedure else { return Step::Ask("And what is the code of the procedure?".into()) };
        let arguments = json!({ "payer": payer, "plan": plan, "procedure_code": procedure });
        Step::Call { say: "Let me look.", name: "check_insurance_coverage", arguments }
    }

    pub(super) fn settle(&mut self, outcome: Outcome) -> Reaction {
        let result = match outcome {
            Outcome::Result(result) => result,
            Outcome::Failed(fault) if fault.is_passing() => return Reaction::default(),
            Outcome::Failed(fault) if fault.code == "invalid_arguments" && !fault.fields().is_empty() => {
                for field in fault.fields() {
                    self.forget(field);
                }
                return self.failed("I'm sorry, I did not get that.".into());
            }
            _ => return Reaction::stuck("I'm sorry, I cannot look that up at the moment."),
        };
        let text = |key: &str| result.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let notes = text("notes").map(|notes| format!(" {}", stopped(notes))).unwrap_or_default();
        let guarantee = "This is information, no guarantee.";
        let say = match (text("status"), text("copay_spoken")) {
            (Some("covered"), Some(copay)) => format!("Yes, that is covered. You would pay {copay}.{notes} {guarantee}"),
            (Some("covered"), None) => format!("Yes, that is covered.{notes} {guarantee}"),
            (Some("not_covered"), _) => format!("I'm sorry, that is not covered.{notes} {guarantee}"),
            _ => return self.unknown(&result),
        };
        self.answered = true;
        Reaction::say(say)
    }

    /// The table does not say: what it has instead is offered.
    fn unknown(&mut self, result: &Value) -> Reaction {
        let field = result.get("unknown").and_then(Value::as_str).unwrap_or_default();
        let known: Vec<String> =
            result.get("listed").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(spelt).collect();
        let what = match field {
            "payer" => "insurer",
            "plan" => "plan",
            _ => "procedure",
        };
        if known.is_empty() {
            return Reaction::stuck(format!("I'm sorry, I do not find that {what}."));
        }
        self.forget(field);
        self.failed(format!("I'm sorry, I do not find that {what}. I have {}.", known.join(", or ")))
    }

    fn forget(&mut self, field: &str) {
        match field {
            "payer" => self.payer = None,
            "plan" => self.plan = None,
            _ => self.procedure = None,
        }
    }

    fn failed(&mut self, say: String) -> Reaction {
        self.failures += 1;
        if self.failures < FAILURES_MAX { Reaction::say(say) } else { Reaction::stuck(say) }
    }
}

fn procedure_code(words: &Words) -> Option<String> {
    digit_rows(words).into_iter().find(|row| row.len() == CODE_DIGITS)
}

/// Digits one by one, so that they are spoken so.
fn spelt(name: &str) -> String {
    if name.bytes().all(|byte| byte.is_ascii_digit()) { name.chars().map(String::from).collect::<Vec<_>>().join(" ") } else { name.into() }
}

/// An answer without its opening and its last full stop.
fn bare(text: &str) -> String {
    let trimmed = text.trim().trim_end_matches(['.', '!', '?', ',']);
    let mut words: Vec<&str> = trimmed.split_whitespace().collect();
    for opening in OPENINGS {
        let length = opening.split(' ').count();
        if words.len() > length && Words::of(&words[..length].join(" ")).list().join(" ") == opening {
            words.drain(..length);
            break;
        }
    }
    if words.len() > 1 && words.last().is_some_and(|word| word.eq_ignore_ascii_case("plan")) {
        words.pop();
    }
    words.join(" ")
}
