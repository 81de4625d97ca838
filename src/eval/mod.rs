//! Rehearsed calls: scenarios in files, played against a real session and a real database in virtual time, and judged.
//!
//! A scenario says what the caller does, what goes wrong, and what shall come of it ([`scenario`]). It is played by a real
//! `frontdesk_agent::Session` with the clinic's own tools on a Postgres database of its own; caller, providers and line are simulated
//! in process (`stage`), and time is virtual, so that a call of two minutes takes a moment and gives the same result every time.
//! At depth call ([`Depth::Call`], `wire`) the same scenario is a SIP call in real time. [`judge::judge`] compares, [`report`] draws.
//! `docs/evaluation.md` explains the files.

mod bridge;
mod caller;
mod clinic;
mod faults;
mod folder;
pub mod judge;
mod line;
pub mod load;
mod pace;
mod recording;
pub mod report;
mod run;
pub mod scenario;
mod stage;
mod trace;
mod wire;
mod words;

#[cfg(test)]
pub(crate) use bridge::{OutsideStore, tools as outside_tools};
pub use caller::{Act, ActKind};
pub(crate) use clinic::{Clinic, Clinics};
pub use line::{CALLER_RATE, CallerEnd, LineTransport, line};
pub use load::{LoadError, load};
pub use pace::Pace;
pub use run::{Outcome, Rehearsal, Verdict};
pub use scenario::{Depth, Scenario};
pub use trace::{Booked, ToolSpan, Trace};

/// Why a scenario could not be played.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The clinic's files are faulty.
    #[error("the clinic: {0}")]
    Tenant(String),
    /// The database cannot be had. `scripts/postgres start` starts the project's own.
    #[error("the database: {0}")]
    Database(String),
    /// The scenario asks for what cannot be.
    #[error("the scenario: {0}")]
    Scenario(String),
    /// Something on this machine is missing or failed.
    #[error("{0}")]
    Machine(String),
}
