//! The rows of the table, and which is compared with which.

use crate::common::clinics::{Clinic, Turns};

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Peer,
    Ours,
}

/// A row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    /// In files and on the command line.
    pub(super) id: &'static str,
    /// In the table.
    pub(super) title: &'static str,
    pub(super) side: Side,
    pub(super) turns: Turns,
    /// The number that its callers dial.
    pub(super) number: &'static str,
    /// The agent that is dispatched.
    pub(super) agent_name: &'static str,
}

pub(super) const ROWS: [Row; 4] = [
    Row {
        id: "peer-default",
        title: "peer, default turn handling",
        side: Side::Peer,
        turns: Turns::Model,
        number: "+15550201",
        agent_name: "peer-default",
    },
    Row { id: "peer-vad", title: "peer, VAD only", side: Side::Peer, turns: Turns::Vad, number: "+15550202", agent_name: "peer-vad" },
    Row {
        id: "ours-model",
        title: "frontdesk, turn model",
        side: Side::Ours,
        turns: Turns::Model,
        number: "+15550203",
        agent_name: "frontdesk",
    },
    Row { id: "ours-vad", title: "frontdesk, VAD only", side: Side::Ours, turns: Turns::Vad, number: "+15550204", agent_name: "frontdesk" },
];

impl Row {
    /// Whom its callers reach.
    pub(super) fn clinic(&self) -> Clinic {
        let own = (self.side == Side::Ours).then_some(self.turns);
        Clinic { id: self.id, number: self.number, agent_name: self.agent_name, own }
    }

    /// The row of the other side that this one is measured against.
    pub(super) fn rival(&self) -> &'static Self {
        ROWS.iter().find(|row| row.side != self.side && row.turns == self.turns).expect("every row has its rival in ROWS")
    }
}
