//! Emergencies are answered by the tenant's text, at once and whole.

mod support;

use frontdesk_conversation::{Command, Config, Conversation, Message, Phrases};
use support::script::{bits, config, say};
use support::{World, checks};

const TEXT: &str = "This may be an emergency. Please hang up and dial nine one one.";

fn asked(command: &Command) -> bool {
    matches!(command, Command::AskModel { .. })
}

fn world(answers: Vec<support::script::Answer>) -> World {
    let mut world = World::silent_start(answers);
    world.config = Config {
        greeting: String::new(),
        emergency_phrases: vec!["chest pain".into(), "can't breathe".into()],
        phrases: Phrases { emergency: TEXT.into(), ..Phrases::default() },
        preemptive_generation: true,
        ..config()
    };
    world.talk = Conversation::new(world.config.clone());
    world.feed(frontdesk_conversation::Input::Answered);
    world
}

#[test]
fn it_is_answered_by_the_tenants_text_and_the_model_is_not_asked() {
    let mut world = world(vec![bits([say("Shall I send somebody?")])]);
    world.says("My husband has a strong chest pain, please help");
    world.run_until_listening();
    assert_eq!((world.said(), world.count(asked)), (vec![TEXT.to_owned()], 0));
    world.says("he still has chest pain what should I do");
    world.run_until_listening();
    assert_eq!(world.said().last().unwrap(), "Shall I send somebody?");
    let Some(Message::Assistant { text, .. }) = world.last_question().iter().rev().nth(1).cloned() else {
        panic!("the text is in the history")
    };
    assert_eq!(text, TEXT, "the model knows what the caller was told");
    world.says("and now I can't breathe");
    world.run_until_listening();
    assert_eq!(world.player.heard.last().unwrap(), TEXT, "another emergency");
    checks::check(&world);
}

#[test]
fn nothing_cuts_it_off() {
    let mut world = world(vec![]);
    world.says("I have chest pain");
    world.run_until("speech", |command| matches!(command, Command::Synthesise { .. }));
    world.run_ms(800);
    world.speak(world.now, 1500, "wait wait listen to me");
    world.run_until_listening();
    assert_eq!(world.player.heard.first().unwrap(), TEXT);
    checks::check(&world);
}

#[test]
fn parts_of_words_and_tenants_without_a_text_go_to_the_model() {
    let mut with_text = world(vec![bits([say("Very well.")])]);
    with_text.says("a chest painting fell on me");
    with_text.run_until_listening();
    assert_eq!(with_text.said(), ["Very well."]);
    let mut without = world(vec![bits([say("Please dial nine one one.")])]);
    without.config.phrases.emergency = String::new();
    without.talk = Conversation::new(without.config.clone());
    without.feed(frontdesk_conversation::Input::Answered);
    without.says("I have chest pain");
    without.run_until_listening();
    assert_eq!(without.said(), ["Please dial nine one one."]);
}
