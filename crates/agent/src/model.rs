//! Asking the model: one request a task, cancelled by ending the task.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use frontdesk_conversation::{CONFIRM_TOOL, CONFIRM_TOOL_DESCRIPTION, GenerationId, Message, confirm_tool_schema};
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::error::ProviderError;
use crate::helpers::Tasks;
use crate::llm::{LanguageModel, ModelEvent, ModelRequest, ModelStream, ToolSchema};
use crate::numbers;

/// The whole of one answer; clients bound its stages.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// How long the service may take to say what an answer took, once it is complete; nobody waits for that.
const USAGE_MAX: Duration = Duration::from_secs(1);

/// A piece of an answer, or the end of the request.
#[derive(Debug)]
pub(crate) enum ModelReport {
    /// A piece.
    Event(GenerationId, ModelEvent),
    /// The request failed.
    Failed(GenerationId, ProviderError),
}

/// Requests of one call.
pub(crate) struct Model {
    service: Arc<dyn LanguageModel>,
    /// What every request of the call has in common.
    common: ModelRequest,
    reports: mpsc::Sender<ModelReport>,
    running: Vec<(GenerationId, AbortHandle)>,
}

impl Model {
    /// A call's access to the model; every request is `common` but for messages and tools.
    #[must_use]
    pub(crate) const fn new(service: Arc<dyn LanguageModel>, common: ModelRequest, reports: mpsc::Sender<ModelReport>) -> Self {
        Self { service, common, reports, running: Vec::new() }
    }

    /// Starts a request as a task of `tasks`. `tools` must hold `confirm` where it is wanted (see [`confirm_schema`]).
    pub(crate) fn ask(&mut self, tasks: &mut Tasks, generation: GenerationId, messages: Vec<Message>, tools: Vec<ToolSchema>) {
        let request = ModelRequest { messages, tools, ..self.common.clone() };
        let (service, reports) = (Arc::clone(&self.service), self.reports.clone());
        let name = service.name();
        let span = tracing::info_span!("chat", gen_ai.operation.name = "chat", gen_ai.provider.name = name, "error.type" = Empty);
        let answer = async move {
            let clock = Clock { asked: Instant::now(), first: OnceLock::new() };
            let answering = AssertUnwindSafe(answer(service, request, generation, &reports, &clock)).catch_unwind();
            let mut answered = timeout(ANSWER_MAX, answering).await;
            let took = clock.asked.elapsed();
            let error = match &answered {
                Ok(Ok(Ok(_))) => None,
                Ok(Ok(Err(error))) => Some(error.kind()),
                Ok(Err(_)) => Some("panic"),
                Err(_) => Some("timeout"),
            };
            Span::current().record("error.type", error);
            numbers::chat(name, clock.first.get().copied(), took, error);
            if let Ok(Ok(Ok(stream))) = &mut answered {
                // The stream itself knows who counts.
                let _ = timeout(USAGE_MAX, stream.usage()).await;
            }
            let failure = match answered {
                Ok(Ok(Ok(_))) => return,
                Ok(Ok(Err(error))) => error,
                Ok(Err(_)) => ProviderError::Broken { provider: name, reason: "the client panicked".into() },
                Err(_) => ProviderError::Timeout { provider: name, stage: "end of answer", limit_ms: ANSWER_MAX.as_millis() as u64 },
            };
            // Fails only when the session is gone.
            let _ = reports.send(ModelReport::Failed(generation, failure)).await;
        };
        self.running.retain(|(_, task)| !task.is_finished());
        self.running.push((generation, tasks.spawn(answer.instrument(span))));
    }

    /// Drops a request; pieces of it that are under way are dropped by the conversation.
    pub(crate) fn cancel(&mut self, generation: GenerationId) {
        self.running.retain(|(running, task)| {
            if *running == generation {
                task.abort();
            }
            *running != generation
        });
    }

    /// Drops all requests.
    pub(crate) fn cancel_all(&mut self) {
        for (_, task) in self.running.drain(..) {
            task.abort();
        }
    }
}

/// When a request was made and how long its first piece took.
struct Clock {
    asked: Instant,
    first: OnceLock<Duration>,
}

async fn answer(
    service: Arc<dyn LanguageModel>,
    request: ModelRequest,
    generation: GenerationId,
    reports: &mpsc::Sender<ModelReport>,
    clock: &Clock,
) -> Result<Box<dyn ModelStream>, ProviderError> {
    let mut stream = service.ask(request).await?;
    let mut done = false;
    while let Some(event) = stream.next_event().await? {
        clock.first.get_or_init(|| clock.asked.elapsed());
        done = event == ModelEvent::Done;
        if reports.send(ModelReport::Event(generation, event)).await.is_err() || done {
            return Ok(stream);
        }
    }
    if done { Ok(stream) } else { Err(ProviderError::Broken { provider: service.name(), reason: "the answer ended early".into() }) }
}

/// The tool by which the model confirms a prepared commit; the conversation handles it itself.
pub(crate) fn confirm_schema() -> ToolSchema {
    ToolSchema { name: CONFIRM_TOOL.into(), description: CONFIRM_TOOL_DESCRIPTION.into(), parameters: confirm_tool_schema() }
}
