//! An agent of one's own, in the terminal: `cargo run -p frontdesk-agent --example own_agent`, then "remind me", a number, "yes".
//!
//! The model is a function, so that it needs no key; with `frontdesk_providers::OpenAiLlm` in its place it is a real one.

use async_trait::async_trait;
use frontdesk_agent::tasks::CollectPhone;
use frontdesk_agent::text::{FnModel, TextTransport};
use frontdesk_agent::{Agent, Message, ModelEvent, ModelRequest, Providers, Session, SessionOptions, Tool, ToolCall, ToolContext};
use frontdesk_conversation::{Effect, ToolCallId, ToolError};
use serde_json::{Value, json};

struct Remind;

#[async_trait]
impl Tool for Remind {
    fn name(&self) -> &'static str {
        "remind"
    }
    fn description(&self) -> String {
        "Reminds the caller of the class by a text. Asks for the number itself.".into()
    }
    fn parameters(&self) -> Value {
        json!({ "type": "object", "properties": {} })
    }
    fn effect(&self) -> Effect {
        Effect::Record
    }
    async fn run(&self, context: &ToolContext, _arguments: Value) -> Result<Value, ToolError> {
        let number = CollectPhone::new("1").run(context).await?;
        Ok(json!({ "texting": number.as_e164() }))
    }
}

/// Stands in for a language model: calls what fits the caller's last words.
fn think(request: &ModelRequest) -> ModelEvent {
    let call = |name: &str, arguments| ModelEvent::ToolCall(ToolCall { id: ToolCallId(name.into()), name: name.into(), arguments });
    match request.messages.last() {
        Some(Message::User { text }) if text.contains("remind") => call("remind", json!({})),
        Some(Message::User { text }) if text.contains("yes") => call("confirm", json!({ "confirmation_id": "c1" })),
        Some(Message::User { text }) => call("give_phone_number", json!({ "number": text })),
        Some(Message::Tool { content, .. }) if content.contains("ask_the_caller") => ModelEvent::Text("What is your number?".into()),
        Some(Message::Tool { content, .. }) if content.contains("error") => ModelEvent::Text("With the area code, please.".into()),
        _ => ModelEvent::Text("We will send you a text.".into()),
    }
}

#[tokio::main]
async fn main() {
    let desk = Agent::new("desk").instructions("You answer for a yoga studio.").greeting("Hello, the studio.").tool(Remind);
    let options = SessionOptions::for_agents("call-1", "studio", vec![desk]);
    let record =
        Session::new(options, Providers::in_writing(FnModel(think)), Box::new(TextTransport::terminal())).run(Default::default()).await;
    println!("{} turns, {} tools", record.turns.len(), record.tools.len());
}
