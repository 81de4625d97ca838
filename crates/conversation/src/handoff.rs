//! Hand-off: other instructions and tools in the same call, over the same history.

use crate::command::Command;
use crate::config::AgentProfile;
use crate::machine::Conversation;
use crate::time::CallTime;

impl Conversation {
    /// The agent that took over last; `None` while the first one has the call.
    #[must_use]
    pub fn agent(&self) -> Option<&AgentProfile> {
        self.state.agent.as_ref()
    }

    /// Gives the call to another agent. A question that the model is answering stays one to the agent before: its words are being
    /// spoken. A draft is dropped, for it was asked with the instructions and tools of the agent before.
    pub(crate) fn reconfigure(&mut self, now: CallTime, agent: AgentProfile) {
        self.drop_draft();
        self.audit("agent.handed_off", Some(agent.name.clone()));
        self.state.record.handed_off(agent.name.clone(), now);
        self.state.agent = Some(agent);
        self.restore_agent();
        self.push(Command::StoreState);
    }

    /// Puts the agent that has the call in the place of the settings' own.
    pub(crate) fn restore_agent(&mut self) {
        if let Some(agent) = &self.state.agent {
            self.config.instructions.clone_from(&agent.instructions);
            self.config.tools.clone_from(&agent.tools);
        }
    }
}
