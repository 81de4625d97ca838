//! People who join a telephone call and speak to the caller.

use std::collections::BTreeSet;

use frontdesk_agent::TransportEvent;
use frontdesk_agent::transport::WhenPersonSpeaks;

use super::LiveKitTransport;
use crate::room::{Participant, ParticipantKind};

/// The identities of those who speak to the caller, while the agent stands aside.
pub(super) type People = BTreeSet<String>;

impl LiveKitTransport {
    /// Somebody is heard who is not the caller.
    pub(super) fn person_speaks(&mut self, identity: &str) -> Option<TransportEvent> {
        if !self.is_person(identity) {
            return None;
        }
        match self.options.when_person_speaks {
            WhenPersonSpeaks::Leave => {
                tracing::info!(call = self.info.call_id, "a person speaks to the caller; the call is left to him");
                // The caller stays, and is heard by somebody else.
                self.farewell.leave_the_room_be();
                Some(TransportEvent::TakenByPerson)
            }
            WhenPersonSpeaks::StandAside => {
                let is_first = self.people.is_empty();
                self.people.insert(identity.to_owned());
                self.farewell.lend(true);
                is_first.then(|| {
                    tracing::info!(call = self.info.call_id, "a person speaks to the caller; the agent stands aside");
                    TransportEvent::PersonCame
                })
            }
            WhenPersonSpeaks::GoOn => None,
        }
    }

    /// Somebody has left: perhaps the last of them.
    pub(super) fn people_left(&mut self) -> Option<TransportEvent> {
        let present = self.room.participants();
        let before = self.people.len();
        self.people.retain(|identity| present.iter().any(|participant| participant.identity == *identity));
        let is_alone = before > 0 && self.people.is_empty();
        is_alone.then(|| {
            tracing::info!(call = self.info.call_id, "the person has left; the agent has the caller again");
            self.farewell.lend(false);
            TransportEvent::PersonLeft
        })
    }

    /// Whether whoever speaks there is a person, and the caller on the telephone.
    fn is_person(&self, identity: &str) -> bool {
        let is_it = |participant: &Participant| participant.identity == identity && participant.kind == ParticipantKind::Standard;
        self.caller.kind == ParticipantKind::Sip && self.caller.identity != identity && self.room.participants().iter().any(is_it)
    }
}
