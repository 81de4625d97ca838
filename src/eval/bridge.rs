//! Between virtual time and the real world: what waits for a socket runs on a runtime of its own, and meanwhile the clock stands.
//!
//! tokio does not advance a paused clock while a blocking task runs, so a query costs no virtual time however long it takes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use frontdesk_agent::recording::{RecordingError, RecordingFile, RecordingPart, RecordingVault};
use frontdesk_agent::store::CallStart;
use frontdesk_agent::{CallRecord, CallSoFar, CallStore, StoreError, Tool, ToolContext, ToolSet};
use frontdesk_conversation::{CommitOutcome, Effect, Prepared, ToolError};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::faults::ToolFaults;
use super::scenario::{Phase, ToolFault};

/// Runs a future in the real world while virtual time stands. It goes on when the caller stops waiting.
async fn outside<T: Send + 'static>(real: &Handle, future: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let real = real.clone();
    spawn_blocking(move || real.block_on(future)).await.ok()
}

/// A tool whose work is done outside, and which goes wrong as told.
struct OutsideTool {
    inner: Arc<dyn Tool>,
    real: Handle,
    faults: ToolFaults,
}

/// The same tools, working outside, with their faults.
pub(crate) fn tools(tools: &ToolSet, real: &Handle, faults: &[ToolFault]) -> Vec<Arc<dyn Tool>> {
    let tool = |inner: &Arc<dyn Tool>| {
        let faults = ToolFaults::of(inner.name(), faults);
        Arc::new(OutsideTool { inner: Arc::clone(inner), real: real.clone(), faults }) as Arc<dyn Tool>
    };
    tools.iter().map(tool).collect()
}

fn lost() -> ToolError {
    ToolError { code: "unavailable".into(), message: "the tool panicked".into(), details: None, retryable: false }
}

#[async_trait]
impl Tool for OutsideTool {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn description(&self) -> String {
        self.inner.description()
    }

    fn parameters(&self) -> Value {
        self.inner.parameters()
    }

    fn effect(&self) -> Effect {
        self.inner.effect()
    }

    fn timeout(&self) -> Duration {
        self.inner.timeout()
    }

    fn ends_call(&self) -> bool {
        self.inner.ends_call()
    }

    fn transfers_call(&self) -> bool {
        self.inner.transfers_call()
    }

    fn is_available(&self, so_far: &CallSoFar<'_>) -> bool {
        self.inner.is_available(so_far)
    }

    fn fields(&self, arguments: &Value) -> Vec<(String, String)> {
        self.inner.fields(arguments)
    }

    async fn run(&self, context: &ToolContext, arguments: Value) -> Result<Value, ToolError> {
        self.faults.strike(Phase::Run).await?;
        let (inner, context) = (Arc::clone(&self.inner), context.clone());
        outside(&self.real, async move { inner.run(&context, arguments).await }).await.unwrap_or_else(|| Err(lost()))
    }

    async fn prepare(&self, context: &ToolContext, arguments: Value) -> Result<Prepared, ToolError> {
        self.faults.strike(Phase::Prepare).await?;
        let (inner, context) = (Arc::clone(&self.inner), context.clone());
        outside(&self.real, async move { inner.prepare(&context, arguments).await }).await.unwrap_or_else(|| Err(lost()))
    }

    async fn commit(&self, context: &ToolContext, confirmation: &str, arguments: Value) -> CommitOutcome {
        let loses_answer = match self.faults.strike(Phase::Commit).await {
            Ok(fault) => fault.is_some_and(|fault| fault.loses_answer),
            Err(error) => return CommitOutcome::Refused(error),
        };
        let (inner, context, confirmation) = (Arc::clone(&self.inner), context.clone(), confirmation.to_owned());
        let done = outside(&self.real, async move { inner.commit(&context, &confirmation, arguments).await }).await;
        done.filter(|_| !loses_answer).unwrap_or(CommitOutcome::Unknown)
    }
}

/// A vault whose work is done outside; what is written into its files is not.
pub(super) struct OutsideVault {
    pub(super) inner: Arc<dyn RecordingVault>,
    pub(super) real: Handle,
}

#[async_trait]
impl RecordingVault for OutsideVault {
    async fn create(&self, part: &RecordingPart) -> Result<Box<dyn RecordingFile>, RecordingError> {
        let (inner, part) = (Arc::clone(&self.inner), part.clone());
        let created = outside(&self.real, async move { inner.create(&part).await }).await;
        created.unwrap_or_else(|| Err(RecordingError::Seal("the vault panicked".into())))
    }
}

/// A store whose work is done outside.
pub(crate) struct OutsideStore {
    pub(crate) inner: Arc<dyn CallStore>,
    pub(crate) real: Handle,
}

impl OutsideStore {
    async fn ask<T: Send + 'static>(&self, future: impl Future<Output = Result<T, StoreError>> + Send + 'static) -> Result<T, StoreError> {
        outside(&self.real, future).await.unwrap_or_else(|| Err(StoreError::Unavailable("the store panicked".into())))
    }
}

#[async_trait]
impl CallStore for OutsideStore {
    async fn begin(&self, call: &CallStart) -> Result<(), StoreError> {
        let (inner, call) = (Arc::clone(&self.inner), call.clone());
        self.ask(async move { inner.begin(&call).await }).await
    }

    async fn save_state(&self, call_id: &str, state: &[u8]) -> Result<(), StoreError> {
        let (inner, call_id, state) = (Arc::clone(&self.inner), call_id.to_owned(), state.to_vec());
        self.ask(async move { inner.save_state(&call_id, &state).await }).await
    }

    async fn load_state(&self, call_id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let (inner, call_id) = (Arc::clone(&self.inner), call_id.to_owned());
        self.ask(async move { inner.load_state(&call_id).await }).await
    }

    async fn finish(&self, record: &CallRecord) -> Result<(), StoreError> {
        let (inner, record) = (Arc::clone(&self.inner), record.clone());
        self.ask(async move { inner.finish(&record).await }).await
    }

    async fn audit(&self, call_id: &str, action: &str, subject: Option<&str>) -> Result<(), StoreError> {
        let (inner, call_id, action, subject) =
            (Arc::clone(&self.inner), call_id.to_owned(), action.to_owned(), subject.map(str::to_owned));
        self.ask(async move { inner.audit(&call_id, &action, subject.as_deref()).await }).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn what_happens_outside_costs_no_virtual_time() {
        let real = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let handle = real.handle().clone();
        let paused = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        paused.block_on(async move {
            let began = Instant::now();
            let work = outside(&handle, async { tokio::time::sleep(Duration::from_millis(30)).await });
            tokio::select! {
                done = work => assert!(done.is_some()),
                () = tokio::time::sleep(Duration::from_millis(1)) => panic!("the clock ran"),
            }
            assert_eq!(began.elapsed(), Duration::ZERO);
        });
    }
}
