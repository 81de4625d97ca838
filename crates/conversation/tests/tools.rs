//! Tools: parallel reads, repairable errors, two-phase commits, time-outs.

mod support;

use std::time::Duration;

use frontdesk_conversation::{AgentProfile, Command, CommitOutcome, Config, EndReason, Input, Message, ToolStatus};
use serde_json::{Value, json};
use support::script::{Answer, bits, call, config, say, tool_error};
use support::{World, checks};

fn asked(command: &Command) -> bool {
    matches!(command, Command::AskModel { .. })
}

fn is_commit(command: &Command) -> bool {
    matches!(command, Command::CommitTool { .. })
}

fn confirm(id: &str) -> Answer {
    bits([call("confirm", json!({ "confirmation_id": id }))])
}

fn book() -> Answer {
    bits([call("book", json!({"slot": "Tuesday 9"}))])
}

/// The outputs of tools in the last question.
fn outputs(world: &World) -> Vec<Value> {
    let question = world.last_question();
    let contents = question.iter().filter_map(|message| match message {
        Message::Tool { content, .. } => serde_json::from_str(content).ok(),
        _ => None,
    });
    contents.collect()
}

/// A call whose read-back has just been played to its end.
fn read_back_done(answers: Vec<Answer>) -> World {
    let mut world = World::silent_start([vec![book()], answers].concat());
    world.says("book Tuesday at nine");
    world.run_until_listening();
    world.run_ms(300);
    world
}

#[test]
fn bad_calls_get_repairable_outputs_at_once() {
    let mut world = World::silent_start(vec![bits([
        call("find_slot", json!({})),
        call("find_slots", json!("{\"day\": ")),
        call("confirm", json!({})),
        call("confirm", json!({"confirmation_id": "c7"})),
        call("find_slots", Value::Null),
    ])]);
    world.says("what is free");
    world.run_until_listening();
    let outputs = outputs(&world);
    let codes: Vec<&str> = outputs.iter().map(|output| output["error"]["code"].as_str().unwrap_or("none")).collect();
    assert_eq!(codes, ["unknown_tool", "invalid_arguments", "invalid_arguments", "unknown_confirmation", "none"]);
    assert!(outputs[0]["error"]["message"].as_str().unwrap().contains("find_slots"));
    assert!(outputs[2]["error"]["message"].as_str().unwrap().starts_with("confirmation_id:"));
    assert_eq!(outputs[4], json!({"slots": ["Tuesday 9"]}));
    checks::check(&world);
}

#[test]
fn text_before_a_tool_is_spoken_first_and_ids_are_made_unique() {
    let mut world = World::silent_start(vec![]);
    world.says("what is free");
    let Command::AskModel { generation, .. } = world.run_until("question", asked) else { unreachable!() };
    let twin = |name: &str| frontdesk_conversation::ToolCall {
        id: frontdesk_conversation::ToolCallId("same".into()),
        name: name.into(),
        arguments: json!({}),
    };
    world.feed(Input::ModelText { generation, text: "I will look".into() });
    world.feed(Input::ModelToolCall { generation, call: twin("find_slots") });
    world.feed(Input::ModelToolCall { generation, call: twin("note_intent") });
    world.feed(Input::ModelDone { generation });
    let order: Vec<&Command> = world
        .commands()
        .map(|(_, command)| command)
        .filter(|command| matches!(command, Command::Synthesise { .. } | Command::RunTool { .. }))
        .collect();
    assert!(matches!(order[..], [Command::Synthesise { .. }, Command::RunTool { .. }, Command::RunTool { .. }]));
    world.run_until("second question", asked);
    let calls = world.last_question().into_iter().find_map(|message| match message {
        Message::Assistant { tool_calls, .. } => Some(tool_calls),
        _ => None,
    });
    let ids: Vec<String> = calls.unwrap().into_iter().map(|call| call.id.0).collect();
    assert_eq!(ids, ["same", "call-1"]);
}

#[test]
fn steps_are_bounded_and_the_last_one_has_no_tools() {
    let mut world =
        World::new(
            config(),
            |_, allow_tools| {
                if allow_tools { bits([call("find_slots", json!({}))]) } else { bits([say("That is all I found.")]) }
            },
        );
    world.config.max_tool_steps = 3;
    world.talk = frontdesk_conversation::Conversation::new(Config { greeting: String::new(), ..world.config.clone() });
    world.feed(Input::Answered);
    world.says("what is free");
    world.run_until_listening();
    let allowed: Vec<bool> = world
        .commands()
        .filter_map(|(_, command)| match command {
            Command::AskModel { allow_tools, .. } => Some(*allow_tools),
            _ => None,
        })
        .collect();
    assert_eq!(allowed, [true, true, true, false]);
}

#[test]
fn a_confirmation_in_the_same_turn_is_refused() {
    // The model guesses the id and confirms together with the preparation.
    let mut world = World::silent_start(vec![bits([call("book", json!({})), call("confirm", json!({"confirmation_id": "c1"}))])]);
    world.says("book it");
    world.run_until_listening();
    assert_eq!(world.count(is_commit), 0);
    checks::check(&world);
}

#[test]
fn a_read_back_that_was_cut_is_read_again_before_anything_is_done() {
    let mut world = World::silent_start(vec![book(), confirm("c1"), confirm("c1"), bits([say("Done.")])]);
    world.says("book Tuesday at nine");
    world.run_until("read-back", |command| matches!(command, Command::Synthesise { .. }));
    world.run_ms(700);
    world.says("go ahead please do");
    world.run_until_listening();
    assert_eq!(world.count(is_commit), 0);
    let said = world.said();
    assert_eq!(said.len(), 2);
    assert_eq!(said[0], said[1], "the same words again");
    world.run_ms(200);
    world.says("yes");
    world.run_until_listening();
    assert_eq!(world.count(is_commit), 1);
    let codes: Vec<Value> = outputs(&world).iter().map(|output| output["error"]["code"].clone()).collect();
    assert_eq!(codes, [Value::Null, json!("read_back_incomplete"), Value::Null]);
    checks::check(&world);
}

#[test]
fn a_confirmation_is_committed_once_and_answers_the_same_again() {
    let mut world = read_back_done(vec![
        bits([call("confirm", json!({"confirmation_id": "c1"})), call("confirm", json!({"confirmation_id": "c1"}))]),
        confirm("c1"),
        bits([say("Booked.")]),
    ]);
    world.says("yes");
    world.run_until_listening();
    assert_eq!(world.count(is_commit), 1);
    let outputs = outputs(&world);
    assert_eq!(outputs.len(), 4);
    assert!(outputs.iter().skip(1).all(|output| *output == json!({"status": "done", "result": {"code": "K7"}})));
    checks::check(&world);
}

#[test]
fn a_yes_that_goes_on_after_a_pause_commits_nothing() {
    let mut world = read_back_done(vec![bits([say("Thursday, then.")])]);
    let end = world.speak(world.now, 400, "yes");
    let end = world.speak(end + Duration::from_millis(650), 900, "but on Thursday");
    world.run_until("question", asked);
    assert_eq!(world.last_question().last(), Some(&Message::User { text: "yes but on Thursday".into() }));
    world.run_until_listening();
    assert!(world.now > end && world.count(is_commit) == 0);

    let mut world = read_back_done(vec![confirm("c1"), bits([say("Booked.")])]);
    let end = world.speak(world.now, 400, "yes");
    world.run_until("question", asked);
    assert_eq!(world.now.since(end), Duration::from_millis(800));
    world.run_until_listening();
    assert_eq!(world.count(is_commit), 1);
    world.says("thank you");
    let waited = world.now;
    world.run_until("question", asked);
    assert!(world.now.since(waited) < Duration::from_millis(400), "only the answer to a read-back is waited for so long");
    checks::check(&world);
}

#[test]
fn a_new_preparation_supersedes_the_old_and_the_refusal_of_a_commit_is_told() {
    let mut world = read_back_done(vec![
        bits([call("book", json!({"slot": "Thursday"}))]),
        bits([call("confirm", json!({"confirmation_id": "c1"})), call("confirm", json!({"confirmation_id": "c2"}))]),
        bits([say("That slot is gone.")]),
    ]);
    world.tools.insert("book".into(), (100, Err(tool_error("slot_taken"))));
    world.says("no rather Thursday");
    world.run_until_listening();
    world.run_ms(200);
    world.says("yes please");
    world.run_until_listening();
    let outputs = outputs(&world);
    assert_eq!(outputs[2]["error"]["code"], "superseded");
    assert_eq!(outputs[3]["status"], "refused");
    assert_eq!(outputs[3]["error"]["code"], "slot_taken");
    world.feed(Input::CallerLeft);
    let traces: Vec<ToolStatus> = world.summary().tools.iter().map(|trace| trace.status).collect();
    assert_eq!(traces, [ToolStatus::Prepared, ToolStatus::Failed, ToolStatus::Failed, ToolStatus::Failed]);
    checks::check(&world);
}

#[test]
fn a_commit_that_gives_no_answer_is_unknown_and_its_late_result_a_note() {
    let mut world = read_back_done(vec![confirm("c1"), bits([say("I will have it checked.")]), bits([say("It is booked after all.")])]);
    world.tools.insert("book".into(), (7000, Ok(json!({"code": "K7"}))));
    world.says("yes");
    world.run_until("commit", is_commit);
    let ordered = world.now;
    world.run_until("question", asked);
    assert_eq!(world.now.since(ordered), Duration::from_secs(5));
    assert_eq!(outputs(&world)[1]["status"], "outcome_unknown");
    world.run_ms(4000);
    world.says("and now");
    world.run_until("question", asked);
    let notes: Vec<String> = world
        .last_question()
        .into_iter()
        .skip(1)
        .filter_map(|message| match message {
            Message::System { text } => Some(text),
            _ => None,
        })
        .collect();
    assert!(notes.len() == 1 && notes[0].contains("K7"), "{notes:?}");
    world.feed(Input::CallerLeft);
    assert_eq!(world.summary().tools[0].status, ToolStatus::Done);
    checks::check(&world);
}

#[test]
fn an_interruption_never_cancels_a_commit_and_the_model_waits_for_it() {
    let mut world = read_back_done(vec![confirm("c1"), bits([say("Both are fine.")])]);
    world.tools.insert("book".into(), (4000, Ok(json!({"code": "K7"}))));
    world.says("yes");
    world.run_until("commit", is_commit);
    let ordered = world.now;
    world.run_ms(200);
    world.says("and tell me the address");
    world.run_until("question", asked);
    assert_eq!(world.now.since(ordered), Duration::from_secs(4));
    let question = world.last_question();
    assert!(matches!(question.last(), Some(Message::User { text }) if text == "and tell me the address"));
    assert_eq!(outputs(&world)[1]["status"], "done");
    checks::check(&world);
}

#[test]
fn a_caller_who_hangs_up_during_a_commit_is_still_booked() {
    let mut world = read_back_done(vec![confirm("c1")]);
    world.tools.insert("book".into(), (3000, Ok(json!({"code": "K7"}))));
    world.says("yes");
    world.run_until("commit", is_commit);
    world.feed(Input::CallerLeft);
    assert_eq!(world.count(|command| matches!(command, Command::Finish(_))), 0);
    let left = world.now;
    world.run_until("summary", |command| matches!(command, Command::Finish(_)));
    assert_eq!(world.now.since(left), Duration::from_secs(3));
    let summary = world.summary();
    assert_eq!(summary.end, EndReason::CallerHungUp);
    assert_eq!((summary.tools[0].status, &summary.tools[0].output["result"]["code"]), (ToolStatus::Done, &json!("K7")));
    checks::check(&world);
}

#[test]
fn another_worker_orders_an_open_commit_again_under_the_same_key() {
    let mut world = read_back_done(vec![confirm("c1"), bits([say("Booked.")])]);
    world.tools.insert("book".into(), (3000, Ok(json!({"code": "K7"}))));
    world.says("yes");
    let first = world.run_until("commit", is_commit);
    world.run_ms(500);
    world.resume();
    let again: Vec<Command> = world.commands().map(|(_, command)| command.clone()).filter(is_commit).collect();
    assert_eq!(again, [first.clone(), first]);
    world.run_until_listening();
    assert_eq!(outputs(&world)[1]["status"], "done");
    checks::check(&world);
}

#[test]
fn a_slow_tool_is_bridged_and_timed_out() {
    let mut world = World::silent_start(vec![bits([call("find_slots", json!({}))]), bits([say("I could not look that up.")])]);
    world.tools.insert("find_slots".into(), (60_000, Ok(json!([]))));
    world.says("what is free");
    world.run_until("tool", |command| matches!(command, Command::RunTool { .. }));
    let ordered = world.now;
    world.run_until("time-out", |command| matches!(command, Command::CancelTool { .. }));
    assert_eq!(world.now.since(ordered), Duration::from_secs(5));
    assert_eq!(world.said(), ["One moment, please."]);
    world.run_until_listening();
    assert_eq!(outputs(&world)[0]["error"]["code"], "timeout");
    checks::check(&world);
}

#[test]
fn an_ended_call_waits_until_everything_was_played_and_not_on_open_questions() {
    let mut world = World::silent_start(vec![bits([say("Thank you and goodbye."), call("end_call", json!({}))])]);
    world.says("that was all");
    world.run_until("hang-up", |command| *command == Command::HangUp);
    assert_eq!(world.player.heard, ["Thank you and goodbye."]);
    assert_eq!(world.summary().end, EndReason::Completed);
    // Together with something to confirm, the call does not end.
    let mut world = World::silent_start(vec![bits([call("book", json!({})), call("end_call", json!({}))])]);
    world.says("book and bye");
    world.run_until_listening();
    assert_eq!(world.count(|command| *command == Command::HangUp), 0);
    // An unknown outcome that nobody asked for is dropped.
    world.feed(Input::ToolCommitted { confirmation: frontdesk_conversation::ConfirmationId("c1".into()), outcome: CommitOutcome::Unknown });
    checks::check(&world);
}

#[test]
fn a_hand_off_changes_instructions_and_tools_from_the_next_question_on_and_keeps_the_history() {
    let mut world =
        World::silent_start(vec![bits([call("find_slots", json!({}))]), bits([call("find_slots", json!({}))]), bits([say("Bye.")])]);
    world.says("what is free");
    world.run_until("the tool", |command| matches!(command, Command::RunTool { .. }));
    let tools = config().tools.into_iter().filter(|tool| tool.name == "note_intent").collect();
    let agent = AgentProfile { name: "billing".into(), instructions: "You deal with bills.".into(), tools };
    world.feed(Input::Reconfigure(Box::new(agent.clone())));
    world.run_until("second question", asked);
    let question = world.last_question();
    assert_eq!(question.first(), Some(&Message::System { text: agent.instructions.clone() }));
    assert!(question.iter().any(|message| matches!(message, Message::User { text } if text == "what is free")));
    assert!(outputs(&world)[0].get("slots").is_some(), "the tool that ran has its result");
    world.run_until_listening();
    assert_eq!(outputs(&world).last().expect("an output")["error"]["code"], "unknown_tool", "it is not the new agent's");
    checks::check(&world);
    world.feed(Input::CallerLeft);
    world.run_ms(100);
    let summary = world.summary();
    assert_eq!(summary.hand_offs.iter().map(|hand_off| hand_off.to.as_str()).collect::<Vec<_>>(), ["billing"]);
}
