//! One call on the stage: a real session, a scripted caller, simulated providers, a real database; in virtual time.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use frontdesk_agent::session::{Describe, Fallback, Providers, Session, SessionOptions};
use frontdesk_agent::testing::FakeVad;
use frontdesk_agent::turn::TurnDetector;
use frontdesk_agent::vad::SileroVad;
use frontdesk_agent::{
    Greetings, LanguageModel, Observation, RecordingOptions, SessionEvent, SpeechToText, TextToSpeech, ToolPhase, ToolSet, TtsOptions,
    VoiceActivityDetector,
};
use frontdesk_audio::SampleRate;
use frontdesk_clinic::tools::{recording_tool, tool_set};
use frontdesk_clinic::{PgCallStore, local_time};
use frontdesk_conversation::Message;
use frontdesk_inference::turn::TurnEngine;
use frontdesk_inference::vad::{VadModel, VadOptions};
use frontdesk_simulators::stt::{self, Inventory, SimulatedStt, SttMode};
use frontdesk_simulators::tts::{self, SimulatedTts, TtsMode};
use frontdesk_simulators::voice::{Speaker, Voice};
use tokio::runtime::Handle;
use tokio::sync::broadcast;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::EvalError;
use super::bridge::{self, OutsideStore};
use super::caller::{Caller, Mouth, Story};
use super::clinic::{self, Clinic, Clinics};
use super::faults::{Asked, FaultyHearing, FaultyModel, FaultySpeech};
use super::folder::Folder;
use super::line::{CallerEnd, line};
use super::recording;
use super::scenario::{Depth, Scenario};
use super::trace::{Booked, Registered, Taken, ToolSpan, Trace, Waiting};
use super::words::{Vocabulary, WordsStt};

/// Bound of a call in virtual time.
const CALL_MAX: Duration = Duration::from_secs(900);
/// Observations that may wait: those of the longest call.
const OBSERVATIONS_MAX: usize = 16_384;
/// How long a character of the agent's tone lasts at depth text; about the pace of speech.
const MS_PER_CHAR: u32 = 60;
const TONE_HZ: u32 = 220;
/// What one judgement of the turn model takes on a worker.
const TURN_MODEL_TIME: Duration = Duration::from_millis(45);
/// The turn model in the thread that asks, with the time that it takes on a worker.
struct InlineTurn(TurnEngine);

impl TurnDetector for InlineTurn {
    fn ask(&self, audio: Vec<i16>) -> Pin<Box<dyn Future<Output = Option<f32>> + Send>> {
        let judged = self.0.ask(audio);
        Box::pin(async move {
            tokio::time::sleep(TURN_MODEL_TIME).await;
            judged.await
        })
    }
}

/// What scenarios share.
pub(super) struct Kit {
    pub(super) clinics: Clinics,
    /// Where sockets are served.
    pub(super) real: Handle,
    caller: Arc<Speaker>,
    spanish_caller: Arc<Speaker>,
    agent: Arc<Speaker>,
    turn: OnceLock<Result<TurnEngine, String>>,
}

impl Kit {
    pub(super) fn new(clinics: Clinics, real: Handle) -> Self {
        let speaker = |voice| Arc::new(Speaker::new(voice));
        let (caller, spanish_caller) = (speaker(Voice::caller()), speaker(Voice::caller_in("es")));
        Self { clinics, real, caller, spanish_caller, agent: speaker(Voice::agent()), turn: OnceLock::new() }
    }

    /// Plays a scenario. Blocks; call it from a thread that belongs to no runtime.
    pub(super) fn play(&self, scenario: &Scenario, depth: Depth) -> Result<Trace, EvalError> {
        let clinic = self.real.block_on(self.clinics.of(scenario))?;
        for (number, taken) in scenario.taken.iter().enumerate().filter(|(_, taken)| taken.once_said.is_none()) {
            let booked = clinic::take((clinic.store.clone(), Arc::clone(&clinic.tenant)), taken.clone(), number);
            self.real.block_on(booked).map_err(EvalError::Scenario)?;
        }
        let folder = Folder::new()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let runtime = runtime.map_err(|error| EvalError::Machine(error.to_string()))?;
        let played = runtime.block_on(self.call(scenario, depth, (&clinic, folder.path())));
        drop(runtime);
        let trace = played.and_then(|trace| self.real.block_on(aftermath(&clinic, trace)));
        let trace = trace.and_then(|mut trace| {
            trace.recording = self.real.block_on(recording::kept(&clinic, &trace.record.call_id, folder.path()))?;
            Ok(trace)
        });
        self.real.block_on(clinic.close());
        trace
    }

    /// The call itself. It is recorded below `folder`, where the scenario's clinic records calls.
    async fn call(&self, scenario: &Scenario, depth: Depth, (clinic, folder): (&Clinic, &Path)) -> Result<Trace, EvalError> {
        let asked = Arc::new(Mutex::new(Asked::default()));
        let vocabulary = Vocabulary::default();
        let is_spanish = scenario.language.starts_with("es");
        let caller_voice = if is_spanish { &self.spanish_caller } else { &self.caller };
        let inventory = Arc::new(Inventory::new(Arc::clone(caller_voice)));
        let providers = self.providers(scenario, depth, clinic, (&vocabulary, &inventory, &asked))?;
        let call_id = format!("eval-{}-{}", scenario.name, depth.as_str());
        let (observer, observations) = broadcast::channel(OBSERVATIONS_MAX);
        let mut options = SessionOptions::new(call_id.clone(), clinic.tenant.id.as_str());
        // What the clinic's files say of recording is for workers.
        options.recording = match scenario.settings.recording {
            Some(_) => recording::begin(clinic, &call_id, folder, &self.real).await,
            None => None,
        };
        options.tools = self.tools(scenario, clinic, options.recording.as_ref());
        options.conversation = clinic.tenant.conversation_config(scenario.now, options.tools.specs());
        if options.recording.is_some() {
            clinic.tenant.tell_recorded(&mut options.conversation);
        }
        options.stt = clinic.tenant.recognised();
        options.tts = TtsOptions { voice: None, rate: SampleRate::HZ_24000 };
        options.fallback = Some(fallback());
        let store = clinic.store.clone();
        options.describe = Some(Describe::new(move |record| store.describe(record)));
        options.observer = Some(observer);
        let (transport, end) = line(&call_id);
        let transport = transport.transferring(scenario.transfer.into());
        end.state().code.clone_from(&clinic.code);
        end.state().is_words = depth == Depth::Text;
        end.state().noise = if depth == Depth::Audio { scenario.noise } else { 0 };
        let mouth = match depth {
            Depth::Text => Mouth::Words(vocabulary),
            Depth::Audio | Depth::Call => Mouth::Speech(Arc::clone(caller_voice), inventory),
        };
        let stop = CancellationToken::new();
        let session = tokio::spawn(Session::new(options, providers, Box::new(transport)).run(stop.clone()));
        let rivals =
            tokio::spawn(rivals(scenario.clone(), end.clone(), clinic.store.clone(), Arc::clone(&clinic.tenant), self.real.clone()));
        let caller = Caller { end: end.clone(), mouth, steps: scenario.caller.clone() };
        let acting = timeout(CALL_MAX, caller.run());
        tokio::pin!(acting, session);
        let mut record = None;
        let story = loop {
            tokio::select! {
                story = &mut acting => break story.unwrap_or_else(|_| Story::lost()),
                ended = &mut session, if record.is_none() => {
                    record = Some(ended.map_err(|error| EvalError::Machine(error.to_string()))?);
                    // The line is dead once the session has ended, however it did.
                    end.state().hung_up.get_or_insert_with(tokio::time::Instant::now);
                }
            }
        };
        let record = match record {
            Some(record) => record,
            None => {
                let ended = timeout(Duration::from_secs(60), &mut session).await;
                if ended.is_err() {
                    stop.cancel();
                }
                let ended = match ended {
                    Ok(ended) => ended,
                    Err(_) => session.await,
                };
                ended.map_err(|error| EvalError::Machine(error.to_string()))?
            }
        };
        rivals.abort();
        let trace = gather(story, &end, observations, record, &asked);
        Ok(trace)
    }

    fn providers(
        &self,
        scenario: &Scenario,
        depth: Depth,
        clinic: &Clinic,
        (vocabulary, inventory, asked): (&Vocabulary, &Arc<Inventory>, &Arc<Mutex<Asked>>),
    ) -> Result<Providers, EvalError> {
        let machine = |error: &dyn std::fmt::Display| EvalError::Machine(error.to_string());
        let (hears, says, vad): (Arc<dyn SpeechToText>, TtsMode, Arc<dyn VoiceActivityDetector>) = match depth {
            Depth::Text => {
                (Arc::new(WordsStt(vocabulary.clone())), TtsMode::Tone { hz: TONE_HZ, ms_per_char: MS_PER_CHAR }, Arc::new(FakeVad))
            }
            Depth::Audio | Depth::Call => {
                inventory.register(scenario.utterances()).map_err(|error| machine(&error))?;
                let model = VadModel::load().map_err(|error| machine(&error))?;
                let vad = SileroVad::new(model, VadOptions::default()).map_err(|error| machine(&error))?;
                let hears = SimulatedStt::new(stt::SessionOptions::new(SttMode::Listen(Arc::clone(inventory))));
                (Arc::new(hears), TtsMode::Speak(Arc::clone(&self.agent)), Arc::new(vad))
            }
        };
        let turn: Option<Arc<dyn TurnDetector>> = match depth {
            // Words have no melody.
            Depth::Text => None,
            Depth::Audio | Depth::Call => Some(Arc::new(InlineTurn(self.turn_model()?))),
        };
        let speech: Arc<dyn TextToSpeech> = Arc::new(SimulatedTts::new(tts::SessionOptions::new(says)));
        let faults = &scenario.faults;
        let model: Arc<dyn LanguageModel> = Arc::new(FaultyModel::new(&faults.model, Arc::clone(asked)));
        let store = OutsideStore { inner: Arc::new(PgCallStore::new(clinic.store.clone())), real: self.real.clone() };
        Ok(Providers {
            stt: if faults.hearing.is_empty() { hears } else { Arc::new(FaultyHearing::new(hears, &faults.hearing)) },
            llm: model,
            tts: if faults.speech.is_empty() { speech } else { Arc::new(FaultySpeech::new(speech, &faults.speech)) },
            greetings: Greetings::default(),
            vad,
            turn,
            store: Some(Arc::new(store)),
        })
    }

    /// The turn model, loaded when it is first asked for.
    fn turn_model(&self) -> Result<TurnEngine, EvalError> {
        let loaded = self.turn.get_or_init(|| TurnEngine::inline(None).map_err(|error| error.to_string()));
        loaded.clone().map_err(EvalError::Machine)
    }

    fn tools(&self, scenario: &Scenario, clinic: &Clinic, recording: Option<&RecordingOptions>) -> ToolSet {
        let tools = tool_set(&clinic.store, &clinic.tenant);
        let tools = match recording {
            Some(recording) => tools.with(recording_tool(&clinic.store, &recording.consent)),
            None => tools,
        };
        ToolSet::new(bridge::tools(&tools, &self.real, &scenario.faults.tools))
    }
}

/// A short tone in place of the cached apology.
fn fallback() -> Fallback {
    let rate = SampleRate::HZ_24000;
    let samples = (0..rate.samples_in_ms(1_500)).map(|n| if n % 100 < 50 { 4_000 } else { -4_000 }).collect();
    Fallback { audio: frontdesk_audio::Frame::new(rate, samples), text: "We are sorry, we cannot take your call at the moment.".into() }
}

/// Books what others take while the call goes on.
async fn rivals(
    scenario: Scenario,
    end: CallerEnd,
    store: frontdesk_clinic::ClinicStore,
    tenant: Arc<frontdesk_clinic::Tenant>,
    real: Handle,
) {
    let mut waiting: Vec<_> = scenario.taken.iter().cloned().enumerate().filter(|(_, taken)| taken.once_said.is_some()).collect();
    while !waiting.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let lines: String = end.state().lines.iter().map(|(_, text)| text.to_lowercase() + " ").collect();
        let is_due = |taken: &super::scenario::Taken| taken.once_said.as_ref().is_some_and(|text| lines.contains(&text.to_lowercase()));
        let Some(at) = waiting.iter().position(|(_, taken)| is_due(taken)) else { continue };
        let (number, taken) = waiting.remove(at);
        let (real, parts) = (real.clone(), (store.clone(), Arc::clone(&tenant)));
        let booked = tokio::task::spawn_blocking(move || real.block_on(clinic::take(parts, taken, number))).await;
        if let Ok(Err(error)) = booked {
            tracing::warn!(error, "nobody else could book");
        }
    }
}

fn gather(
    story: Story,
    end: &CallerEnd,
    mut observations: broadcast::Receiver<Observation>,
    record: frontdesk_agent::CallRecord,
    asked: &Mutex<Asked>,
) -> Trace {
    let (mut states, mut tools): (Vec<(f64, &'static str)>, Vec<ToolSpan>) = (Vec::new(), Vec::new());
    while let Ok(observation) = observations.try_recv() {
        let at = observation.at.since(frontdesk_conversation::CallTime::ZERO).as_secs_f64();
        match observation.event {
            SessionEvent::State(state) => states.push((at, state.as_str())),
            SessionEvent::ToolEnded { name, phase, succeeded, took, .. } => {
                let name = match phase {
                    ToolPhase::Run => name,
                    ToolPhase::Prepare => format!("{name} · prepare"),
                    ToolPhase::Commit => format!("{name} · commit"),
                };
                tools.push(ToolSpan { start: (at - took.as_secs_f64()).max(0.0), end: at, name, succeeded });
            }
            _ => {}
        }
    }
    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    let text = |message: &Message| match message {
        Message::System { .. } => None,
        Message::User { text } | Message::Assistant { text, .. } => Some(text.clone()),
        Message::Tool { content, .. } => Some(content.clone()),
    };
    Trace {
        acts: story.acts,
        states,
        tools,
        levels: end.state().levels.clone(),
        record,
        appointments: Vec::new(),
        earlier: Vec::new(),
        patients: Vec::new(),
        waiting: Vec::new(),
        messages: Vec::new(),
        audit: BTreeMap::new(),
        recording: None,
        text_messages: 0,
        remembered: asked.last.iter().filter_map(text).collect(),
        trouble: story.trouble,
        violations: asked.violations.clone(),
    }
}

/// Reads what the call left in the database.
pub(super) async fn aftermath(clinic: &Clinic, mut trace: Trace) -> Result<Trace, EvalError> {
    let failed = |error: frontdesk_clinic::DbError| EvalError::Database(error.to_string());
    let call_id = trace.record.call_id.clone();
    let zone = clinic.tenant.zone;
    let booked = |row: frontdesk_clinic::appointments::Appointment| Booked {
        status: row.status,
        practitioner: row.practitioner.as_str().to_owned(),
        start: local_time::format(row.start, zone),
        name: row.patient_name.into_inner(),
        phone: row.phone.as_e164().to_owned(),
        service: row.service_name.unwrap_or_default(),
    };
    let rows = clinic.store.appointments_of_call(&call_id).await.map_err(failed)?;
    trace.appointments = rows.into_iter().map(booked).collect();
    trace.text_messages = clinic.store.notices(&[]).await.map_err(failed)?.iter().filter(|notice| notice.channel == "sms").count();
    for number in 0..clinic.earlier {
        let rows = clinic.store.appointments_of_call(&clinic::earlier_call(number)).await.map_err(failed)?;
        trace.earlier.extend(rows.into_iter().map(booked));
    }
    trace.earlier.sort_by(|one, other| one.start.cmp(&other.start));
    let patient = |patient: frontdesk_clinic::patients::Patient| {
        let intake = patient.intake.map(frontdesk_agent::Pii::into_inner);
        let registered = Registered { name: patient.name.into_inner(), phone: patient.phone.as_e164().to_owned(), ..Registered::default() };
        intake.map_or(registered.clone(), |intake| Registered {
            born: Some(intake.date_of_birth),
            email: intake.email.map(String::from).unwrap_or_default(),
            allergies: intake.allergies.unwrap_or_default(),
            ..registered
        })
    };
    trace.patients = clinic.store.all_patients().await.map_err(failed)?.into_iter().map(patient).collect();
    let entry = |entry: frontdesk_clinic::waiting::WaitingEntry| Waiting {
        status: entry.status,
        from: local_time::format(entry.window.start, zone),
        practitioner: entry.practitioner.map(String::from).unwrap_or_default(),
        service: entry.service.map(String::from).unwrap_or_default(),
        offered: entry.offered.map(|(_, start)| local_time::format(start, zone)).unwrap_or_default(),
    };
    trace.waiting = clinic.store.waiting_list().await.map_err(failed)?.into_iter().map(entry).collect();
    let message = |message: frontdesk_clinic::messages::CallerMessage| Taken {
        text: message.text.into_inner(),
        name: message.caller_name.map(frontdesk_agent::Pii::into_inner).unwrap_or_default(),
        phone: message.phone.map(String::from).unwrap_or_default(),
    };
    trace.audit = clinic.store.audited_of_call(&call_id).await.map_err(failed)?;
    trace.messages = clinic.store.messages_of_call(&call_id).await.map_err(failed)?.into_iter().map(message).collect();
    Ok(trace)
}
