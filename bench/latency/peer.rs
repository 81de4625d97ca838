//! The peer's worker: livekit-agents, as it stands in `bench/peer`.

use std::path::Path;

use frontdesk_simulators::stack::ProcessOptions;

use super::rows::Row;
use crate::common::clinics::{GREETING, Turns};

/// What it logs when it takes calls.
pub(super) const READY: &str = "registered worker";

/// A worker for a row, with so many calls at once.
pub(super) fn worker(checkout: &Path, dir: &Path, python: &Path, row: &Row, calls: usize) -> ProcessOptions {
    let log = dir.join("log").join(format!("{}.log", row.id));
    let turns = match row.turns {
        Turns::Model => "default",
        Turns::Vad => "vad",
    };
    ProcessOptions::new(row.id, python, log)
        .argument(checkout.join("bench/peer/agent.py"))
        .argument("start")
        .variable("BENCH_AGENT_NAME", row.agent_name)
        .variable("BENCH_TURNS", turns)
        .variable("BENCH_GREETING", GREETING)
        .variable("BENCH_CALLS", calls.to_string())
        .variable("PYTHONUNBUFFERED", "1")
}
