//! Telephony over real sockets on loopback, in one test program.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod calls;
mod common;
mod media;
mod noise;
mod refer;
mod reinvite;
mod sipp;
mod wire;
