//! Standing aside: a person has joined the call and speaks to the caller, and the agent stays and says nothing until he has left.
//!
//! The caller's words still become turns of the history and the record, but nothing answers them. What the caller agreed to meanwhile
//! he agreed with the person: an action that was read back before has to be read back again. The time with the person does not
//! count for the longest time of a call, and nobody minds that the caller is silent; if the worker goes down, the agent leaves.

use crate::machine::Conversation;
use crate::reply::{After, Purpose};
use crate::summary::EndReason;
use crate::time::CallTime;

/// What the model is told when the person has left.
const NOTE: &str = "A person of the practice joined the call and spoke with the caller. Of that you heard only the caller, whose words stand \
                    above. The person has left, and the caller is yours again. Nothing that was agreed with the person is known to you.";

impl Conversation {
    /// A person speaks to the caller; what is never cut off is said to its end first.
    pub(crate) fn person_came(&mut self) {
        self.state.person_waits = !self.state.aside;
    }

    /// Stands aside for a person who has come, once nothing is being said that is not to be cut off; whether that was due.
    pub(crate) fn person_due(&mut self, now: CallTime) -> bool {
        let due = self.state.person_waits && !self.is_protected();
        if due {
            self.state.person_waits = false;
            self.stand_aside(now);
        }
        due
    }

    fn stand_aside(&mut self, now: CallTime) {
        self.state.aside = true;
        self.state.aside_since = now;
        self.cancel_reply(now);
        self.release_backchannel(now);
        self.drop_draft();
        self.state.keypad.clear();
        self.state.tools.confirmations.forget_heard();
        self.audit("person.came", None);
        self.push(crate::command::Command::StoreState);
    }

    /// The person has left: the agent says that it is there again.
    pub(crate) fn person_left(&mut self, now: CallTime) {
        self.state.person_waits = false;
        if !self.step_back(now) {
            return;
        }
        self.audit("person.left", None);
        self.state.history.note(NOTE.to_owned());
        self.state.away_asked = false;
        let words = self.phrases().person_left.clone();
        if !self.state.caller.is_idle() {
            // What he is saying now is answered.
            self.push(crate::command::Command::StoreState);
        } else if words.is_empty() {
            self.give_floor(now);
        } else {
            self.start_reply(now, Purpose::Resumed, None, Some(words), After::Floor);
        }
    }

    /// The agent has the caller again; whether it had not. The time in between is not the agent's.
    pub(crate) fn step_back(&mut self, now: CallTime) -> bool {
        let was_aside = std::mem::take(&mut self.state.aside);
        if was_aside {
            self.state.aside_time = self.state.aside_time.saturating_add(now.since(self.state.aside_since));
        }
        was_aside
    }

    /// The call is to end while a person has the caller: it is left to them. Whether that was due.
    pub(crate) fn leave_to_person_due(&mut self, now: CallTime) -> bool {
        let due = self.state.aside && self.state.winding_down.is_some();
        if due {
            self.close(now, EndReason::Transferred);
        }
        due
    }
}
