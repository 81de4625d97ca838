//! Tools: functions with typed arguments, a task that asks the caller, hooks before and after the calls.
//!
//! `cargo run --example tools console`, with a key for a language model; or `start`, as a worker.

use std::time::Duration;

use frontdesk::agents::tasks::CollectPhone;
use frontdesk::agents::{Agent, CallRecord, Calls, CommandError, FnTool, ToolContext, ToolError, run};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema, Validate)]
struct Search {
    /// Earliest hour of the day.
    #[garde(range(min = 6, max = 22))]
    from_hour: u8,
}

#[derive(Serialize)]
struct Classes {
    begin_at: Vec<u8>,
}

#[derive(Deserialize, JsonSchema, Validate)]
struct Nothing {}

async fn classes(_: ToolContext, search: Search) -> Result<Classes, ToolError> {
    Ok(Classes { begin_at: [9, 18, 20].into_iter().filter(|hour| *hour >= search.from_hour).collect() })
}

/// Asks the caller for the number, reads it back and has it agreed to, before it is noted.
async fn remind(context: ToolContext, _: Nothing) -> Result<String, ToolError> {
    let number = CollectPhone::new("1").run(&context).await?;
    Ok(format!("a text goes to {}", number.as_e164()))
}

/// Who answers, and what is done with the record of each call.
pub(crate) fn calls(note: impl Fn(&CallRecord) + Clone + Send + Sync + 'static) -> Calls {
    let studio = Agent::new("studio")
        .instructions("You answer for a yoga studio. Look classes up before you name any.")
        .greeting("Hello, the yoga studio.")
        .tool(FnTool::read("find_classes", "Finds today's classes.", classes))
        .tool(FnTool::record("remind", "Reminds the caller by a text. Asks for the number itself.", remind));
    Calls::answered_by([studio]).options(|_, call| call.conversation.duration_max = Duration::from_secs(600)).after(move |record| {
        let note = note.clone();
        async move { note(&record) }
    })
}

#[tokio::main]
async fn main() -> Result<(), CommandError> {
    run("studio", calls(|record| println!("{:?}, {} tools", record.outcome, record.tools.len()))).await
}
