//! A simulated caller: places a real SIP call, speaks with espeak-ng, listens, and waits for his turn like a person.
//!
//! ```text
//! CallerPlan ─ what to say ──► manners ─ when ──► mouth ─ 20 ms ──► leg ─ RTP ──► bridge
//!      ▲                          ▲                                   │
//!      └─ agent's text ─ observer └── ear: began, finished ◄──────────┘
//! ```
//!
//! Everything but the sockets is without I/O and takes the time as an argument. The caller has an RTP leg of his own rather than
//! telephony's: he must know to the sample when he fell silent and when the agent was first heard on the wire, with no jitter
//! buffer between, and he must see each packet as it came to tell whether a frame was lost, repeated or displaced.
//!
//! A gap is counted from the caller's last sound to the agent's first. Both are positions in the packets' audio, the first sample
//! of a packet standing at the moment when it was sent or came in; silence at the end of a clip is never sent.

mod align;
mod call;
mod ear;
mod leg;
mod manners;
mod mouth;
mod noise;
mod observer;
mod options;
mod plan;
mod stream;
mod trunk;

pub use align::{Alignment, Piece, align};
pub use call::Caller;
pub use observer::{ObserverError, ObserverOptions, RoomObserver, RoomSight, SpokenLine};
pub use options::{CallEnd, CallOutcome, CallerError, CallerEvent, CallerOptions, Habits, Recording, SpokenTurn, Stretch};
pub use plan::{Act, CallerPlan, Cue, Heard, Line, Reactive, Rule, Scripted};
pub use stream::StreamReport;
