//! Invariants 6 and 7 without a world around them: any input, true to the state or not, at any time, with any settings.

mod support;

use std::time::Duration;

use frontdesk_conversation::{
    AgentProfile, CallTime, Command, CommitOutcome, Config, Conversation, EndpointingMode, Failure, FieldKind, GenerationId, HeardWord,
    Input, Phrases, PlayedPos, Prepared, ReplyId, SpokenWord, StoredState, ToolCall, ToolCallId, ToolError, Transcript, TransferOutcome,
    UtteranceId,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::random::Random;
use support::runs::config_of_runs;
use support::script;

/// What a shell could know: every id it was given.
#[derive(Default)]
struct Known {
    generations: Vec<GenerationId>,
    utterances: Vec<UtteranceId>,
    replies: Vec<ReplyId>,
    calls: Vec<ToolCallId>,
    confirmations: Vec<frontdesk_conversation::ConfirmationId>,
}

impl Known {
    fn note(&mut self, command: &Command) {
        match command {
            Command::AskModel { generation, .. } => self.generations.push(*generation),
            Command::Synthesise { utterance, reply, .. } => {
                self.utterances.push(*utterance);
                self.replies.push(*reply);
            }
            Command::RunTool { call } | Command::PrepareTool { call } => self.calls.push(call.id.clone()),
            Command::CommitTool { confirmation, .. } => self.confirmations.push(confirmation.clone()),
            _ => {}
        }
    }
}

/// Mostly a young one of those that are known, sometimes an invented one.
fn some<T: Clone>(random: &mut Random, known: &[T], invented: T) -> T {
    if known.is_empty() || random.one_in(12) {
        return invented;
    }
    let back = random.below(known.len() as u64).min(random.below(4));
    known.iter().rev().nth(usize::try_from(back).unwrap_or_default()).cloned().unwrap_or(invented)
}

const TEXTS: [&str; 10] = [
    "",
    " ",
    "yes",
    "mm-hm",
    "I would like to come on Tuesday. Is nine",
    "…!?",
    "Grüß Gott, schön 日本語。 ok",
    "Dr. Lee at 9.30, or",
    "\n\n- ",
    "a very long sentence without any end that goes on and on and on and never seems to want to stop at all, does it",
];

fn time(random: &mut Random, now: CallTime) -> CallTime {
    match random.below(12) {
        0 => CallTime::ZERO,
        1 => CallTime::from_micros(u64::MAX),
        2..5 => now,
        _ => now - Duration::from_millis(random.below(3000)),
    }
}

fn length(random: &mut Random) -> Duration {
    match random.below(10) {
        0 => Duration::ZERO,
        1 => Duration::MAX,
        _ => Duration::from_millis(random.below(6000)),
    }
}

fn played(random: &mut Random) -> PlayedPos {
    let samples = if random.one_in(10) { u64::MAX } else { random.below(100_000) };
    PlayedPos { samples, rate_hz: *random.pick(&[0, 1, 8000, 24_000, u32::MAX]) }
}

fn failure(random: &mut Random) -> Failure {
    Failure { retryable: !random.one_in(5), kind: "any".into() }
}

fn refusal() -> ToolError {
    ToolError { code: "any".into(), message: "any".into(), details: Some(json!([1])), retryable: true }
}

fn tool_call(random: &mut Random, known: &Known) -> ToolCall {
    let name = *random.pick(&["book", "find_slots", "confirm", "confirm", "note_intent", "end_call", "transfer_call", "nonsense", ""]);
    let id = some(random, &known.calls, ToolCallId(String::new()));
    let waiting = format!("c{}", 1 + random.below(4));
    let arguments = match random.below(5) {
        0 => Value::Null,
        1 => json!("{bad"),
        2 => json!({}),
        _ => json!({ "confirmation_id": waiting }),
    };
    ToolCall { id, name: name.into(), arguments }
}

fn transcript(random: &mut Random, now: CallTime) -> Transcript {
    let text = *random.pick(&TEXTS);
    let words = text.split_whitespace().take(usize::try_from(random.below(4)).unwrap_or_default()).map(|word| {
        let (start, end) = (time(random, now), time(random, now));
        HeardWord { text: word.into(), start, end, confidence: *random.pick(&[0.0, 0.5, f32::NAN]) }
    });
    let words = words.filter(|word| word.confidence.is_finite()).collect();
    Transcript {
        text: text.into(),
        is_final: random.one_in(2),
        from_finalize: random.one_in(3),
        ends_turn: random.one_in(3),
        words,
        language: None,
    }
}

fn model_input(random: &mut Random, known: &Known) -> Input {
    let generation = some(random, &known.generations, GenerationId { reply: ReplyId(99), step: 0 });
    match random.below(8) {
        0..4 => Input::ModelText { generation, text: (*random.pick(&TEXTS)).into() },
        4 | 5 => Input::ModelToolCall { generation, call: tool_call(random, known) },
        6 => Input::ModelDone { generation },
        _ => Input::ModelFailed { generation, failure: failure(random) },
    }
}

fn speech_input(random: &mut Random, known: &Known) -> Input {
    let utterance = some(random, &known.utterances, UtteranceId(0));
    match random.below(8) {
        0 => Input::SynthesisStarted { utterance },
        1 => {
            let words = [("x", length(random)), ("y", length(random))];
            let words = words.map(|(text, end)| SpokenWord { text: text.into(), end });
            let count = usize::try_from(random.below(3)).unwrap_or_default();
            Input::SynthesisDone { utterance, duration: length(random), words: words.into_iter().take(count).collect() }
        }
        2 => Input::SynthesisFailed { utterance, failure: failure(random) },
        3 => Input::PlaybackStarted { utterance },
        4 => Input::PlaybackPosition { utterance, played: played(random) },
        5 | 6 => Input::PlaybackFinished { utterance },
        _ => {
            let cut = random.one_in(2).then(|| (utterance, played(random)));
            Input::Flushed { reply: some(random, &known.replies, ReplyId(u32::MAX)), cut }
        }
    }
}

fn tool_input(random: &mut Random, known: &Known) -> Input {
    let call = some(random, &known.calls, ToolCallId("none".into()));
    let good = !random.one_in(4);
    match random.below(4) {
        0 => Input::ToolFinished { call, outcome: if good { Ok(json!({"target": "office"})) } else { Err(refusal()) } },
        1 | 2 => {
            let prepared = Prepared { arguments: json!({}), read_back: (*random.pick(&TEXTS)).into() };
            Input::ToolPrepared { call, outcome: if good { Ok(prepared) } else { Err(refusal()) } }
        }
        _ => {
            let confirmation = some(random, &known.confirmations, frontdesk_conversation::ConfirmationId("c1".into()));
            let outcome = match random.below(3) {
                0 => CommitOutcome::Unknown,
                1 => CommitOutcome::Refused(refusal()),
                _ => CommitOutcome::Done(json!("x".repeat(usize::try_from(random.below(2) * 70_000).unwrap_or_default()))),
            };
            Input::ToolCommitted { confirmation, outcome }
        }
    }
}

fn turn_input(random: &mut Random, now: CallTime) -> Input {
    match random.below(4) {
        0 => Input::EndTurn,
        3 => Input::SetLanguage { language: (*random.pick(&["es", "en-US", "", "xx"])).into() },
        1 => Input::Expect {
            field: *random.pick(&[None, Some(FieldKind::Phone), Some(FieldKind::DateOfBirth), Some(FieldKind::SpelledName)]),
        },
        _ => Input::TurnProbability {
            last_speech: time(random, now),
            probability: *random.pick(&[0.0, 0.3, 1.0, -1.0, f32::NAN, f32::INFINITY]),
        },
    }
}

/// An agent with some of the tools, or none.
fn other_agent(random: &mut Random) -> AgentProfile {
    let mut tools = script::config().tools;
    tools.retain(|_| !random.one_in(3));
    AgentProfile { name: (*random.pick(&["billing", "nurse", ""])).into(), instructions: (*random.pick(&TEXTS)).into(), tools }
}

fn any_input(random: &mut Random, known: &Known, now: CallTime) -> Input {
    match random.below(20) {
        0..5 => model_input(random, known),
        5..9 => speech_input(random, known),
        9..12 => tool_input(random, known),
        12 => Input::SpeechStarted { at: time(random, now) },
        13 => Input::SpeechEnded { last_speech: time(random, now) },
        14..17 => Input::Transcript(transcript(random, now)),
        17 if random.one_in(2) => turn_input(random, now),
        17 => random
            .pick(&[Input::Tick, Input::Answered, Input::Dtmf { digit: '#' }, Input::Dtmf { digit: '5' }, Input::Dtmf { digit: '√' }])
            .clone(),
        18 => Input::Text { text: (*random.pick(&TEXTS)).into() },
        _ if random.one_in(8) => Input::TranscriptionFailed(failure(random)),
        _ if random.one_in(8) => Input::TranscriptionReopened,
        _ if random.one_in(6) => Input::Reconfigure(Box::new(other_agent(random))),
        _ if random.one_in(6) => Input::TransferEnded(TransferOutcome::from_sip(*random.pick(&[0, 202, 486, 480, 603, 503, u16::MAX]))),
        _ if random.one_in(20) => random.pick(&[Input::CallerLeft, Input::Stop]).clone(),
        _ if random.one_in(8) => random.pick(&[Input::PersonCame, Input::PersonLeft]).clone(),
        _ => Input::Tick,
    }
}

/// Ordinary settings, or extreme ones.
fn settings(random: &mut Random) -> Config {
    let mut config = script::config();
    config.preemptive_generation = random.one_in(2);
    config.endpointing.mode = *random.pick(&[EndpointingMode::Vad, EndpointingMode::Model, EndpointingMode::Stt, EndpointingMode::Manual]);
    config.trouble_transfer = random.one_in(2).then(|| "front office".into());
    config.misunderstanding.offer_after = *random.pick(&[0, 1, 3]);
    if random.one_in(2) {
        return config;
    }
    config.transfer_timeout = length(random);
    let mut any = || length(random);
    for tool in &mut config.tools {
        tool.timeout = any();
    }
    (config.endpointing.min_delay, config.endpointing.max_delay, config.endpointing.finalize_timeout) = (any(), any(), any());
    (config.endpointing.vad_delay, config.endpointing.pace_max, config.endpointing.field_delay) = (any(), any(), any());
    (config.interruption.min_duration, config.interruption.silence_detection) = (any(), any());
    (config.interruption.resume_after, config.interruption.flush_timeout) = (any(), any());
    (config.silence.away_after, config.silence.filler_after) = (any(), any());
    (config.silence.dead_air_max, config.silence.model_timeout) = (any(), any());
    config.max_tool_steps = u32::try_from(random.below(3)).unwrap_or_default();
    let phrases = &mut config.phrases;
    for phrase in [
        &mut phrases.filler,
        &mut phrases.fallback,
        &mut phrases.away,
        &mut phrases.goodbye,
        &mut phrases.apology,
        &mut phrases.put_through,
    ] {
        if random.one_in(3) {
            *phrase = (*random.pick(&TEXTS)).into();
        }
    }
    if random.one_in(3) {
        config.greeting.clear();
    }
    if random.one_in(3) {
        config.disclaimer = (*random.pick(&TEXTS)).into();
    }
    config.interruption.interruptible_read_back = random.one_in(2);
    config.languages.insert("es".into(), Phrases::spanish());
    config.menu.insert('5', (*random.pick(&TEXTS)).into());
    config
}

/// Takes all commands; checks that the summary is the last of them.
fn drain(talk: &mut Conversation, known: &mut Known, finished: &mut u32) {
    while let Some(command) = talk.poll() {
        assert_eq!(*finished, 0, "{command:?} after the summary");
        *finished += u32::from(matches!(command, Command::Finish(_)));
        known.note(&command);
    }
}

/// The state as another worker would read it.
fn reread(talk: &Conversation) -> StoredState {
    let state = talk.state();
    let json = state.to_json().expect("the state is JSON");
    let again = StoredState::from_json(&json).expect("what was stored can be read");
    assert_eq!(again, state, "the state survives storing");
    again
}

fn play(seed: u64, length: usize) {
    let mut random = Random::new(seed);
    let config = settings(&mut random);
    let mut talk = Conversation::new(config.clone());
    let (mut known, mut now, mut finished) = (Known::default(), CallTime::ZERO, 0);
    if !random.one_in(20) {
        talk.handle(now, Input::Answered);
    }
    for _ in 0..length {
        if !random.one_in(8) {
            drain(&mut talk, &mut known, &mut finished);
        }
        match (random.below(8), talk.deadline()) {
            (0..3, Some(at)) => {
                now = now.max(at).min(now + Duration::from_secs(60));
                talk.handle(now, Input::Tick);
                drain(&mut talk, &mut known, &mut finished);
                assert!(talk.deadline().is_none_or(|at| at > now), "a deadline in the past: {:?} at {now:?}", talk.deadline());
            }
            _ => {
                now = now + Duration::from_millis(random.below(400));
                let input = any_input(&mut random, &known, now);
                // A clock that goes back does no harm.
                let at = if random.one_in(30) { CallTime::ZERO } else { now };
                talk.handle(at, input);
            }
        }
        if random.one_in(40) {
            drain(&mut talk, &mut known, &mut finished);
            talk = Conversation::resume(config.clone(), reread(&talk), now);
            // A worker that takes over an ended call gives its summary once more.
            finished = 0;
        }
    }
    reread(&talk);
    drain(&mut talk, &mut known, &mut finished);
    talk.handle(now, Input::CallerLeft);
    drain(&mut talk, &mut known, &mut finished);
    while let Some(at) = talk.deadline() {
        assert!(finished == 0 && at > now, "{at:?} is due at {now:?}");
        now = at;
        talk.handle(now, Input::Tick);
        drain(&mut talk, &mut known, &mut finished);
    }
    assert_eq!((finished, talk.is_finished()), (1, true), "one summary at the end");
    talk.handle(now, Input::Answered);
    assert!(talk.poll().is_none(), "an ended call stays so");
}

proptest! {
    #![proptest_config(config_of_runs(1000))]

    #[test]
    fn nothing_panics_and_every_call_ends_with_one_summary(seed in any::<u64>(), length in 0..200usize) {
        play(seed, length);
    }
}
