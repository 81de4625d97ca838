//! Silence, failing providers, keys, and the end of a call.

mod support;

use std::time::Duration;

use frontdesk_conversation::{CallTime, Command, Config, Conversation, EndReason, Failure, Input, Message};
use serde_json::json;
use support::script::{Answer, bits, call, final_words, say};
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
    let greeting = "Hello, this is the practice. How can I help?";
    assert_eq!(world.said(), [greeting, "Sorry, I lost you for a moment.", greeting]);
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

/// The note about repeated misunderstanding in the last question, if it stands there.
fn offer(world: &World) -> Option<String> {
    world.last_question().into_iter().find_map(|message| match message {
        Message::System { text } if text.contains("have not understood each other") => Some(text),
        _ => None,
    })
}

/// The caller says something that the recogniser is so sure of.
fn mumbles(world: &mut World, text: &str, confidence: f32) {
    let Input::Transcript(mut heard) = final_words(text, world.now) else { unreachable!() };
    heard.words.iter_mut().for_each(|word| word.confidence = confidence);
    let end = world.now + Duration::from_millis(900);
    world.at(world.now + Duration::from_millis(60), Input::SpeechStarted { at: world.now });
    world.at(end + Duration::from_millis(250), Input::SpeechEnded { last_speech: end });
    world.at(end + Duration::from_millis(260), Input::Transcript(heard));
    world.run_until("question", asked);
    world.run_until_listening();
}

fn is_repeated(command: &Command) -> bool {
    matches!(command, Command::Audit { action, .. } if action == "misunderstood.repeatedly")
}

#[test]
fn three_unsure_turns_in_a_row_make_the_model_offer_a_person_once() {
    let mut world = World::silent_start(vec![]);
    for (number, confidence) in [0.3, 0.2, 0.9, 0.4, 0.4].into_iter().enumerate() {
        mumbles(&mut world, "something or other", confidence);
        assert_eq!(offer(&world), None, "turn {number}: one that was understood begins anew");
    }
    mumbles(&mut world, "what did you say", 0.1);
    assert!(offer(&world).unwrap().contains("transfer_call"), "the person is offered by the tool that is there");
    mumbles(&mut world, "what did you say", 0.1);
    assert_eq!(world.count(is_repeated), 1, "once in a run of trouble");
    world.feed(Input::CallerLeft);
    let summary = world.summary();
    assert_eq!((summary.misunderstood, summary.offers), (6, 1));
    checks::check(&world);
}

#[test]
fn without_a_person_a_message_is_offered_and_zero_switches_the_rule_off() {
    for offer_after in [2, 0] {
        let mut world = World::silent_start(vec![]);
        world.restart_with(|config| {
            config.misunderstanding.offer_after = offer_after;
            config.tools.retain(|tool| !tool.transfers_call);
        });
        for _ in 0..3 {
            mumbles(&mut world, "something or other", 0.1);
        }
        assert_eq!(offer(&world).is_some_and(|note| note.contains("take a message")), offer_after > 0);
    }
}

#[test]
fn a_field_that_is_asked_for_again_and_again_is_a_misunderstanding() {
    let ask = || bits([say("What is your date of birth?")]);
    let mut world = World::silent_start(vec![ask(), ask(), ask(), ask()]);
    world.says("I want an appointment");
    world.run_until_listening();
    for number in 0..4 {
        world.says("well you know");
        world.run_until_listening();
        // The first answer is to the first question; then the same is asked three times more.
        assert_eq!(offer(&world).is_some(), number == 3, "answer {number}");
    }
    checks::check(&world);
}

#[test]
fn unheard_speech_and_a_failed_model_are_misunderstandings_as_well() {
    let mut world = World::silent_start(vec![Answer::Fail(vec![], false)]);
    world.says("hello there");
    world.run_until_listening();
    assert_eq!(world.said(), [Config::default().phrases.fallback]);
    world.finalize_ms = None;
    for _ in 0..2 {
        world.speak(world.now, 1500, "");
        world.run_until_listening();
    }
    assert_eq!(world.count(is_repeated), 1);
    checks::check(&world);
}

#[test]
fn a_turn_that_is_taken_back_counts_once() {
    let mut world = World::silent_start(vec![]);
    world.model_latency_ms = 1500;
    let Input::Transcript(mut heard) = final_words("my number is", world.now) else { unreachable!() };
    heard.words.iter_mut().for_each(|word| word.confidence = 0.1);
    world.at(ms(60), Input::SpeechStarted { at: ms(0) });
    world.at(ms(1150), Input::SpeechEnded { last_speech: ms(900) });
    world.at(ms(1160), Input::Transcript(heard));
    world.run_until("question", asked);
    world.says("five five five and so on");
    world.run_until_listening();
    world.feed(Input::CallerLeft);
    assert_eq!(world.summary().misunderstood, 1);
    checks::check(&world);
}

#[test]
fn a_call_that_lasts_too_long_is_told_so_and_ended() {
    let mut world = World::scripted(vec![bits([say("Which day?")]), bits([say("Let me go on and on about that day, then.")])]);
    world.restart_with(|config| config.duration_max = Duration::from_secs(20));
    world.says("I would like an appointment");
    world.run_until("question", asked);
    world.run_until_time(ms(19_500));
    world.says("wait what about");
    world.run_until("hang-up", |command| *command == Command::HangUp);
    let time_up = Config::default().phrases.time_up;
    let said =
        world.commands().find(|(_, command)| matches!(command, Command::Synthesise { text, .. } if time_up.starts_with(text.as_str())));
    assert_eq!(said.expect("it is announced").0, ms(20_000));
    let summary = world.summary();
    assert_eq!(summary.end, EndReason::TimeLimit);
    let last = summary.transcript.last().expect("it was said");
    assert!(last.text.ends_with("Goodbye.") && !last.interrupted, "{last:?}");
    checks::check(&world);
}

#[test]
fn a_caller_is_told_once_that_the_time_is_nearly_up_when_nobody_speaks() {
    let mut world = World::scripted(vec![bits([say("Which day would suit you, and at what time of the day?")]), bits([say("Very well.")])]);
    world.restart_with(|config| {
        (config.duration_max, config.duration_warning) = (Duration::from_secs(60), Duration::from_secs(30));
        config.silence.away_after = Duration::from_secs(90);
    });
    let nearly_up = Config::default().phrases.time_nearly_up;
    let told = |world: &World| -> Vec<CallTime> {
        let is_it = |command: &Command| matches!(command, Command::Synthesise { text, .. } if nearly_up.starts_with(text.as_str()));
        world.commands().filter(|(_, command)| is_it(command)).map(|(at, _)| at).collect()
    };
    world.run_until_time(ms(29_500));
    assert_eq!(told(&world), []);
    // The caller has the floor when it is due: he is not cut off, and neither is the answer.
    world.says("I would like an appointment");
    world.run_until("question", asked);
    assert_eq!(told(&world), []);
    world.run_until_listening();
    world.run_until("hang-up", |command| *command == Command::HangUp);
    let at = told(&world);
    assert!(matches!(at.as_slice(), [at] if *at > ms(30_000) && *at < ms(60_000)), "{at:?}");
    let summary = world.summary();
    assert_eq!(summary.end, EndReason::TimeLimit);
    assert!(summary.transcript.iter().any(|line| line.text == nearly_up && !line.interrupted), "{:?}", summary.transcript);
    checks::check(&world);
}

#[test]
fn a_short_limit_is_not_announced() {
    for (limit, announced) in [(119, false), (120, true)] {
        let mut config = Config { duration_max: Duration::from_secs(limit), greeting: String::new(), ..Config::default() };
        config.silence.away_after = Duration::from_secs(1000);
        let nearly_up = config.phrases.time_nearly_up.clone();
        let mut talk = Conversation::new(config);
        talk.handle(ms(0), Input::Answered);
        talk.handle(ms((limit - 60) * 1000), Input::Tick);
        let is_it = |command: Command| matches!(command, Command::Synthesise { text, .. } if nearly_up.starts_with(text.as_str()));
        assert_eq!(std::iter::from_fn(|| talk.poll()).any(is_it), announced, "{limit} s");
    }
}

#[test]
fn only_a_limit_limits_a_call() {
    for (limit, ends) in [(Duration::from_secs(20), true), (Duration::ZERO, false)] {
        let mut talk = Conversation::new(Config { duration_max: limit, ..Config::default() });
        talk.handle(ms(0), Input::Answered);
        talk.handle(ms(20_000), Input::Tick);
        let announced = std::iter::from_fn(|| talk.poll())
            .any(|command| matches!(command, Command::Audit { action, .. } if action == "call.time_limit"));
        assert_eq!(announced, ends);
    }
}

#[test]
fn a_call_that_is_to_end_soon_ends_politely() {
    for target in [None, Some("front office")] {
        let mut world = World::scripted(vec![bits([say("We are open on weekdays from eight until five, and on Saturdays until noon.")])]);
        world.transfer.1 = frontdesk_conversation::TransferOutcome::Accepted;
        world.restart_with(|config| config.trouble_transfer = target.map(str::to_owned));
        world.says("when are you open");
        world.run_until("speech", |command| matches!(command, Command::SetState(frontdesk_conversation::AgentState::Speaking)));
        world.feed(Input::WindDown);
        world.run_until("hang-up", |command| *command == Command::HangUp);
        let summary = world.summary();
        let phrases = Config::default().phrases;
        let (end, words) = match target {
            None => (EndReason::Stopped, phrases.closing),
            Some(_) => (EndReason::Transferred, phrases.put_through),
        };
        assert_eq!(summary.end, end);
        let said = summary.transcript.iter().find(|line| line.text == words).expect("it was said");
        assert!(!said.interrupted);
        assert_eq!(summary.transfers.len(), usize::from(target.is_some()));
        checks::check(&world);
    }
}

#[test]
fn a_line_that_is_lost_says_why() {
    for reason in [EndReason::RoomClosed, EndReason::Removed, EndReason::ConnectionLost] {
        let mut world = World::scripted(vec![]);
        world.run_until_listening();
        world.feed(Input::LineLost { reason });
        world.run_ms(5_000);
        assert_eq!(world.summary().end, reason);
    }
}
