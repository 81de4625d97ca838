//! Agents: who speaks for the house, with which tools, and to whom a call may be handed.

use std::sync::Arc;

use async_trait::async_trait;
use frontdesk_conversation::{AgentProfile, Effect, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::arguments::{self, Fault};
use crate::session::SessionOptions;
use crate::tool::{Tool, ToolContext, ToolSet};

/// The name of the tool by which the model hands the call to another agent.
pub const HAND_OFF_TOOL: &str = "hand_off";

/// One agent of a call: what it is told, what it can do, how it sounds.
///
/// ```
/// use frontdesk_agent::{Agent, SessionOptions};
///
/// let desk = Agent::new("desk")
///     .instructions("You answer the telephone of a bicycle shop.")
///     .greeting("Hello, this is the bicycle shop.")
///     .hands_off_to("workshop", "the caller asks about a repair");
/// let workshop = Agent::new("workshop").instructions("You are the workshop. You know every repair.");
/// let options = SessionOptions::for_agents("call-1", "shop", vec![desk, workshop]);
/// assert_eq!(options.conversation.greeting, "Hello, this is the bicycle shop.");
/// ```
#[derive(Clone)]
pub struct Agent {
    name: String,
    instructions: String,
    greeting: String,
    tools: Vec<Arc<dyn Tool>>,
    voice: Option<String>,
    targets: Vec<(String, String)>,
}

impl Agent {
    /// An agent that only talks. The name stands in records and metrics: it holds no personal data.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let (instructions, greeting) = (String::new(), String::new());
        Self { name: name.into(), instructions, greeting, tools: Vec::new(), voice: None, targets: Vec::new() }
    }

    /// The system prompt.
    #[must_use]
    pub fn instructions(mut self, instructions: impl Into<String>) -> Self {
        self.instructions = instructions.into();
        self
    }

    /// Said when the call is answered; only the first agent of a call greets.
    #[must_use]
    pub fn greeting(mut self, greeting: impl Into<String>) -> Self {
        self.greeting = greeting.into();
        self
    }

    /// Adds a tool.
    #[must_use]
    pub fn tool(mut self, tool: impl Tool + 'static) -> Self {
        self.tools.push(Arc::new(tool));
        self
    }

    /// Adds tools.
    #[must_use]
    pub fn tools(mut self, tools: impl IntoIterator<Item = Arc<dyn Tool>>) -> Self {
        self.tools.extend(tools);
        self
    }

    /// The provider's voice; without one the agent speaks with that of the session.
    #[must_use]
    pub fn voice(mut self, voice: impl Into<String>) -> Self {
        self.voice = Some(voice.into());
        self
    }

    /// Lets the model hand the call to another agent of the same call, `when` (worded for the model) that is so.
    #[must_use]
    pub fn hands_off_to(mut self, agent: impl Into<String>, when: impl Into<String>) -> Self {
        self.targets.push((agent.into(), when.into()));
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its own voice, if it has one.
    #[must_use]
    pub fn own_voice(&self) -> Option<&str> {
        self.voice.as_deref()
    }

    /// Its tools, `hand_off` among them where it has somebody to hand off to.
    #[must_use]
    pub fn tool_set(&self) -> ToolSet {
        let hand_off = || Arc::new(HandOff { targets: self.targets.clone() }) as Arc<dyn Tool>;
        let hand_off = (!self.targets.is_empty()).then(hand_off);
        ToolSet::new(self.tools.iter().cloned().chain(hand_off).collect())
    }

    /// What the conversation knows of it.
    #[must_use]
    pub fn profile(&self) -> AgentProfile {
        AgentProfile { name: self.name.clone(), instructions: self.instructions.clone(), tools: self.tool_set().specs() }
    }
}

impl SessionOptions {
    /// Settings of a call that the first of `agents` answers, and that the others may be handed.
    ///
    /// # Panics
    /// If there is no agent.
    #[must_use]
    pub fn for_agents(call_id: impl Into<String>, tenant_id: impl Into<String>, agents: Vec<Agent>) -> Self {
        let mut options = Self::new(call_id, tenant_id);
        let first = agents.first().expect("a call has at least one agent");
        options.conversation.instructions.clone_from(&first.instructions);
        options.conversation.greeting.clone_from(&first.greeting);
        options.tools = first.tool_set();
        options.tts.voice.clone_from(&first.voice);
        options.agents = agents.into();
        options
    }
}

struct HandOff {
    targets: Vec<(String, String)>,
}

#[derive(Deserialize, JsonSchema, garde::Validate)]
#[serde(deny_unknown_fields)]
struct HandOffArguments {
    /// Who takes over.
    #[garde(skip)]
    agent: String,
}

#[async_trait]
impl Tool for HandOff {
    fn name(&self) -> &'static str {
        HAND_OFF_TOOL
    }

    fn description(&self) -> String {
        let targets: Vec<String> = self.targets.iter().map(|(agent, when)| format!("`{agent}` when {when}")).collect();
        format!("Hands the call to a colleague who goes on with it, without a word of farewell: {}.", targets.join("; "))
    }

    fn parameters(&self) -> Value {
        let mut schema = arguments::schema::<HandOffArguments>();
        let names: Vec<&str> = self.targets.iter().map(|(agent, _)| agent.as_str()).collect();
        if let Some(agent) = schema.pointer_mut("/properties/agent").and_then(Value::as_object_mut) {
            agent.insert("enum".into(), json!(names));
        }
        schema
    }

    fn effect(&self) -> Effect {
        Effect::Record
    }

    async fn run(&self, context: &ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let HandOffArguments { agent } = arguments::read(arguments)?;
        if !self.targets.iter().any(|(target, _)| *target == agent) {
            let names: Vec<&str> = self.targets.iter().map(|(target, _)| target.as_str()).collect();
            return Err(Fault::new("agent", agent, format!("one of {}", names.join(", ")), None).into());
        }
        context.call.hand_off(&agent).await?;
        Ok(json!({ "now_speaking": agent }))
    }
}
