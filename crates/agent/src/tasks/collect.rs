//! The task that every other one is: collects one field.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use frontdesk_conversation::{CommitOutcome, Effect, FieldKind, Prepared, ToolError};
use garde::Validate;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::agent::Agent;
use crate::arguments;
use crate::control::next_of;
use crate::tool::{Tool, ToolContext};

/// Values that the caller may give before the task gives up.
const TRIES: u32 = 4;

/// What a task collects: from the model's arguments to a value.
pub trait Field: Send + Sync + 'static {
    /// What the model is to give.
    type Arguments: DeserializeOwned + JsonSchema + Validate<Context = ()> + Send;
    /// What the task gives.
    type Value: Send + 'static;

    /// The name of the task's agent, for records (`collect_phone`).
    fn task(&self) -> &'static str;

    /// The name of the tool by which the model gives it (`give_phone_number`).
    fn tool(&self) -> &'static str;

    /// What is asked for, in a few words ("the caller's telephone number").
    fn what(&self) -> String;

    /// How to ask for it and how to give it, worded for the model.
    fn guidance(&self) -> String {
        String::new()
    }

    /// What the conversation waits for while the caller says it.
    fn expects(&self) -> Option<FieldKind> {
        None
    }

    /// The value, or precisely what is wrong with what was given.
    ///
    /// # Errors
    /// `invalid_arguments` as [`arguments::Fault`] words it.
    fn check(&self, arguments: Self::Arguments) -> Result<Self::Value, ToolError>;

    /// The question that reads the value back; `None` if it needs no yes.
    fn read_back(&self, value: &Self::Value) -> Option<String>;

    /// The value as it enters the call record, if it is one of its fields.
    fn recorded(&self, _arguments: &Value) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// Why a task has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// What the caller gave was not valid so often. Go on without it, or take a message.
    #[error("nothing valid was given in {tries} tries")]
    GaveUp {
        /// How often.
        tries: u32,
    },
    /// The caller will not or cannot give it.
    #[error("the caller does not give it: {0:?}")]
    Declined(Refusal),
    /// The call ended first.
    #[error("the call ended first")]
    CallEnded,
    /// The tool runs outside a call, or in the second phase of a commit.
    #[error("a task needs a call to run in")]
    NoCall,
}

impl From<TaskError> for ToolError {
    fn from(error: TaskError) -> Self {
        let code = match error {
            TaskError::GaveUp { .. } => "gave_up",
            TaskError::Declined(_) => "declined",
            TaskError::CallEnded => "cancelled",
            TaskError::NoCall => "unsupported",
        };
        Self { code: code.into(), message: error.to_string(), details: None, retryable: false }
    }
}

/// Why a caller does not give what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// He does not want to.
    Refuses,
    /// He does not know it or has none.
    DoesNotKnow,
    /// He asks for a person.
    WantsAPerson,
    /// Anything else.
    Other,
}

/// A task that collects a [`Field`].
#[derive(Debug, Clone)]
pub struct Collect<F> {
    field: F,
    tries: u32,
    read_back: bool,
}

impl<F: Field> Collect<F> {
    /// A task for a field of one's own; up to four tries, with read-back.
    #[must_use]
    pub const fn of(field: F) -> Self {
        Self { field, tries: TRIES, read_back: true }
    }

    /// So many values may be given before the task gives up; at least one.
    #[must_use]
    pub fn tries(mut self, tries: u32) -> Self {
        self.tries = tries.max(1);
        self
    }

    /// Takes the first valid value without asking the caller whether it is right.
    #[must_use]
    pub fn without_read_back(mut self) -> Self {
        self.read_back = false;
        self
    }

    /// Asks the caller, from within [`Tool::run`]. The tool call is answered at once; what the tool returns in the end is read by
    /// the model when the agent goes on. Tasks may follow one another.
    ///
    /// # Errors
    /// [`TaskError`]; the agent goes on in any case.
    pub async fn run(self, context: &ToolContext) -> Result<F::Value, TaskError> {
        let (done, outcome) = oneshot::channel();
        let what = self.field.what();
        let agent = self.agent(done);
        let field = agent.1;
        context.call.begin_task(agent.0, field, &context.tool_call_id, &what).await.map_err(|_| TaskError::NoCall)?;
        let (outcome, next) = tokio::select! {
            outcome = outcome => outcome.map_err(|_| TaskError::CallEnded)?,
            () = context.call.over() => return Err(TaskError::CallEnded),
        };
        context.call.owes(next);
        outcome
    }

    fn agent(self, done: oneshot::Sender<Done<F::Value>>) -> (Agent, Option<FieldKind>) {
        let (name, tool, what, expects) = (self.field.task(), self.field.tool(), self.field.what(), self.field.expects());
        let instructions = format!(
            "You are on the telephone, in the middle of a call. Your one task now is to learn {what}. If the caller has not said it yet, ask \
             for it in one short sentence, in the language of the call. {}\n\
             As soon as the caller has said it, call `{tool}`; never guess or complete what was not said. If it answers with an error, tell \
             the caller in one sentence what was wrong and ask again. Do not read the value back yourself: where that is needed it is done \
             for you; then call `confirm` if the caller agrees, or `{tool}` with the corrected value. If the caller will not or cannot give \
             it, call `cannot_give`. Speak of nothing else until then.",
            self.field.guidance()
        );
        let shared = Arc::new(Asking { collect: self, given: AtomicU32::new(0), done: Mutex::new(Some(done)) });
        let agent = Agent::new(name).instructions(instructions).tool(Give(Arc::clone(&shared))).tool(CannotGive(shared));
        (agent, expects)
    }
}

/// What comes of a task, and where to tell what was made of it.
type Done<V> = (Result<V, TaskError>, oneshot::Sender<Value>);

/// A task that runs.
struct Asking<F: Field> {
    collect: Collect<F>,
    given: AtomicU32,
    done: Mutex<Option<oneshot::Sender<Done<F::Value>>>>,
}

impl<F: Field> Asking<F> {
    fn read(&self, given: Value) -> Result<F::Value, ToolError> {
        self.collect.field.check(arguments::read(given)?)
    }

    /// Ends the task: the agent before takes over, the tool that asked gets the value, and what it makes of it is given back.
    async fn end(&self, context: &ToolContext, outcome: Result<F::Value, TaskError>) -> Value {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(done) = done else { return json!({ "status": "already given" }) };
        // Fails only when the session is gone.
        let _ = context.call.end_task().await;
        let (next, then) = oneshot::channel();
        if done.send((outcome, next)).is_err() {
            return json!({ "status": "no longer needed" });
        }
        next_of(then).await
    }

    /// A value that is not valid: the reason, or the end of the task.
    async fn refuse(&self, context: &ToolContext, error: ToolError) -> ToolError {
        let tries = self.given.fetch_add(1, Ordering::Relaxed) + 1;
        if tries < self.collect.tries {
            return error;
        }
        let then = self.end(context, Err(TaskError::GaveUp { tries })).await;
        let message = format!("{}. It was tried often enough: go on without it", error.message);
        ToolError { code: "gave_up".into(), message, details: Some(then), retryable: false }
    }
}

/// The tool by which the model gives the value.
struct Give<F: Field>(Arc<Asking<F>>);

#[async_trait]
impl<F: Field> Tool for Give<F> {
    fn name(&self) -> &'static str {
        self.0.collect.field.tool()
    }

    fn description(&self) -> String {
        format!("Gives {}, as the caller said it. {}", self.0.collect.field.what(), self.0.collect.field.guidance())
    }

    fn parameters(&self) -> Value {
        arguments::schema::<F::Arguments>()
    }

    fn effect(&self) -> Effect {
        if self.0.collect.read_back { Effect::Commit } else { Effect::Record }
    }

    fn fields(&self, arguments: &Value) -> Vec<(String, String)> {
        self.0.collect.field.recorded(arguments)
    }

    async fn run(&self, context: &ToolContext, arguments: Value) -> Result<Value, ToolError> {
        match self.0.read(arguments) {
            Ok(value) => Ok(json!({ "accepted": true, "then": self.0.end(context, Ok(value)).await })),
            Err(error) => Err(self.0.refuse(context, error).await),
        }
    }

    async fn prepare(&self, context: &ToolContext, arguments: Value) -> Result<Prepared, ToolError> {
        let tries = self.0.given.load(Ordering::Relaxed);
        let value = match self.0.read(arguments.clone()) {
            Ok(value) => value,
            Err(error) => return Err(self.0.refuse(context, error).await),
        };
        if tries >= self.0.collect.tries {
            let message = "the caller rejected every value".into();
            let error = ToolError { code: "gave_up".into(), message, details: None, retryable: false };
            return Err(self.0.refuse(context, error).await);
        }
        self.0.given.fetch_add(1, Ordering::Relaxed);
        let read_back = self.0.collect.field.read_back(&value).unwrap_or_else(|| "Is that right?".into());
        Ok(Prepared { arguments, read_back })
    }

    async fn commit(&self, context: &ToolContext, _confirmation: &str, arguments: Value) -> CommitOutcome {
        match self.0.read(arguments) {
            Ok(value) => CommitOutcome::Done(json!({ "accepted": true, "then": self.0.end(context, Ok(value)).await })),
            Err(error) => CommitOutcome::Refused(error),
        }
    }
}

/// The tool by which the model says that there is no value to be had.
struct CannotGive<F: Field>(Arc<Asking<F>>);

#[derive(Deserialize, JsonSchema, garde::Validate)]
#[serde(deny_unknown_fields)]
struct CannotGiveArguments {
    /// Why: `refuses`, `does_not_know`, `wants_a_person` or `other`.
    #[garde(skip)]
    reason: Refusal,
}

#[async_trait]
impl<F: Field> Tool for CannotGive<F> {
    fn name(&self) -> &'static str {
        "cannot_give"
    }

    fn description(&self) -> String {
        format!("Ends the question when the caller will not or cannot give {}.", self.0.collect.field.what())
    }

    fn parameters(&self) -> Value {
        arguments::schema::<CannotGiveArguments>()
    }

    fn effect(&self) -> Effect {
        Effect::Record
    }

    async fn run(&self, context: &ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let CannotGiveArguments { reason } = arguments::read(arguments)?;
        Ok(json!({ "then": self.0.end(context, Err(TaskError::Declined(reason))).await }))
    }
}
