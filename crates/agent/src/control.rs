//! What a tool can do to the call that it runs in: hand it to another agent, say what the caller is asked for, run a task.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use frontdesk_conversation::{FieldKind, ToolCallId, ToolError};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::agent::Agent;
use crate::tools::ToolReport;

/// How long the last tool of a task waits for what comes of the value that it gave; shorter than any tool's time-out.
const NEXT_MAX: Duration = Duration::from_secs(4);

/// An order of a tool to the session. Orders are carried out before the result of the tool that gave them.
#[derive(Debug)]
pub(crate) enum CallOrder {
    /// Another agent takes over.
    HandOff(Agent),
    /// A task begins, for this tool call, which is answered `output` at once if it is still open.
    BeginTask { agent: Agent, field: Option<FieldKind>, call: ToolCallId, output: Value },
    /// The agent before the task takes over again.
    EndTask,
    /// What the caller is being asked for.
    Expect(Option<FieldKind>),
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// What all tool calls of a call share.
pub(crate) struct Shared {
    pub(crate) reports: mpsc::Sender<ToolReport>,
    pub(crate) agents: Arc<[Agent]>,
    /// Cancelled when the call ends.
    pub(crate) over: CancellationToken,
}

/// Where a tool call stands that runs tasks.
#[derive(Default)]
struct Stand {
    /// Whether it has been answered, since it asks the caller.
    asking: AtomicBool,
    /// The tool of the task that waits to hear what comes of its value.
    next: Mutex<Option<oneshot::Sender<Value>>>,
}

/// The call, as a tool can act upon it. One made by `default` belongs to no call: every order fails with `unsupported`.
#[derive(Clone, Default)]
pub struct CallControl {
    shared: Option<Arc<Shared>>,
    stand: Arc<Stand>,
}

impl fmt::Debug for CallControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.shared.is_some() { "CallControl(call)" } else { "CallControl(none)" })
    }
}

fn no_call() -> ToolError {
    ToolError { code: "unsupported".into(), message: "the tool runs outside a call".into(), details: None, retryable: false }
}

impl CallControl {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared: Some(shared), stand: Arc::default() }
    }

    /// The same call, for another tool call.
    pub(crate) fn for_tool_call(&self) -> Self {
        Self { shared: self.shared.clone(), stand: Arc::default() }
    }

    async fn order(&self, order: CallOrder) -> Result<(), ToolError> {
        let shared = self.shared.as_ref().ok_or_else(no_call)?;
        // Fails only when the session is gone.
        shared.reports.send(ToolReport::Order(order)).await.map_err(|_| no_call())
    }

    /// Hands the call to another of its agents: from the next question to the model on its instructions and tools count, and it
    /// speaks with its voice. The history stays.
    ///
    /// # Errors
    /// `unknown_agent` if the call has no agent of that name.
    pub async fn hand_off(&self, agent: &str) -> Result<(), ToolError> {
        let shared = self.shared.as_ref().ok_or_else(no_call)?;
        let Some(agent) = shared.agents.iter().find(|known| known.name() == agent) else {
            let known: Vec<&str> = shared.agents.iter().map(Agent::name).collect();
            let message = format!("the call has no agent `{agent}`; its agents are {}", known.join(", "));
            return Err(ToolError { code: "unknown_agent".into(), message, details: None, retryable: false });
        };
        self.order(CallOrder::HandOff(agent.clone())).await
    }

    /// Says what the caller is being asked for, so that his turn ends only when the value is whole.
    ///
    /// # Errors
    /// `unsupported` outside a call.
    pub async fn expect(&self, field: Option<FieldKind>) -> Result<(), ToolError> {
        self.order(CallOrder::Expect(field)).await
    }

    /// Lets `agent` speak until [`CallControl::end_task`]; the tool call that runs the task is answered meanwhile.
    pub(crate) async fn begin_task(&self, agent: Agent, field: Option<FieldKind>, call: &str, what: &str) -> Result<(), ToolError> {
        let output = json!({ "status": "ask_the_caller", "for": what });
        let order = CallOrder::BeginTask { agent, field, call: ToolCallId(call.into()), output: output.clone() };
        self.stand.asking.store(true, Ordering::Relaxed);
        self.order(order).await?;
        self.tell_next(output);
        Ok(())
    }

    pub(crate) async fn end_task(&self) -> Result<(), ToolError> {
        self.order(CallOrder::EndTask).await
    }

    /// Whether the tool call has been answered already, since it asks the caller.
    pub(crate) fn is_asking(&self) -> bool {
        self.stand.asking.load(Ordering::Relaxed)
    }

    /// Remembers whom to tell what comes of a task's value.
    pub(crate) fn owes(&self, next: oneshot::Sender<Value>) {
        *self.stand.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
    }

    /// Tells the tool of the task what came of its value; whether it waits to hear it.
    pub(crate) fn tell_next(&self, what: Value) -> bool {
        let next = self.stand.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        next.is_some_and(|next| next.send(what).is_ok())
    }

    /// Waits until the call is over; for ever outside a call.
    pub(crate) async fn over(&self) {
        match &self.shared {
            Some(shared) => shared.over.cancelled().await,
            None => std::future::pending().await,
        }
    }
}

/// What came of a task's value, as the model is to read it.
pub(crate) async fn next_of(next: oneshot::Receiver<Value>) -> Value {
    match timeout(NEXT_MAX, next).await {
        Ok(Ok(next)) => next,
        Ok(Err(_)) => json!({ "status": "done" }),
        Err(_) => json!({ "status": "still being worked on; go on with the caller" }),
    }
}
