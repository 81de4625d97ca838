//! Telephony: SIP signalling, session descriptions, and RTP with G.711.
//!
//! - [`sip`]: an endpoint on UDP and TCP that takes and places calls.
//! - [`sdp`]: offer and answer for one audio stream.
//! - [`rtp`]: the media of one call: paced sending, jitter buffer, telephone-event.
//!
//! The three do not know each other but for [`sdp`]'s types; whoever owns a call (the bridge, the caller simulator)
//! joins them. Telephone numbers and names never reach a log from here: the types that hold them hide them in `Debug`.

#![forbid(unsafe_code)]

pub mod rtp;
pub mod sdp;
pub mod sip;
