//! A participant of a LiveKit room, without libwebrtc.
//!
//! [`Room::connect`] joins; one task, the *engine*, then owns signalling and negotiation, and tells what happens through a
//! bounded channel of [`RoomEvent`]s. Audio does not pass through the engine: each remote track has its own task that decodes
//! into a [`RemoteAudio`], and an [`AudioPublisher`] encodes on the caller's side. So speech goes on while signalling is
//! being resumed.
//!
//! All tasks belong to one cancellation token and one tracker; [`Room::leave`] awaits them.

mod audio_in;
mod audio_out;
mod data;
mod depacketizer;
mod detour;
mod engine;
mod error;
mod event;
mod handle;
mod ice;
mod options;
mod packets_in;
mod participant;
mod peer;
mod publication;
mod queue;
mod resume;
mod rpc;
mod sdp;
mod sockets;
mod streams;

pub use audio_in::RemoteAudio;
pub use audio_out::{AudioPublisher, WriteError};
pub use error::{AttributeError, ConnectError, DataError, PublishError, RoomClosed};
pub use event::{DataMessage, DtmfDigit, EndReason, RoomEvent, TextMessage};
pub use handle::{DATA_LIMIT_BYTES, OutgoingData, Room};
pub use ice::{SkipReason, SkippedIceServer};
pub(crate) use options::RESUME_WINDOW;
pub use options::RoomOptions;
pub use packets_in::{EncodedPacket, RemotePackets};
pub use participant::{DisconnectReason, Participant, ParticipantKind};
pub use rpc::{RPC_PAYLOAD_BYTES_MAX, RpcError, RpcRequest};
