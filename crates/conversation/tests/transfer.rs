//! Handing the caller to a person: by the model's tool, or because the agent cannot go on.

mod support;

use std::time::Duration;

use frontdesk_conversation::{Command, Config, EndReason, Failure, Input, Message, ToolStatus, TransferOutcome};
use serde_json::{Value, json};
use support::script::{Answer, bits, call, say};
use support::{World, checks};

const TARGET: &str = "front office";

fn is_transfer(command: &Command) -> bool {
    matches!(command, Command::Transfer { target } if target == TARGET)
}

fn asked(command: &Command) -> bool {
    matches!(command, Command::AskModel { .. })
}

fn transfer_call() -> Answer {
    bits([say("I will put you through."), call("transfer_call", json!({"target": TARGET}))])
}

/// The caller asked for a person, and is being put through.
fn transferring(outcome: TransferOutcome, answers: Vec<Answer>) -> World {
    let mut world = World::silent_start([vec![transfer_call()], answers].concat());
    world.transfer.1 = outcome;
    world.says("let me talk to a person");
    world.run_until("transfer", is_transfer);
    world
}

/// The last output of a tool that the model saw.
fn output(world: &World) -> Value {
    let question = world.last_question();
    let last = question.iter().rev().find_map(|message| match message {
        Message::Tool { content, .. } => serde_json::from_str(content).ok(),
        _ => None,
    });
    last.expect("a tool was called")
}

#[test]
fn the_caller_is_put_through_once_everything_was_said() {
    let mut world = transferring(TransferOutcome::Accepted, vec![]);
    assert_eq!(world.player.heard, ["I will put you through."], "the last word was heard before");
    world.run_until("hang-up", |command| *command == Command::HangUp);
    let summary = world.summary();
    assert_eq!(summary.end, EndReason::Transferred);
    assert_eq!(summary.transfers[0].outcome, Some(TransferOutcome::Accepted));
    assert_eq!(summary.tools[0].status, ToolStatus::Done);
    assert_eq!(world.count(asked), 1);
    checks::check(&world);
}

#[test]
fn a_transfer_without_a_word_is_announced() {
    let mut world = World::silent_start(vec![bits([call("transfer_call", json!({"target": TARGET}))])]);
    world.says("let me talk to a person");
    world.run_until("transfer", is_transfer);
    assert_eq!(world.player.heard, [Config::default().phrases.put_through]);
}

#[test]
fn the_model_learns_why_nobody_came_and_goes_on() {
    for (status, code) in [(486, "busy"), (480, "no_answer"), (603, "declined"), (500, "failed")] {
        let mut world = transferring(TransferOutcome::from_sip(status), vec![bits([say("May I take a message?")])]);
        world.run_until("question", asked);
        assert_eq!(output(&world)["error"]["code"], code);
        world.run_until_listening();
        assert_eq!(world.player.heard.last().unwrap(), "May I take a message?");
        world.feed(Input::CallerLeft);
        assert_eq!(world.summary().end, EndReason::CallerHungUp);
        checks::check(&world);
    }
}

#[test]
fn a_transfer_that_never_ends_is_given_up_in_time_and_never_silent() {
    let mut world = World::silent_start(vec![transfer_call(), bits([say("That did not work.")])]);
    world.transfer.0 = 3_600_000;
    world.says("let me talk to a person");
    world.run_until("transfer", is_transfer);
    let since = world.now;
    world.run_until("question", asked);
    assert_eq!(world.now.since(since), world.config.transfer_timeout);
    assert_eq!(output(&world)["error"]["code"], "failed");
    checks::check(&world);
}

#[test]
fn a_barge_in_before_the_transfer_drops_it_and_one_during_it_waits_for_the_outcome() {
    let mut world = World::silent_start(vec![transfer_call(), bits([say("Very well.")])]);
    world.says("let me talk to a person");
    world.run_until("speech", |command| matches!(command, Command::SetState(frontdesk_conversation::AgentState::Speaking)));
    world.speak(world.now, 1500, "no wait I have changed my mind");
    world.run_until("question", asked);
    assert_eq!(output(&world)["error"]["code"], "cancelled");
    world.run_until_listening();
    assert_eq!(world.count(is_transfer), 0);
    checks::check(&world);

    let mut world = transferring(TransferOutcome::Busy, vec![bits([say("It is busy.")])]);
    let since = world.now;
    world.speak(world.now, 1500, "hello are you still there");
    world.run_until("question", asked);
    assert_eq!(world.now.since(since), Duration::from_secs(5), "not before the outcome is known");
    assert_eq!(world.last_question().last(), Some(&Message::User { text: "hello are you still there".into() }));
    assert_eq!(output(&world)["error"]["code"], "busy");
    checks::check(&world);
}

#[test]
fn a_trunk_that_takes_the_caller_before_it_says_so_has_transferred_him() {
    for (wait, end) in [(500, EndReason::Transferred), (5000, EndReason::CallerHungUp)] {
        let mut world = World::silent_start(vec![transfer_call()]);
        world.transfer.0 = wait;
        world.says("let me talk to a person");
        world.run_until("transfer", is_transfer);
        world.feed(Input::CallerLeft);
        world.run_ms(10_000);
        assert_eq!(world.summary().end, end);
        assert_eq!(world.summary().tools.len(), 1);
        checks::check(&world);
    }
}

#[test]
fn a_decision_and_a_transfer_do_not_go_together_and_one_target_is_enough() {
    let both = bits([call("book", json!({"slot": 1})), call("transfer_call", json!({"target": TARGET}))]);
    let mut world = World::silent_start(vec![both]);
    world.says("book it and put me through");
    world.run_until_listening();
    assert_eq!(world.count(is_transfer), 0);
    let twice = bits([call("transfer_call", json!({})), call("transfer_call", json!({}))]);
    let mut world = World::silent_start(vec![twice]);
    world.says("put me through");
    world.run_until("transfer", is_transfer);
    world.run_until("hang-up", |command| *command == Command::HangUp);
    let codes: Vec<_> = world.summary().tools.iter().map(|trace| trace.status).collect();
    assert_eq!(codes, [ToolStatus::Done, ToolStatus::Failed]);
    assert_eq!(world.count(is_transfer), 1);
    checks::check(&world);
}

#[test]
fn an_agent_that_cannot_go_on_hands_the_caller_to_a_person() {
    for (status, end) in [(200, EndReason::Transferred), (486, EndReason::Failed)] {
        let mut world = World::silent_start(vec![]);
        world.restart_with(|config| config.trouble_transfer = Some(TARGET.into()));
        world.transfer.1 = TransferOutcome::from_sip(status);
        world.feed(Input::TranscriptionFailed(Failure { retryable: false, kind: "broken".into() }));
        world.run_until("transfer", is_transfer);
        let phrases = Config::default().phrases;
        assert_eq!(world.player.heard, [phrases.put_through.as_str()]);
        world.run_until("hang-up", |command| *command == Command::HangUp);
        let apologised = world.player.heard.contains(&phrases.apology);
        assert_eq!((world.summary().end, apologised), (end, end == EndReason::Failed));
        assert_eq!(world.count(is_transfer), 1);
        checks::check(&world);
    }
}

#[test]
fn a_mute_agent_hands_the_caller_over_without_a_word() {
    let mut world = World::silent_start(vec![]);
    world.restart_with(|config| config.trouble_transfer = Some(TARGET.into()));
    world.faults.failing = 1;
    world.feed(Input::Text { text: "hello".into() });
    world.run_until("transfer", is_transfer);
    world.run_until("hang-up", |command| *command == Command::HangUp);
    assert_eq!(world.summary().end, EndReason::Transferred);
    checks::check(&world);
}

#[test]
fn an_agent_that_turns_deaf_while_it_transfers_does_not_transfer_twice() {
    let mut world = transferring(TransferOutcome::Busy, vec![]);
    world.feed(Input::TranscriptionFailed(Failure { retryable: false, kind: "broken".into() }));
    world.run_until("hang-up", |command| *command == Command::HangUp);
    assert_eq!((world.count(is_transfer), world.summary().end), (1, EndReason::Failed));
    assert_eq!(world.player.heard.last().unwrap(), &Config::default().phrases.apology);
    checks::check(&world);
}

#[test]
fn another_worker_takes_a_lost_transfer_for_failed() {
    let mut world = transferring(TransferOutcome::Accepted, vec![bits([say("That did not work.")])]);
    world.resume();
    assert_eq!(output(&world)["error"]["code"], "failed");
    assert_eq!(world.count(is_transfer), 1);
    checks::check(&world);
}
