//! frontdesk: the command line, configuration and wiring. No logic lives here that a crate could own.
//!
//! Whoever writes voice agents of his own begins at [`agents`].

#![forbid(unsafe_code)]

pub mod agents;
pub mod cli;
pub mod clinics;
pub mod commands;
pub mod config;
#[cfg(feature = "demo")]
pub mod eval;
pub mod health;
pub mod keys;
pub mod logging;
pub mod measures;
pub mod notifications;
pub mod reception;
mod recordings;
pub mod rescue;
