//! A speech-to-text service that truly listens, within a closed list of utterances.
//!
//! Each utterance is rendered as a caller would say it, passed through G.711, and kept as acoustic features. Incoming audio is cut by
//! its energy and aligned with all of them at once by dynamic time warping; what fits none is rejected, so clipped or garbled audio
//! gives a wrong or empty transcript. [`scripted`](SttMode::Scripted) mode does not listen: it answers each stretch of speech with the
//! next text of a list.
//!
//! [`Session`] is the service without sockets; [`SimulatedStt`] puts it behind the agent's trait, `server` behind Deepgram's wire format.

mod align;
mod energy;
mod inventory;
mod language;
mod provider;
mod recogniser;
mod server;
mod session;
mod template;

pub use inventory::{Inventory, InventoryError};
pub use language::{MULTILINGUAL, language_of};
pub use provider::SimulatedStt;
pub use server::{KNOWN_PARAMETERS, router};
pub use session::{Heard, HeardWord, Session, SessionOptions, SttMode};
