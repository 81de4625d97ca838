//! What was said, as the language model sees it.
//!
//! A tool call and its output live in one entry, so an output can be neither orphaned nor doubled (invariant 3).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::ids::{ReplyId, ToolCallId, TurnId};
use crate::message::{Message, ToolCall};
use crate::words::join;

/// The oldest entries fall out beyond this; a telephone call has fewer.
const ENTRIES_MAX: usize = 256;

/// Names a line of the agent within the history.
pub(crate) type EntryId = u32;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Entry {
    /// A note that the model must know.
    Note(String),
    /// A turn of the caller.
    Caller { turn: TurnId, text: String },
    /// One step of a reply.
    Agent(AgentEntry),
}

/// One step of a reply: what was said, then the tools that were called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AgentEntry {
    pub(crate) id: EntryId,
    pub(crate) reply: ReplyId,
    /// What is to be said; once nothing of it plays any more, what was heard.
    pub(crate) text: String,
    pub(crate) calls: Vec<CallEntry>,
}

/// A tool call with its one output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CallEntry {
    pub(crate) call: ToolCall,
    pub(crate) output: Option<String>,
}

/// The history of a call.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct History {
    entries: VecDeque<Entry>,
    next_entry: EntryId,
}

impl History {
    fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
        while self.entries.len() > ENTRIES_MAX {
            self.entries.pop_front();
        }
    }

    /// Adds a note.
    pub(crate) fn note(&mut self, text: String) {
        self.push(Entry::Note(text));
    }

    /// Adds a turn of the caller.
    pub(crate) fn caller(&mut self, turn: TurnId, text: String) {
        self.push(Entry::Caller { turn, text });
    }

    /// Opens a line of the agent.
    pub(crate) fn open_agent(&mut self, reply: ReplyId) -> EntryId {
        self.next_entry += 1;
        let id = self.next_entry;
        self.push(Entry::Agent(AgentEntry { id, reply, text: String::new(), calls: Vec::new() }));
        id
    }

    /// What the agent has said since the caller's last turn.
    pub(crate) fn last_agent_text(&self) -> String {
        let since = self.entries.iter().rev().take_while(|entry| !matches!(entry, Entry::Caller { .. }));
        let said = since.filter_map(|entry| match entry {
            Entry::Agent(agent) => Some(agent.text.as_str()),
            _ => None,
        });
        said.fold(String::new(), |later, earlier| join(earlier, &later))
    }

    fn agent_mut(&mut self, id: EntryId) -> Option<&mut AgentEntry> {
        self.entries.iter_mut().rev().find_map(|entry| match entry {
            Entry::Agent(agent) if agent.id == id => Some(agent),
            _ => None,
        })
    }

    /// Adds words that are going to be said.
    pub(crate) fn append(&mut self, id: EntryId, text: &str) {
        if let Some(agent) = self.agent_mut(id) {
            agent.text = join(&agent.text, text);
        }
    }

    /// Replaces what was to be said with what was heard; whether words were lost.
    pub(crate) fn set_heard(&mut self, id: EntryId, heard: String) -> bool {
        let Some(agent) = self.agent_mut(id) else { return false };
        let cut = agent.text != heard;
        agent.text = heard;
        cut
    }

    /// Adds a tool call.
    pub(crate) fn add_call(&mut self, id: EntryId, call: ToolCall) {
        if let Some(agent) = self.agent_mut(id) {
            agent.calls.push(CallEntry { call, output: None });
        }
    }

    /// Settles a tool call; only the first output counts.
    pub(crate) fn set_output(&mut self, call: &ToolCallId, output: String) {
        let calls = self.entries.iter_mut().rev().filter_map(|entry| match entry {
            Entry::Agent(agent) => Some(agent.calls.iter_mut()),
            _ => None,
        });
        if let Some(entry) = calls.flatten().find(|entry| entry.call.id == *call) {
            entry.output.get_or_insert(output);
        }
    }

    /// Takes a turn back out, if the agent has called no tool since.
    pub(crate) fn withdraw(&mut self, turn: TurnId) -> bool {
        let Some(at) = self.entries.iter().rposition(|entry| matches!(entry, Entry::Caller { turn: id, .. } if *id == turn)) else {
            return false;
        };
        let quiet = self.entries.iter().skip(at + 1).all(|entry| matches!(entry, Entry::Agent(agent) if agent.calls.is_empty()));
        if quiet {
            self.entries.remove(at);
        }
        quiet
    }

    /// Replaces the words of a turn with better ones.
    pub(crate) fn correct(&mut self, turn: TurnId, better: &str) {
        for entry in self.entries.iter_mut().rev() {
            match entry {
                Entry::Caller { turn: id, text } if *id == turn => {
                    *text = better.to_string();
                    return;
                }
                _ => {}
            }
        }
    }

    /// The history as messages, instructions first; `next` is a turn of the caller that is not in it yet.
    ///
    /// What the agent said by itself after the last turn or output (a filler) is left out: the model is to answer, not to go on
    /// with the agent's own words. It is there once the answer stands behind it.
    pub(crate) fn messages(&self, instructions: &str, next: Option<&str>) -> Vec<Message> {
        let mut messages = Vec::with_capacity(self.entries.len() + 1);
        if !instructions.is_empty() {
            messages.push(Message::System { text: instructions.to_string() });
        }
        let open = if next.is_some() { 0 } else { self.own_words_at_the_end() };
        for entry in self.entries.iter().take(self.entries.len() - open) {
            match entry {
                Entry::Note(text) => messages.push(Message::System { text: text.clone() }),
                Entry::Caller { text, .. } => messages.push(Message::User { text: text.clone() }),
                Entry::Agent(agent) => agent.messages(&mut messages),
            }
        }
        messages.extend(next.map(|text| Message::User { text: text.to_string() }));
        messages
    }

    fn own_words_at_the_end(&self) -> usize {
        self.entries.iter().rev().take_while(|entry| matches!(entry, Entry::Agent(agent) if agent.calls.is_empty())).count()
    }
}

impl AgentEntry {
    fn messages(&self, messages: &mut Vec<Message>) {
        if self.text.is_empty() && self.calls.is_empty() {
            return;
        }
        let tool_calls = self.calls.iter().map(|entry| entry.call.clone()).collect();
        messages.push(Message::Assistant { text: self.text.clone(), tool_calls });
        for CallEntry { call, output } in &self.calls {
            // The core asks the model only once every call is settled; should it ever not be, the model must not see a hole.
            let content = output.clone().unwrap_or_else(|| crate::outputs::cancelled().to_string());
            messages.push(Message::Tool { call: call.id.clone(), name: call.name.clone(), content });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ENTRIES_MAX, History};
    use crate::ids::{ReplyId, ToolCallId, TurnId};
    use crate::message::{Message, ToolCall};

    #[test]
    fn an_output_stands_behind_its_call_whenever_it_came() {
        let mut history = History::default();
        history.caller(TurnId(1), "a".into());
        let entry = history.open_agent(ReplyId(1));
        let call = ToolCall { id: ToolCallId("t1".into()), name: "find".into(), arguments: json!({}) };
        history.add_call(entry, call.clone());
        history.caller(TurnId(2), "b".into());
        history.set_output(&call.id, "1".into());
        history.set_output(&call.id, "2".into());
        let tool = Message::Tool { call: call.id.clone(), name: "find".into(), content: "1".into() };
        let messages = history.messages("", None);
        assert_eq!(messages.get(2), Some(&tool));
        assert_eq!(messages.len(), 4);
        assert!(!history.withdraw(TurnId(1)), "a tool was called since");
        assert!(history.withdraw(TurnId(2)));
    }

    #[test]
    fn the_oldest_lines_fall_out() {
        let mut history = History::default();
        for turn in 0..1000 {
            history.caller(TurnId(turn), turn.to_string());
        }
        let messages = history.messages("be kind", None);
        assert_eq!(messages.len(), ENTRIES_MAX + 1);
        assert_eq!(messages.first(), Some(&Message::System { text: "be kind".into() }));
        assert_eq!(messages.last(), Some(&Message::User { text: "999".into() }));
    }
}
