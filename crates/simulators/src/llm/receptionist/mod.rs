//! The receptionist's rules.
//!
//! All state is read from the messages each time ([`dialogue`]); what comes next follows from it. Facts are taken from what tools
//! answered and callers said, not from the agent's own lines, which may have been cut off by the caller.

mod asking;
mod booking;
mod cancelling;
mod dialogue;
mod facts;
mod insurance;
mod listing;
mod message;
mod names;
mod numbers;
mod queueing;
mod registering;
mod reserving;
mod slots;
mod task;
#[cfg(test)]
mod tests;
mod when;
mod words;

use frontdesk_agent::{ModelRequest, ToolSchema};
use serde_json::{Value, json};

use self::dialogue::Dialogue;
use self::task::{Flow, Step, Task};
use self::words::Intent;
use super::answer::Answer;

/// The tool that confirms what was prepared (`frontdesk_conversation::CONFIRM_TOOL`; the wire carries its name in the schemas).
const CONFIRM: &str = "confirm";
/// The tool that puts callers through to a person.
const TRANSFER: &str = "transfer_call";
/// The tool that notes what the caller says to being recorded.
const CONSENT: &str = "recording_consent";
/// In English and Spanish.
const GOODBYE: [&str; 2] = ["Thank you for calling. Goodbye.", "Gracias por llamar. Adiós."];

/// A receptionist without memory: every answer follows from the request alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Receptionist;

impl Receptionist {
    /// Answers a request. A tool is called only if its schema came along.
    #[must_use]
    pub fn answer(request: &ModelRequest) -> Answer {
        let dialogue = Dialogue::read(&request.messages, &request.tools);
        let desk = Desk { tools: &request.tools };
        desk.answer(&dialogue)
    }
}

/// What can be done.
struct Desk<'a> {
    tools: &'a [ToolSchema],
}

impl Desk<'_> {
    fn can(&self, tool: &str) -> bool {
        self.tools.iter().any(|schema| schema.name == tool)
    }

    /// The first person whom the schema names.
    fn first_target(&self) -> Value {
        let schema = self.tools.iter().find(|schema| schema.name == TRANSFER);
        schema.and_then(|schema| schema.parameters.pointer("/properties/target/enum/0")).cloned().unwrap_or_default()
    }

    /// A call with those arguments that the schema knows.
    fn call(&self, say: &str, tool: &str, mut arguments: Value) -> Answer {
        let schema = self.tools.iter().find(|schema| schema.name == tool);
        let known = schema.and_then(|schema| schema.parameters.get("properties")).and_then(Value::as_object);
        if let (Some(known), Some(given)) = (known, arguments.as_object_mut()) {
            given.retain(|name, _| known.contains_key(name));
        }
        Answer::call(say, tool, arguments)
    }

    fn answer(&self, dialogue: &Dialogue) -> Answer {
        let called = |tool: &str| dialogue.calls.iter().any(|(name, _)| name == tool);
        if let Some(agrees) = dialogue.consent.filter(|_| !called(CONSENT)) {
            return self.call(&dialogue.lead, CONSENT, json!({ "agrees": agrees }));
        }
        if dialogue.closing {
            let can_end = self.can("end_call") && !called("end_call");
            let goodbye = joined(&dialogue.lead, GOODBYE[usize::from(dialogue.is_spanish())]);
            let arguments = json!({ "reason": "the caller said goodbye" });
            return if can_end { self.call(&goodbye, "end_call", arguments) } else { Answer::say(goodbye) };
        }
        let unnoted = dialogue.tasks.iter().find(|task| !task.noted);
        if let Some(task) = unnoted.filter(|_| self.can("note_intent")) {
            let say = acknowledgement(task, dialogue);
            return self.call(&say, "note_intent", json!({ "intent": task.intent.word() }));
        }
        if dialogue.emergency {
            let say = if dialogue.said { "Please do it right away." } else { "Please hang up and dial nine one one." };
            return Answer::say(say);
        }
        if dialogue.person && !called(TRANSFER) && self.can(TRANSFER) {
            return self.call(&joined(&dialogue.lead, "I will put you through."), TRANSFER, json!({ "target": self.first_target() }));
        }
        if dialogue.offers_message() {
            let is_silent = dialogue.lead.is_empty() && !dialogue.said;
            let sorry = if is_silent { "I'm sorry, I cannot help with that myself." } else { &dialogue.lead };
            return Answer::say(joined(sorry, "Shall I take a message, so that somebody calls you back?"));
        }
        match dialogue.step() {
            Step::Call { say, name, arguments } if self.can(name) => {
                let say = if called(name) { "" } else { say };
                self.call(&joined(&dialogue.lead, say), name, arguments)
            }
            // The conversation lets the model call tools only so often in one turn.
            Step::Call { .. } => Answer::say("I'm sorry, this takes a little longer. May I go on?"),
            Step::Ask(question) => Answer::say(joined(&dialogue.lead, &question)),
            Step::Done => Answer::say(joined(&dialogue.lead, nothing_left(dialogue))),
        }
    }
}

/// What is said while the wish is noted.
fn acknowledgement(task: &Task, dialogue: &Dialogue) -> String {
    if dialogue.said {
        return String::new();
    }
    match task.intent {
        Intent::Register => match &task.flow {
            Flow::Registering(registering) => registering.acknowledgement().into(),
            _ => "Gladly.".into(),
        },
        Intent::Book if matches!(task.flow, Flow::Reserving(_)) => "Con gusto.".into(),
        Intent::Book | Intent::Move | Intent::Queue => "Gladly.".into(),
        Intent::List | Intent::Resend => "Of course.".into(),
        Intent::Ask => String::new(),
        Intent::Advice => dialogue.lead.clone(),
        Intent::Cancel | Intent::Insurance | Intent::Message => "Of course.".into(),
        Intent::Emergency => "Please hang up and dial nine one one.".into(),
        Intent::Question | Intent::Other => dialogue.lead.clone(),
    }
}

fn nothing_left(dialogue: &Dialogue) -> &'static str {
    match (dialogue.tasks.is_empty(), dialogue.misses > 0) {
        (true, true) => "Would you like to book, move or cancel an appointment, or leave a message?",
        (true, false) => "How can I help you?",
        (false, _) if dialogue.is_spanish() => "¿Puedo ayudarle en algo más?",
        (false, _) => "Is there anything else I can do for you?",
    }
}

fn joined(first: &str, second: &str) -> String {
    format!("{first} {second}").trim().to_owned()
}
