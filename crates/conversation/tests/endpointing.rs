//! When the caller's turn ends: by silence, by the turn model, by the recogniser, by somebody else; and never within a number.

mod support;

use std::time::Duration;

use frontdesk_conversation::{CallTime, Command, EndpointingMode, FieldKind, Input, Message, Phrases, Transcript};
use support::script::{bits, final_words, say};
use support::{World, checks};

fn asked(command: &Command) -> bool {
    matches!(command, Command::AskModel { .. })
}

/// How long after the caller's last sound the model is asked.
fn delay(world: &mut World, words: &str) -> Duration {
    let end = world.speak(world.now, 900, words);
    world.run_until("question", asked);
    world.now.since(end)
}

fn world(mode: EndpointingMode) -> World {
    let mut world = World::silent_start(vec![]);
    world.restart_with(|config| config.endpointing.mode = mode);
    world.finalize_ms = Some(20);
    world
}

#[test]
fn the_turn_model_ends_a_turn_at_once_or_lets_the_caller_think() {
    for (probability, expected_ms) in [(0.9, 500), (0.5, 500), (0.25, 1500), (0.0, 2500)] {
        let mut world = world(EndpointingMode::Model);
        world.turn_model = Some((45, probability));
        assert_eq!(delay(&mut world, "tomorrow"), Duration::from_millis(expected_ms), "{probability}");
    }
}

#[test]
fn a_phrase_that_hangs_is_waited_for_whatever_the_voice_says() {
    let mut world = world(EndpointingMode::Model);
    world.turn_model = Some((45, 0.9));
    world.speak(world.now, 900, "I would like to book");
    world.speak(world.now + Duration::from_millis(900 + 1200), 900, "an appointment");
    world.run_until("question", asked);
    assert_eq!(world.last_question().last(), Some(&Message::User { text: "I would like to book an appointment".into() }));
    world.run_until_listening();
    assert_eq!(delay(&mut world, "I would like to"), Duration::from_millis(1500), "he said no more");
}

#[test]
fn without_the_turn_model_silence_decides() {
    let mut model = world(EndpointingMode::Model);
    model.turn_model = None;
    let mut vad = world(EndpointingMode::Vad);
    assert_eq!(delay(&mut model, "hello"), Duration::from_millis(550));
    assert_eq!(delay(&mut vad, "hello"), Duration::from_millis(550));
    assert_eq!(vad.count(|command| matches!(command, Command::AskTurnModel { .. })), 0);
}

#[test]
fn a_late_or_strange_judgement_changes_nothing() {
    let mut world = world(EndpointingMode::Model);
    world.turn_model = None;
    let end = world.speak(world.now, 900, "hello");
    world.run_until_time(end + Duration::from_millis(300));
    for probability in [f32::NAN, -1.0, 7.0] {
        world.feed(Input::TurnProbability { last_speech: end, probability });
    }
    world.feed(Input::TurnProbability { last_speech: CallTime::ZERO, probability: 1.0 });
    world.run_until("question", asked);
    assert_eq!(world.now.since(end), Duration::from_millis(550));
}

#[test]
fn the_recogniser_ends_the_turn_in_its_mode() {
    let mut world = world(EndpointingMode::Stt);
    let end = world.speak(world.now, 900, "hello");
    world.run_until_time(end + Duration::from_millis(1000));
    assert_eq!(world.count(asked), 0, "it may go on");
    let Input::Transcript(words) = final_words("there", end) else { panic!("words") };
    world.feed(Input::Transcript(Transcript { ends_turn: true, ..words }));
    assert_eq!(world.count(asked), 1);
    assert_eq!(world.last_question().last(), Some(&Message::User { text: "hello there".into() }));
}

#[test]
fn nobody_but_who_decides_ends_a_turn_by_hand() {
    let mut world = world(EndpointingMode::Manual);
    world.speak(world.now, 900, "hello");
    world.run_ms(8000);
    assert_eq!(world.count(asked), 0);
    world.feed(Input::EndTurn);
    assert_eq!(world.count(asked), 1);
    assert_eq!(world.last_question().last(), Some(&Message::User { text: "hello".into() }));
}

#[test]
fn a_number_said_in_groups_is_one_turn() {
    let mut world = World::silent_start(vec![bits([say("May I have your telephone number?")]), bits([say("Thank you.")])]);
    world.finalize_ms = Some(20);
    world.says("book me in");
    world.run_until_listening();
    for group in ["five five five", "zero one three"] {
        let end = world.speak(world.now, 900, group);
        world.run_until_time(end + Duration::from_millis(1500));
        assert_eq!(world.count(asked), 1, "{group} is not all of it");
    }
    let end = world.speak(world.now, 900, "four five six seven");
    world.run_until("question", asked);
    assert_eq!(world.now.since(end), Duration::from_millis(500), "whole, so nothing is waited for");
    let number = "five five five zero one three four five six seven";
    assert_eq!(world.last_question().last(), Some(&Message::User { text: number.into() }));
    checks::check(&world);
}

#[test]
fn a_caller_who_plainly_stopped_within_a_number_is_answered_and_one_who_has_none_at_once() {
    let mut world = world(EndpointingMode::Model);
    world.feed(Input::Expect { field: Some(FieldKind::Phone) });
    assert_eq!(delay(&mut world, "five five five"), Duration::from_secs(2));
    world.run_until_listening();
    assert_eq!(delay(&mut world, "I don't have a telephone"), Duration::from_millis(500));
}

#[test]
fn whoever_was_cut_off_is_given_more_time_afterwards() {
    let mut world = world(EndpointingMode::Vad);
    world.model_latency_ms = 900;
    let first = world.speak(world.now, 900, "I need an appointment");
    world.run_until("question", asked);
    assert_eq!(world.now.since(first), Duration::from_millis(550));
    // He goes on before the answer has begun: the turn is taken back.
    let again = first + Duration::from_millis(640);
    world.speak(again, 900, "with Doctor Lee");
    world.run_until("the whole question", asked);
    assert_eq!(world.last_question().last(), Some(&Message::User { text: "I need an appointment with Doctor Lee".into() }));
    world.run_until_listening();
    assert_eq!(delay(&mut world, "on Tuesday"), Duration::from_millis(680), "640 ms and a quarter, a little faded");
}

#[test]
fn keys_end_with_the_number_and_choose_from_the_menu() {
    let mut world = world(EndpointingMode::Model);
    world.restart_with(|config| {
        config.menu.insert('1', "I want to book".into());
    });
    world.feed(Input::Dtmf { digit: '1' });
    assert_eq!(world.last_question().last(), Some(&Message::User { text: "I want to book".into() }));
    world.run_until_listening();
    world.feed(Input::Expect { field: Some(FieldKind::Phone) });
    "1550134567".chars().for_each(|digit| world.feed(Input::Dtmf { digit }));
    assert_eq!(world.last_question().last(), Some(&Message::User { text: "(keypad) 1550134567".into() }));
}

#[test]
fn the_call_follows_the_caller_into_his_language() {
    let mut world = world(EndpointingMode::Model);
    world.restart_with(|config| {
        config.languages.insert("es".into(), Phrases::spanish());
    });
    let spanish = |text: &str| {
        Input::Transcript(Transcript { text: text.into(), is_final: true, language: Some("es-419".into()), ..Transcript::default() })
    };
    world.feed(spanish("sí"));
    assert_eq!(world.count(|command| matches!(command, Command::SetLanguage { .. })), 0, "one word is not enough");
    world.feed(spanish("quiero una cita para el martes"));
    assert_eq!(world.count(|command| *command == Command::SetLanguage { language: "es".into() }), 1);
    world.run_until("question", asked);
    let noted = world.last_question().iter().any(|message| matches!(message, Message::System { text } if text.contains("\"es\"")));
    assert!(noted, "the model is told");
    world.run_ms(60_000);
    let away = Phrases::spanish().away;
    assert_eq!(world.count(|command| matches!(command, Command::Synthesise { text, .. } if *text == away)), 1);
}
