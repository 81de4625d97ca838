//! Tasks: a tool asks the caller for one thing and gets it as a typed, validated value that the caller agreed to.
//!
//! ```no_run
//! # use frontdesk_agent::{ToolContext, tasks::{CollectPhone, TaskError}};
//! # async fn tool(context: &ToolContext) -> Result<(), TaskError> {
//! let number = CollectPhone::new("1").run(context).await?;
//! # Ok(()) }
//! ```
//!
//! While a task runs it has the call: a small agent with one tool, whose arguments are the value. What does not validate goes back to
//! the model with a precise reason, and the caller is asked again, a few times. What validates is read back by the conversation
//! itself, and counts once the caller said yes to it in a later turn (the same two phases as any commit). Then the agent before goes
//! on, over the same history, and reads what the tool made of the value.

mod address;
mod collect;
mod confirm;
mod date;
mod name;
mod phone;

pub use address::{Address, CollectAddress, PostalAddress};
pub use collect::{Collect, Field, Refusal, TaskError};
pub use confirm::{Confirm, YesOrNo};
pub use date::{CollectDateOfBirth, DateOfBirth, date_of_birth};
pub use name::{CollectName, Name, PersonName};
pub use phone::{CollectPhone, Phone};

#[cfg(test)]
mod tests;
