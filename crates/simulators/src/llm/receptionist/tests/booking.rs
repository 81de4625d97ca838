//! Callers who book, and change their minds.

use super::*;

#[test]
fn the_demo_caller_books() {
    let mut call = Call::new();
    let turn = call.says("Hello, I would like to book an appointment, please.");
    assert_eq!(turn.tools(), ["note_intent"]);
    assert_eq!(turn.arguments("note_intent"), &json!({ "intent": "book" }));
    assert_eq!(turn.said, "Gladly. May I have the patient's full name?");
    let turn = call.says("My name is Ada Lovelace.");
    assert_eq!((turn.said.as_str(), turn.calls.len()), ("Thank you. May I have your telephone number, with the area code?", 0));
    let turn = call.says("My number is five five five, zero one two, three four five six.");
    assert_eq!(turn.arguments("find_slots"), &json!({ "window_start": "2026-11-21T10:05", "window_end": "2026-12-04" }));
    assert_eq!(
        turn.said,
        "Thank you. Let me see what is free. I have three times for you. Monday the twenty-third of November at eight a.m., Monday the \
         twenty-third of November at eight thirty a.m., or Monday the twenty-third of November at noon. Which one would you like?"
    );
    let turn = call.says("The second one, please.");
    assert_eq!(
        turn.arguments("book_appointment"),
        &json!({ "start": "2026-11-23T08:30", "patient_name": "Ada Lovelace", "phone": "5550123456" })
    );
    assert_eq!(turn.said, "Very well. I have 2026-11-23T08:30 for Ada Lovelace, telephone number 5550123456. Shall I book that?");
    let turn = call.says("Yes, that is right.");
    assert_eq!(turn.tools(), ["confirm"]);
    assert_eq!(
        turn.said,
        format!(
            "Thank you. One moment, please. Your appointment is booked. Your confirmation code is {CODE}. Is there anything else I can do for you?"
        )
    );
    let turn = call.says("No, thank you, goodbye.");
    assert_eq!((turn.tools(), turn.said.as_str()), (vec!["end_call"], "Thank you for calling. Goodbye."));
}

#[test]
fn everything_in_one_breath() {
    let mut call = Call::new();
    call.next(
        "find_slots",
        json!({ "available": true, "slots": [slot("2026-11-24T09:00", "Tuesday the twenty-fourth of November at nine a.m.")] }),
    );
    let turn =
        call.says("Hi, my name is Grace Hopper, my number is 555-013-4567, and I need a check-up with Doctor Okafor next Tuesday at nine.");
    assert_eq!(turn.tools(), ["note_intent", "find_slots", "book_appointment"]);
    let asked = json!({ "exact_start": "2026-11-24T09:00", "practitioner": "Doctor Chidi Okafor", "service": "check-up" });
    assert_eq!(turn.arguments("find_slots"), &asked);
    assert_eq!(
        turn.arguments("book_appointment"),
        &json!({ "start": "2026-11-24T09:00", "patient_name": "Grace Hopper", "phone": "5550134567",
            "practitioner": "Doctor Chidi Okafor", "service": "check-up" })
    );
    assert!(call.says("Yes, please.").said.contains(CODE));
}

#[test]
fn wishes_make_windows() {
    for (wish, expected) in [
        ("Tomorrow afternoon.", json!({ "window_start": "2026-11-22T12:00", "window_end": "2026-11-22" })),
        ("On Monday morning.", json!({ "window_start": "2026-11-23", "window_end": "2026-11-23T12:00" })),
        ("Next week.", json!({ "window_start": "2026-11-23", "window_end": "2026-11-29" })),
        ("On the first of December.", json!({ "window_start": "2026-12-01", "window_end": "2026-12-01" })),
        ("Today.", json!({ "window_start": "2026-11-21T10:05", "window_end": "2026-11-21" })),
        ("In the afternoon.", json!({ "window_start": "2026-11-21T10:05", "window_end": "2026-12-04" })),
        ("As soon as possible.", json!({ "window_start": "2026-11-21T10:05", "window_end": "2026-12-04" })),
    ] {
        let mut call = Call::new();
        call.says(&format!("I would like an appointment. {wish}"));
        call.says("Ada Lovelace.");
        let turn = call.says("555 012 3456");
        assert_eq!(turn.arguments("find_slots"), &expected, "{wish}");
    }
    // What was found is narrowed to the wish.
    let mut call = Call::new();
    call.says("I would like an appointment in the afternoon.");
    call.says("Ada Lovelace.");
    let turn = call.says("555 012 3456");
    assert!(turn.said.contains("at noon, Monday the twenty-third of November at two p.m., or Tuesday"), "{}", turn.said);
}

#[test]
fn choices_by_day_and_time() {
    for (text, start) in [
        ("The first one, please.", "2026-11-23T08:00"),
        ("The third one, please.", "2026-11-23T12:00"),
        ("Monday at noon.", "2026-11-23T12:00"),
        ("Half past eight would be fine.", "2026-11-23T08:30"),
        ("Tuesday at nine, please.", "2026-11-24T09:00"),
        ("Any of them.", "2026-11-23T08:00"),
    ] {
        let turn = Call::offered().says(text);
        assert_eq!(turn.arguments("book_appointment")["start"], start, "{text}");
    }
    let turn = Call::offered().says("Tuesday.");
    assert!(turn.calls.is_empty() && turn.said.starts_with("I have two times for you. Tuesday"), "{}", turn.said);
    let turn = Call::offered().says("Wednesday at ten.");
    assert_eq!(turn.arguments("find_slots"), &json!({ "exact_start": "2026-11-25T10:00" }));
    let mut call = Call::offered();
    let turn = call.says("None of them, please.");
    assert!(turn.calls.is_empty() && turn.said.starts_with("I have three times for you. Monday the twenty-third of November at two"));
    let turn = call.says("No, something else, please.");
    assert_eq!(turn.arguments("find_slots"), &json!({ "window_start": "2026-11-25", "window_end": "2026-12-08" }));
}

#[test]
fn a_correction_is_prepared_anew_and_only_a_yes_confirms() {
    let mut call = Call::read_back();
    let turn = call.says("No, the first one.");
    assert_eq!(turn.tools(), ["book_appointment"]);
    assert_eq!(turn.arguments("book_appointment")["start"], "2026-11-23T08:00");
    let turn = call.says("No, my name is Ada Byron.");
    assert_eq!(turn.arguments("book_appointment")["patient_name"], "Ada Byron");
    let turn = call.says("And the number is five five five, zero one two, three four five seven.");
    assert_eq!(turn.arguments("book_appointment")["phone"], "5550123457");
    let turn = call.says("I have a dog.");
    assert!(turn.calls.is_empty() && turn.said.starts_with("I'm sorry, I did not get that. I have 2026"), "{}", turn.said);
    let turn = call.says("Yes, Monday at eight.");
    assert_eq!(turn.arguments("confirm"), &json!({ "confirmation_id": "c4" }));
    let mut call = Call::read_back();
    let turn = call.says("No.");
    assert!(turn.calls.is_empty() && turn.said.starts_with("All right, I have not booked it. I have three times"), "{}", turn.said);
    assert_eq!(call.says("The third one.").arguments("book_appointment")["start"], "2026-11-23T12:00");
}

#[test]
fn goodbye_at_the_read_back_books_nothing() {
    let turn = Call::read_back().says("No, thank you, goodbye.");
    assert_eq!(turn.tools(), ["end_call"]);
    let turn = Call::read_back().says("Yes, please. Goodbye.");
    assert_eq!(turn.tools(), ["confirm"]);
}

#[test]
fn a_number_in_parts_and_a_number_that_the_tool_refuses() {
    let mut call = Call::new();
    call.says("I need an appointment.");
    call.says("Ada Lovelace.");
    assert_eq!(call.says("Five five five.").said, "Thank you. And the rest of the number?");
    assert_eq!(call.says("Zero one two, three four five six.").tools(), ["find_slots"]);
    let faults = json!({ "faults": [{ "field": "phone", "got": "5550123456", "expected": "a telephone number" }] });
    call.next("book_appointment", error("invalid_arguments", faults));
    let turn = call.says("The first one.");
    assert!(turn.said.ends_with("does not seem to be complete. May I have your telephone number, with the area code?"), "{}", turn.said);
    let turn = call.says("It is one, five five five, zero one two, three four five six.");
    assert_eq!(turn.arguments("book_appointment")["phone"], "15550123456");
    assert_eq!(turn.arguments("book_appointment")["start"], "2026-11-23T08:00", "the choice stands");
}

#[test]
fn a_code_that_was_not_heard_is_told_again() {
    let mut call = Call::read_back();
    call.says("Yes.");
    call.was_cut_after(9);
    let turn = call.says("Sorry?");
    assert_eq!(turn.said, format!("Your confirmation code is {CODE}. Is there anything else I can do for you?"));
    let turn = call.says("Could you repeat the code?");
    assert!(turn.said.contains(CODE), "{}", turn.said);
    let turn = call.says("Thank you.");
    assert_eq!(turn.said, "You are welcome. Is there anything else I can do for you?");
    assert_eq!(call.says("No.").tools(), ["end_call"]);
}

#[test]
fn a_second_booking_in_the_same_call() {
    let mut call = Call::read_back();
    call.says("Yes.");
    let turn = call.says("Yes, I would like to book another appointment, for a vaccination.");
    assert_eq!(turn.tools(), ["note_intent", "find_slots"]);
    assert_eq!(turn.arguments("find_slots")["service"], "vaccination");
    assert_eq!(call.says("The first one.").tools(), ["book_appointment"]);
    assert_eq!(call.says("Yes.").arguments("confirm"), &json!({ "confirmation_id": "c2" }));
}

#[test]
fn wishes_with_a_day_and_time_are_checked_exactly() {
    for (wish, start) in [
        ("I would like an appointment tomorrow at nine, please.", "2026-11-22T09:00"),
        ("Hello, can I come in on Monday at eleven o'clock?", "2026-11-23T11:00"),
        ("I need a check-up on Tuesday at two in the afternoon.", "2026-11-24T14:00"),
        ("Could I see a doctor on Wednesday at ten thirty?", "2026-11-25T10:30"),
        ("Please book me a visit on Thursday at four p.m.", "2026-11-26T16:00"),
        ("Hi, I have to see a doctor on Sunday at half past three.", "2026-11-22T15:30"),
        ("Good morning, I need an appointment on Saturday at noon.", "2026-11-28T12:00"),
    ] {
        let mut call = Call::new();
        assert_eq!(call.says(wish).arguments("note_intent"), &json!({ "intent": "book" }), "{wish}");
        call.says("My name is Emmy Noether.");
        let turn = call.says("My number is five five five, zero one seven, eight nine zero one.");
        assert_eq!(turn.arguments("find_slots")["exact_start"], start, "{wish}");
    }
}
