//! Silence, failing providers, keys, and the end of a call.

mod support;

use std::time::Duration;

use frontdesk_conversation::{Command, Config, Conversation, EndReason, Failure, Input, Message};
use serde_json::json;
use support::script::{Answer, bits, call, say};
use support::{World, checks, ms};

fn asked(command: &Command) -> bool {
    matches!(command, Command::AskModel { .. })
}

fn finished(command: &Command) -> bool {
    matches!(command, Command::Finish(_))
}

fn failure(retryable: bool) -> Failure {
    Failure { retryable, kind: "broken".into() }
}

#[test]
fn a_silent_caller_is_asked_once_and_then_left() {
    let mut world = World::scripted(vec![]);
    world.run_until_listening();
    let since = world.now;
    world.run_until("question", |command| matches!(command, Command::Synthesise { text, .. } if text == "Are you still there?"));
    assert_eq!(world.now.since(since), Duration::from_secs(15));
    world.run_until("hang-up", |command| *command == Command::HangUp);
    let summary = world.summary();
    assert_eq!(summary.end, EndReason::CallerAway);
    assert!(summary.transcript.last().unwrap().text.ends_with("Goodbye."));
    checks::check(&world);
}

#[test]
fn a_caller_who_answers_is_not_away_and_may_stop_the_goodbye() {
    let mut world = World::scripted(vec![bits([say("Fine.")]), bits([say("Gladly.")])]);
    world.run_until("question", |command| matches!(command, Command::Synthesise { text, .. } if text == "Are you still there?"));
    world.run_ms(2000);
    world.says("yes I am here");
    world.run_until_listening();
    world.run_until("goodbye", |command| matches!(command, Command::Synthesise { text, .. } if text.ends_with("Goodbye.")));
    world.run_ms(1000);
    world.says("wait I am still here");
    world.run_until("question", asked);
    assert_eq!(world.count(|command| *command == Command::HangUp), 0);
    checks::check(&world);
}

#[test]
fn a_slow_model_is_bridged_and_given_up() {
    let mut world = World::silent_start(vec![Answer::Silent, bits([say("Here I am.")])]);
    world.says("hello there");
    world.run_until("question", asked);
    let since = world.now;
    world.run_until("filler", |command| matches!(command, Command::Synthesise { text, .. } if text == "One moment, please."));
    assert_eq!(world.now.since(since), Duration::from_millis(1500));
    world.run_until("cancel", |command| matches!(command, Command::CancelModel { .. }));
    assert_eq!(world.now.since(since), Duration::from_secs(8));
    world.run_until_listening();
    assert!(world.said().last().unwrap().starts_with("I'm sorry"));
    world.says("hello again then");
    world.run_until_listening();
    assert_eq!(world.said().last().unwrap(), "Here I am.");
    checks::check(&world);
}

#[test]
fn a_model_failure_is_tried_again_once_and_two_failed_replies_end_the_call() {
    let mut world = World::silent_start(vec![Answer::Fail(vec![], true), bits([say("Here I am.")])]);
    world.says("hello there");
    world.run_until_listening();
    assert_eq!(world.said(), ["Here I am."]);
    let mut world = World::silent_start(vec![
        Answer::Fail(vec![], true),
        Answer::Fail(vec![], true),
        Answer::Fail(vec![say("I think that. The"), call("book", json!({}))], true),
    ]);
    world.says("hello there");
    world.run_until_listening();
    world.says("and now what");
    world.run_until("hang-up", |command| *command == Command::HangUp);
    let phrases = Config::default().phrases;
    assert_eq!(world.said(), [phrases.fallback.as_str(), "I think that.", phrases.apology.as_str()]);
    assert_eq!(world.summary().end, EndReason::Failed);
    assert!(world.summary().tools.is_empty(), "calls of a broken answer are not made");
    checks::check(&world);
}

#[test]
fn a_failed_utterance_is_tried_again_and_a_dead_synthesiser_ends_the_call() {
    let mut world = World::silent_start(vec![bits([say("First sentence here. Second one.")])]);
    world.says("hello there");
    world.run_until("order", |command| matches!(command, Command::Synthesise { text, .. } if text == "Second one."));
    for number in [1, 2] {
        world.feed(Input::SynthesisFailed { utterance: frontdesk_conversation::UtteranceId(number), failure: failure(true) });
    }
    assert_eq!(world.said(), ["First sentence here.", "Second one.", "First sentence here.", "Second one."]);

    let mut world = World::silent_start(vec![]);
    world.faults.failing = 1;
    world.feed(Input::Text { text: "hello".into() });
    world.run_until("hang-up", |command| *command == Command::HangUp);
    assert_eq!(world.summary().end, EndReason::Failed);
    assert!(world.now < ms(5000));
    checks::check(&world);
}

#[test]
fn a_silent_synthesiser_ends_the_call_too() {
    let mut world = World::silent_start(vec![]);
    world.says("hello there");
    world.run_until("question", asked);
    world.faults.lost = 1;
    world.run_until_time(ms(60_000));
    assert_eq!(world.summary().end, EndReason::Failed);
    checks::check(&world);
}

#[test]
fn a_deaf_agent_apologises_and_ends_the_call() {
    let mut world = World::scripted(vec![]);
    world.run_until_listening();
    world.feed(Input::TranscriptionFailed(failure(true)));
    assert_eq!(world.said().len(), 1, "a failure that may pass");
    world.feed(Input::TranscriptionFailed(failure(false)));
    world.run_ms(500);
    // Nothing could answer him: the apology is not interrupted.
    world.speak(world.now, 1500, "hello hello hello");
    world.run_until("hang-up", |command| *command == Command::HangUp);
    assert_eq!(world.player.heard.last().unwrap(), &Config::default().phrases.apology);
    assert_eq!(world.summary().end, EndReason::Failed);
    checks::check(&world);
}

#[test]
fn keys_become_a_turn_with_the_hash_or_after_a_pause() {
    let mut world = World::silent_start(vec![]);
    for digit in ['1', '2', '#'] {
        world.feed(Input::Dtmf { digit });
    }
    assert_eq!(world.last_question().last(), Some(&Message::User { text: "(keypad) 12".into() }));
    world.run_until_listening();
    world.feed(Input::Dtmf { digit: '7' });
    let pressed = world.now;
    world.run_until("question", asked);
    assert_eq!(world.now.since(pressed), Duration::from_secs(2));
    assert_eq!(world.last_question().last(), Some(&Message::User { text: "(keypad) 7".into() }));
    checks::check(&world);
}

#[test]
fn the_end_is_orderly_in_every_state() {
    for end in [Input::CallerLeft, Input::Stop] {
        for after_ms in [0, 100, 1000, 3000, 4200, 4500, 6000] {
            let mut world = World::scripted(vec![bits([say("Let me see."), call("find_slots", json!({}))])]);
            world.speak(ms(3200), 700, "what is free on Tuesday");
            world.run_until_time(ms(after_ms));
            world.feed(end.clone());
            world.feed(Input::CallerLeft);
            world.run_ms(20_000);
            let hung_up = world.count(|command| *command == Command::HangUp);
            assert_eq!(hung_up, usize::from(end == Input::Stop));
            assert_eq!(world.count(finished), 1);
            checks::check(&world);
        }
    }
    let mut unanswered = Conversation::new(Config::default());
    unanswered.handle(ms(0), Input::CallerLeft);
    let commands: Vec<Command> = std::iter::from_fn(|| unanswered.poll()).collect();
    assert!(matches!(commands.last(), Some(Command::Finish(_))));
    assert!(unanswered.is_finished());
}

#[test]
fn playback_that_is_held_stays_so_when_the_call_ends() {
    let answer = [say("We are open on weekdays from eight until five."), call("find_slots", json!({}))];
    let mut world = World::silent_start(vec![bits(answer)]);
    world.tools.insert("find_slots".into(), (4000, Ok(json!([]))));
    world.says("when are you open");
    world.run_until("speech", |command| matches!(command, Command::SetState(frontdesk_conversation::AgentState::Speaking)));
    world.speak(world.now, 2000, "");
    world.run_until("pause", |command| *command == Command::Pause);
    // What plays is reported as finished although it is held: its last samples had left before.
    let utterance = world.commands().filter_map(|(_, command)| match command {
        Command::Synthesise { utterance, .. } => Some(*utterance),
        _ => None,
    });
    let last = utterance.last().expect("something was said");
    world.feed(Input::PlaybackFinished { utterance: last });
    world.feed(Input::Stop);
    checks::check(&world);
}

#[test]
fn another_worker_says_again_what_was_not_heard_and_asks_again_what_was_not_answered() {
    let mut world = World::scripted(vec![]);
    world.run_ms(1000);
    world.resume();
    assert_eq!(world.said(), ["Hello, this is the practice. How can I help?"; 2]);
    world.run_until_listening();
    world.says("what is free");
    world.run_until("question", asked);
    world.resume();
    assert_eq!(world.count(asked), 2);
    assert_eq!(world.last_question().last(), Some(&Message::User { text: "what is free".into() }));
    world.run_until_listening();
    assert_eq!(world.said().last().unwrap(), "Okay then.");
    world.feed(Input::CallerLeft);
    world.resume();
    assert_eq!(world.count(finished), 2, "the summary again: keeping it is idempotent");
    checks::check(&world);
}

#[test]
fn a_recogniser_that_answers_nothing_is_not_mistaken_for_a_silent_caller() {
    let mut world = World::silent_start(vec![]);
    world.finalize_ms = None;
    let unheard = world.config.phrases.unheard.clone();
    for _ in 0..2 {
        // In two short stretches, as numbers are told.
        let end = world.speak(world.now, 600, "");
        world.speak(end + Duration::from_millis(500), 600, "");
        let said = world.run_until("a request", |command| matches!(command, Command::Synthesise { .. }));
        assert!(matches!(said, Command::Synthesise { text, .. } if text == unheard));
        world.run_until_listening();
    }
    world.speak(world.now, 1500, "");
    world.run_until("the end", |command| matches!(command, Command::HangUp));
    checks::check(&world);
}
