//! From nothing to an answered call.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use frontdesk_conversation::{CallTime, Command, Conversation, EndReason, EndpointingMode, Input};
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::close::blank_summary;
use super::driver::{Driver, Parts, Reports};
use super::fallback;
use super::options::{Providers, SessionLimits, SessionOptions};
use super::speakers::Speakers;
use super::warm;
use super::watchdog::Heart;
use crate::background::{self, Thinking};
use crate::control::{CallControl, Shared};
use crate::error::ProviderError;
use crate::hearing::Hearing;
use crate::hearing::questions::TurnQuestions;
use crate::helpers::Tasks;
use crate::incidents::Incidents;
use crate::line;
use crate::llm::ModelRequest;
use crate::model::Model;
use crate::observe::{SessionEvent, Watch};
use crate::playout::{FrameTap, Playout};
use crate::record::CallRecord;
use crate::recording::{CallerTap, Recorder};
use crate::speech::{Speech, SpeechOrder, SpeechReport};
use crate::storage::Storage;
use crate::store::{CallStart, CallStore};
use crate::stt::SttStream;
use crate::tool::ToolContext;
use crate::tools::Tools;
use crate::transport::{AudioSink, Transport, TransportError, TransportEvent};
use crate::usage::{Meter, metered};

/// Orders for the recogniser that wait at most: 2 s of audio.
const HEARING_QUEUE: usize = 128;
/// Orders for the synthesiser that wait at most; each is a sentence or a flush.
const SPEECH_QUEUE: usize = 256;
/// Events of the transport that wait at most: about 1 s of audio.
const LINE_QUEUE: usize = 64;
/// Reports of any other kind that wait at most; whoever reports waits beyond.
const REPORT_QUEUE: usize = 64;

/// A call that begins.
pub(super) struct Start {
    pub(super) options: Arc<SessionOptions>,
    pub(super) providers: Providers,
    began: Instant,
    pub(super) started_at: DateTime<Utc>,
    pub(super) incidents: Incidents,
    pub(super) meter: Meter,
    pub(super) watch: Watch,
    pub(super) tasks: Tasks,
    pub(super) helpers: CancellationToken,
    heart: Heart,
    /// Whether a person speaks to the caller before the agent does.
    has_person: bool,
}

/// How the way to the answer ended.
enum Opened {
    Ready(Box<dyn Transport>, Box<dyn SttStream>),
    Cold(Box<dyn Transport>, ProviderError),
    Over(Option<Box<dyn Transport>>, EndReason),
    /// Another worker has the call.
    Lost(Option<Box<dyn Transport>>),
}

/// What speaks: filled before the call is answered.
struct Voice {
    playout: Playout,
    orders: mpsc::Sender<SpeechOrder>,
    reports: mpsc::Receiver<SpeechReport>,
}

/// What writes the recording.
struct Recording {
    caller: CallerTap,
    agent: Box<dyn FrameTap>,
    /// Where it is, once it is written.
    written: oneshot::Receiver<Option<String>>,
}

impl Start {
    pub(super) fn new(mut options: SessionOptions, providers: Providers) -> Self {
        options.conversation.tools = options.tools.specs();
        // A conversation ends when its last commit did or timed out, so that much it must be given.
        let slowest = options.conversation.tools.iter().map(|tool| tool.timeout).max().unwrap_or_default();
        options.limits.end = options.limits.end.max(slowest + Duration::from_secs(1));
        let incidents = Incidents::default();
        for incident in &options.incidents {
            incidents.note(incident.as_str());
        }
        let meter = Meter::default();
        let providers = metered(providers, &meter);
        let watch = Watch { call_id: options.call_id.as_str().into(), observer: options.observer.clone() };
        Self {
            options: Arc::new(options),
            providers,
            began: Instant::now(),
            started_at: Utc::now(),
            incidents,
            meter,
            watch,
            tasks: Tasks::default(),
            helpers: CancellationToken::new(),
            heart: Heart::default(),
            has_person: false,
        }
    }

    /// By which a watchdog sees that the session's task goes on.
    pub(super) fn heart(&self) -> Heart {
        self.heart.clone()
    }

    /// Where the record is kept, for whoever makes one in the session's place.
    pub(super) fn keeper(&self) -> (SessionLimits, Option<Arc<dyn CallStore>>) {
        (self.options.limits, self.providers.store.clone())
    }

    /// Makes the record of a session that broke down before it could make one.
    pub(super) fn blank_record(&self) -> impl Fn(EndReason, &str) -> CallRecord + Send + Sync + use<> {
        let (options, meter) = (Arc::clone(&self.options), self.meter.clone());
        let (started_at, incidents, began) = (self.started_at, self.incidents.clone(), self.began);
        move |reason, incident| {
            incidents.note(incident);
            let ended_at = CallTime::ZERO + began.elapsed();
            let record = crate::record::assemble(blank_summary(reason, ended_at), &options, started_at, incidents.list(), None);
            completed(record, &meter, &options)
        }
    }

    pub(super) async fn run(
        mut self,
        joining: BoxFuture<'static, Result<Box<dyn Transport>, TransportError>>,
        stop: CancellationToken,
    ) -> CallRecord {
        let mut machine = self.machine();
        let mut held = Vec::new();
        let (orders, order_queue) = mpsc::channel(SPEECH_QUEUE);
        let (report, reports) = mpsc::channel(REPORT_QUEUE);
        let voice = Voice { playout: Playout::new(self.options.tts.rate, self.options.playout), orders, reports };
        // The greeting is worded before the call is answered, so that it is synthesised while the rest warms up; whatever
        // else the conversation wants done is held until then.
        let is_greeting = self.options.resumed.is_none();
        while let Some(command) = machine.poll() {
            match command {
                Command::Synthesise { utterance, reply, text } => {
                    voice.playout.enqueue(utterance, reply);
                    let _ = voice.orders.try_send(SpeechOrder::Speak { utterance, reply, text, is_greeting });
                }
                command => held.push(command),
            }
        }
        let opened = self.open(joining, &stop, (&voice.playout, order_queue, report)).await;
        match opened {
            Opened::Ready(transport, stt) => self.converse(machine, held, voice, (transport, stt), stop).await,
            Opened::Cold(transport, error) => {
                self.incidents.note(format!("start: {} {}", error.provider(), error.kind()));
                tracing::error!(%error, "a provider is not there: the apology is played");
                self.apologise(transport, &stop).await
            }
            Opened::Lost(transport) => {
                if let Some(mut transport) = transport {
                    line::leave(transport.as_mut()).await;
                }
                self.finish(blank_summary(EndReason::TakenOver, CallTime::ZERO), None).await
            }
            Opened::Over(transport, reason) => {
                if let Some(mut transport) = transport {
                    line::hang_up(transport.as_mut()).await;
                }
                self.finish(blank_summary(reason, CallTime::ZERO), None).await
            }
        }
    }

    /// A conversation that begins, or one that goes on where another worker left it.
    fn machine(&self) -> Conversation {
        let config = self.options.conversation.clone();
        match &self.options.resumed {
            Some(resumed) => Conversation::resume(config, resumed.state.clone(), CallTime::ZERO + resumed.age),
            None => {
                let mut machine = Conversation::new(config);
                machine.handle(CallTime::ZERO, Input::Answered);
                machine
            }
        }
    }

    /// Joins and warms up at once, until both are done or the caller is gone.
    async fn open(
        &mut self,
        joining: BoxFuture<'static, Result<Box<dyn Transport>, TransportError>>,
        stop: &CancellationToken,
        (playout, order_queue, report): (&Playout, mpsc::Receiver<SpeechOrder>, mpsc::Sender<SpeechReport>),
    ) -> Opened {
        let (tasks, options, store) = (&mut self.tasks, &self.options, &self.providers.store);
        let service = (Arc::clone(&self.providers.tts), options.tts.clone(), self.providers.greetings.clone());
        let helpers = self.helpers.clone();
        let warm = warm::open(&self.providers, options, |stream| {
            let speech = Speech::new(service, stream, playout.clone(), order_queue, report, helpers);
            tasks.spawn(speech.run());
        });
        let joining = timeout(options.limits.join, joining);
        tokio::pin!(warm, joining);
        let (mut transport, mut stt) = (None, None);
        loop {
            tokio::select! {
                biased;
                () = options.lost.cancelled() => return Opened::Lost(transport),
                () = stop.cancelled() => return Opened::Over(transport, EndReason::Stopped),
                joined = &mut joining, if transport.is_none() => match joined {
                    Ok(Ok(joined)) => transport = Some(joined),
                    Ok(Err(TransportError::Ended)) => return Opened::Over(None, EndReason::CallerHungUp),
                    failed => {
                        self.incidents.note(match failed { Ok(_) => "start: the call could not be joined", Err(_) => "start: joining took too long" });
                        if let Ok(Err(error)) = failed {
                            tracing::error!(%error, "joining failed");
                        }
                        return Opened::Over(None, EndReason::Failed);
                    }
                },
                event = next_event(&mut transport) => {
                    match event {
                        TransportEvent::PersonCame => self.has_person = true,
                        TransportEvent::PersonLeft => self.has_person = false,
                        _ => {}
                    }
                    if event.is_left_to_another(store.as_ref().is_some_and(|store| store.is_leased(&options.call_id))) {
                        options.lost.cancel();
                    } else if let Some(reason) = event.end() {
                        return Opened::Over(transport, reason);
                    }
                }
                opened = &mut warm, if stt.is_none() => stt = Some(opened),
            }
            if transport.is_some() && stt.is_some() {
                return match (transport.take(), stt.take()) {
                    (Some(transport), Some(Ok(stt))) => Opened::Ready(transport, stt),
                    (Some(transport), Some(Err(error))) => Opened::Cold(transport, error),
                    (transport, _) => Opened::Over(transport, EndReason::Failed),
                };
            }
        }
    }

    /// Where to speak, and how long it took.
    async fn answer(&mut self, transport: &mut Box<dyn Transport>, warm: bool) -> Option<(Box<dyn AudioSink>, Duration)> {
        let (rate, limit) = (self.options.tts.rate, self.options.limits.answer);
        let sink = match timeout(limit, transport.answer(rate)).await {
            Ok(Ok(sink)) => sink,
            Ok(Err(error)) => {
                tracing::error!(%error, "answering failed");
                self.incidents.note("start: answering failed");
                return None;
            }
            Err(_) => {
                self.incidents.note("start: answering took too long");
                return None;
            }
        };
        let after = self.began.elapsed();
        tracing::info!(after_ms = after.as_millis() as u64, warm, "answered");
        // Of a call that was taken over, the clock goes on.
        let age = self.options.resumed.as_ref().map(|resumed| resumed.age + self.began.elapsed()).unwrap_or_default();
        self.started_at = Utc::now() - chrono::Duration::from_std(age).unwrap_or_default();
        self.began = Instant::now().checked_sub(age).unwrap_or_else(Instant::now);
        self.watch.tell(CallTime::ZERO + age, SessionEvent::Answered { after, warm });
        Some((sink, after))
    }

    async fn apologise(mut self, mut transport: Box<dyn Transport>, stop: &CancellationToken) -> CallRecord {
        let Some((sink, _)) = self.answer(&mut transport, false).await else {
            line::hang_up(transport.as_mut()).await;
            return self.finish(blank_summary(EndReason::Failed, CallTime::ZERO), None).await;
        };
        let summary = fallback::play(&self.options, transport.as_mut(), sink, self.began, stop).await;
        line::hang_up(transport.as_mut()).await;
        self.finish(summary, None).await
    }

    /// Spawns the helper tasks and drives the conversation to its end.
    async fn converse(
        mut self,
        machine: Conversation,
        held: Vec<Command>,
        voice: Voice,
        (mut transport, stt): (Box<dyn Transport>, Box<dyn SttStream>),
        stop: CancellationToken,
    ) -> CallRecord {
        let Some((sink, after)) = self.answer(&mut transport, true).await else {
            line::hang_up(transport.as_mut()).await;
            return self.finish(blank_summary(EndReason::Failed, CallTime::ZERO), None).await;
        };
        let thinking = Thinking::default();
        let sink = background::mixed(sink, self.options.background.as_ref(), self.options.tts.rate, thinking.clone());
        let (caller_tap, agent_tap, written) = match self.record_audio() {
            Some(Recording { caller, agent, written }) => (Some(caller), Some(agent), Some(written)),
            None => (None, None, None),
        };
        self.tasks.spawn(voice.playout.clone().run(sink, agent_tap, self.helpers.clone()));

        let info = transport.info();
        let (tool_report, tool_queue) = mpsc::channel(REPORT_QUEUE);
        let over = self.helpers.child_token();
        let shared = Shared { reports: tool_report.clone(), agents: Arc::clone(&self.options.agents), over: over.clone() };
        let context = ToolContext {
            call: CallControl::new(Arc::new(shared)),
            call_id: self.options.call_id.clone(),
            tenant_id: self.options.tenant_id.clone(),
            tool_call_id: String::new(),
            language: machine.language().to_owned(),
            caller_number: info.caller_number.clone(),
        };
        let (line, line_orders) = mpsc::channel(REPORT_QUEUE);
        let (line_events, line_queue) = mpsc::channel(LINE_QUEUE);
        let (cut, lost) = (self.heart.cut(), self.options.lost.clone());
        self.tasks.spawn(line::run(transport, line_orders, line_events, cut, lost));

        let (hearing, hearing_orders) = mpsc::channel(HEARING_QUEUE);
        let (heard, heard_queue) = mpsc::channel(REPORT_QUEUE);
        let service = Arc::clone(&self.providers.stt);
        let listener = Hearing::new(service, self.options.stt.clone(), stt, hearing_orders, heard, self.helpers.clone());
        self.tasks.spawn(listener.run());

        let start = CallStart {
            call_id: self.options.call_id.clone(),
            tenant_id: self.options.tenant_id.clone(),
            started_at: self.started_at,
            is_resumed: self.options.resumed.is_some(),
        };
        let (storage, storing) = Storage::new(self.providers.store.clone(), start, self.incidents.clone());
        if let Some(storing) = storing {
            self.tasks.spawn(storing.run());
        }

        let (model_report, model_queue) = mpsc::channel(REPORT_QUEUE);
        let asked = ModelRequest {
            model: self.options.language_model.clone(),
            temperature: self.options.temperature,
            max_tokens: self.options.max_tokens,
            ..ModelRequest::default()
        };
        let model = Model::new(Arc::clone(&self.providers.llm), asked, model_report);
        let tools = Tools::new(self.options.tools.clone(), context, tool_report);

        let asks = self.options.conversation.endpointing.mode == EndpointingMode::Model;
        let turn = self.providers.turn.clone().filter(|_| asks);
        let reports = Reports { line: line_queue, heard: heard_queue, spoken: voice.reports, model: model_queue, tools: tool_queue };
        let parts = Parts {
            limits: self.options.limits,
            targets: self.options.targets.clone(),
            playout: voice.playout,
            hearing,
            speech: voice.orders,
            line: Some(line),
            thinking,
            model,
            tools,
            storage,
            store: self.providers.store.clone(),
            watch: self.watch.clone(),
            incidents: self.incidents.clone(),
            over,
            speakers: Speakers::new(&self.options),
            vad: self.providers.vad.open(),
            turn: TurnQuestions::new(turn),
            caller_tap,
            tasks: std::mem::take(&mut self.tasks),
            fallback: self.options.fallback.clone(),
            rate: self.options.tts.rate,
            helpers: self.helpers.clone(),
            heart: self.heart.clone(),
            hurry: self.options.hurry.clone(),
            lost: self.options.lost.clone(),
        };
        let answered_after = self.options.resumed.is_none().then_some(after);
        let mut driver = Driver::new(machine, self.began, answered_after, parts, reports);
        driver.inputs.extend(self.has_person.then_some(Input::PersonCame));
        let summary = driver.run(held, stop).await;
        let recording = match written {
            Some(written) => written.await.ok().flatten(),
            None => None,
        };
        self.finish(summary, recording).await
    }

    fn record_audio(&mut self) -> Option<Recording> {
        let options = self.options.recording.clone()?;
        // The clock of a call that was taken over goes on; what another worker has recorded stays beside this part.
        let age = self.options.resumed.as_ref().map(|_| self.began.elapsed()).unwrap_or_default();
        let begins = (CallTime::ZERO + age, self.options.tts.rate);
        let (caller, agent, recorder) = Recorder::new(options, &self.options.call_id, begins, self.incidents.clone());
        let (report, written) = oneshot::channel();
        self.tasks.spawn(async move {
            // Fails only when nobody waits for the record any more.
            let _ = report.send(recorder.run().await);
        });
        Some(Recording { caller, agent, written })
    }
}

/// The record with what the call used of its providers, and with the application's last word on it.
pub(super) fn completed(record: CallRecord, meter: &Meter, options: &SessionOptions) -> CallRecord {
    let usage = meter.list();
    let mut record = CallRecord { cost: options.prices.cost(&usage), usage, ..record };
    if let Some(describe) = &options.describe {
        describe.apply(&mut record);
    }
    record
}

/// A transport that has not joined yet has no events.
async fn next_event(transport: &mut Option<Box<dyn Transport>>) -> TransportEvent {
    match transport {
        Some(transport) => transport.next_event().await,
        None => std::future::pending().await,
    }
}
