//! The media of one call: RTP over UDP with PCMU, PCMA and telephone-event (RFC 3550, 3551, 4733).
//!
//! [`MediaPorts`] hands out sockets, [`MediaSocket`] is one before the session is agreed, and [`RtpSession::start`]
//! makes it a stream: a task that sends one packet each 20 ms by one steady clock and plays what comes in out of a
//! jitter buffer, at the same pace.
//!
//! What is written is sent whole and in order, cut into frames of 160 samples; where nothing is written, silence is
//! sent, so that the stream never stops. Only the peer is heard: its address is learned from its first packet, from
//! hosts that the signalling named, and then pinned.
//!
//! The parts are without I/O: [`packet`], the sender, the receiver, the latch, DTMF.

mod dtmf;
mod latch;
pub mod packet;
mod ports;
mod queue;
mod receiver;
mod rtcp;
mod sender;
mod session;

use frontdesk_audio::Frame;

pub use dtmf::Digit;
pub use ports::{MediaPorts, MediaSocket, PortError};
pub use receiver::ReceiveStats;
pub use sender::SendStats;
pub use session::{RtpEvents, RtpOptions, RtpSession, RtpStats, SessionClosed};

/// Samples of a frame: 20 ms at 8 kHz.
pub const FRAME_SAMPLES: usize = 160;

/// What the peer sent.
#[derive(Debug, Clone, PartialEq)]
pub enum RtpEvent {
    /// The next 20 ms at 8 kHz, from the first packet on without a gap: losses are concealed, pauses are silence.
    Audio(Frame),
    /// A key was pressed and released.
    Dtmf {
        /// The key.
        digit: Digit,
        /// For how long, in milliseconds.
        duration_ms: u32,
    },
    /// No packet came for as long as the options allow. Told once until packets come again.
    TimedOut,
}
