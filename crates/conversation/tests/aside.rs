//! A person joins the call and speaks to the caller: the agent stays, says nothing, and is there again when the person has left.

mod support;

use std::time::Duration;

use frontdesk_conversation::{AgentState, Command, Config, EndReason, Floor, Input, Message, Phrases, Speaker, ToolStatus};
use serde_json::json;
use support::script::{bits, call, config, say};
use support::{World, checks};

fn speaks(command: &Command) -> bool {
    matches!(command, Command::Synthesise { .. } | Command::AskModel { .. } | Command::SynthesiseAhead { .. })
}

/// How often it asked the model or ordered speech.
fn efforts(world: &World) -> usize {
    world.count(speaks)
}

#[test]
fn the_agent_is_silent_while_a_person_speaks_and_writes_down_what_the_caller_says() {
    for is_eager in [false, true] {
        let mut world = World::scripted(vec![bits([say("We are open on weekdays from eight until five, and on Saturdays until noon.")])]);
        world.restart_with(|config| config.preemptive_generation = is_eager);
        world.says("when are you open");
        world.run_until("speech", |command| *command == Command::SetState(AgentState::Speaking));
        world.run_ms(500);
        world.feed(Input::PersonCame);
        world.feed(Input::PersonCame);
        world.run_ms(300);
        assert_eq!(world.talk.floor(), Floor::Listening);
        let before = efforts(&world);
        world.says("oh hello doctor");
        world.run_ms(3000);
        world.feed(Input::Dtmf { digit: '1' });
        world.feed(Input::Text { text: "typed".into() });
        // Nor does it ask whether the caller is there, or say that the time is nearly up, or end the call for its length.
        world.run_ms(40 * 60 * 1000);
        assert_eq!(efforts(&world), before, "nothing is said or asked");
        world.feed(Input::PersonLeft);
        world.run_until_listening();
        assert_eq!(world.said().last().map(String::as_str), Some(Phrases::default().person_left.as_str()));
        world.says("what else is there");
        world.run_ms(1000);
        let question = world.last_question();
        let note = question.iter().position(|message| matches!(message, Message::System { text } if text.contains("person")));
        let heard = question.iter().position(|message| matches!(message, Message::User { text } if text == "oh hello doctor"));
        assert!(heard.is_some() && note > heard, "the model knows: {question:?}");
        world.feed(Input::CallerLeft);
        let summary = world.summary();
        let caller: Vec<&str> =
            summary.transcript.iter().filter(|line| line.speaker == Speaker::Caller).map(|line| line.text.as_str()).collect();
        assert_eq!(caller, ["when are you open", "oh hello doctor", "typed", "what else is there"]);
        checks::check(&world);
    }
}

#[test]
fn what_was_read_back_before_is_read_back_again() {
    let book = || bits([call("book", json!({}))]);
    let confirm = || bits([call("confirm", json!({"confirmation_id": "c1"}))]);
    let mut world = World::silent_start(vec![book(), confirm(), confirm(), bits([say("Done.")])]);
    world.says("book it");
    world.run_until_listening();
    let read_back = world.said().last().cloned().expect("it was read back");
    world.feed(Input::PersonCame);
    world.run_ms(300);
    world.says("yes");
    world.run_ms(2000);
    world.feed(Input::PersonLeft);
    world.run_until_listening();
    // The yes was the person's: a confirmation has it read once more, and only a yes after that counts.
    world.says("yes");
    world.run_until_listening();
    assert_eq!(world.said().iter().filter(|text| **text == read_back).count(), 2, "{:?}", world.said());
    assert_eq!(world.count(|command| matches!(command, Command::CommitTool { .. })), 0);
    world.says("yes");
    world.run_until("commit", |command| matches!(command, Command::CommitTool { .. }));
    world.run_until_listening();
    world.feed(Input::CallerLeft);
    assert_eq!(world.summary().tools[0].status, ToolStatus::Done);
    checks::check(&world);
}

#[test]
fn a_legal_notice_is_said_to_its_end_first() {
    let mut world = World::scripted(vec![]);
    world.restart_with(|config| config.disclaimer = "This call is recorded.".into());
    world.run_ms(500);
    world.feed(Input::PersonCame);
    world.run_ms(60_000);
    assert_eq!(world.player.heard, ["This call is recorded."], "and the greeting not at all");
    checks::check(&world);
}

#[test]
fn a_worker_that_goes_down_leaves_the_caller_to_the_person() {
    let mut world = World::scripted(vec![]);
    world.run_until_listening();
    world.feed(Input::PersonCame);
    world.run_ms(1000);
    world.feed(Input::WindDown);
    let summary = world.summary();
    assert_eq!(summary.end, EndReason::Transferred);
    assert_eq!(world.count(|command| *command == Command::HangUp), 1);
    checks::check(&world);
}

#[test]
fn without_words_of_its_own_it_waits_for_the_caller() {
    let mut world = World::silent_start(vec![bits([say("Gladly.")])]);
    world.restart_with(|present| {
        *present = Config { greeting: String::new(), phrases: Phrases { person_left: String::new(), ..Phrases::default() }, ..config() }
    });
    world.feed(Input::PersonLeft);
    world.feed(Input::PersonCame);
    world.run_ms(1000);
    world.feed(Input::PersonLeft);
    world.run_until_time(world.now + Duration::from_secs(2));
    assert_eq!(efforts(&world), 0);
    world.says("book me in");
    world.run_until_listening();
    assert_eq!(world.said().last().map(String::as_str), Some("Gladly."));
    checks::check(&world);
}

#[test]
fn a_call_that_is_taken_over_is_taken_up_by_the_agent_until_it_hears_of_the_person_again() {
    let mut world = World::scripted(vec![]);
    world.run_until_listening();
    world.feed(Input::PersonCame);
    world.run_ms(1000);
    world.resume();
    world.feed(Input::PersonCame);
    world.run_ms(1000);
    let before = efforts(&world);
    world.says("are you there");
    world.run_ms(5000);
    assert_eq!(efforts(&world), before);
    world.feed(Input::PersonLeft);
    world.run_until_listening();
    checks::check(&world);
}
