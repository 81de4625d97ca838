//! What is shown of a run: a table for the terminal, JUnit XML for machines, one HTML page for people.

mod html;
mod junit;
mod table;

pub use html::html;
pub use junit::junit;
pub use table::{line, summary};
