//! A whole call in virtual time: a caller, a recogniser, a model, a synthesiser, a player and tools around one conversation.
//!
//! Nothing waits: the world goes from one event to the next. A livelock (commands without end at one instant) fails the test.

#![expect(dead_code, reason = "each test binary uses its own part of the harness")]

pub(crate) mod checks;
pub(crate) mod player;
pub(crate) mod random;
pub(crate) mod runs;
pub(crate) mod script;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use frontdesk_conversation::{
    CallTime, Command, CommitOutcome, Config, Conversation, Effect, Failure, Floor, GenerationId, Input, Message, Prepared, StoredState,
    ToolCall, ToolCallId, ToolError, Transcript, TransferOutcome,
};
use player::Player;
use random::Random;
use script::{Answer, Bit, bits, config, interim, read_back, say};
use serde_json::{Value, json};

/// More inputs than this at one instant are a livelock.
const INPUTS_PER_INSTANT_MAX: u32 = 400;

pub(crate) const fn ms(ms: u64) -> CallTime {
    CallTime::from_millis(ms)
}

/// What went in and out, and when.
#[derive(Debug, Clone)]
pub(crate) enum Logged {
    In(Input),
    Out(Command),
    /// Another worker took over here.
    Resumed,
}

/// How unreliable the world is; all zero for a scripted scenario.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// One event in so many is lost (0: none).
    pub(crate) lost: u32,
    /// One in so many comes twice.
    pub(crate) doubled: u32,
    /// Up to this much later, so that events overtake each other.
    pub(crate) late_ms: u64,
    /// One provider request in so many fails.
    pub(crate) failing: u32,
}

type Model = Box<dyn FnMut(&[Message], bool) -> Answer>;

/// The world around one conversation.
pub(crate) struct World {
    pub(crate) talk: Conversation,
    pub(crate) now: CallTime,
    pub(crate) log: Vec<(CallTime, Logged)>,
    pub(crate) player: Player,
    pub(crate) random: Random,
    pub(crate) faults: Faults,
    pub(crate) model: Model,
    pub(crate) model_latency_ms: u64,
    /// How a tool answers by name: latency and result; a `Commit` tool's result is its outcome.
    pub(crate) tools: BTreeMap<String, (u64, Result<Value, ToolError>)>,
    /// Whether the recogniser answers `FinalizeTranscript`, and after how long.
    pub(crate) finalize_ms: Option<u64>,
    /// How long the turn model takes, and its probability; `None` if there is no such model.
    pub(crate) turn_model: Option<(u64, f32)>,
    /// What comes of a transfer, and after how long.
    pub(crate) transfer: (u64, TransferOutcome),
    pub(crate) config: Config,
    events: BTreeMap<(CallTime, u64), Input>,
    sequence: u64,
    heard: Vec<String>,
    at_instant: (CallTime, u32),
    /// Every question, with what had been heard of the agent by then.
    pub(crate) asked: Vec<(GenerationId, Vec<Message>, Vec<String>)>,
    commits: BTreeMap<String, CommitOutcome>,
    /// The steps from one state to another that were seen.
    pub(crate) floors: BTreeSet<(Floor, Floor)>,
}

impl World {
    pub(crate) fn new(config: Config, model: impl FnMut(&[Message], bool) -> Answer + 'static) -> Self {
        let tools = [
            ("find_slots", json!({"slots": ["Tuesday 9"]})),
            ("note_intent", json!({})),
            ("book", json!({"code": "K7"})),
            ("cancel", json!({})),
            ("end_call", json!({})),
            ("transfer_call", json!({"target": "front office"})),
        ];
        Self {
            talk: Conversation::new(config.clone()),
            now: CallTime::ZERO,
            log: Vec::new(),
            player: Player::default(),
            random: Random::new(1),
            faults: Faults::default(),
            model: Box::new(model),
            model_latency_ms: 200,
            tools: tools.into_iter().map(|(name, result)| (name.to_string(), (100, Ok(result)))).collect(),
            finalize_ms: Some(150),
            turn_model: Some((45, 0.95)),
            transfer: (5000, TransferOutcome::Accepted),
            config,
            events: BTreeMap::new(),
            sequence: 0,
            heard: Vec::new(),
            at_instant: (CallTime::ZERO, 0),
            asked: Vec::new(),
            commits: BTreeMap::new(),
            floors: BTreeSet::new(),
        }
    }

    /// A world whose model gives these answers in turn, then says "Okay then."
    pub(crate) fn scripted(answers: Vec<Answer>) -> Self {
        let mut answers = answers.into_iter();
        let mut world = Self::new(config(), move |_, _| answers.next().unwrap_or_else(|| bits([say("Okay then.")])));
        world.feed(Input::Answered);
        world
    }

    /// The same without a greeting.
    pub(crate) fn silent_start(answers: Vec<Answer>) -> Self {
        let mut world = Self::scripted(answers);
        world.restart_with(|config| config.greeting.clear());
        world
    }

    /// Begins anew with other settings.
    pub(crate) fn restart_with(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        self.talk = Conversation::new(self.config.clone());
        (self.log, self.player) = (Vec::new(), Player::default());
        self.events.clear();
        self.feed(Input::Answered);
    }

    /// Gives an input now.
    pub(crate) fn feed(&mut self, input: Input) {
        let (at, count) = &mut self.at_instant;
        *count = if *at == self.now { *count + 1 } else { 0 };
        *at = self.now;
        assert!(*count < INPUTS_PER_INSTANT_MAX, "livelock at {:?}: {input:?}", self.now);
        self.log.push((self.now, Logged::In(input.clone())));
        let before = self.talk.floor();
        self.talk.handle(self.now, input);
        self.floors.insert((before, self.talk.floor()));
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(command) = self.talk.poll() {
            self.log.push((self.now, Logged::Out(command.clone())));
            self.obey(command);
        }
    }

    /// Schedules an input, without faults.
    pub(crate) fn at(&mut self, at: CallTime, input: Input) {
        self.sequence += 1;
        self.events.insert((at.max(self.now), self.sequence), input);
    }

    /// Schedules what a provider sends, with the world's faults.
    fn provider_sends(&mut self, after_ms: u64, input: Input) {
        let faults = self.faults;
        if self.random.one_in(faults.lost) {
            return;
        }
        let times = if self.random.one_in(faults.doubled) { 2 } else { 1 };
        for _ in 0..times {
            let late = if faults.late_ms > 0 { self.random.below(faults.late_ms) } else { 0 };
            self.at(self.now + Duration::from_millis(after_ms + late), input.clone());
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::FinalizeTranscript { .. } => {
                let Some(after) = self.finalize_ms else { return };
                let text = std::mem::take(&mut self.heard).join(" ");
                self.provider_sends(
                    after,
                    Input::Transcript(Transcript { text, is_final: true, from_finalize: true, ..Transcript::default() }),
                );
            }
            Command::AskTurnModel { last_speech, .. } => {
                if let Some((after, probability)) = self.turn_model {
                    self.provider_sends(after, Input::TurnProbability { last_speech, probability });
                }
            }
            Command::AskModel { generation, messages, allow_tools } => self.ask(generation, &messages, allow_tools),
            Command::CancelModel { generation } => self.events.retain(|_, input| generation_of(input) != Some(generation)),
            Command::Synthesise { utterance, reply, text } => {
                let failing = self.random.one_in(self.faults.failing);
                if failing {
                    let failure = Failure { retryable: self.random.one_in(2), kind: "broken".into() };
                    self.provider_sends(80, Input::SynthesisFailed { utterance, failure });
                } else {
                    let speech = self.player.order(utterance, reply, &text, self.now + Duration::from_millis(150), &mut self.random);
                    let (duration, words) = (speech.duration, speech.given_words());
                    self.provider_sends(150, Input::SynthesisStarted { utterance });
                    self.provider_sends(160, Input::SynthesisDone { utterance, duration, words });
                }
            }
            Command::Flush { reply } => {
                let cut = self.player.flush(reply, self.now);
                self.provider_sends(20, Input::Flushed { reply, cut });
            }
            Command::Pause => self.player.pause(self.now),
            Command::Resume => self.player.resume(self.now),
            Command::RunTool { call } | Command::PrepareTool { call } => self.run_tool(&call),
            Command::Transfer { .. } => {
                let (after, outcome) = self.transfer;
                self.provider_sends(after, Input::TransferEnded(outcome));
            }
            Command::CommitTool { confirmation, call } => {
                let (after, result) = self.tools.get(&call.name).cloned().unwrap_or((50, Ok(Value::Null)));
                let outcome = self.commits.entry(confirmation.0.clone()).or_insert_with(|| match result {
                    Ok(value) => CommitOutcome::Done(value),
                    Err(error) => CommitOutcome::Refused(error),
                });
                let outcome = outcome.clone();
                self.provider_sends(after, Input::ToolCommitted { confirmation, outcome });
            }
            _ => {}
        }
    }

    fn run_tool(&mut self, call: &ToolCall) {
        let (after, result) = self.tools.get(&call.name).cloned().unwrap_or((50, Ok(Value::Null)));
        let commit = self.config.tools.iter().any(|spec| spec.name == call.name && spec.effect == Effect::Commit);
        let input = if commit {
            let prepared = Prepared { arguments: call.arguments.clone(), read_back: read_back(call) };
            Input::ToolPrepared { call: call.id.clone(), outcome: Ok(prepared) }
        } else {
            Input::ToolFinished { call: call.id.clone(), outcome: result }
        };
        self.provider_sends(after, input);
    }

    fn ask(&mut self, generation: GenerationId, messages: &[Message], allow_tools: bool) {
        self.asked.push((generation, messages.to_vec(), self.player.heard.clone()));
        if self.random.one_in(self.faults.failing) {
            let failure = Failure { retryable: self.random.one_in(2), kind: "broken".into() };
            return self.provider_sends(300, Input::ModelFailed { generation, failure });
        }
        let (bits, end) = match (self.model)(messages, allow_tools) {
            Answer::Bits(bits) => (bits, Input::ModelDone { generation }),
            Answer::Fail(bits, retryable) => {
                (bits, Input::ModelFailed { generation, failure: Failure { retryable, kind: "broken".into() } })
            }
            Answer::Silent => return,
        };
        let mut after = self.model_latency_ms;
        for (number, bit) in bits.into_iter().enumerate() {
            match bit {
                // Two pieces each, so that no test relies on how text is cut in transit.
                Bit::Say(text) => {
                    let half = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
                    let (first, second) = text.split_at(half);
                    for text in [first, second] {
                        self.provider_sends(after, Input::ModelText { generation, text: text.into() });
                    }
                }
                Bit::Call(name, arguments) => {
                    let id = ToolCallId(format!("m{}-{}-{number}", generation.reply, generation.step));
                    self.provider_sends(after, Input::ModelToolCall { generation, call: ToolCall { id, name, arguments } });
                }
            }
            after += 20;
        }
        self.provider_sends(after, end);
    }

    /// The caller speaks from `at` for `length_ms`; interim words come while he speaks.
    pub(crate) fn speak(&mut self, at: CallTime, length_ms: u64, text: &str) -> CallTime {
        let end = at + Duration::from_millis(length_ms);
        self.at(at + Duration::from_millis(60), Input::SpeechStarted { at });
        if !text.is_empty() {
            self.at(at + Duration::from_millis(length_ms * 3 / 4), interim(text));
        }
        self.at(end + Duration::from_millis(250), Input::SpeechEnded { last_speech: end });
        // The recogniser has the words once they have been spoken.
        self.sequence += 1;
        self.heard.extend((!text.is_empty()).then(|| text.to_string()));
        end
    }

    /// Speaks now and runs until the turn has been taken or forgotten.
    pub(crate) fn says(&mut self, text: &str) {
        let end = self.speak(self.now, 900, text);
        self.run_until_time(end + Duration::from_millis(260));
    }

    fn next_time(&self) -> Option<CallTime> {
        let event = self.events.keys().next().map(|(at, _)| *at);
        [event, self.player.next_at(), self.talk.deadline()].into_iter().flatten().min()
    }

    /// Goes to the next event; whether there was one before `limit`.
    pub(crate) fn step(&mut self, limit: CallTime) -> bool {
        let Some(next) = self.next_time().filter(|at| *at <= limit) else { return false };
        self.now = self.now.max(next);
        if let Some(key) = self.events.keys().next().copied().filter(|(at, _)| *at <= self.now) {
            if let Some(input) = self.events.remove(&key) {
                self.feed(input);
            }
        } else if let Some(input) = self.player.due(self.now) {
            self.player_reports(input);
        } else {
            self.feed(Input::Tick);
            let deadline = self.talk.deadline();
            assert!(deadline.is_none_or(|at| at > self.now), "no progress at {:?}: {deadline:?}", self.now);
        }
        true
    }

    /// The player is ours and near; with faults its reports, too, may be lost or late.
    fn player_reports(&mut self, input: Input) {
        if self.faults.late_ms == 0 && self.faults.lost == 0 {
            self.feed(input);
        } else {
            let late_ms = self.faults.late_ms;
            self.faults.late_ms = late_ms.min(100);
            self.provider_sends(0, input);
            self.faults.late_ms = late_ms;
        }
    }

    pub(crate) fn run_until_time(&mut self, until: CallTime) {
        while self.step(until) {}
        self.now = self.now.max(until);
    }

    pub(crate) fn run_ms(&mut self, ms: u64) {
        self.run_until_time(self.now + Duration::from_millis(ms));
    }

    /// Runs until a command of this kind has come; fails after a minute.
    pub(crate) fn run_until(&mut self, what: &str, wanted: impl Fn(&Command) -> bool) -> Command {
        let limit = self.now + Duration::from_secs(60);
        let mut seen = self.log.len();
        loop {
            let found = self.log.iter().skip(seen).find_map(|(_, logged)| match logged {
                Logged::Out(command) if wanted(command) => Some(command.clone()),
                _ => None,
            });
            if let Some(command) = found {
                return command;
            }
            seen = self.log.len();
            assert!(self.step(limit), "no {what} came:\n{}", self.transcript());
        }
    }

    /// Runs until the agent has finished and the caller owes the floor.
    pub(crate) fn run_until_listening(&mut self) {
        use frontdesk_conversation::AgentState::Listening;
        self.run_until("end of the reply", |command| *command == Command::SetState(Listening));
    }

    /// Another worker takes over from the stored state: all that was under way at this one is lost.
    pub(crate) fn resume(&mut self) {
        let json = self.talk.state().to_json().expect("the state is JSON");
        self.log.push((self.now, Logged::Resumed));
        self.talk =
            Conversation::resume(self.config.clone(), StoredState::from_json(&json).expect("what was stored can be read"), self.now);
        self.player.reset(self.now);
        self.events.retain(|_, input| {
            matches!(
                input,
                Input::SpeechStarted { .. }
                    | Input::SpeechEnded { .. }
                    | Input::CallerLeft
                    | Input::Stop
                    | Input::Text { .. }
                    | Input::Dtmf { .. }
            )
        });
        self.carry_out();
    }

    /// Runs until the caller has been silent for a while and the agent, too.
    pub(crate) fn run_until_listening_after_speech(&mut self) {
        self.run_ms(9000);
    }

    /// The agent's lines, as the record would have them if the caller hung up now.
    pub(crate) fn summary_lines(&mut self) -> Vec<String> {
        self.feed(Input::CallerLeft);
        let lines = self.summary().transcript.into_iter().filter(|line| line.speaker == frontdesk_conversation::Speaker::Agent);
        lines.map(|line| line.text).collect()
    }
}

const fn generation_of(input: &Input) -> Option<GenerationId> {
    match input {
        Input::ModelText { generation, .. }
        | Input::ModelToolCall { generation, .. }
        | Input::ModelDone { generation }
        | Input::ModelFailed { generation, .. } => Some(*generation),
        _ => None,
    }
}
