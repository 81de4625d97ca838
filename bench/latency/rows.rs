//! The rows of the table, and which is compared with which.

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Peer,
    Ours,
}

/// How a side decides that the caller's turn is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turns {
    /// A model listens; the peer's default.
    Model,
    /// Voice activity alone.
    Vad,
}

/// A row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// In files and on the command line.
    pub(crate) id: &'static str,
    /// In the table.
    pub(crate) title: &'static str,
    pub(crate) side: Side,
    pub(crate) turns: Turns,
    /// The number that its callers dial.
    pub(crate) number: &'static str,
    /// The agent that is dispatched.
    pub(crate) agent_name: &'static str,
}

pub(crate) const ROWS: [Row; 4] = [
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
    /// The row of the other side that this one is measured against.
    pub(crate) fn rival(&self) -> &'static Self {
        ROWS.iter().find(|row| row.side != self.side && row.turns == self.turns).expect("every row has its rival in ROWS")
    }
}
