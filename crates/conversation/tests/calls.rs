//! Calls from answer to end, in virtual time.

mod support;

use frontdesk_conversation::{AgentState, Command, EndReason, Input, Message, Speaker, ToolStatus};
use serde_json::json;
use support::script::{bits, call, final_words, interim, read_back, say};
use support::{World, checks, ms};

fn asked(command: &Command) -> bool {
    matches!(command, Command::AskModel { .. })
}

#[test]
fn a_booking_from_greeting_to_goodbye() {
    let mut world = World::scripted(vec![
        bits([say("Let me look for you."), call("find_slots", json!({"day": "Tuesday"}))]),
        bits([say("Tuesday at nine is free. Shall I take it?")]),
        bits([call("book", json!({"slot": "Tuesday 9"}))]),
        bits([call("confirm", json!({"confirmation_id": "c1"}))]),
        bits([say("It is booked. Your code is K7.")]),
        bits([say("Goodbye."), call("end_call", json!({}))]),
    ]);
    world.run_until_listening();
    for words in ["I need an appointment on Tuesday", "that is fine", "yes please", "no that is all"] {
        world.run_ms(400);
        world.says(words);
        if words == "no that is all" {
            world.run_until("hang-up", |command| *command == Command::HangUp);
        } else {
            world.run_until_listening();
        }
    }
    let summary = world.summary();
    assert_eq!(summary.end, EndReason::Completed);
    let lines: Vec<(Speaker, &str)> = summary.transcript.iter().map(|line| (line.speaker, line.text.as_str())).collect();
    use Speaker::{Agent, Caller};
    let book = frontdesk_conversation::ToolCall {
        id: frontdesk_conversation::ToolCallId("x".into()),
        name: "book".into(),
        arguments: json!({"slot": "Tuesday 9"}),
    };
    assert_eq!(
        lines,
        [
            (Agent, "Hello, this is the practice. How can I help?"),
            (Caller, "I need an appointment on Tuesday"),
            (Agent, "Let me look for you."),
            (Agent, "Tuesday at nine is free. Shall I take it?"),
            (Caller, "that is fine"),
            (Agent, &*read_back(&book)),
            (Caller, "yes please"),
            (Agent, "It is booked. Your code is K7."),
            (Caller, "no that is all"),
            (Agent, "Goodbye."),
        ]
    );
    let tools: Vec<_> = summary.tools.iter().map(|trace| (trace.name.as_str(), trace.status)).collect();
    use ToolStatus::Done;
    assert_eq!(tools, [("find_slots", Done), ("book", Done), ("confirm", Done), ("end_call", Done)]);
    let booking = &summary.tools[1];
    assert_eq!(booking.output, json!({"status": "done", "result": {"code": "K7"}}));
    assert_eq!(booking.confirmation.as_ref().unwrap().0, "c1");
    assert_eq!(summary.turns.len(), 4);
    assert!(summary.turns.iter().all(|turn| turn.first_audio.is_some() && turn.playback_started.is_some()));
    checks::check(&world);
}

#[test]
fn a_turn_is_committed_at_the_minimum_delay_and_timed_by_stage() {
    let mut world = World::silent_start(vec![bits([say("Hello to you.")])]);
    world.finalize_ms = Some(30);
    let end = world.speak(ms(1000), 800, "hello there");
    world.run_until("question", asked);
    assert_eq!(world.now, end + std::time::Duration::from_millis(500));
    let Command::TurnCompleted(metrics) = world.run_until("figures", |command| matches!(command, Command::TurnCompleted(_))) else {
        unreachable!()
    };
    assert_eq!(metrics.last_speech, Some(end));
    assert_eq!(metrics.committed, Some(ms(2300)));
    assert_eq!(metrics.first_token, Some(ms(2500)));
    assert_eq!(metrics.playback_started, Some(world.now));
    let states: Vec<AgentState> = world
        .commands()
        .filter_map(|(_, command)| match command {
            Command::SetState(state) => Some(*state),
            _ => None,
        })
        .collect();
    assert_eq!(states, [AgentState::Listening, AgentState::Thinking, AgentState::Speaking]);
}

#[test]
fn a_recogniser_that_never_answers_finalize_costs_its_timeout() {
    let mut world = World::silent_start(vec![]);
    world.finalize_ms = None;
    let end = world.speak(ms(0), 800, "hello there");
    world.run_until("question", asked);
    assert_eq!(world.now, end + std::time::Duration::from_millis(550), "VAD end and 300 ms");
    assert_eq!(world.last_question().last(), Some(&Message::User { text: "hello there".into() }));
}

#[test]
fn noise_is_no_turn_and_new_speech_continues_one() {
    let mut world = World::silent_start(vec![]);
    world.speak(ms(0), 300, "");
    world.run_until_time(ms(3000));
    assert_eq!(world.count(asked), 0);
    world.speak(ms(3000), 800, "my number is");
    // The pause is shorter than the minimum delay: no turn ends in it.
    world.at(ms(4060), Input::SpeechStarted { at: ms(4040) });
    world.run_until_time(ms(6000));
    world.at(ms(6000), interim("five five one"));
    world.at(ms(6350), Input::SpeechEnded { last_speech: ms(6100) });
    world.at(ms(6400), final_words("five five one", ms(4000)));
    world.run_until("question", asked);
    assert_eq!(world.last_question().last(), Some(&Message::User { text: "my number is five five one".into() }));
    checks::check(&world);
}
