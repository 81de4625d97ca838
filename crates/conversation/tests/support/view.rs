//! Looking at what happened in a world.

use frontdesk_conversation::{CallSummary, CallTime, Command, Message};

use super::{Logged, World};

impl World {
    pub(crate) fn commands(&self) -> impl Iterator<Item = (CallTime, &Command)> {
        self.log.iter().filter_map(|(at, logged)| match logged {
            Logged::Out(command) => Some((*at, command)),
            _ => None,
        })
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Command) -> bool) -> usize {
        self.commands().filter(|(_, command)| wanted(command)).count()
    }

    /// The messages of the last question to the model.
    pub(crate) fn last_question(&self) -> Vec<Message> {
        let asked = self.commands().filter_map(|(_, command)| match command {
            Command::AskModel { messages, .. } => Some(messages.clone()),
            _ => None,
        });
        asked.last().unwrap_or_default()
    }

    /// The texts ordered from the synthesiser.
    pub(crate) fn said(&self) -> Vec<String> {
        let texts = self.commands().filter_map(|(_, command)| match command {
            Command::Synthesise { text, .. } => Some(text.clone()),
            _ => None,
        });
        texts.collect()
    }

    pub(crate) fn summary(&self) -> CallSummary {
        let finish = self.commands().find_map(|(_, command)| match command {
            Command::Finish(summary) => Some((**summary).clone()),
            _ => None,
        });
        finish.unwrap_or_else(|| panic!("the call has not ended:\n{}", self.transcript()))
    }

    /// The log for a person to read when a test fails.
    pub(crate) fn transcript(&self) -> String {
        use std::fmt::Write as _;
        self.log.iter().fold(String::new(), |mut text, (at, logged)| {
            let line = match logged {
                Logged::In(input) => format!("<- {input:?}"),
                Logged::Out(Command::AskModel { generation, messages, .. }) => {
                    format!("-> AskModel {generation:?} last: {:?}", messages.last())
                }
                Logged::Out(Command::StoreState | Command::Audit { .. }) => return text,
                Logged::Out(command) => format!("-> {command:?}"),
                Logged::Resumed => "== resumed".into(),
            };
            let _ = writeln!(text, "{:>8} {line}", at.as_millis());
            text
        })
    }
}
