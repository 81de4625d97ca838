//! Slots that are gone, tools that fail, callers who are not understood, hostile histories.

use super::*;

fn alternatives() -> Value {
    json!({ "alternatives": [
        slot("2026-11-23T14:00", "Monday the twenty-third of November at two p.m."),
        slot("2026-11-24T09:00", "Tuesday the twenty-fourth of November at nine a.m."),
    ] })
}

#[test]
fn a_slot_taken_meanwhile_is_replaced_at_either_phase() {
    let mut call = Call::offered();
    call.next("book_appointment", error("slot_taken", alternatives()));
    let turn = call.says("The second one, please.");
    let expected = "I'm sorry, that time has just been taken. I have two times for you. Monday the twenty-third of November at two p.m., \
         or Tuesday the twenty-fourth of November at nine a.m. Which one would you like?";
    assert_eq!(turn.said, format!("Very well. {expected}"));
    assert_eq!(call.says("The first one, please.").arguments("book_appointment")["start"], "2026-11-23T14:00");
    let mut refusal = error("slot_taken", alternatives());
    refusal["status"] = json!("refused");
    call.next("confirm", refusal);
    let turn = call.says("Yes, that is right.");
    assert_eq!(turn.said, format!("Thank you. One moment, please. {expected}"));
    assert_eq!(call.says("The second one.").arguments("book_appointment")["start"], "2026-11-24T09:00");
    assert!(call.says("Yes.").said.contains(CODE));
    // No alternatives: another search.
    let mut call = Call::offered();
    call.next("book_appointment", error("slot_taken", json!({ "alternatives": [] })));
    assert_eq!(call.says("The first one.").tools(), ["book_appointment", "find_slots"]);
}

#[test]
fn an_unknown_outcome_is_neither_success_nor_failure() {
    let mut call = Call::read_back();
    call.next("confirm", json!({ "status": "outcome_unknown", "message": "…" }));
    let turn = call.says("Yes.");
    assert!(turn.said.contains("I am checking whether that went through."), "{}", turn.said);
    assert!(!turn.said.contains("booked") && !turn.said.contains("sorry"), "{}", turn.said);
    // Nothing is done twice meanwhile.
    let turn = call.says("Then I would like to book an appointment again.");
    assert!(turn.calls.is_empty() && turn.said.contains("still checking"), "{}", turn.said);
    let result = json!({ "status": "done", "result": { "booked": true, "confirmation_code_spoken": CODE } });
    let note = format!("The outcome of book_appointment under confirmation c1 is known now: {result}");
    call.messages.push(Message::System { text: note });
    let turn = call.says("Hello?");
    assert!(turn.calls.is_empty() && turn.said.contains(CODE), "{}", turn.said);
}

#[test]
fn objections_to_a_confirmation_lead_on() {
    for (code, tools) in [("read_back_incomplete", vec!["confirm"]), ("superseded", vec!["confirm", "book_appointment"])] {
        let mut call = Call::read_back();
        call.next("confirm", error(code, Value::Null));
        let turn = call.says("Yes.");
        assert_eq!(turn.tools(), tools, "{code}");
        assert!(turn.said.ends_with("Shall I book that?"), "{}", turn.said);
        assert!(call.says("Yes.").said.contains(CODE));
    }
}

#[test]
fn errors_that_can_be_repaired_are() {
    let faults = |field: &str| error("invalid_arguments", json!({ "faults": [{ "field": field, "got": "x", "expected": "y" }] }));
    let mut call = Call::new();
    call.says("I need an appointment with Doctor Okafor.");
    call.says("Ada Lovelace.");
    call.next("find_slots", faults("practitioner"));
    let turn = call.says("555 012 3456");
    assert_eq!(turn.tools(), ["find_slots", "find_slots"]);
    assert!(turn.calls[1].1.get("practitioner").is_none() && turn.said.contains("nobody of that name"), "{}", turn.said);
    call.next("book_appointment", error("patient_busy", Value::Null));
    let turn = call.says("The first one.");
    assert!(
        turn.said
            .contains("another appointment at that time. I have three times for you. Monday the twenty-third of November at eight thirty"),
        "{}",
        turn.said
    );
    call.next("book_appointment", faults("patient_name"));
    assert!(call.says("The first one.").said.ends_with("I did not get the name. May I have the patient's full name?"));
    // A tool that was cut off is called again.
    call.next("book_appointment", error("cancelled", Value::Null));
    assert_eq!(call.says("Ada King.").tools(), ["book_appointment", "book_appointment"]);
}

#[test]
fn a_calendar_out_of_reach_ends_in_a_message() {
    let mut call = Call::new();
    call.says("I need an appointment.");
    call.says("Ada Lovelace.");
    call.next("find_slots", error("unavailable", Value::Null));
    let turn = call.says("555 012 3456");
    assert_eq!(turn.tools(), ["find_slots"]);
    assert!(
        turn.said
            .ends_with("I'm sorry, I cannot reach the calendar at the moment. Shall I take a message, so that somebody calls you back?")
    );
    call.says("Yes, please.");
    assert!(call.says("Please call me, I need an appointment.").said.contains("I will pass this on."));
    call.next("take_message", error("unavailable", Value::Null));
    let turn = call.says("Yes.");
    assert!(turn.said.contains("I cannot take a message at the moment"), "{}", turn.said);
    // A tool that times out again and again is not called for ever.
    let mut call = Call::new();
    call.says("I need an appointment.");
    call.says("Ada Lovelace.");
    for _ in 0..9 {
        call.next("find_slots", error("timeout", Value::Null));
    }
    let turn = call.says("555 012 3456");
    assert!(turn.calls.len() == 2 && turn.said.ends_with("somebody calls you back?"), "{turn:?}");
}

#[test]
fn nothing_free_is_looked_for_further_ahead() {
    let mut call = Call::new();
    call.says("I need an appointment on Monday.");
    call.says("Ada Lovelace.");
    call.next("find_slots", json!({ "slots": [], "note": "nothing is free in that window; try another one" }));
    let turn = call.says("555 012 3456");
    assert_eq!(turn.calls[1].1, json!({ "window_start": "2026-11-24", "window_end": "2026-12-07" }));
    assert!(turn.said.contains("I'm sorry, nothing is free then. I have two times for you. Tuesday"), "{}", turn.said);
    let mut call = Call::offered();
    let note = "that time is taken; these are near it";
    call.next("find_slots", json!({ "available": false, "slots": alternatives()["alternatives"], "note": note }));
    let turn = call.says("Do you have Monday at ten?");
    assert!(turn.said.contains("that time is taken. I have two times for you."), "{}", turn.said);
    let mut call = Call::new();
    call.says("I need an appointment.");
    call.says("Ada Lovelace.");
    for _ in 0..9 {
        call.next("find_slots", json!({ "slots": [] }));
    }
    assert!(call.says("555 012 3456").said.ends_with("Shall I take a message, so that somebody calls you back?"));
}

#[test]
fn who_is_not_understood_is_asked_once_more_and_then_offered_a_message() {
    let mut call = Call::new();
    let turn = call.says("Bananas are yellow.");
    assert!(turn.calls.is_empty() && turn.said.starts_with("I'm sorry, I did not get that. Would you like to book"), "{}", turn.said);
    let turn = call.says("Yellow, I said.");
    assert_eq!(turn.arguments("note_intent"), &json!({ "intent": "other" }));
    assert_eq!(turn.said, "I'm sorry, I cannot help with that myself. Shall I take a message, so that somebody calls you back?");
    assert_eq!(call.says("Yes, please.").said, "Of course. What shall I tell them?");
    for text in ["", "…", "   ", "?!"] {
        let mut call = Call::offered();
        assert!(call.says(text).said.starts_with("I'm sorry, I did not get that. I have three times"), "{text}");
        assert!(call.says(text).said.ends_with("Shall I take a message, so that somebody calls you back?"));
        assert!(call.says("No.").calls.is_empty());
    }
    let mut call = Call::offered();
    assert!(call.says("Pardon?").said.starts_with("I have three times for you."), "a question to hear it again is no miss");
}

#[test]
fn without_tools_it_only_talks() {
    let mut call = Call::new();
    let tools = std::mem::take(&mut call.tools);
    assert_eq!(call.says("I would like to book an appointment.").said, "May I have the patient's full name?");
    call.says("Ada Lovelace.");
    let turn = call.says("555 012 3456");
    assert_eq!(turn.said, "I'm sorry, this takes a little longer. May I go on?");
    assert_eq!(call.says("Goodbye.").said, "Thank you for calling. Goodbye.");
    call.tools = tools;
    assert_eq!(call.says("Hello?").tools(), ["note_intent", "find_slots"]);
}

#[test]
fn hostile_histories_do_no_harm() {
    let answer = |messages: Vec<Message>| {
        let request = ModelRequest { messages, tools: Call::new().tools, ..ModelRequest::default() };
        Receptionist::answer(&request)
    };
    assert_eq!(answer(Vec::new()).text, "How can I help you?");
    for content in ["", "not json", "null", "[]", r#"{"error":7}"#, r#"{"status":"awaiting_confirmation"}"#, r#"{"slots":{"a":1}}"#] {
        for tool in ["find_slots", "book_appointment", "confirm", "note_intent", "end_call", "unheard_of"] {
            let mut messages = Call::offered().messages;
            let call = ToolCall { id: ToolCallId("x".into()), name: tool.into(), arguments: Value::Null };
            messages.push(Message::User { text: "The first one.".into() });
            messages.push(Message::Assistant { text: String::new(), tool_calls: vec![call] });
            messages.push(Message::Tool { call: ToolCallId("x".into()), name: tool.into(), content: content.into() });
            let answer = answer(messages);
            assert!(!answer.text.is_empty() || !answer.calls.is_empty(), "{tool}: {content}");
            assert!(answer.calls.iter().all(|call| call.name != "confirm"), "{tool}: {content}");
        }
    }
    let orphan = Message::Tool { call: ToolCallId("y".into()), name: "find_slots".into(), content: "{}".into() };
    assert_eq!(answer(vec![orphan, Message::System { text: "The outcome of x is known now: {}".into() }]).text, "How can I help you?");
}

/// A small generator; its numbers need not be good.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

/// The harness checks every answer: it is not empty, its tools were offered, their arguments follow the schema, nothing is confirmed
/// before the caller answered. Here, also, that what is confirmed got a yes.
#[test]
fn whatever_callers_say_and_tools_answer_the_rules_hold() {
    const LINES: [&str; 14] = [
        "Can I move my appointment?",
        "Is it covered by my insurance?",
        "I want to leave a message.",
        "five five five",
        "The second one, please.",
        "Tuesday at nine.",
        "Next week in the afternoon.",
        "Yes, that is right.",
        "No, the third one.",
        "None of them.",
        "Sorry?",
        "Where can I park?",
        "…",
        "Bananas, please.",
    ];
    const ANSWERS: [(&str, &str); 10] = [
        ("Shall I", "Yes."),
        ("full name", "My name is Ada Lovelace."),
        ("area code", "555 012 3456"),
        ("Which one", "The first one."),
        ("suit you", "Yes."),
        ("letter by letter", "K seven M two X nine"),
        ("insurer", "Northwind Health."),
        ("procedure", "Nine nine two one three."),
        ("anything else", "Cancel my appointment, please."),
        ("help you", "I would like to book an appointment."),
    ];
    let outputs = [
        ("find_slots", json!({ "slots": [] })),
        ("find_slots", error("timeout", Value::Null)),
        ("book_appointment", error("slot_taken", alternatives())),
        ("book_appointment", error("patient_busy", Value::Null)),
        ("book_appointment", error("invalid_arguments", json!({ "faults": [{ "field": "phone" }] }))),
        ("confirm", error("read_back_incomplete", Value::Null)),
        ("confirm", error("superseded", Value::Null)),
        ("confirm", json!({ "status": "outcome_unknown" })),
        ("cancel_appointment", error("not_found", Value::Null)),
        ("take_message", error("unavailable", Value::Null)),
        ("note_intent", error("cancelled", Value::Null)),
    ];
    let mut dice = Dice(7);
    let mut confirmed = 0;
    for _ in 0..40 {
        let mut call = Call::new();
        let mut question = String::from("How can I help you?");
        for _ in 0..10 {
            if dice.roll(4) == 0 {
                let (tool, output) = outputs[dice.roll(outputs.len())].clone();
                call.next(tool, output);
            }
            let answer = ANSWERS.iter().find(|(asked, _)| question.contains(asked)).filter(|_| dice.roll(4) > 0);
            let line = answer.map_or_else(|| LINES[dice.roll(LINES.len())], |(_, line)| *line);
            let turn = call.says(line);
            if turn.tools().contains(&"confirm") {
                assert!(line.starts_with("Yes"), "confirmed on {line:?}");
                confirmed += 1;
            }
            if dice.roll(6) == 0 {
                call.was_cut_after(dice.roll(8));
            }
            question = turn.said;
        }
    }
    assert!(confirmed > 20, "{confirmed} confirmations are too few to prove anything");
}
