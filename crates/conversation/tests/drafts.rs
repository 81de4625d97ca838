//! Pre-emptive generation: the model is asked before the caller's words are final, and its answer counts only if they agree.

mod support;

use std::time::Duration;

use frontdesk_conversation::{CallTime, Command, Config, Conversation, Input, Message, Transcript};
use serde_json::json;
use support::script::{Answer, bits, call, config, final_words, interim, say};
use support::{World, checks, ms};

const LAST_SOUND: CallTime = ms(800);
/// The detector reports the end of speech.
const DETECTED: CallTime = ms(1050);
/// The final words come.
const FINAL: CallTime = ms(1200);
/// The least delay has passed: the turn is committed.
const COMMITTED: CallTime = ms(1300);

/// A call in which the caller says something that ends at [`LAST_SOUND`].
fn asking(words: &str, answers: Vec<Answer>) -> World {
    let mut world = World::silent_start(answers);
    world.config = Config { greeting: String::new(), preemptive_generation: true, ..config() };
    world.talk = Conversation::new(world.config.clone());
    world.feed(Input::Answered);
    assert_eq!(world.speak(ms(0), 800, words), LAST_SOUND);
    world
}

fn asked(command: &Command) -> bool {
    matches!(command, Command::AskModel { .. })
}

fn cancelled(command: &Command) -> bool {
    matches!(command, Command::CancelModel { .. })
}

fn committed(command: &Command) -> bool {
    matches!(command, Command::Audit { action, .. } if action == "turn.committed")
}

fn last_words(world: &World) -> Option<Message> {
    world.last_question().last().cloned()
}

fn user(text: &str) -> Option<Message> {
    Some(Message::User { text: text.into() })
}

#[test]
fn the_model_is_asked_as_soon_as_the_caller_is_silent() {
    let mut world = asking("what is free", vec![bits([say("Tuesday is free. Shall I take it?")])]);
    world.model_latency_ms = 300;
    world.run_until("question", asked);
    assert_eq!((world.now, last_words(&world)), (DETECTED, user("what is free")));
    world.run_until("turn", committed);
    assert_eq!(world.now, COMMITTED);
    world.run_until("speech", |command| matches!(command, Command::Synthesise { .. }));
    assert_eq!(world.now, DETECTED + Duration::from_millis(300), "the model's latency from the question on");
    world.run_until_listening();
    assert_eq!((world.count(asked), world.count(cancelled)), (1, 0));
    world.feed(Input::CallerLeft);
    assert_eq!(world.summary().transcript.len(), 2);
    checks::check(&world);
}

#[test]
fn nothing_is_said_or_done_before_the_words_are_final() {
    let mut world = asking("what is free", vec![bits([say("Let me see."), call("find_slots", json!({}))])]);
    world.model_latency_ms = 20;
    let acts = |command: &Command| matches!(command, Command::Synthesise { .. } | Command::RunTool { .. });
    world.run_until_time(COMMITTED - Duration::from_millis(1));
    assert_eq!((world.count(asked), world.count(acts)), (1, 0));
    world.run_until("turn", committed);
    assert_eq!((world.now, world.count(acts)), (COMMITTED, 2), "at once");
    world.run_until_listening();
    checks::check(&world);
}

#[test]
fn final_words_that_disagree_make_it_void() {
    let mut world = asking("what is free on Tuesday", vec![bits([say("Everything is free.")]), bits([say("Nine is free.")])]);
    world.model_latency_ms = 20;
    world.at(ms(900), interim("what is free"));
    world.run_until("question", asked);
    assert_eq!((world.now, last_words(&world)), (DETECTED, user("what is free")));
    world.run_until("second question", asked);
    assert_eq!((world.now, last_words(&world)), (FINAL, user("what is free on Tuesday")));
    assert_eq!(world.count(cancelled), 1);
    world.run_until_listening();
    assert_eq!(world.said(), ["Nine is free."]);
    checks::check(&world);
}

#[test]
fn case_and_punctuation_are_no_disagreement() {
    let mut world = asking("What is free?", vec![]);
    world.at(ms(900), interim("what is free"));
    world.run_until_listening();
    assert_eq!((world.count(asked), world.count(cancelled)), (1, 0));
    world.feed(Input::CallerLeft);
    assert_eq!(world.summary().transcript[0].text, "What is free?");
}

#[test]
fn a_caller_who_goes_on_makes_it_void() {
    let mut world = asking("what is free", vec![]);
    world.run_until("question", asked);
    world.run_ms(50);
    world.feed(Input::SpeechStarted { at: world.now });
    assert_eq!(world.count(cancelled), 1);
    assert_eq!(world.count(committed), 0);
    checks::check(&world);
}

#[test]
fn a_failure_is_dealt_with_by_the_reply() {
    let mut world = asking("what is free", vec![Answer::Fail(vec![], false), bits([say("Nine is free.")])]);
    world.model_latency_ms = 20;
    world.run_until_listening();
    assert_eq!(world.said(), ["Nine is free."]);
    assert_eq!(world.count(asked), 2);
    checks::check(&world);
}

#[test]
fn words_that_keep_changing_lead_to_three_drafts_at_most() {
    let mut world = asking("one two three", vec![]);
    world.finalize_ms = None;
    for (number, words) in ["one", "one too", "one two", "one two free", "one two three"].into_iter().enumerate() {
        world.at(DETECTED + Duration::from_millis(10 * number as u64), interim(words));
    }
    world.run_until("turn", committed);
    assert_eq!((world.count(asked), world.count(cancelled)), (4, 3), "the last one is the reply's own");
    world.run_until_listening();
    assert_eq!((world.count(asked), last_words(&world)), (4, user("one two three")));
    checks::check(&world);
}

#[test]
fn another_worker_asks_anew() {
    let mut world = asking("what is free", vec![]);
    world.at(ms(900), final_words("what is free", ms(0)));
    world.run_until("question", asked);
    world.run_ms(20);
    world.resume();
    world.run_until_listening();
    assert_eq!(world.count(asked), 2);
    checks::check(&world);
}

fn ahead(command: &Command) -> bool {
    matches!(command, Command::SynthesiseAhead { .. })
}

fn ahead_dropped(command: &Command) -> bool {
    *command == Command::DropAhead
}

#[test]
fn the_first_words_are_synthesised_before_the_words_are_final() {
    let mut world = asking("what is free", vec![bits([say("Tuesday is free. Shall I take it?")])]);
    world.model_latency_ms = 20;
    let order = world.run_until("order ahead", ahead);
    assert_eq!(order, Command::SynthesiseAhead { text: "Tuesday is free.".into() });
    assert!(world.now < COMMITTED);
    let said = world.run_until("speech", |command| matches!(command, Command::Synthesise { .. }));
    assert!(matches!(said, Command::Synthesise { text, .. } if text == "Tuesday is free."), "the same text, which takes it over");
    assert_eq!(world.now, COMMITTED);
    world.run_until_listening();
    assert_eq!((world.count(ahead), world.count(ahead_dropped)), (1, 0));
    checks::check(&world);
}

fn over(text: &str, ends_turn: bool) -> Input {
    Input::Transcript(Transcript { text: text.into(), is_final: true, ends_turn, ..Transcript::default() })
}

#[test]
fn words_that_the_recogniser_takes_for_all_of_it_are_answered_before_the_detector_is_sure() {
    let mut world = asking("", vec![bits([say("Tuesday is free. Shall I take it?")])]);
    world.at(ms(960), over("what is free", true));
    world.run_until("question", asked);
    assert_eq!((world.now, last_words(&world)), (ms(960), user("what is free")));
    world.run_until("turn", committed);
    assert!(world.now >= COMMITTED);
    world.run_until_listening();
    assert_eq!((world.count(asked), world.count(cancelled)), (1, 0));
    checks::check(&world);
}

#[test]
fn nothing_is_asked_early_on_words_that_go_on_or_hang() {
    for (text, ends_turn) in [("what is free", false), ("what is free for", true)] {
        let mut world = asking("", vec![]);
        world.at(ms(960), over(text, ends_turn));
        world.run_until_time(DETECTED - Duration::from_millis(1));
        assert_eq!(world.count(asked), 0, "{text}");
    }
}

#[test]
fn pauses_that_the_detector_does_not_hear_lead_to_two_drafts_and_leave_one_for_the_end() {
    let mut world = World::silent_start(vec![]);
    world.config = Config { greeting: String::new(), preemptive_generation: true, ..config() };
    world.talk = Conversation::new(world.config.clone());
    world.feed(Input::Answered);
    world.speak(ms(0), 4000, "");
    for (at, text) in [(800, "one moment please"), (1600, "here I am"), (2400, "my knee hurts"), (3200, "it is swollen")] {
        world.at(ms(at), over(text, true));
        world.at(ms(at + 300), interim("and"));
    }
    world.run_until_time(ms(3999));
    assert_eq!((world.count(asked), world.count(cancelled)), (2, 2));
    world.at(ms(4200), over("since Monday", true));
    world.run_until_listening();
    assert_eq!(world.count(asked), 3);
    checks::check(&world);
}

#[test]
fn after_pauses_within_a_sentence_there_is_still_a_draft_of_its_end() {
    let mut world = asking("I would like to", vec![]);
    for part in ["book an appointment with", "Doctor Lee or with", "Doctor Okafor because", "my knee hurts"] {
        world.speak(world.now + Duration::from_millis(800 + 900), 800, part);
        let drafts = world.count(asked);
        world.run_until("draft", asked);
        assert_eq!(world.count(asked), drafts + 1, "{part}");
        world.run_until_time(world.now + Duration::from_millis(200));
    }
    assert_eq!(world.count(committed), 0);
    world.run_until("turn", committed);
    let asked_before = world.count(asked);
    world.run_until_listening();
    assert_eq!(world.count(asked), asked_before, "the last draft is the answer");
    checks::check(&world);
}

#[test]
fn what_was_synthesised_for_other_words_is_dropped() {
    let mut world = asking("what is free on Tuesday", vec![bits([say("Everything is free.")]), bits([say("Nine is free.")])]);
    world.model_latency_ms = 20;
    world.at(ms(900), interim("what is free"));
    world.run_until_listening();
    assert_eq!(world.said(), ["Nine is free."]);
    assert_eq!(world.count(ahead_dropped), 1);
    checks::check(&world);
}

#[test]
fn nothing_is_synthesised_ahead_unless_the_settings_say_so() {
    let mut world = asking("what is free", vec![bits([say("Tuesday is free.")])]);
    world.config.preemptive_tts = false;
    world.talk = Conversation::new(world.config.clone());
    world.feed(Input::Answered);
    world.speak(world.now, 800, "what is free");
    world.model_latency_ms = 20;
    world.run_until_listening();
    assert_eq!((world.said().len(), world.count(ahead)), (1, 0));
}
