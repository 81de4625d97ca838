//! DESIGN's seven invariants over random calls: everything happens at any time, and much of it late, twice or not at all.

mod support;

use std::cell::RefCell;
use std::collections::BTreeSet;

use frontdesk_conversation::floor::STEPS;
use frontdesk_conversation::{
    AgentProfile, Command, CommitOutcome, Config, ConfirmationId, EndpointingMode, Failure, FieldKind, Floor, GenerationId, Input, Message,
    ReplyId, Speaker, ToolCallId, Transcript, TransferOutcome, UtteranceId,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use support::random::Random;
use support::runs::config_of_runs;
use support::script::{Answer, bits, call, config, final_words, say};
use support::{Faults, World, checks};

/// What the caller, the operator or fate does.
#[derive(Debug, Clone)]
enum Act {
    Speak {
        length_ms: u64,
        words: &'static str,
    },
    LateFinal {
        words: &'static str,
    },
    SpeechThatNeverEnds,
    EndWithoutBegin,
    Key(char),
    Text(&'static str),
    /// An event of something dead, or (not `harmless`) one that contradicts what the player does.
    Stray {
        which: u8,
        harmless: bool,
    },
    RecogniserFails {
        retryable: bool,
    },
    EndTurn,
    Expect(Option<FieldKind>),
    TakenOver,
    /// Another agent takes over, with so many of the tools.
    HandOff {
        tools: usize,
    },
    /// A person begins to speak to the caller, or has left.
    Person {
        comes: bool,
    },
    CallerLeaves,
    Stop,
}

fn acts(faulty: bool) -> impl Strategy<Value = Vec<(u64, Act)>> {
    let words = prop::sample::select(vec![
        "I need an appointment",
        "yes",
        "mm-hm",
        "no wait",
        "okay",
        "the ninth please and then some more words",
        "",
        "yes please",
    ]);
    let act = prop_oneof![
        14 => (100..2500u64, words.clone()).prop_map(|(length_ms, words)| Act::Speak { length_ms, words }),
        1 => words.prop_map(|words| Act::LateFinal { words }),
        1 => Just(Act::SpeechThatNeverEnds),
        1 => Just(Act::EndWithoutBegin),
        1 => prop::sample::select(vec!['1', '2', '#', '*', 'x']).prop_map(Act::Key),
        1 => prop::sample::select(vec!["book it", "", " "]).prop_map(Act::Text),
        2 => any::<u8>().prop_map(move |which| Act::Stray { which, harmless: !faulty }),
        1 => prop::bool::weighted(0.9).prop_map(|retryable| Act::RecogniserFails { retryable }),
        1 => prop::sample::select(vec![None, Some(FieldKind::Phone), Some(FieldKind::MemberId)]).prop_map(Act::Expect),
        2 => Just(if faulty { Act::TakenOver } else { Act::EndTurn }),
        1 => (0..9usize).prop_map(|tools| Act::HandOff { tools }),
        1 => prop::bool::ANY.prop_map(|comes| Act::Person { comes }),
        1 => prop::bool::weighted(0.7).prop_map(|caller| if caller { Act::CallerLeaves } else { Act::Stop }),
    ];
    let wait = prop_oneof![3 => 0..800u64, 4 => 800..5000u64, 1 => 5000..20_000u64];
    prop::collection::vec((wait, act), 1..14)
}

fn faults() -> impl Strategy<Value = Faults> {
    let rare = || prop_oneof![2 => Just(0u32), 1 => 4..30u32];
    (rare(), rare(), prop_oneof![2 => Just(0u64), 1 => 1..3000u64], rare()).prop_map(|(lost, doubled, late_ms, failing)| Faults {
        lost,
        doubled,
        late_ms,
        failing,
    })
}

/// Answers by chance, often to the point: it confirms what waits for confirmation.
fn answer(random: &mut Random, messages: &[Message], allow_tools: bool) -> Answer {
    let waiting = messages.iter().rev().find_map(|message| match message {
        Message::Tool { content, .. } => {
            serde_json::from_str::<Value>(content).ok()?.get("confirmation_id").and_then(Value::as_str).map(String::from)
        }
        _ => None,
    });
    let text =
        *random.pick(&["Certainly.", "Tuesday at 9.30 is free, or at 10. Which one shall I take for you?", "One, two. Three, four, five."]);
    let roll = random.below(100);
    if !allow_tools {
        return if roll < 80 { bits([say(text)]) } else { bits([call("find_slots", json!({}))]) };
    }
    match roll {
        0..30 => bits([say(text)]),
        30..45 => bits([call("book", json!({"slot": roll}))]),
        45..65 => match waiting {
            Some(id) => bits([call("confirm", json!({ "confirmation_id": id }))]),
            None => bits([say("I will book it."), call("book", json!({"slot": 1})), call("cancel", json!({}))]),
        },
        65..72 => bits([say("Let me see."), call("find_slots", json!({})), call("note_intent", json!({"intent": "book"}))]),
        72..76 => bits([call("confirm", json!({"confirmation_id": "c1"})), call("confirm", json!({"confirmation_id": "c1"}))]),
        76..79 => bits([call("nonsense", json!({})), call("find_slots", json!("{bad")), call("confirm", json!({}))]),
        79..84 => bits([say("Goodbye."), call("end_call", json!({}))]),
        84 => bits([say("I will put you through."), call("transfer_call", json!({"target": "front office"}))]),
        85 => bits([call("transfer_call", json!({})), call("transfer_call", json!({})), call("end_call", json!({}))]),
        86 => bits([call("end_call", json!({})), call("book", json!({}))]),
        87..89 => bits([]),
        89..92 => Answer::Silent,
        92..96 => Answer::Fail(vec![say("I was just about to say something, and")], true),
        _ => Answer::Fail(vec![], random.one_in(2)),
    }
}

fn stray(which: u8, harmless: bool) -> Input {
    let generation = GenerationId { reply: ReplyId(u32::from(which % 5)), step: u32::from(which % 3) };
    let utterance = UtteranceId(u32::from(which % 7) + if harmless { 1000 } else { 0 });
    let failure = Failure { retryable: which.is_multiple_of(2), kind: "stray".into() };
    match which % 13 {
        0 => Input::Answered,
        1 => Input::ModelText { generation, text: "stray words. And more.".into() },
        2 => Input::ModelDone { generation },
        3 => Input::ModelFailed { generation, failure },
        4 => Input::SynthesisFailed { utterance, failure },
        5 => Input::PlaybackStarted { utterance },
        6 => Input::PlaybackFinished { utterance: UtteranceId(1000) },
        7 => Input::Flushed { reply: if harmless { ReplyId(1000) } else { generation.reply }, cut: None },
        8 => Input::ToolFinished { call: ToolCallId(format!("m{which}-0-0")), outcome: Ok(Value::Null) },
        9 => Input::ToolCommitted { confirmation: ConfirmationId("c9".into()), outcome: CommitOutcome::Unknown },
        10 => Input::Transcript(Transcript::default()),
        11 => Input::TransferEnded(TransferOutcome::from_sip(u16::from(which) + 400)),
        _ => Input::Tick,
    }
}

fn perform(world: &mut World, act: &Act) {
    let now = world.now;
    match act {
        Act::Speak { length_ms, words } => {
            world.speak(now, *length_ms, words);
        }
        Act::LateFinal { words } => world.feed(final_words(words, now)),
        Act::SpeechThatNeverEnds => world.feed(Input::SpeechStarted { at: now }),
        Act::EndWithoutBegin => world.feed(Input::SpeechEnded { last_speech: now }),
        Act::Key(digit) => world.feed(Input::Dtmf { digit: *digit }),
        Act::Text(text) => world.feed(Input::Text { text: (*text).into() }),
        Act::Stray { which, harmless } => world.feed(stray(*which, *harmless)),
        Act::RecogniserFails { retryable } => {
            let failure = Failure { retryable: *retryable, kind: "broken".into() };
            world.feed(Input::TranscriptionFailed(failure));
        }
        Act::EndTurn => world.feed(Input::EndTurn),
        Act::Expect(field) => world.feed(Input::Expect { field: *field }),
        Act::TakenOver => world.resume(),
        Act::HandOff { tools } => {
            let tools = config().tools.into_iter().take(*tools).collect();
            let agent = AgentProfile { name: "other".into(), instructions: "You are another.".into(), tools };
            world.feed(Input::Reconfigure(Box::new(agent)));
        }
        Act::Person { comes } => world.feed(if *comes { Input::PersonCame } else { Input::PersonLeft }),
        Act::CallerLeaves => world.feed(Input::CallerLeft),
        Act::Stop => world.feed(Input::Stop),
    }
}

fn play(seed: u64, faults: Faults, acts: &[(u64, Act)]) -> World {
    let mut chance = Random::new(seed ^ 0xabcd);
    let mut config = Config { preemptive_generation: seed.is_multiple_of(2), ..config() };
    let modes = [EndpointingMode::Model, EndpointingMode::Model, EndpointingMode::Vad, EndpointingMode::Stt, EndpointingMode::Manual];
    config.endpointing.mode = *chance.pick(&modes);
    config.interruption.interruptible_read_back = chance.one_in(2);
    config.trouble_transfer = chance.one_in(2).then(|| "front office".into());
    let status = *chance.pick(&[200, 200, 486, 480, 603, 500]);
    let transfer = (chance.below(60_000), TransferOutcome::from_sip(status));
    if chance.one_in(3) {
        config.disclaimer = "This call is recorded.".into();
    }
    let probability = *chance.pick(&[0.95, 0.6, 0.3, 0.02]);
    let mut world = World::new(config, move |messages, allow_tools| answer(&mut chance, messages, allow_tools));
    world.random = Random::new(seed);
    world.faults = faults;
    world.transfer = transfer;
    world.turn_model = (probability > 0.1).then_some((45, probability));
    let slow = world.random.below(8);
    if slow == 0 {
        // Slower than its time-out, so that outcomes come late.
        world.tools.insert("book".into(), (6000, Ok(json!({"code": "K7"}))));
    } else if slow < 4 {
        world.tools.insert("book".into(), (slow * 900, Ok(json!({"code": "K7"}))));
    }
    world.feed(Input::Answered);
    for (wait, act) in acts {
        world.run_ms(*wait);
        perform(&mut world, act);
    }
    // A caller who says nothing more, and to whom nobody speaks, is asked, and the call ends by itself.
    world.feed(Input::PersonLeft);
    world.run_ms(240_000);
    world
}

fn ends(world: &World) -> bool {
    world.count(|command| matches!(command, Command::Finish(_))) > 0
}

proptest! {
    #![proptest_config(config_of_runs(2000))]

    #[test]
    fn the_record_holds_the_words_that_were_heard(seed in any::<u64>(), failing in prop_oneof![Just(0u32), 5..20u32], acts in acts(false)) {
        let world = play(seed, Faults { failing, ..Faults::default() }, &acts);
        let summary = world.summary();
        let recorded: Vec<&str> =
            summary.transcript.iter().filter(|line| line.speaker == Speaker::Agent).flat_map(|line| line.text.split(' ')).collect();
        let heard: Vec<&str> = world.player.heard.iter().flat_map(|text| text.split_whitespace()).collect();
        prop_assert_eq!(recorded, heard, "{}", world.transcript());
        if let Err(why) = checks::history_is_what_was_heard(&world) {
            prop_assert!(false, "{}\n{}", why, world.transcript());
        }
    }
}

/// Whether a step is too rare to be met in every run.
fn is_rare((from, to): (Floor, Floor)) -> bool {
    let closing = to == Floor::Closing || from == Floor::Closing;
    closing
        || from == Floor::Waiting && to == Floor::Ended
        || from == Floor::Flushing && [Floor::Paused, Floor::Ended, Floor::Listening].contains(&to)
}

#[test]
fn every_call_obeys_the_invariants_takes_only_known_steps_and_ends() {
    let seen = RefCell::new(BTreeSet::new());
    let known: BTreeSet<_> = STEPS.iter().map(|step| (step.from, step.to)).collect();
    let calls = (any::<u64>(), faults(), acts(true));
    let mut runner = TestRunner::new(config_of_runs(10_000));
    let result = runner.run(&calls, |(seed, faults, acts)| {
        let world = play(seed, faults, &acts);
        checks::check(&world);
        prop_assert!(ends(&world), "the call never ended:\n{}", world.transcript());
        let unknown = world.floors.iter().find(|(from, to)| from != to && !known.contains(&(*from, *to)));
        prop_assert!(unknown.is_none(), "{:?} is not in the table of steps:\n{}", unknown, world.transcript());
        seen.borrow_mut().extend(world.floors.iter().copied());
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}\n{runner}");
    }
    let missed: Vec<_> = known.iter().filter(|step| !seen.borrow().contains(step) && !is_rare(**step)).collect();
    assert!(missed.is_empty(), "steps in the table that never happen: {missed:?}");
}

/// Found by a million random calls: the end of an answer overtook its words, so a reply took over a draft that had been put into
/// speech, and never said it.
#[test]
fn speech_ahead_of_an_answer_in_disorder_is_dropped() {
    let speak = |length_ms, words| Act::Speak { length_ms, words };
    let acts = [(2023, speak(1055, "yes")), (3495, speak(100, "no wait")), (800, speak(100, "I need an appointment"))];
    let world = play(17_710_782_160_327_584_820, Faults { late_ms: 367, ..Faults::default() }, &acts);
    assert!(world.count(|command| matches!(command, Command::SynthesiseAhead { .. })) > 1, "the case that is meant");
    checks::check(&world);
}

/// Found by a million random calls: while the agent paused for a caller of whom no word came, a tool came back and the model had
/// nothing to add. So the floor was the caller's from the moment when the pause ended, not from that when he fell silent.
#[test]
fn a_caller_is_given_the_floor_when_a_pause_ends_with_nothing_left_to_say() {
    let speak = |length_ms, words| Act::Speak { length_ms, words };
    let acts = [
        (1600, speak(2049, "I need an appointment")),
        (0, Act::Expect(Some(FieldKind::MemberId))),
        (2299, Act::TakenOver),
        (0, speak(100, "yes")),
        (350, Act::EndWithoutBegin),
        (6450, speak(2132, "no wait")),
        (1053, speak(2095, "I need an appointment")),
        (1752, Act::LateFinal { words: "" }),
        (178, speak(1460, "yes")),
        (2905, speak(997, "")),
    ];
    let faults = Faults { lost: 15, doubled: 27, late_ms: 1600, failing: 16 };
    let world = play(878_522_528_494_160_695, faults, &acts);
    checks::check(&world);
    let ordered =
        |wanted: fn(&Command) -> bool| world.commands().filter(|(_, command)| wanted(command)).map(|(at, _)| at).collect::<Vec<_>>();
    let resumed = *ordered(|command| matches!(command, Command::Resume)).last().expect("the case that is meant");
    let asked = ordered(|command| matches!(command, Command::Synthesise { text, .. } if text == "Are you still there?"));
    assert!(asked.contains(&(resumed + world.config.silence.away_after)), "{}", world.transcript());
}
