//! The language of the call: it follows the caller, among those that the agent speaks.

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::config::Phrases;
use crate::input::Transcript;
use crate::machine::Conversation;

/// So many final segments in a row in another language change the call's; a single one may be a name or an error.
const SEGMENTS: u32 = 2;
/// A segment of so many words needs no second.
const WORDS_SURE: usize = 5;

/// The language of the call, and what speaks for another one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Language {
    /// `None` for the one in which the call began.
    current: Option<String>,
    heard: Option<String>,
    times: u32,
}

/// `es-419` is `es`.
fn primary(tag: &str) -> String {
    tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase()
}

impl Conversation {
    /// The language of the call, as a primary tag.
    #[must_use]
    pub fn language(&self) -> &str {
        self.state.language.current.as_deref().unwrap_or(&self.config.language)
    }

    /// Tells a new worker in which language the call goes on, if not in the one in which it began.
    pub(crate) fn restore_language(&mut self) {
        if let Some(language) = self.state.language.current.clone() {
            self.push(Command::SetLanguage { language });
        }
    }

    /// What the agent says by itself, in the language of the call.
    pub(crate) fn phrases(&self) -> &Phrases {
        self.config.languages.get(self.language()).unwrap_or(&self.config.phrases)
    }

    /// Notes the language that the recogniser heard; the call follows once it is sure.
    pub(crate) fn note_language(&mut self, transcript: &Transcript) {
        let Some(tag) = &transcript.language else { return };
        self.state.record.language = Some(tag.clone());
        if !transcript.is_final || transcript.text.trim().is_empty() {
            return;
        }
        let heard = primary(tag);
        let language = &mut self.state.language;
        language.times = if language.heard.as_ref() == Some(&heard) { language.times.saturating_add(1) } else { 1 };
        language.heard = Some(heard.clone());
        let sure = language.times >= SEGMENTS || transcript.text.split_whitespace().count() >= WORDS_SURE;
        if sure {
            self.set_language(&heard);
        }
    }

    /// Goes on in another language, if it is one of the agent's and not the present one.
    pub(crate) fn set_language(&mut self, tag: &str) {
        let tag = primary(tag);
        let is_known = tag == self.config.language || self.config.languages.contains_key(&tag);
        if !is_known || tag == self.language() {
            return;
        }
        self.state.language.current = Some(tag.clone());
        self.state.history.note(format!("The caller speaks another language now. Answer in the language with the tag \"{tag}\"."));
        self.audit("language.changed", Some(tag.clone()));
        self.push(Command::SetLanguage { language: tag });
    }
}
