//! Calls answered by agents of one's own: what a [`Worker`] does with its jobs.
//!
//! ```no_run
//! use frontdesk_agent::{Agent, Providers};
//! use frontdesk_livekit::worker::{Worker, WorkerError, WorkerOptions};
//! use frontdesk_livekit::{Calls, Credentials};
//!
//! async fn serve(providers: Providers) -> Result<(), WorkerError> {
//!     let shop = Agent::new("shop").instructions("You answer for a bicycle shop.").greeting("Hello, the bicycle shop.");
//!     let options = WorkerOptions::new("ws://127.0.0.1:7880", Credentials::new("key", "secret"), "shop");
//!     Worker::new(options).serve(Calls::answered_by([shop]).providers(providers), Default::default()).await
//! }
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use frontdesk_agent::text::FnModel;
use frontdesk_agent::{
    Agent, CallInfo, CallRecord, CallStore, Greetings, LanguageModel, ModelEvent, ModelRequest, Providers, Session, SessionOptions,
    SpeechToText, TextToSpeech, Transport, TurnDetector, VoiceActivityDetector,
};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::api::{LiveKit, random_id};
use crate::room::{RpcError, RpcRequest};
use crate::server_url::ServerUrl;
use crate::transport::{LiveKitTransport, TransportOptions};
use crate::worker::{JobAnswer, JobContext, JobEntry, JobFailure, JobRequest, TENANT_ATTRIBUTE, Worker, WorkerError, WorkerOptions};

/// How long one hook after a call may take; it is given up then.
const AFTER_MAX: Duration = Duration::from_secs(10);
/// The tenant of a call that names none.
const NO_TENANT: &str = "default";

type Accept = Box<dyn Fn(&JobRequest) -> JobAnswer + Send + Sync>;
type Adjust = Box<dyn Fn(&CallInfo, &mut SessionOptions) + Send + Sync>;
type Prewarm = Box<dyn Fn() -> BoxFuture<'static, Result<(), JobFailure>> + Send + Sync>;
type After = Box<dyn Fn(Arc<CallRecord>) -> BoxFuture<'static, ()> + Send + Sync>;
type ByHand = Box<dyn Fn(Box<dyn Transport>, CancellationToken) -> BoxFuture<'static, Result<(), JobFailure>> + Send + Sync>;

/// Who answers.
enum Answerer {
    Agents(Vec<Agent>),
    Hand(ByHand),
}

/// Services of one's own, each in the place of the one among [`Calls::providers`].
#[derive(Default)]
struct Own {
    stt: Option<Arc<dyn SpeechToText>>,
    llm: Option<Arc<dyn LanguageModel>>,
    tts: Option<Arc<dyn TextToSpeech>>,
    /// What the synthesiser has spoken, whichever it is.
    greetings: Greetings,
    vad: Option<Arc<dyn VoiceActivityDetector>>,
    turn: Option<Arc<dyn TurnDetector>>,
    store: Option<Arc<dyn CallStore>>,
}

/// How calls are answered: by whom, with which services, and what is done before and after them.
pub struct Calls {
    answerer: Answerer,
    providers: Option<Providers>,
    own: Own,
    accept: Option<Accept>,
    adjust: Option<Adjust>,
    prewarm: Vec<Prewarm>,
    after: Vec<After>,
    transport: TransportOptions,
    transfer_numbers: BTreeMap<String, String>,
}

impl Calls {
    fn new(answerer: Answerer) -> Self {
        Self {
            answerer,
            providers: None,
            own: Own::default(),
            accept: None,
            adjust: None,
            prewarm: Vec::new(),
            after: Vec::new(),
            transport: TransportOptions::default(),
            transfer_numbers: BTreeMap::new(),
        }
    }

    /// The first agent answers; it may hand the call to the others.
    ///
    /// # Panics
    /// If there is no agent.
    #[must_use]
    pub fn answered_by(agents: impl IntoIterator<Item = Agent>) -> Self {
        let agents: Vec<Agent> = agents.into_iter().collect();
        assert!(!agents.is_empty(), "calls are answered by at least one agent");
        Self::new(Answerer::Agents(agents))
    }

    /// Calls without a conversation: `handle` is given the joined line, answers it, hears and says samples, and hangs up. What it is
    /// given with it fires when the call must end. For services that take speech and give speech.
    #[must_use]
    pub fn by_hand<Fut>(handle: impl Fn(Box<dyn Transport>, CancellationToken) -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<(), JobFailure>> + Send + 'static,
    {
        Self::new(Answerer::Hand(Box::new(move |line, stop| Box::pin(handle(line, stop)))))
    }

    /// The services of all calls.
    #[must_use]
    pub fn providers(mut self, providers: Providers) -> Self {
        self.providers = Some(providers);
        self
    }

    /// A recogniser of one's own.
    #[must_use]
    pub fn stt(mut self, stt: impl SpeechToText + 'static) -> Self {
        self.own.stt = Some(Arc::new(stt));
        self
    }

    /// A language model of one's own.
    #[must_use]
    pub fn llm(mut self, llm: impl LanguageModel + 'static) -> Self {
        self.own.llm = Some(Arc::new(llm));
        self
    }

    /// A synthesiser of one's own.
    #[must_use]
    pub fn tts(mut self, tts: impl TextToSpeech + 'static) -> Self {
        self.own.tts = Some(Arc::new(tts));
        self
    }

    /// A voice activity detector of one's own.
    #[must_use]
    pub fn vad(mut self, vad: impl VoiceActivityDetector + 'static) -> Self {
        self.own.vad = Some(Arc::new(vad));
        self
    }

    /// A turn model.
    #[must_use]
    pub fn turn(mut self, turn: impl TurnDetector + 'static) -> Self {
        self.own.turn = Some(Arc::new(turn));
        self
    }

    /// Where states and records of calls are kept. A call that is to outlive its worker needs more: leases, which only
    /// `frontdesk start` has, in Postgres.
    #[must_use]
    pub fn store(mut self, store: impl CallStore + 'static) -> Self {
        self.own.store = Some(Arc::new(store));
        self
    }

    /// Calls in writing: their model stays, but nothing is heard or spoken.
    #[must_use]
    pub fn in_writing(mut self) -> Self {
        let silent = Providers::in_writing(FnModel(|_: &ModelRequest| ModelEvent::Done));
        self.own = Own { stt: Some(silent.stt), tts: Some(silent.tts), vad: Some(silent.vad), turn: None, ..self.own };
        self
    }

    /// Decides about an offered job once the worker's [`crate::worker::RequestFilter`] has admitted it, and as whom it is taken. Must
    /// not block. Without it every job is taken.
    #[must_use]
    pub fn accept(mut self, accept: impl Fn(&JobRequest) -> JobAnswer + Send + Sync + 'static) -> Self {
        self.accept = Some(Box::new(accept));
        self
    }

    /// Changes the settings of each call before it begins: turn-taking, voices, phrases, where records are written, who watches.
    #[must_use]
    pub fn options(mut self, adjust: impl Fn(&CallInfo, &mut SessionOptions) + Send + Sync + 'static) -> Self {
        self.adjust = Some(Box::new(adjust));
        self
    }

    /// Gets something ready before the worker registers; in the order in which they were given. A failure ends [`Worker::serve`].
    #[must_use]
    pub fn prewarm<Fut>(mut self, prewarm: impl Fn() -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<(), JobFailure>> + Send + 'static,
    {
        self.prewarm.push(Box::new(move || Box::pin(prewarm())));
        self
    }

    /// Does something with the record of each call that has ended, before its job does: a worker that drains waits for it, 10 s at
    /// most. All hooks run, in their order; one that panics or takes longer is noted in the log, and the next runs.
    #[must_use]
    pub fn after<Fut>(mut self, after: impl Fn(Arc<CallRecord>) -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.after.push(Box::new(move |record| Box::pin(after(record))));
        self
    }

    /// Where a tool that [transfers](frontdesk_agent::Tool::transfers_call) may put callers through to: a name for the model, and a
    /// number in E.164 that it never sees.
    #[must_use]
    pub fn transfer_target(mut self, name: impl Into<String>, number: impl Into<String>) -> Self {
        self.transfer_numbers.insert(name.into(), number.into());
        self
    }

    /// A method that others in the room may call (LiveKit's RPC), besides [`crate::transport::STATE_METHOD`].
    #[must_use]
    pub fn rpc_method<Fut>(mut self, name: impl Into<String>, method: impl Fn(RpcRequest) -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<String, RpcError>> + Send + 'static,
    {
        self.transport.methods.add(name, method);
        self
    }

    /// How rooms are joined. Before [`Calls::rpc_method`], or the methods are those of `options`.
    #[must_use]
    pub fn transport(mut self, options: TransportOptions) -> Self {
        self.transport = options;
        self
    }

    /// The services with one's own in their places; `None` while one is missing.
    #[must_use]
    pub fn services(&self) -> Option<Providers> {
        let (own, all) = (&self.own, self.providers.as_ref());
        Some(Providers {
            stt: own.stt.clone().or_else(|| all.map(|all| Arc::clone(&all.stt)))?,
            llm: own.llm.clone().or_else(|| all.map(|all| Arc::clone(&all.llm)))?,
            tts: own.tts.clone().or_else(|| all.map(|all| Arc::clone(&all.tts)))?,
            greetings: own.greetings.clone(),
            vad: own.vad.clone().or_else(|| all.map(|all| Arc::clone(&all.vad)))?,
            turn: own.turn.clone().or_else(|| all.and_then(|all| all.turn.clone())),
            store: own.store.clone().or_else(|| all.and_then(|all| all.store.clone())),
        })
    }

    /// Whether a language model is there already.
    #[must_use]
    pub fn has_llm(&self) -> bool {
        self.own.llm.is_some() || self.providers.is_some()
    }

    /// Whether a recogniser is there already.
    #[must_use]
    pub fn has_stt(&self) -> bool {
        self.own.stt.is_some() || self.providers.is_some()
    }

    /// Whether a synthesiser is there already.
    #[must_use]
    pub fn has_tts(&self) -> bool {
        self.own.tts.is_some() || self.providers.is_some()
    }

    /// Whether nothing is missing to answer a call.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self.answerer, Answerer::Hand(_)) || self.services().is_some()
    }

    /// What becomes of an offered job.
    #[must_use]
    pub fn answer(&self, request: &JobRequest) -> JobAnswer {
        self.accept.as_ref().map_or_else(JobAnswer::default, |accept| accept(request))
    }

    /// Gets ready what calls need: what [`Worker::serve`] does first.
    ///
    /// # Errors
    /// The first failure, or that a service is missing.
    pub async fn warm_up(&self) -> Result<(), JobFailure> {
        if !self.is_complete() {
            return Err(JobFailure("a service is missing: give the calls providers, or all four of stt, llm, tts and vad".into()));
        }
        for prewarm in &self.prewarm {
            prewarm().await?;
        }
        Ok(())
    }

    /// Takes one call over any line: the conversation to its end, then the hooks. `hurry` has the agent say goodbye, `stop` ends the
    /// call. Gives the record, of which there is none of a call by hand.
    ///
    /// # Errors
    /// [`JobFailure`] if a service is missing, or that of a call by hand.
    pub async fn take(
        &self,
        line: Box<dyn Transport>,
        stop: CancellationToken,
        hurry: CancellationToken,
    ) -> Result<Option<Arc<CallRecord>>, JobFailure> {
        let agents = match &self.answerer {
            Answerer::Agents(agents) => agents.clone(),
            Answerer::Hand(handle) => return handle(line, stop).await.map(|()| None),
        };
        let providers = self.services().ok_or_else(|| JobFailure("a service is missing".into()))?;
        let info = line.info();
        let call_id = if info.call_id.is_empty() { random_id("call_") } else { info.call_id.clone() };
        let tenant = info.attributes.expose().get(TENANT_ATTRIBUTE).map_or(NO_TENANT, String::as_str);
        let mut options = SessionOptions::for_agents(call_id, tenant, agents);
        options.hurry = hurry;
        if let Some(adjust) = &self.adjust {
            adjust(info, &mut options);
        }
        let record = Arc::new(Session::new(options, providers, line).run(stop).await);
        for after in &self.after {
            let hook = AssertUnwindSafe(async { after(Arc::clone(&record)).await }).catch_unwind();
            match tokio::time::timeout(AFTER_MAX, hook).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => tracing::error!(call = record.call_id, "a hook after the call panicked"),
                Err(_) => tracing::error!(call = record.call_id, "a hook after the call took too long and was given up"),
            }
        }
        Ok(Some(record))
    }

    /// Joins the room of a job and takes its call.
    ///
    /// # Errors
    /// [`JobFailure`] if the room cannot be joined or nobody is there, or as [`Calls::take`].
    pub async fn take_job(&self, job: JobContext, api: Arc<LiveKit>) -> Result<Option<Arc<CallRecord>>, JobFailure> {
        let joined = LiveKitTransport::join(&job, api, self.transport.clone()).await;
        let mut line = joined.map_err(|error| JobFailure(error.to_string()))?;
        line.set_transfer_numbers(self.transfer_numbers.clone());
        let stop = line.stop();
        self.take(Box::new(line), stop, job.hurry).await
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agents: Vec<&str> = match &self.answerer {
            Answerer::Agents(agents) => agents.iter().map(Agent::name).collect(),
            Answerer::Hand(_) => Vec::new(),
        };
        f.debug_struct("Calls").field("agents", &agents).finish_non_exhaustive()
    }
}

/// Calls from one server.
struct Served {
    calls: Arc<Calls>,
    api: Arc<LiveKit>,
}

#[async_trait]
impl JobEntry for Served {
    fn answer(&self, request: &JobRequest) -> JobAnswer {
        self.calls.answer(request)
    }

    async fn prewarm(&self) -> Result<(), JobFailure> {
        self.calls.warm_up().await
    }

    async fn run(&self, job: JobContext) -> Result<(), JobFailure> {
        self.calls.take_job(job, Arc::clone(&self.api)).await.map(drop)
    }
}

impl Worker {
    /// Answers calls until `shutdown` fires and those that run have ended: [`Worker::run`] with [`Calls`].
    ///
    /// # Errors
    /// [`WorkerError`]
    pub async fn serve(&self, calls: impl Into<Arc<Calls>>, shutdown: CancellationToken) -> Result<(), WorkerError> {
        let WorkerOptions { url, credentials, .. } = self.options();
        ServerUrl::parse(url)?;
        let api = LiveKit::new(url, credentials.clone()).map_err(|error| WorkerError::Prewarm { reason: error.to_string() })?;
        self.run(Arc::new(Served { calls: calls.into(), api: Arc::new(api) }), shutdown).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use frontdesk_agent::text::TextTransport;
    use tokio::sync::mpsc;

    use super::*;

    /// A caller who hangs up at once.
    fn nobody() -> Box<dyn Transport> {
        Box::new(TextTransport::new(mpsc::channel(1).1, |_| {}))
    }

    fn quiet() -> Calls {
        Calls::answered_by([Agent::new("desk")]).llm(FnModel(|_: &ModelRequest| ModelEvent::Done)).in_writing()
    }

    #[tokio::test(start_paused = true)]
    async fn every_hook_gets_the_record_whatever_the_others_do() {
        let (tell, mut told) = mpsc::unbounded_channel();
        let calls = quiet()
            .options(|_, options| options.call_id = "call-7".into())
            .after(|_| async { panic!("a hook with a fault") })
            .after(|_| std::future::pending())
            .after(move |record| {
                tell.send(record.call_id.clone()).expect("somebody listens");
                std::future::ready(())
            });
        let record = calls.take(nobody(), Default::default(), Default::default()).await.expect("it was taken").expect("a record");
        assert_eq!(format!("{:?}", record.outcome), "CallerHungUp");
        assert_eq!(told.recv().await.as_deref(), Some("call-7"));
    }

    #[tokio::test]
    async fn what_is_got_ready_comes_in_order_and_ends_with_the_first_failure() {
        let done = Arc::new(Mutex::new(Vec::new()));
        let step = |name: &'static str, result: Result<(), JobFailure>| {
            let done = Arc::clone(&done);
            move || {
                done.lock().expect("no test panicked").push(name);
                std::future::ready(result.clone())
            }
        };
        let failure = JobFailure("no model".into());
        let calls = quiet().prewarm(step("first", Ok(()))).prewarm(step("second", Err(failure.clone()))).prewarm(step("third", Ok(())));
        assert_eq!(calls.warm_up().await, Err(failure));
        assert_eq!(*done.lock().expect("no test panicked"), ["first", "second"]);
    }

    #[tokio::test]
    async fn a_missing_service_is_told_before_the_first_call() {
        let calls = Calls::answered_by([Agent::new("desk")]).llm(FnModel(|_: &ModelRequest| ModelEvent::Done));
        assert!(!calls.is_complete() && calls.has_llm() && !calls.has_stt());
        assert!(calls.warm_up().await.is_err_and(|failure| failure.0.contains("missing")));
        assert!(calls.in_writing().warm_up().await.is_ok());
    }
}
