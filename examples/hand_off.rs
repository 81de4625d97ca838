//! Hand-off: two agents with instructions, tools and voices of their own, and one history.
//!
//! `cargo run --example hand_off console`, with a key for a language model; or `start`, as a worker.

use frontdesk::agents::{Agent, Calls, CommandError, FnTool, JobAnswer, ToolContext, ToolError, run};
use garde::Validate;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema, Validate)]
struct Repair {
    /// What is broken.
    #[garde(length(chars, min = 3, max = 200))]
    fault: String,
}

async fn note(_: ToolContext, repair: Repair) -> Result<String, ToolError> {
    Ok(format!("noted, ready on Friday: {}", repair.fault))
}

/// Who answers. Only jobs in rooms of the shop are taken.
pub(crate) fn calls() -> Calls {
    let desk = Agent::new("desk")
        .instructions("You answer for a bicycle shop, and know its opening hours: ten to six.")
        .greeting("Hello, the bicycle shop.")
        .hands_off_to("workshop", "the caller asks about a repair");
    let workshop = Agent::new("workshop")
        .instructions("You are the workshop. Note each repair.")
        .voice("aura-2-orion-en")
        .tool(FnTool::record("note_repair", "Notes a repair.", note))
        .hands_off_to("desk", "the caller wants anything but a repair");
    Calls::answered_by([desk, workshop]).accept(|request| match request.room.starts_with("shop") {
        true => JobAnswer::default(),
        false => JobAnswer::Refuse,
    })
}

#[tokio::main]
async fn main() -> Result<(), CommandError> {
    run("shop", calls()).await
}
