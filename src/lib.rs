//! frontdesk: the command line, configuration and wiring. No logic lives here that a crate could own.

#![forbid(unsafe_code)]

pub mod cli;
pub mod commands;
pub mod config;
#[cfg(feature = "demo")]
pub mod eval;
pub mod keys;
pub mod logging;
pub mod notifications;
pub mod reception;
pub mod rescue;
