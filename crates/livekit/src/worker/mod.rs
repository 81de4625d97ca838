//! An agent worker: registers with the LiveKit server and runs the jobs that it assigns.
//!
//! One process runs many jobs, each a supervised task of its own: a panic ends that job alone. Two parts share the work:
//! the *link* keeps a registered WebSocket (and reconnects, while jobs live on over their own room connections), and the
//! *runner* decides, starts, stops and counts jobs. The link has a thread of its own, so that it can refuse offers while the runner and
//! the jobs do not come round.
//!
//! Protocol: binary protobuf `WorkerMessage` and `ServerMessage` over `{url}/agent`.

mod capacity;
mod connection;
mod error;
mod filter;
mod job;
mod link;
mod load;
mod options;
mod runner;
mod stall;
mod table;

pub use capacity::{Capacity, JOBS, JOBS_MAX, JOBS_WAITING, LOAD, Standing};
pub use connection::HandshakeError;
pub(crate) use connection::handshake;
pub use error::WorkerError;
pub use filter::{RequestFilter, TENANT_ATTRIBUTE};
pub use job::{Acceptance, JobAnswer, JobContext, JobEntry, JobFailure, JobKind, JobRequest};
pub use load::{JobsAlone, LoadSample, LoadSource, MachineLoad};
pub use options::{FirstRegistration, Permissions, WorkerOptions};
pub use runner::{ENDED, OFFERED, REFUSED, STARTED, Simulator, Worker, WorkerHealth};
pub use wildmatch::WildMatch;
