//! LiveKit without libwebrtc: the server API, a room participant and the agent worker protocol.
//!
//! - [`api`]: access tokens and the server API (rooms, agent dispatch, participants).
//! - [`room`]: a participant that publishes one Opus track, hears others, and exchanges data, texts, DTMF and attributes.
//! - [`worker`]: registers an agent with the server and runs the jobs that the server assigns.
//! - [`transfer`]: how an agent asks our bridge to hand its caller to a person.
//! - [`pulse`]: how an agent shows our bridge that it is still there.
//! - [`calls`]: jobs answered by agents of one's own, in a few lines.
//! - [`transport`]: a job's room as the agent's [`frontdesk_agent::Transport`].
//!
//! Signalling comes from LiveKit's own crates, WebRTC from the `webrtc` crate; nothing here needs a prebuilt library
//! besides libopus. Every queue is bounded and says what it does when full.

#![forbid(unsafe_code)]

pub mod api;
pub mod calls;
mod credentials;
mod https;
pub mod pulse;
pub mod room;
mod server_url;
pub mod transfer;
pub mod transport;
mod websocket;
pub mod worker;

pub use calls::Calls;
pub use credentials::Credentials;
pub use server_url::{ServerUrl, ServerUrlError};
