//! The methods that an agent's participant answers in its room: a small set of our own, and those of an application.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use frontdesk_agent::transport::AgentState;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::room::{Room, RpcError, RpcRequest};

/// What the agent does now: answers `{"state": "listening", "call_id": "…"}`.
pub const STATE_METHOD: &str = "frontdesk.state";
/// Calls of methods that run at once; the caller of one beyond is told by his own time-out.
const RUNNING_MAX: usize = 8;

/// What becomes of a call of a method.
type Outcome = Result<String, RpcError>;
type Method = Arc<dyn Fn(RpcRequest) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// Methods of an application, by name. They answer everybody in the room: [`RpcRequest::caller`] says who asks.
#[derive(Clone, Default)]
pub struct RpcMethods(BTreeMap<String, Method>);

impl RpcMethods {
    /// Adds a method. It has as long as its caller waits; one that panics is answered as failed.
    pub fn add<Fut>(&mut self, name: impl Into<String>, method: impl Fn(RpcRequest) -> Fut + Send + Sync + 'static)
    where
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        self.0.insert(name.into(), Arc::new(move |request| Box::pin(method(request))));
    }
}

impl fmt::Debug for RpcMethods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Answers calls of methods until it is dropped or told to stop.
pub(super) struct Desk {
    room: Arc<Room>,
    methods: RpcMethods,
    call_id: String,
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Desk {
    pub(super) fn new(room: Arc<Room>, methods: RpcMethods, call_id: String) -> Self {
        Self { room, methods, call_id, places: Arc::new(Semaphore::new(RUNNING_MAX)), stop: CancellationToken::new() }
    }

    /// Carries a call out beside the call's audio; never waits.
    pub(super) fn on_request(&self, request: RpcRequest, state: AgentState) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            tracing::warn!(method = request.method, "a call of a method was left out: too many at once");
            return;
        };
        let outcome: BoxFuture<'static, Outcome> = match self.methods.0.get(&request.method) {
            Some(method) => carry_out(Arc::clone(method), request.clone()).boxed(),
            None if request.method == STATE_METHOD => {
                let now = json!({ "state": state.as_str(), "call_id": self.call_id });
                std::future::ready(Ok(now.to_string())).boxed()
            }
            None => std::future::ready(Err(RpcError::of(RpcError::UNSUPPORTED_METHOD))).boxed(),
        };
        let room = Arc::clone(&self.room);
        tokio::spawn(self.stop.clone().run_until_cancelled_owned(async move {
            let outcome = outcome.await;
            if let Err(error) = room.answer_rpc(&request, outcome).await {
                tracing::debug!(%error, "a call of a method was not answered");
            }
            drop(place);
        }));
    }

    pub(super) fn stop(&self) {
        self.stop.cancel();
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("methods", &self.methods).finish_non_exhaustive()
    }
}

/// Within the time that the caller gives.
async fn carry_out(method: Method, request: RpcRequest) -> Outcome {
    let limit = request.response_timeout;
    let running = AssertUnwindSafe(async move { method(request).await }).catch_unwind();
    match tokio::time::timeout(limit, running).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => {
            tracing::error!("a method panicked");
            Err(RpcError::of(RpcError::APPLICATION_ERROR))
        }
        Err(_) => Err(RpcError::of(RpcError::RESPONSE_TIMEOUT)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn request() -> RpcRequest {
        let (id, caller, method) = ("r1".to_owned(), "ann".to_owned(), "greet".to_owned());
        RpcRequest { id, caller, method, payload: "Bob".to_owned(), response_timeout: Duration::from_secs(5) }
    }

    async fn call<Fut>(method: impl Fn(RpcRequest) -> Fut + Send + Sync + 'static) -> Outcome
    where
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        let mut methods = RpcMethods::default();
        methods.add("greet", method);
        carry_out(Arc::clone(&methods.0["greet"]), request()).await
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_a_method_does_its_caller_is_answered() {
        assert_eq!(call(async |request: RpcRequest| Ok(format!("hello {}", request.payload))).await, Ok("hello Bob".into()));
        let failed = call(async |_| Err(RpcError { code: 7, message: "no".into(), data: String::new() })).await;
        assert_eq!(failed.map_err(|error| error.code), Err(7));
        let panicked = call(async |_| panic!("a fault")).await;
        assert_eq!(panicked.map_err(|error| error.code), Err(RpcError::APPLICATION_ERROR));
        let slow = call(async |_| std::future::pending().await).await;
        assert_eq!(slow.map_err(|error| error.code), Err(RpcError::RESPONSE_TIMEOUT));
    }
}
