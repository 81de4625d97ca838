//! Cancelling, moving, insurance, messages, questions.

use super::*;

#[test]
fn an_appointment_is_cancelled() {
    let mut call = Call::new();
    let turn = call.says("I want to cancel my appointment.");
    assert_eq!(turn.arguments("note_intent"), &json!({ "intent": "cancel" }));
    assert_eq!(turn.said, "Of course. What is the confirmation code of the appointment, letter by letter?");
    call.says("It is K, seven, M, two, X, nine.");
    let turn = call.says("Five five five, zero one two, three four five six.");
    assert_eq!(turn.arguments("cancel_appointment"), &json!({ "confirmation_code": "K7M2X9", "phone": "5550123456" }));
    assert!(turn.said.ends_with("Shall I do that?"));
    let turn = call.says("Yes.");
    assert_eq!(turn.tools(), ["confirm"]);
    assert!(turn.said.contains("Your appointment on Monday the twenty-third of November at noon is cancelled."), "{}", turn.said);
    assert_eq!(call.says("That's all.").tools(), ["end_call"]);
}

#[test]
fn a_cancellation_can_be_called_off_and_wrong_codes_are_asked_for_again() {
    let mut call = Call::new();
    call.says("I want to cancel my appointment.");
    call.says("K7M2X9");
    call.next("cancel_appointment", error("not_found", Value::Null));
    let turn = call.says("Five five five, zero one two, three four five six.");
    assert!(turn.said.contains("I find no appointment under that code"), "{}", turn.said);
    call.says("K7M2X3");
    call.says("Five five five, zero one two, three four five six.");
    let turn = call.says("No, wait.");
    assert!(turn.calls.is_empty() && turn.said.starts_with("All right, the appointment stays"), "{}", turn.said);
    let mut call = Call::new();
    call.says("I want to cancel my appointment.");
    for _ in 0..2 {
        call.says("K7M2X9");
        call.next("cancel_appointment", error("not_found", Value::Null));
        call.says("Five five five, zero one two, three four five six.");
    }
    assert_eq!(call.says("Yes.").arguments("note_intent"), &json!({ "intent": "message" }));
}

#[test]
fn without_the_code_a_message_is_all_there_is() {
    for text in ["No.", "I lost it.", "I don't know it."] {
        let mut call = Call::new();
        call.says("I want to cancel my appointment.");
        let said = call.says(text).said;
        assert_eq!(
            said, "I'm sorry, without the code I cannot find it. Shall I take a message, so that somebody calls you back?",
            "{text}"
        );
        assert_eq!(call.says("Yes, please.").said, "Of course. What shall I tell them?");
    }
}

#[test]
fn moving_books_first_and_cancels_then() {
    let mut call = Call::new();
    let turn = call.says("Can I move my appointment to another day?");
    assert_eq!(turn.arguments("note_intent"), &json!({ "intent": "move" }));
    call.says("Ada Lovelace.");
    call.says("555 012 3456");
    call.says("The first one.");
    let turn = call.says("Yes.");
    assert!(turn.said.contains(CODE) && turn.said.ends_with("of your old appointment, letter by letter?"), "{}", turn.said);
    let turn = call.says("H K L M Q R");
    assert_eq!(turn.arguments("cancel_appointment"), &json!({ "confirmation_code": "HKLMQR", "phone": "5550123456" }));
    let turn = call.says("Yes.");
    assert_eq!(turn.arguments("confirm"), &json!({ "confirmation_id": "c2" }));
    assert!(turn.said.ends_with("Is there anything else I can do for you?"), "{}", turn.said);
}

#[test]
fn coverage_is_looked_up_and_a_booking_goes_on_after_it() {
    let mut call = Call::new();
    call.says("I would like to book an appointment.");
    let turn = call.says("First, is that covered by my insurance?");
    assert_eq!(turn.arguments("note_intent"), &json!({ "intent": "insurance" }));
    assert!(turn.said.ends_with("Which insurer are you with?"));
    call.says("I am with Northwind Health.");
    call.next("check_insurance_coverage", json!({ "status": "unknown", "unknown": "plan", "listed": ["Bronze", "Gold"] }));
    call.says("The silver plan.");
    let turn = call.says("Nine nine two one three.");
    let asked = |plan: &str| json!({ "payer": "Northwind Health", "plan": plan, "procedure_code": "99213" });
    assert_eq!(turn.arguments("check_insurance_coverage"), &asked("silver"));
    assert!(turn.said.ends_with("I do not find that plan. I have Bronze, or Gold. And what is the name of your plan?"), "{}", turn.said);
    let turn = call.says("Gold.");
    assert_eq!(turn.arguments("check_insurance_coverage"), &asked("Gold"));
    assert!(turn.said.contains("You would pay twenty-five dollars. Office visit. This is information, no guarantee."), "{}", turn.said);
    assert!(turn.said.ends_with("May I have the patient's full name?"), "{}", turn.said);
}

#[test]
fn a_message_is_read_back_and_passed_on() {
    let mut call = Call::new();
    call.says("I would like to leave a message.");
    let turn = call.says("please call me back about the lab results");
    assert_eq!(turn.said, "May I have your full name?");
    let turn = call.says("Jane Miller.");
    assert!(turn.said.ends_with("I will pass this on. Please call me back about the lab results. Is that right?"), "{}", turn.said);
    let turn = call.says("Yes, please.");
    let message = json!({ "message": "Please call me back about the lab results", "caller_name": "Jane Miller" });
    assert_eq!(turn.arguments("take_message"), &message);
    assert_eq!(turn.said, "Thank you. I have passed that on. Is there anything else I can do for you?");
    let turn = Call::new().says("Please tell Doctor Okafor that I will be late.");
    assert_eq!(turn.said, "Of course. May I have your full name?");
}

#[test]
fn questions_are_answered_from_the_instructions_or_become_messages() {
    let mut call = Call::new();
    let turn = call.says("Which doctors do you have?");
    assert_eq!(turn.arguments("note_intent"), &json!({ "intent": "question" }));
    assert!(turn.said.starts_with("Here you can see Doctor Ada Lovelace or Doctor Chidi Okafor."), "{}", turn.said);
    let turn = call.says("Where can I park my car?");
    assert_eq!(turn.said, "I'm sorry, I do not know that. Shall I take a message, so that somebody calls you back?");
    assert!(call.says("No, thanks.").said.ends_with("Is there anything else I can do for you?"));
    call.says("Where can I park my car?");
    assert_eq!(call.says("Yes.").said, "Of course. What shall I tell them?");
}

#[test]
fn an_emergency_comes_before_everything() {
    for mut call in [Call::new(), Call::offered(), Call::read_back()] {
        let turn = call.says("My husband has chest pain!");
        assert!(turn.said.starts_with("Please hang up and dial nine one one."), "{}", turn.said);
        assert_eq!(turn.arguments("note_intent"), &json!({ "intent": "emergency" }));
    }
}
