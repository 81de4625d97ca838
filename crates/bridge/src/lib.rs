//! A SIP call becomes a participant in a LiveKit room.
//!
//! ```text
//! INVITE ─ Gate (source, number) ─ 100 ─ room joined, agent dispatched ─ 180 ─ agent's track heard ─ 200 ─ audio both ways
//! ```
//!
//! To the agent a call looks as behind LiveKit's own SIP service: a participant of kind SIP with the attributes `sip.*`,
//! answered once the agent publishes audio, hung up by deleting the room. Beyond that, no call is left ringing or silent:
//! an agent that does not come, or vanishes, is dispatched anew, and after a bound the caller hears an announcement.
//!
//! - [`rules`]: trunks and dispatch rules, data from `sip/*.toml`.
//! - [`Bridge`]: the SIP endpoint and its calls. Each call is one supervised task; what fails in it ends that call alone.
//!
//! Numbers, names and identities never reach a log: a call is known by the name of its room, which is random.

#![forbid(unsafe_code)]

mod admission;
mod announcement;
mod attributes;
mod bridge;
mod call;
mod config;
mod downlink;
mod heartbeat;
mod mixer;
mod pulse;
mod replacement;
mod report;
mod room_side;
mod rooms;
pub mod rules;
mod watch;

pub use announcement::{AnnouncementError, Announcements};
pub use bridge::{Bridge, BridgeError};
pub use config::{BridgeConfig, LiveKitServer, Waits};
pub use report::{BridgeEvent, BridgeStats, CallOutcome, CallReport, CallStages};
