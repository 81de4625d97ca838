//! A SIP endpoint without a registrar, on UDP and TCP: it takes calls and places them (RFC 3261).
//!
//! [`Endpoint::bind`] gives the endpoint and the calls that come in. The application decides when a call rings and
//! what answers it; everything that the protocol alone decides happens behind it.
//!
//! ```text
//! INVITE ──► IncomingCall ─ trying() ─ ringing() ─ answer(sdp) ──► Dialog ─ next_event() … hangup()
//!                 └─ reject(…), ended().await on CANCEL                └─ Acked, ReInvite, Ended
//! Endpoint::invite(…) ──► OutgoingCall ─ next().await: Ringing, Answered(Dialog), Ended ─ cancel()
//! ```
//!
//! One task owns all state, a core without I/O; handles talk to it over bounded queues. Dropping a handle ends its call:
//! an unanswered call is refused with 480, an answered one gets BYE.
//!
//! Not done here, on purpose: registration, digest authentication, TLS, 100rel, UPDATE, DNS; REFER is sent, and taken only where the application wants it.

mod call;
mod config;
mod core;
mod dialog;
mod driver;
mod endpoint;
mod event;
mod flow;
mod party;
mod rate;
mod reply;
mod screen;
mod stream;

pub use call::{Dialog, DialogEvent, IncomingCall, OutgoingCall, OutgoingEvent, ReInvite};
pub use config::{Admission, AdmitAll, EndpointConfig, Limits, Rate, Refusal, SipTimers};
pub use endpoint::{BindError, Endpoint, IncomingCalls};
pub use event::{CallError, CallId, EndReason, InviteError, OutgoingInvite, ReInviteError, ReferError, ReferStatus, Stats};
pub use flow::Transport;
pub use party::{Invite, Party, SipUri};
