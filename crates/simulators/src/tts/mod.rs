//! A text-to-speech service that speaks with espeak-ng, or, for benches, only hums.
//!
//! Text is gathered until it is flushed; then it is rendered off the async threads, and its audio comes in pieces, faster than it
//! plays. [`TtsMode::Tone`] renders nothing: a tone lasts as long as its text has characters, which costs next to nothing.
//!
//! [`Session`] is the service without sockets, with the limits of the real one; [`SimulatedTts`] puts it behind the agent's trait,
//! `server` behind Deepgram's wire format.

mod limits;
mod provider;
mod server;
mod session;

pub use limits::Limits;
pub use provider::SimulatedTts;
pub use server::{KNOWN_PARAMETERS, router};
pub use session::{Job, Reply, Session, SessionOptions, TtsMode};
