//! The peer's worker: livekit-agents, as it stands in `bench/peer`.

use std::path::Path;

use frontdesk_simulators::stack::ProcessOptions;

use super::clinics::{GREETING, Turns};

/// What it logs when it takes calls.
pub(crate) const READY: &str = "registered worker";

/// A worker of the peer's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer<'a> {
    pub(crate) checkout: &'a Path,
    /// Of this run; its log goes there.
    pub(crate) dir: &'a Path,
    pub(crate) python: &'a Path,
    /// Names its log.
    pub(crate) id: &'a str,
    /// The name under which it is dispatched.
    pub(crate) agent_name: &'a str,
    pub(crate) turns: Turns,
    /// Calls at once; as many processes wait.
    pub(crate) calls: usize,
}

impl Peer<'_> {
    /// How it is started.
    pub(crate) fn process(&self) -> ProcessOptions {
        let log = self.dir.join("log").join(format!("{}.log", self.id));
        let turns = match self.turns {
            Turns::Model => "default",
            Turns::Vad => "vad",
        };
        ProcessOptions::new(self.id, self.python, log)
            .argument(self.checkout.join("bench/peer/agent.py"))
            .argument("start")
            .variable("BENCH_AGENT_NAME", self.agent_name)
            .variable("BENCH_TURNS", turns)
            .variable("BENCH_GREETING", GREETING)
            .variable("BENCH_CALLS", self.calls.to_string())
            .variable("PYTHONUNBUFFERED", "1")
    }
}
