//! Who has the call: the agents, and the task that one of them runs.

use std::collections::{BTreeMap, VecDeque};

use frontdesk_conversation::{AgentProfile, Input, ToolCallId};

use super::driver::Driver;
use super::options::SessionOptions;
use crate::agent::Agent;
use crate::control::CallOrder;
use crate::observe::SessionEvent;
use crate::speech::SpeechOrder;
use crate::tool::ToolSet;

/// Tool calls that ask the caller, of which so many are remembered.
const ASKING_MAX: usize = 16;

/// One who may speak.
#[derive(Clone)]
struct Speaker {
    profile: AgentProfile,
    tools: ToolSet,
    voice: Option<String>,
}

impl From<&Agent> for Speaker {
    fn from(agent: &Agent) -> Self {
        Self { profile: agent.profile(), tools: agent.tool_set(), voice: agent.own_voice().map(str::to_owned) }
    }
}

/// Who has the call.
pub(super) struct Speakers {
    /// The agent that has it, or had it before the task.
    agent: Speaker,
    /// The session's own voice, for agents without one.
    voice: Option<String>,
    /// The voices of further languages.
    by_language: BTreeMap<String, String>,
    /// That of the language in which the call goes on, where it has one of its own.
    of_language: Option<String>,
    /// The voice of whoever has the call.
    of_speaker: Option<String>,
    /// The voice that is spoken with.
    spoken_with: Option<String>,
    /// Tool calls that were answered when they began to ask the caller.
    asking: VecDeque<ToolCallId>,
}

impl Speakers {
    pub(super) fn new(options: &SessionOptions) -> Self {
        let conversation = &options.conversation;
        let name = options.agents.first().map_or("agent", Agent::name).to_owned();
        let profile = AgentProfile { name, instructions: conversation.instructions.clone(), tools: conversation.tools.clone() };
        let voice = options.tts.voice.clone();
        Self {
            agent: Speaker { profile, tools: options.tools.clone(), voice: voice.clone() },
            by_language: options.voices.clone(),
            of_language: None,
            of_speaker: voice.clone(),
            spoken_with: voice.clone(),
            asking: VecDeque::new(),
            voice,
        }
    }
}

impl Driver {
    /// Carries out what a tool orders.
    pub(super) fn on_order(&mut self, order: CallOrder) {
        match order {
            CallOrder::Expect(field) => self.inputs.push_back(Input::Expect { field }),
            CallOrder::HandOff(agent) => {
                let speaker = Speaker::from(&agent);
                self.parts.speakers.agent = speaker.clone();
                self.give_to(speaker);
            }
            CallOrder::BeginTask { agent, field, call, output } => {
                // Either the call that asks is open, or it was answered when it asked for the first time; else it was dropped.
                if self.running.contains_key(&call) {
                    self.parts.speakers.asking.push_front(call.clone());
                    self.parts.speakers.asking.truncate(ASKING_MAX);
                } else if !self.parts.speakers.asking.contains(&call) {
                    return;
                }
                self.parts.tools.detach(&call);
                let mut speaker = Speaker::from(&agent);
                speaker.voice.clone_from(&self.parts.speakers.agent.voice);
                self.give_to(speaker);
                self.inputs.push_back(Input::Expect { field });
                self.tool_ended(&call, Some(true));
                self.inputs.push_back(Input::ToolFinished { call, outcome: Ok(output) });
            }
            CallOrder::EndTask => {
                let speaker = self.parts.speakers.agent.clone();
                self.give_to(speaker);
                self.inputs.push_back(Input::Expect { field: None });
            }
        }
    }

    fn give_to(&mut self, speaker: Speaker) {
        let Speaker { profile, tools, voice } = speaker;
        tracing::info!(agent = %profile.name, "another agent has the call");
        self.parts.watch.tell(self.now(), SessionEvent::HandedOff { to: profile.name.clone() });
        self.parts.tools.replace(tools);
        self.parts.speakers.of_speaker = voice.or_else(|| self.parts.speakers.voice.clone());
        self.change_voice();
        self.inputs.push_back(Input::Reconfigure(Box::new(profile)));
    }

    /// The call goes on in another language: in its own voice, if it has one, whoever speaks.
    pub(super) fn speak_language(&mut self, language: &str) {
        let speakers = &mut self.parts.speakers;
        speakers.of_language = speakers.by_language.get(language).cloned();
        self.change_voice();
    }

    fn change_voice(&mut self) {
        let speakers = &mut self.parts.speakers;
        let voice = speakers.of_language.clone().or_else(|| speakers.of_speaker.clone());
        if voice == speakers.spoken_with {
            return;
        }
        speakers.spoken_with.clone_from(&voice);
        if self.parts.speech.try_send(SpeechOrder::Voice(voice)).is_err() {
            self.parts.incidents.note("text-to-speech: a change of voice was left out, it is too slow");
        }
    }
}
