//! The server API: tokens, rooms, agent dispatch and participants.

mod client;
mod error;
mod token;

pub use client::{AgentDispatch, LiveKit, NewRoom, RoomInfo};
pub use error::{ApiError, TransferError, tolerate};
pub(crate) use token::worker as worker_token;
pub use token::{ParticipantToken, RoomSettings, TokenError, random_id};
