//! What has to be told to others, and the way it leaves.
//!
//! A notice is written in the transaction of the act that it tells of, sealed, one row a channel, cut down to what the tenant lets
//! that channel carry. A [`Dispatcher`] claims rows under a lease, sends them and notes what came of it; any number may run at once.
//! One that ends between sending and noting leaves a lease that runs out: the row is sent again, under the same key, and the channel
//! makes the repetition harmless (`frontdesk-notify`). [`Receipts`] takes what receivers say later.

mod claim;
mod desk;
mod dispatch;
mod numbers;
mod receipts;
mod write;

pub use desk::{Listed, NoticeStatus};
pub use dispatch::{Channels, Dispatcher, DispatcherOptions, Round};
pub use receipts::{Delivered, Receipts};
