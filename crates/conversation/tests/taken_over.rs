//! What the caller hears when another worker goes on with his call.

mod support;

use frontdesk_conversation::{Command, Config, FieldKind, Input, Phrases, Speaker};
use support::script::{bits, config, say};
use support::{World, checks};

/// A world that has asked for something and listens.
fn asked(config: Config, question: &str) -> World {
    let mut world = World::silent_start(vec![bits([say(question)])]);
    world.restart_with(|present| *present = Config { greeting: String::new(), ..config });
    world.says("I want to book");
    world.run_until_listening();
    world
}

fn resumed(config: Config, question: &str) -> String {
    let mut world = asked(config, question);
    world.resume();
    world.run_until_listening();
    checks::check(&world);
    world.said().last().expect("it speaks").to_string()
}

#[test]
fn the_call_goes_on_in_its_language() {
    let mut config = config();
    config.languages.insert("es".into(), Phrases::spanish());
    let in_spanish = |command: &Command| *command == Command::SetLanguage { language: "es".into() };
    let mut world = asked(config, "Which one would you like?");
    world.resume();
    assert_eq!(world.count(in_spanish), 0);
    world.run_until_listening();
    world.feed(Input::SetLanguage { language: "es".into() });
    world.resume();
    assert_eq!(world.count(in_spanish), 2, "the next worker's voice has to change as well");
    world.run_until_listening();
    assert!(world.said().last().expect("it speaks").starts_with(&Phrases::spanish().lost));
}

#[test]
fn the_caller_is_told_what_he_was_saying() {
    let english = Phrases::default();
    for (question, field) in [
        ("May I have your phone number?", FieldKind::Phone),
        ("What is your date of birth?", FieldKind::DateOfBirth),
        ("What is your member ID?", FieldKind::MemberId),
        ("Could you spell it for me?", FieldKind::SpelledName),
    ] {
        assert_eq!(resumed(config(), question), format!("{} {}", english.lost, english.lost_field[&field]));
    }
    assert_eq!(resumed(config(), "Which one would you like?"), format!("{} {}", english.lost, english.lost_floor));
}

#[test]
fn he_is_told_in_his_language() {
    let spanish = Phrases::spanish();
    let config = Config { language: "es".into(), phrases: spanish.clone(), ..config() };
    let said = resumed(config, "¿Me da su número de teléfono?");
    assert_eq!(said, format!("{} {}", spanish.lost, spanish.lost_field[&FieldKind::Phone]));
    assert!(said.contains("perdido") && said.contains("teléfono"));
}

/// The sentences ask for the field once more, so that the machine waits for the whole value again.
#[test]
fn the_value_that_is_given_again_is_awaited_to_its_end() {
    for (phrases, rules) in [(Phrases::default(), config().endpointing.fields), (Phrases::spanish(), config().endpointing.fields)] {
        for (field, sentence) in &phrases.lost_field {
            let sentence = sentence.to_lowercase();
            let rule = rules.iter().find(|rule| rule.field == *field).expect("a rule for each field");
            assert!(rule.phrases.iter().any(|phrase| sentence.contains(phrase)), "{field:?}: {sentence}");
        }
    }
}

#[test]
fn words_that_were_on_their_way_are_said_again_after_the_apology() {
    let mut world = World::silent_start(vec![bits([say("There is a time at noon.")])]);
    world.says("what is free");
    world.run_until("speech", |command| matches!(command, Command::Synthesise { .. }));
    world.run_ms(300);
    world.resume();
    world.run_until_listening();
    let said = world.said();
    assert_eq!(said[said.len() - 2..], [Phrases::default().lost.as_str(), "There is a time at noon."]);
    checks::check(&world);
}

#[test]
fn without_words_for_it_the_call_goes_on_as_if_nothing_had_been() {
    let mut config = config();
    config.phrases.lost = String::new();
    let mut world = asked(config, "Which one would you like?");
    let before = world.said().len();
    world.resume();
    world.run_ms(1000);
    assert_eq!(world.said().len(), before);
    world.feed(Input::CallerLeft);
    let lines = world.summary().transcript;
    assert!(lines.iter().any(|line| line.speaker == Speaker::Caller && line.text == "I want to book"), "{lines:?}");
}
