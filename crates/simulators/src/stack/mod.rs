//! Real servers for tests, benches and the demo: LiveKit server, the Redis of several, a database of one's own, our own program.
//!
//! Each is found where `scripts/setup` puts it, listens on 127.0.0.1, logs into a file, and is gone when its value is. What is
//! missing is told with the command that brings it.

mod database;
mod find;
mod livekit;
mod process;
mod redis;

pub use database::{Database, DatabaseError};
pub use find::{FindError, find_upward, free_port, free_udp_range};
pub use livekit::{LiveKitError, LiveKitOptions, LiveKitServer, TurnStreams};
pub use process::{Process, ProcessError, ProcessOptions};
pub use redis::{Redis, RedisError};
