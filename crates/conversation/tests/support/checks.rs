//! Checks of DESIGN's invariants over the log of a call, by means of their own: they share no code with the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use frontdesk_conversation::{AgentState, CallTime, Command, GenerationId, Input, Message};

use super::{Logged, World};

type Check = fn(&World) -> Result<(), String>;

/// Checks everything that holds for every call.
pub(crate) fn check(world: &World) {
    let checks: [(&str, Check); 11] = [
        ("1: no audio after a flush", no_audio_after_flush),
        ("2: two-phase commits", commits),
        ("2: open commits are ordered again", reissued),
        ("3: one output per call", outputs),
        ("5: no dead air", dead_air),
        ("nothing is said beside a person", beside_a_person),
        ("6: an orderly end", end),
        ("speech ahead is one piece at a time", ahead),
        ("turns are completed once", turns),
        ("ids are used once", ids),
        ("one transfer at a time", transfers),
    ];
    for (name, check) in checks {
        if let Err(why) = check(world) {
            panic!("invariant {name}: {why}\n{}", world.transcript());
        }
    }
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

fn no_audio_after_flush(world: &World) -> Result<(), String> {
    let mut flushed = None;
    for (at, command) in world.commands() {
        match command {
            Command::Flush { reply } => flushed = flushed.max(Some(*reply)),
            Command::Synthesise { reply, text, .. } => {
                ensure(flushed.is_none_or(|dead| *reply > dead), || format!("{text:?} of flushed {reply:?} at {at:?}"))?;
            }
            _ => {}
        }
    }
    Ok(())
}

#[derive(Default)]
struct Confirmation {
    read_back: String,
    utterances: BTreeSet<u32>,
    heard: bool,
    answered: bool,
    confirmed: bool,
    /// The draft that confirmed it before its turn was committed.
    drafted: Option<GenerationId>,
}

/// A commit only after: prepared, its read-back played to the end, a turn committed, `confirm` called in an answer to it.
fn commits(world: &World) -> Result<(), String> {
    let mut list: BTreeMap<String, Confirmation> = BTreeMap::new();
    let mut in_epoch = BTreeSet::new();
    let mut prepared = 0;
    for (at, logged) in &world.log {
        match logged {
            Logged::Resumed => in_epoch.clear(),
            Logged::In(Input::ToolPrepared { outcome: Ok(outcome), .. }) => {
                // The machine numbers what it accepts; an answer that it drops (late, doubled) is not numbered.
                let _ = outcome;
            }
            Logged::Out(Command::Audit { action, subject: Some(subject) }) if action == "tool.prepared" => {
                prepared += 1;
                ensure(*subject == format!("c{prepared}"), || format!("{subject} is not the next id"))?;
                list.insert(subject.clone(), Confirmation::default());
            }
            Logged::Out(Command::Audit { action, .. }) if action == "turn.committed" => {
                for confirmation in list.values_mut().filter(|confirmation| confirmation.heard) {
                    confirmation.answered = true;
                    confirmation.confirmed |= confirmation.drafted.is_some();
                }
            }
            Logged::Out(Command::AskModel { messages, .. }) => note_read_backs(messages, &mut list),
            Logged::In(Input::PlaybackFinished { utterance }) => {
                let text = text_of(world, utterance.0);
                for confirmation in list.values_mut().filter(|confirmation| Some(&confirmation.read_back) == text.as_ref()) {
                    confirmation.utterances.insert(utterance.0);
                    confirmation.heard = true;
                }
                // Before the model is asked again the text of the read-back is not known here: match it later.
                for (id, confirmation) in &mut list {
                    if confirmation.read_back.is_empty() && read_back_of(world, id) == text {
                        confirmation.heard = true;
                    }
                }
            }
            Logged::Out(Command::CancelModel { generation }) => {
                for confirmation in list.values_mut().filter(|confirmation| confirmation.drafted == Some(*generation)) {
                    (confirmation.drafted, confirmation.confirmed) = (None, false);
                }
            }
            Logged::In(Input::ModelToolCall { generation, call }) if call.name == "confirm" => {
                let id = call.arguments.get("confirmation_id").and_then(|id| id.as_str()).unwrap_or_default();
                if let Some(confirmation) = list.get_mut(id).filter(|confirmation| confirmation.heard) {
                    // In a draft it counts once the turn that it answers is committed.
                    confirmation.confirmed |= confirmation.answered;
                    confirmation.drafted = (!confirmation.answered).then_some(*generation);
                }
            }
            Logged::Out(Command::CommitTool { confirmation: id, .. }) => {
                let good = list.get(&id.0).is_some_and(|confirmation| confirmation.confirmed);
                ensure(good, || format!("commit of {id} at {at:?} without a confirmation that counts"))?;
                ensure(in_epoch.insert(id.0.clone()), || format!("{id} committed twice"))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whoever takes over orders a commit that is open again, under the same key, before anything else is told.
fn reissued(world: &World) -> Result<(), String> {
    let mut open: BTreeSet<String> = BTreeSet::new();
    let mut missing: BTreeSet<String> = BTreeSet::new();
    for (at, logged) in &world.log {
        match logged {
            Logged::Out(Command::CommitTool { confirmation, .. }) => {
                missing.remove(&confirmation.0);
                open.insert(confirmation.0.clone());
            }
            Logged::Out(Command::Audit { action, subject: Some(id) })
                if ["tool.committed", "tool.refused", "tool.outcome_unknown"].contains(&action.as_str()) =>
            {
                open.remove(id);
            }
            Logged::Resumed => missing.clone_from(&open),
            Logged::In(_) => ensure(missing.is_empty(), || format!("{missing:?} not ordered again before {at:?}"))?,
            Logged::Out(_) => {}
        }
    }
    Ok(())
}

/// At each new question the agent's lines are the words that were heard, in order; of what was heard only fillers may be
/// left out, at the end. For worlds that lose nothing.
pub(crate) fn history_is_what_was_heard(world: &World) -> Result<(), String> {
    for (generation, messages, heard) in &world.asked {
        if generation.step > 0 {
            // Within a reply the line of the step before may still be playing.
            continue;
        }
        let lines = messages.iter().filter_map(|message| match message {
            Message::Assistant { text, .. } => Some(text.as_str()),
            _ => None,
        });
        let told: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
        let heard: Vec<&str> = heard.iter().flat_map(|text| text.split_whitespace()).collect();
        let rest = heard.strip_prefix(told.as_slice());
        let filler: Vec<&str> = world.config.phrases.filler.split_whitespace().collect();
        let fillers = rest.is_some_and(|rest| rest.chunks(filler.len()).all(|words| filler.starts_with(words)));
        ensure(fillers, || format!("{generation:?}: told {told:?}, heard {heard:?}"))?;
    }
    Ok(())
}

fn text_of(world: &World, utterance: u32) -> Option<String> {
    world.commands().find_map(|(_, command)| match command {
        Command::Synthesise { utterance: id, text, .. } if id.0 == utterance => Some(text.clone()),
        _ => None,
    })
}

/// The read-back of a confirmation, from the output that the model was shown.
fn read_back_of(world: &World, id: &str) -> Option<String> {
    let mut list = BTreeMap::from([(id.to_string(), Confirmation::default())]);
    for (_, command) in world.commands() {
        if let Command::AskModel { messages, .. } = command {
            note_read_backs(messages, &mut list);
        }
    }
    list.remove(id).map(|confirmation| confirmation.read_back).filter(|text| !text.is_empty())
}

fn note_read_backs(messages: &[Message], list: &mut BTreeMap<String, Confirmation>) {
    for message in messages {
        let Message::Tool { content, .. } = message else { continue };
        let Ok(output) = serde_json::from_str::<serde_json::Value>(content) else { continue };
        let id = output["confirmation_id"].as_str().unwrap_or_default();
        if let (Some(confirmation), Some(text)) = (list.get_mut(id), output["read_back"].as_str()) {
            confirmation.read_back = text.into();
        }
    }
}

/// Every tool call in a question has its one output right behind it, and no output stands alone.
fn outputs(world: &World) -> Result<(), String> {
    for (at, command) in world.commands() {
        let Command::AskModel { messages, .. } = command else { continue };
        let mut open: Vec<String> = Vec::new();
        let mut seen = BTreeSet::new();
        for message in messages {
            match message {
                Message::Tool { call, .. } => {
                    let expected = open.first().cloned();
                    ensure(expected.as_deref() == Some(&*call.0), || format!("output of {call} at {at:?}, expected {expected:?}"))?;
                    open.remove(0);
                }
                other => {
                    ensure(open.is_empty(), || format!("no output of {open:?} at {at:?}"))?;
                    if let Message::Assistant { tool_calls, .. } = other {
                        open = tool_calls.iter().map(|call| call.id.0.clone()).collect();
                        let fresh = tool_calls.iter().all(|call| seen.insert(call.id.0.clone()));
                        ensure(fresh, || format!("an id twice in {tool_calls:?}"))?;
                    }
                }
            }
        }
        ensure(open.is_empty(), || format!("no output of {open:?} at {at:?}"))?;
    }
    Ok(())
}

/// While the agent thinks and the caller is silent, something is ordered to be said, or the floor is given, within the limit;
/// while the agent listens and the caller does nothing, he is asked.
fn dead_air(world: &World) -> Result<(), String> {
    let silence = &world.config.silence;
    let margin = Duration::from_millis(50);
    let (mut state, mut paused, mut speaking, mut since, mut person) = (None, false, false, CallTime::ZERO, false);
    for (at, logged) in &world.log {
        let limit = match state {
            // Who pauses still has something to say, or to find out.
            Some(AgentState::Listening) if paused => silence.dead_air_max + margin,
            Some(AgentState::Thinking) => silence.dead_air_max + margin,
            Some(AgentState::Listening) => silence.away_after + margin,
            _ => Duration::MAX,
        };
        // A person who speaks to the caller fills the silence.
        if !speaking && !person {
            ensure(at.since(since) <= limit, || format!("silence from {since:?} to {at:?}, {state:?}"))?;
        }
        match logged {
            Logged::Out(Command::SetState(present)) => (state, since) = (Some(*present), *at),
            Logged::Out(Command::HangUp | Command::Finish(_)) => state = None,
            Logged::Out(Command::Pause) => (paused, since) = (true, *at),
            Logged::Out(Command::Resume | Command::Flush { .. }) => (paused, since) = (false, *at),
            Logged::Out(command) if stands_aside(command) => person = true,
            Logged::In(Input::PersonLeft) => (person, since) = (false, *at),
            Logged::Resumed => (person, paused, since) = (false, false, *at),
            Logged::In(Input::CallerLeft | Input::Stop) => return Ok(()),
            Logged::Out(Command::Synthesise { .. }) => since = *at,
            Logged::In(Input::PlaybackStarted { .. } | Input::PlaybackPosition { .. } | Input::PlaybackFinished { .. }) => since = *at,
            Logged::In(Input::SpeechStarted { .. }) => speaking = true,
            Logged::In(Input::SpeechEnded { .. }) => (speaking, since) = (false, *at),
            // The keys of a caller are heard by himself.
            Logged::In(Input::Dtmf { digit }) if digit.is_ascii_digit() || "*#".contains(*digit) => since = *at,
            Logged::In(Input::Text { text }) if !text.trim().is_empty() => since = *at,
            // Words alone are a sign of life, but no sound that an agent who owes an answer may wait upon.
            Logged::In(Input::Transcript(words)) if state == Some(AgentState::Listening) && !words.text.is_empty() => since = *at,
            _ => {}
        }
    }
    Ok(())
}

/// What is never cut off is said to its end before.
fn stands_aside(command: &Command) -> bool {
    matches!(command, Command::Audit { action, .. } if action == "person.came")
}

/// While a person speaks to the caller, the agent orders no speech and asks nothing.
fn beside_a_person(world: &World) -> Result<(), String> {
    let mut person = false;
    for (at, logged) in &world.log {
        match logged {
            Logged::Out(command) if stands_aside(command) => person = true,
            Logged::In(Input::PersonLeft) | Logged::Resumed => person = false,
            Logged::Out(command @ (Command::Synthesise { .. } | Command::SynthesiseAhead { .. } | Command::AskModel { .. })) => {
                ensure(!person, || format!("{command:?} at {at:?}"))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// One summary, the last command of all; one hang-up at most; nothing but closing commands once the caller has left.
fn end(world: &World) -> Result<(), String> {
    let (mut gone, mut finished, mut hung_up) = (false, false, 0);
    for (at, logged) in &world.log {
        match logged {
            // A worker that takes over an ended call gives its summary again: keeping it is idempotent.
            Logged::Resumed => (finished, hung_up) = (false, 0),
            Logged::In(Input::CallerLeft | Input::Stop) => gone = true,
            Logged::In(_) => {}
            Logged::Out(command) => {
                ensure(!finished, || format!("{command:?} at {at:?} after the summary"))?;
                let closing = matches!(
                    command,
                    Command::CancelModel { .. }
                        | Command::CancelTool { .. }
                        | Command::DropAhead
                        | Command::Flush { .. }
                        | Command::TurnCompleted(_)
                        | Command::PublishTranscript(_)
                        | Command::StoreState
                        | Command::Audit { .. }
                        | Command::HangUp
                        | Command::Finish(_)
                );
                // A new worker orders again what was open.
                let reissued = matches!(command, Command::CommitTool { .. } | Command::RunTool { .. });
                ensure(!gone || closing || reissued, || format!("{command:?} at {at:?} after the caller left"))?;
                hung_up += u32::from(*command == Command::HangUp);
                ensure(hung_up <= 1, || "hung up twice".into())?;
                finished |= matches!(command, Command::Finish(_));
            }
        }
    }
    Ok(())
}

/// Speech that was ordered ahead is taken over by the next order to speak, or dropped, before there is more of it.
fn ahead(world: &World) -> Result<(), String> {
    let mut open = false;
    for (at, logged) in &world.log {
        match logged {
            Logged::Out(Command::SynthesiseAhead { .. }) => {
                ensure(!open, || format!("a second piece of speech ahead at {at:?}"))?;
                open = true;
            }
            Logged::Out(Command::DropAhead | Command::Synthesise { .. } | Command::Finish(_)) | Logged::Resumed => open = false,
            _ => {}
        }
    }
    Ok(())
}

/// Each committed turn has its figures given exactly once.
fn turns(world: &World) -> Result<(), String> {
    let (mut committed, mut completed) = (Vec::new(), Vec::new());
    let mut finished = false;
    for (_, command) in world.commands() {
        match command {
            Command::Audit { action, subject: Some(turn) } if action == "turn.committed" => committed.push(turn.clone()),
            Command::TurnCompleted(metrics) => completed.push(metrics.turn.to_string()),
            Command::Finish(_) => finished = true,
            _ => {}
        }
    }
    let mut unique = completed.clone();
    unique.dedup();
    ensure(unique == completed, || format!("completed {completed:?}"))?;
    ensure(!finished || committed == completed, || format!("committed {committed:?}, completed {completed:?}"))
}

fn ids(world: &World) -> Result<(), String> {
    let (mut utterances, mut generations) = (BTreeSet::new(), BTreeSet::new());
    for (_, command) in world.commands() {
        match command {
            Command::Synthesise { utterance, .. } => ensure(utterances.insert(*utterance), || format!("{utterance:?} twice"))?,
            Command::AskModel { generation, .. } => ensure(generations.insert(*generation), || format!("{generation:?} twice"))?,
            _ => {}
        }
    }
    Ok(())
}

/// A transfer is ordered only once the one before has its outcome or its time is over.
fn transfers(world: &World) -> Result<(), String> {
    let mut under_way = None;
    for (at, logged) in &world.log {
        match logged {
            Logged::In(Input::TransferEnded(_)) | Logged::Resumed => under_way = None,
            Logged::Out(Command::Transfer { .. }) => {
                let free = under_way.is_none_or(|since| at.since(since) >= world.config.transfer_timeout);
                ensure(free, || format!("a second transfer at {at:?}"))?;
                under_way = Some(*at);
            }
            _ => {}
        }
    }
    Ok(())
}
