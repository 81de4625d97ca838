//! A language model that is a rule-based receptionist.
//!
//! It sees only what the wire carries, messages and the schemas of tools, and keeps nothing between requests: each answer follows
//! from the messages alone, so that any number of calls at once and repeated requests work. It does what the instructions of a
//! clinic say: it notes the wish, finds times, collects name and number, prepares a booking, confirms it once the caller has
//! agreed, tells the code, says goodbye. [`Scripted`](LlmMode::Scripted) mode does not listen and costs next to nothing.
//!
//! [`Receptionist`] and [`LlmMode`] are the logic without I/O; [`SimulatedLlm`] puts it behind the agent's trait, for virtual
//! time, [`router`] behind OpenAI's wire format.

mod answer;
mod options;
mod provider;
mod receptionist;
mod server;
mod wire;

pub use answer::{Answer, Call, Finish, Piece, pieces, schedule};
pub use options::{LlmMode, LlmOptions};
pub use provider::SimulatedLlm;
pub use receptionist::Receptionist;
pub use server::{router, router_with_limit};
