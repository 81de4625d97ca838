//! Registering, being identified, waiting, questions about the practice, and advice that is not given.

use super::*;

fn with(more: Vec<ToolSchema>) -> Call {
    let mut call = Call::new();
    call.tools.extend(more);
    call
}

fn registering() -> Vec<ToolSchema> {
    vec![
        schema("register_patient", &["patient_name", "date_of_birth"], &["phone", "email", "allergies", "language"]),
        schema("identify_patient", &[], &["patient_name", "phone"]),
    ]
}

fn prepared(id: &str, read_back: &str) -> Value {
    json!({ "status": "awaiting_confirmation", "confirmation_id": id, "read_back": read_back, "next": "…" })
}

#[test]
fn a_patient_is_asked_for_one_thing_after_the_other() {
    let mut call = with(registering());
    assert!(call.says("I am a new patient.").said.ends_with("May I have your full name?"));
    assert!(call.says("Ada Lovelace.").said.ends_with("What is your date of birth?"));
    // Eight digits in a row are a date when a date was asked for.
    assert!(call.says("Zero three zero five nineteen eighty-one.").said.ends_with("with the area code?"));
    assert!(call.says("Five five five, zero one two, three four five six.").said.contains("e-mail"));
    assert!(call.says("None.").said.ends_with("Do you have any allergies?"));
    call.next("register_patient", prepared("c9", "I will register Ada Lovelace. Shall I do that?"));
    let turn = call.says("I am allergic to aspirin.");
    assert_eq!(
        turn.arguments("register_patient"),
        &json!({ "patient_name": "Ada Lovelace", "date_of_birth": "Zero three zero five nineteen eighty-one", "phone": "5550123456",
                 "allergies": "aspirin" })
    );
    call.next("confirm", json!({ "status": "done", "result": { "registered": true, "already_registered": true } }));
    assert!(call.says("Yes.").said.contains("You are registered already."));
}

#[test]
fn a_spanish_caller_is_asked_in_spanish_and_his_words_are_passed_on() {
    let mut call = with(registering());
    assert_eq!(call.says("Quiero registrarme, por favor.").said, "Con gusto. ¿Cuál es su nombre completo?");
    assert!(call.says("Me llamo Ana López.").said.ends_with("¿Cuál es su fecha de nacimiento?"));
    call.says("El tres de mayo del ochenta y uno.");
    call.says("Cinco cinco cinco, cero uno dos, tres cuatro cinco seis.");
    call.says("Ninguno.");
    call.next("register_patient", prepared("c9", "¿Es correcto?"));
    let turn = call.says("Ninguna.");
    let arguments = turn.arguments("register_patient");
    assert_eq!((&arguments["language"], &arguments["allergies"]), (&json!("Spanish"), &json!("none")));
    assert_eq!(arguments["date_of_birth"], "El tres de mayo del ochenta y uno");
    assert!(arguments.get("email").is_none());
}

#[test]
fn without_the_booking_tool_the_caller_is_identified_and_a_stranger_registered() {
    let mut call = with(registering());
    call.tools.retain(|tool| tool.name != "book_appointment");
    call.says("I would like to book an appointment.");
    call.says("My name is Ada Lovelace.");
    call.next("identify_patient", error("unknown_patient", Value::Null));
    let turn = call.says("Five five five, zero one two, three four five six.");
    assert_eq!(turn.arguments("identify_patient"), &json!({ "patient_name": "Ada Lovelace", "phone": "5550123456" }));
    assert!(turn.said.ends_with("so I will register you first. What is your date of birth?"), "{}", turn.said);
}

#[test]
fn the_waiting_list_is_joined_and_left() {
    let list = || {
        vec![
            schema("join_waiting_list", &["patient_name", "when"], &["phone", "practitioner", "service"]),
            schema("leave_waiting_list", &["patient_name"], &["phone"]),
        ]
    };
    let mut call = with(list());
    call.says("Can you put me on the waiting list for Doctor Okafor?");
    call.says("Ada Lovelace.");
    call.says("Five five five, zero one two, three four five six.");
    call.next("join_waiting_list", error("not_bookable", Value::Null));
    assert!(call.says("On Sunday, please.").said.ends_with("nobody works then. Which days or times would suit you?"));
    call.next("join_waiting_list", prepared("c9", "Shall I do that?"));
    let turn = call.says("Next week, please.");
    assert_eq!(
        turn.arguments("join_waiting_list"),
        &json!({ "patient_name": "Ada Lovelace", "phone": "5550123456", "when": "Next week", "practitioner": "Doctor Chidi Okafor" })
    );
    let mut call = with(list());
    call.says("Please take me off the waiting list, my name is Ada Lovelace.");
    call.next("leave_waiting_list", error("not_waiting", Value::Null));
    let turn = call.says("Five five five, zero one two, three four five six.");
    assert!(turn.said.contains("I find nobody under that name and number. May I have"), "{}", turn.said);
}

#[test]
fn the_practice_answers_for_itself_and_advice_is_not_given() {
    let mut call = with(vec![schema("practice_information", &["topic"], &["question"])]);
    call.next("practice_information", json!({ "known": true, "facts": ["Behind the house"] }));
    let turn = call.says("Where can I park?");
    assert_eq!(turn.arguments("practice_information"), &json!({ "topic": "other", "question": "Where can I park?" }));
    assert!(turn.said.starts_with("Behind the house."), "{}", turn.said);
    call.next("practice_information", json!({ "known": false, "facts": [] }));
    assert!(call.says("Do you treat horses?").said.contains("I do not know that. Shall I take a message"));
    let turn = call.says("How many tablets of ibuprofen should I take?");
    assert!(turn.said.contains("no clinician") && turn.said.ends_with("so that somebody calls you back?"), "{}", turn.said);
}

#[test]
fn a_spanish_caller_books_in_spanish_and_his_words_are_passed_on() {
    let mut call = Call::new();
    for tool in call.tools.iter_mut().filter(|tool| tool.name == "find_slots") {
        tool.parameters["properties"]["when"] = json!({ "type": "string" });
    }
    assert_eq!(call.says("Buenos días, quisiera pedir una cita.").said, "Con gusto. ¿Cuál es el nombre completo del paciente?");
    assert!(call.says("Me llamo Ana López.").said.ends_with("¿Cuál es su número de teléfono?"));
    assert!(call.says("Cinco cinco cinco, cero uno dos, tres cuatro cinco seis.").said.ends_with("¿Qué día y a qué hora le conviene?"));
    let turn = call.says("El martes por la mañana.");
    assert_eq!(turn.arguments("find_slots"), &json!({ "when": "El martes por la mañana" }));
    assert!(turn.said.ends_with("¿Cuál prefiere?"), "{}", turn.said);
    // A question of the caller's is no choice.
    call.next("find_slots", json!({ "slots": [] }));
    assert!(call.says("¿Y el miércoles?").said.ends_with("Lo siento, no encuentro nada libre. ¿Qué día y a qué hora le conviene?"));
    call.says("El martes por la mañana.");
    let turn = call.says("La segunda, por favor.");
    let booking = turn.arguments("book_appointment");
    assert_eq!(
        (&booking["patient_name"], &booking["phone"]),
        (&json!("Ana López"), &json!("Cinco cinco cinco, cero uno dos, tres cuatro cinco seis"))
    );
    assert_eq!(call.says("¿Perdón?").tools(), [""; 0], "neither yes nor no");
    assert!(call.says("Sí, es correcto.").said.contains(&format!("Su código de confirmación es {CODE}.")));
    assert!(call.says("No, gracias, adiós.").said.ends_with("Gracias por llamar. Adiós."));
}
