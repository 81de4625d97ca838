//! Whole dialogues, against outputs as the clinic's tools and the conversation give them.

mod booking;
mod other_wishes;
mod patients;
mod trouble;

use std::collections::VecDeque;

use frontdesk_agent::llm::{Message, ToolCall, ToolCallId};
use frontdesk_agent::{ModelRequest, ToolSchema};
use serde_json::{Value, json};

use super::Receptionist;

const PROMPT: &str = "You answer the telephone of Lakeside Family Clinic.\n\
    It is now Saturday, 2026-11-21T10:05 (America/New_York). Dates in tools are written like 2026-12-01T09:00.\n\
    Who works here:\n- Doctor Ada Lovelace (id `dr-lovelace`)\n- Doctor Chidi Okafor (id `dr-okafor`)\n\
    What is offered:\n- check-up (code `checkup`, 30 minutes)\n- vaccination (code `vaccination`, 15 minutes)\n";
/// As many steps with tools as the conversation allows in one turn.
const STEPS_MAX: usize = 5;
const CODE: &str = "K, seven, M, two, X, nine";

/// What happened in one turn.
#[derive(Debug, Default)]
struct Turn {
    /// Everything that was said, the read-back among it.
    said: String,
    /// The tools that were called.
    calls: Vec<(String, Value)>,
}

impl Turn {
    fn tools(&self) -> Vec<&str> {
        self.calls.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn arguments(&self, tool: &str) -> &Value {
        let found = self.calls.iter().find(|(name, _)| name == tool);
        &found.unwrap_or_else(|| panic!("{tool} was not called: {self:?}")).1
    }
}

/// A call with a clinic behind it.
struct Call {
    messages: Vec<Message>,
    tools: Vec<ToolSchema>,
    /// Outputs that come before the usual ones: (tool, output).
    instead: VecDeque<(&'static str, Value)>,
    prepared: usize,
    /// The caller has spoken since the last read-back.
    answered: bool,
}

fn schema(name: &str, required: &[&str], optional: &[&str]) -> ToolSchema {
    let property = |name: &&str| ((*name).to_owned(), json!({ "type": "string", "description": "…" }));
    let properties: serde_json::Map<String, Value> = required.iter().chain(optional).map(property).collect();
    let parameters = json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    ToolSchema { name: name.into(), description: "…".into(), parameters }
}

fn slot(start: &str, spoken: &str) -> Value {
    json!({ "start": start, "duration_minutes": 30, "practitioner": "Doctor Ada Lovelace", "spoken": spoken })
}

fn free() -> Value {
    json!([
        slot("2026-11-23T08:00", "Monday the twenty-third of November at eight a.m."),
        slot("2026-11-23T08:30", "Monday the twenty-third of November at eight thirty a.m."),
        slot("2026-11-23T12:00", "Monday the twenty-third of November at noon"),
        slot("2026-11-23T14:00", "Monday the twenty-third of November at two p.m."),
        slot("2026-11-24T09:00", "Tuesday the twenty-fourth of November at nine a.m."),
        slot("2026-11-24T14:00", "Tuesday the twenty-fourth of November at two p.m."),
    ])
}

fn error(code: &str, details: Value) -> Value {
    json!({ "error": { "code": code, "message": "…", "retryable": false, "details": details } })
}

impl Call {
    fn new() -> Self {
        let tools = vec![
            schema("find_slots", &[], &["exact_start", "window_start", "window_end", "duration_minutes", "practitioner", "service"]),
            schema("book_appointment", &["start", "patient_name", "phone"], &["practitioner", "service", "duration_minutes"]),
            schema("cancel_appointment", &["confirmation_code", "phone"], &[]),
            schema("check_insurance_coverage", &["payer", "plan", "procedure_code"], &[]),
            schema("take_message", &["message"], &["caller_name", "phone", "recipient", "urgent"]),
            schema("note_intent", &["intent"], &["note"]),
            schema("end_call", &[], &["reason"]),
            schema("confirm", &["confirmation_id"], &[]),
        ];
        let greeting = "Lakeside Family Clinic, good day. How can I help you?";
        let messages = vec![Message::System { text: PROMPT.into() }, Message::Assistant { text: greeting.into(), tool_calls: Vec::new() }];
        Self { messages, tools, instead: VecDeque::new(), prepared: 0, answered: true }
    }

    /// The next call of this tool has this output.
    fn next(&mut self, tool: &'static str, output: Value) {
        self.instead.push_back((tool, output));
    }

    fn output(&mut self, tool: &str, arguments: &Value) -> Value {
        if let Some(at) = self.instead.iter().position(|(instead, _)| *instead == tool) {
            return self.instead.remove(at).expect("it is there").1;
        }
        let mut prepared = |read_back: String| {
            self.prepared += 1;
            self.answered = false;
            json!({ "status": "awaiting_confirmation", "confirmation_id": format!("c{}", self.prepared), "read_back": read_back, "next": "…" })
        };
        match tool {
            "find_slots" => json!({ "slots": free() }),
            "book_appointment" => prepared(format!(
                "I have {} for {}, telephone number {}. Shall I book that?",
                arguments["start"].as_str().unwrap(),
                arguments["patient_name"].as_str().unwrap(),
                arguments["phone"].as_str().unwrap()
            )),
            "cancel_appointment" => prepared("I will cancel the appointment on Monday at noon. Shall I do that?".into()),
            "confirm" => {
                assert!(self.answered, "confirmed before the caller answered");
                assert_eq!(arguments["confirmation_id"], format!("c{}", self.prepared));
                let result = json!({ "booked": true, "confirmation_code": "K7M2X9", "confirmation_code_spoken": CODE,
                    "start": "2026-11-23T12:00", "spoken": "Monday the twenty-third of November at noon" });
                json!({ "status": "done", "result": result })
            }
            "check_insurance_coverage" => json!({ "status": "covered", "copay_spoken": "twenty-five dollars", "notes": "Office visit." }),
            "take_message" => json!({ "taken": true }),
            "note_intent" => json!({ "noted": true }),
            "end_call" => json!({ "ending": true }),
            other => panic!("no tool {other}"),
        }
    }

    fn ask(&self, allow_tools: bool) -> super::Answer {
        let tools = if allow_tools { self.tools.clone() } else { Vec::new() };
        let request = ModelRequest { messages: self.messages.clone(), tools, ..ModelRequest::default() };
        let answer = Receptionist::answer(&request);
        assert_eq!(answer, Receptionist::answer(&request), "the same question has the same answer");
        assert!(!answer.text.is_empty() || !answer.calls.is_empty(), "an empty answer");
        for call in &answer.calls {
            let schema = request.tools.iter().find(|schema| schema.name == call.name).expect("only tools that were offered");
            let given = call.arguments.as_object().expect("an object");
            let properties = schema.parameters["properties"].as_object().expect("an object");
            assert!(given.keys().all(|name| properties.contains_key(name)), "{call:?}");
            let required = schema.parameters["required"].as_array().expect("a list");
            assert!(required.iter().all(|name| given.contains_key(name.as_str().expect("a name"))), "{call:?}");
        }
        answer
    }

    /// The caller says something; the answer as the conversation would play it.
    fn says(&mut self, text: &str) -> Turn {
        self.messages.push(Message::User { text: text.into() });
        self.answered = true;
        let mut turn = Turn::default();
        for step in 0.. {
            let answer = self.ask(step < STEPS_MAX);
            turn.said = format!("{} {}", turn.said, answer.text).trim().to_owned();
            let number = self.messages.len();
            let id = |at: usize| ToolCallId(format!("t{number}-{at}"));
            let calls: Vec<ToolCall> = answer
                .calls
                .iter()
                .enumerate()
                .map(|(at, call)| ToolCall { id: id(at), name: call.name.clone(), arguments: call.arguments.clone() })
                .collect();
            self.messages.push(Message::Assistant { text: answer.text, tool_calls: calls.clone() });
            if calls.is_empty() {
                return turn;
            }
            let mut read_back = None;
            let mut ends = false;
            for call in calls {
                let output = self.output(&call.name, &call.arguments);
                read_back = output["read_back"].as_str().map(String::from).or(read_back);
                ends |= output["ending"] == true;
                self.messages.push(Message::Tool { call: call.id, name: call.name.clone(), content: output.to_string() });
                turn.calls.push((call.name, call.arguments));
            }
            if let Some(read_back) = read_back {
                turn.said = format!("{} {read_back}", turn.said).trim().to_owned();
                self.messages.push(Message::Assistant { text: read_back, tool_calls: Vec::new() });
                return turn;
            }
            if ends {
                return turn;
            }
        }
        unreachable!("the loop returns")
    }

    /// The caller cut the last answer off after so many words.
    fn was_cut_after(&mut self, words: usize) {
        let text = self.messages.iter_mut().rev().find_map(|message| match message {
            Message::Assistant { text, .. } => Some(text),
            _ => None,
        });
        let text = text.expect("an answer");
        *text = text.split(' ').take(words).collect::<Vec<_>>().join(" ");
    }

    /// As far as the offer of times.
    fn offered() -> Self {
        let mut call = Self::new();
        call.says("Hello, I would like to book an appointment, please.");
        call.says("My name is Ada Lovelace.");
        call.says("My number is five five five, zero one two, three four five six.");
        call
    }

    /// As far as the read-back.
    fn read_back() -> Self {
        let mut call = Self::offered();
        call.says("The second one, please.");
        call
    }
}
