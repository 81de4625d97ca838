//! The least that answers the telephone: one agent, the configured services, one worker.
//!
//! `cargo run --example minimal` registers with LiveKit as `studio`; `cargo run --example minimal console` talks in the terminal.

use frontdesk::agents::{Agent, Calls, CommandError, run};

/// Who answers.
pub(crate) fn calls() -> Calls {
    let studio = Agent::new("studio")
        .instructions("You answer the telephone of a yoga studio. Classes begin at nine and at six. Be brief.")
        .greeting("Hello, the yoga studio. What can I do for you?");
    Calls::answered_by([studio])
}

#[tokio::main]
async fn main() -> Result<(), CommandError> {
    run("studio", calls()).await
}
