//! The bridge against a real LiveKit server, with a real SIP caller on one side and a real agent on the other.
//!
//! Whatever a test does, its log must not hold the caller's number or name: [`support::Desk::finish`] looks.

mod answer;
mod door;
mod drain;
mod media;
mod support;
mod talk;
mod transfer;
mod trouble;
mod vanish;
