//! An agent worker: registers with the LiveKit server and runs the jobs that it assigns.
//!
//! One process runs many jobs, each a supervised task of its own: a panic ends that job alone. Two parts share the work:
//! the *link* keeps a registered WebSocket (and reconnects, while jobs live on over their own room connections), and the
//! *runner* decides, starts, stops and counts jobs.
//!
//! Protocol: binary protobuf `WorkerMessage` and `ServerMessage` over `{url}/agent`.

mod connection;
mod error;
mod job;
mod link;
mod options;
mod runner;
mod table;

pub use connection::HandshakeError;
pub(crate) use connection::handshake;
pub use error::WorkerError;
pub use job::{JobContext, JobEntry, JobFailure, JobRequest};
pub use options::{FirstRegistration, WorkerOptions};
pub use runner::{Worker, WorkerHealth};
