//! Emergencies: the tenant's own words, said at once, without asking the model.

use crate::backchannel::normalise;
use crate::machine::Conversation;

impl Conversation {
    /// The phrase of an emergency among the caller's words, unless it was answered before in this call: one who goes on about it
    /// talks to the model, which knows what he was told.
    pub(crate) fn emergency_in(&self, said: &str) -> Option<String> {
        if self.phrases().emergency.is_empty() {
            return None;
        }
        let said = format!(" {} ", normalise(said));
        let is_said = |phrase: &String| !phrase.is_empty() && said.contains(&format!(" {phrase} "));
        let phrases = self.config.emergency_phrases.iter().map(|phrase| normalise(phrase));
        phrases.into_iter().find(|phrase| is_said(phrase) && !self.state.emergencies.contains(phrase))
    }

    /// Notes that an emergency is answered now, and gives the answer.
    pub(crate) fn answer_emergency(&mut self, phrase: String) -> String {
        self.audit("emergency.answered", None);
        self.state.emergencies.insert(phrase);
        self.phrases().emergency.clone()
    }
}
