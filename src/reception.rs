//! Wires one job of the worker to one session of the agent: whose call it is, which providers, which tools.

mod desk;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use frontdesk_agent::resilience::BreakerOptions;
use frontdesk_agent::session::{Describe, Fallback, Providers, Resumed, Session, SessionOptions};
use frontdesk_agent::{
    Background, CallInfo, CallStore, FallbackLlm, FallbackOptions, FallbackStt, FallbackTts, Greetings, LanguageModel, LatencyTargets, Pii,
    SmartTurn, SpeechToText, TextToSpeech, Transport, TtsOptions,
};
use frontdesk_audio::SampleRate;
use frontdesk_clinic::audit::SecurityEvent;
use frontdesk_clinic::insurance::service::{EligibilityCheck, EligibilityOptions, EligibilityService};
use frontdesk_clinic::leases::{Lease, LeaseOptions, Leases};
use frontdesk_clinic::limits::Gate;
use frontdesk_clinic::tools::{message_desk, recording_tool, tool_set_with};
use frontdesk_clinic::{
    ClinicStore, Clock, Database, DatabaseOptions, DbError, Keyring, PgCallStore, PhoneNumber, Tenant, TenantDirectory, TenantId,
};
use frontdesk_conversation::{EndpointingMode, StoredState};
use frontdesk_inference::turn::{TurnEngine, TurnError};
use frontdesk_inference::vad::{VadModel, VadOptions};
use frontdesk_livekit::Credentials;
use frontdesk_livekit::api::LiveKit;
use frontdesk_livekit::worker::TENANT_ATTRIBUTE;
use frontdesk_providers::{DeepgramOptions, DeepgramStt, DeepgramTts, ListenSettings, OpenAiLlm, OpenAiOptions, SpeakSettings};

use tokio_util::sync::CancellationToken;

use crate::clinics::{ClinicFiles, Clinics, LOOK_EVERY};
use crate::config::{Config, Llm, Secret, Stt, Tts};
use crate::recordings::Recordings;
use crate::rescue;

pub use desk::Desk;

const APOLOGY: &[u8] = include_bytes!("../assets/apology.wav");
const APOLOGY_TEXT: &str = "We are sorry, we cannot take your call at the moment. Please call again in a few minutes. Goodbye.";

/// Why the reception cannot open.
#[derive(Debug, thiserror::Error)]
pub enum ReceptionError {
    /// A tenant's files are faulty.
    #[error("{0}")]
    Tenants(#[from] frontdesk_clinic::ConfigError),
    /// The database's address is no address.
    #[error("database.url (DATABASE_URL): {0}")]
    Database(#[from] DbError),
    /// The model cannot be loaded.
    #[error("voice activity detection: {0}")]
    Vad(String),
    /// A tenant's turns end by the turn model, which cannot be loaded.
    #[error("{0}; or set turn_detection = \"vad\" under [turn_taking] of each tenant")]
    Turn(#[from] TurnError),
    /// A clinic's turns shall end by the turn model, and this worker began without it.
    #[error("a tenant's turn_detection is \"model\" now, which this worker has not loaded: restart it")]
    NeedsTurnModel,
    /// A provider's settings make no sense.
    #[error("{0}")]
    Provider(#[from] frontdesk_agent::ProviderError),
    /// A setting of the practitioners' calendars.
    #[error("{0}")]
    Calendars(#[from] crate::notifications::NotificationsError),
    /// LiveKit's address is no address.
    #[error("livekit.url (LIVEKIT_URL): {0}")]
    LiveKit(#[from] frontdesk_livekit::api::ApiError),
    /// A LiveKit project is said to be of a tenant that there is not.
    #[error("{0}: no such tenant in the tenants' folder")]
    Tenant(String),
    /// The apology that is built in cannot be read: a fault of the build.
    #[error("built-in apology: {0}")]
    Apology(#[from] frontdesk_audio::wav::WavError),
}

/// Everything that calls share.
pub struct Reception {
    clinics: Arc<ClinicFiles<ReceptionError>>,
    database: Database,
    keys: Arc<Keyring>,
    providers: Providers,
    fallback: Fallback,
    temperature: f32,
    targets: LatencyTargets,
    eligibility: Option<Arc<dyn EligibilityCheck>>,
    calls_dir: Option<PathBuf>,
    recordings: Option<Recordings>,
    duration_max: Duration,
    /// The moment that clinics take for now, in a rehearsal.
    now: Option<DateTime<Utc>>,
    /// Where calls are admitted.
    gate: Gate,
    /// This process among all that ever were.
    process: String,
}

impl Reception {
    /// Loads tenants, model and clients; reaches out to nobody yet. The audit log names `principal` as the one who acts.
    ///
    /// # Errors
    /// [`ReceptionError`].
    pub fn open(config: &Config, keys: Arc<Keyring>, principal: &str) -> Result<Self, ReceptionError> {
        let url = config.database.url.as_ref().map(Secret::expose).unwrap_or_default();
        let mut options = DatabaseOptions::new(url);
        options.connections_max = config.database.max_connections;
        options.principal = principal.into();
        let mut audio = frontdesk_audio::wav::parse_mono(APOLOGY)?;
        audio.samples.extend(vec![0; audio.rate.samples_in_ms(300)]);
        let mut providers = providers(config)?;
        let has_turn_model = Arc::new(AtomicBool::new(true));
        let files = clinic_files(config.clone(), Arc::clone(&has_turn_model))?;
        providers.turn = turn_model(config, &files.now().tenants)?.map(|engine| Arc::new(SmartTurn::new(engine)) as _);
        has_turn_model.store(providers.turn.is_some(), Ordering::Relaxed);
        Ok(Self {
            clinics: Arc::new(files),
            database: Database::open(&options)?,
            process: process_name(principal),
            keys,
            providers,
            fallback: Fallback { audio, text: APOLOGY_TEXT.into() },
            temperature: config.llm.temperature,
            targets: config.latency_targets.to_session(),
            eligibility: eligibility(config)?,
            calls_dir: config.calls.dir.as_ref().map(PathBuf::from),
            recordings: Recordings::of(&config.calls),
            duration_max: Duration::from_secs(config.calls.duration_max_s),
            now: config.tenants.fixed_now(),
            gate: Gate::default(),
        })
    }

    /// Whether Postgres answers and is migrated.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn check_database(&self) -> Result<(), DbError> {
        self.database.check().await
    }

    /// The clinics as they are now.
    #[must_use]
    pub fn clinics(&self) -> Arc<Clinics> {
        self.clinics.now()
    }

    /// Takes up what changes in the clinics' files, for calls that begin afterwards, until told to stop.
    pub async fn follow_files(&self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let (files, before) = (Arc::clone(&self.clinics), self.clinics.now());
            match tokio::task::spawn_blocking(move || files.look()).await {
                Ok(None) => {}
                Ok(Some(Ok(changed))) => {
                    for id in changed {
                        self.note_change(&id, &before).await;
                    }
                }
                Ok(Some(Err(error))) => tracing::error!(%error, "the clinics' files are faulty; what was in use stays in use"),
                Err(error) => tracing::error!(%error, "the clinics' files cannot be looked at"),
            }
        }
    }

    /// Says that a clinic's files have changed, in the log and in the audit log.
    async fn note_change(&self, id: &TenantId, before: &Clinics) {
        tracing::info!(tenant = %id, "the clinic's files have changed; calls that begin from now on heed them");
        let now = self.clinics.now();
        let channels = |clinics: &Clinics| clinics.tenants.get(id.as_str()).map(|tenant| tenant.notifications.clone());
        if channels(before) != channels(&now) {
            tracing::warn!(tenant = %id, "its [notifications] have changed: addresses of channels are taken up at the next restart");
        }
        let store = ClinicStore::new(self.database.clone(), Arc::clone(&self.keys), id.clone());
        if let Err(error) = store.note_security(SecurityEvent::ConfigurationChanged, None).await {
            tracing::warn!(%error, tenant = %id, "the change is not in the audit log; was the clinic imported (frontdesk tenant import)?");
        }
    }

    /// The pool of connections.
    #[must_use]
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// Seals the audit log until told to stop, and once more then.
    pub async fn run_sealer(&self, stop: CancellationToken) {
        frontdesk_clinic::audit::run_sealer(self.database.clone(), stop.cancelled_owned()).await;
    }

    /// Closes connections; running calls have ended by now.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// The desk for the calls of one LiveKit server. If it is a tenant's own, all its calls are that tenant's.
    ///
    /// # Errors
    /// [`ReceptionError::LiveKit`], or [`ReceptionError::Tenant`].
    pub fn desk(self: &Arc<Self>, url: &str, credentials: Credentials, tenant: Option<&str>) -> Result<Desk, ReceptionError> {
        let clinics = self.clinics.now();
        let tenant = match tenant {
            Some(id) => Some(clinics.tenants.get(id).ok_or_else(|| ReceptionError::Tenant(id.to_owned()))?.id.clone()),
            None => None,
        };
        let leases = Leases::new(self.database.clone(), LeaseOptions::new(self.process.clone(), rescue::project(&credentials)));
        Ok(Desk { reception: Arc::clone(self), livekit: Arc::new(LiveKit::new(url, credentials)?), leases, tenant })
    }

    /// Whose call it is.
    fn tenant(&self, info: &CallInfo) -> Option<Arc<Tenant>> {
        let clinics = self.clinics.now();
        let named = info.attributes.expose().get(TENANT_ATTRIBUTE).and_then(|id| clinics.tenants.get(id));
        named.or_else(|| info.dialled_number.as_deref().and_then(|number| clinics.tenants.by_dialled_number(number))).cloned()
    }

    /// The tenant's clinic, with its clock, whom it tells, and the practitioners' own calendars.
    fn store(&self, tenant: &Arc<Tenant>) -> ClinicStore {
        let store = ClinicStore::new(self.database.clone(), Arc::clone(&self.keys), tenant.id.clone());
        let store = store.with_clock(self.now.map_or(Clock::Database, Clock::Fixed)).with_notices(tenant);
        match self.clinics.now().elsewhere.get(&tenant.id) {
            Some(elsewhere) => store.with_elsewhere(elsewhere),
            None => store,
        }
    }

    /// What another worker has left of the call, if anything can be had.
    async fn resumed(&self, held: &mut Held, store: &dyn CallStore) -> Option<Resumed> {
        let age = held.age?;
        let call_id = &held.lease.call().call_id;
        let state = match store.load_state(call_id).await {
            Ok(Some(state)) => StoredState::from_json(&state).map_err(|error| error.to_string()),
            // It was lost before anything was said, or is over.
            Ok(None) => return None,
            Err(error) => Err(error.to_string()),
        };
        match state {
            Ok(state) => {
                tracing::info!(call = call_id, age_ms = age.as_millis(), epoch = held.lease.epoch(), "the call is taken over");
                held.incidents.push("worker: lost; another took the call over".into());
                Some(Resumed { state, age })
            }
            Err(error) => {
                tracing::error!(call = call_id, error, "the state of a call that was taken over cannot be had; it begins anew");
                held.incidents.push("worker: lost; the call began anew, since its state cannot be read".into());
                None
            }
        }
    }

    /// A call; one beyond the clinic's limit (`is_busy`) is told so, and can leave a message. `hurry` asks it to end politely.
    async fn session(
        &self,
        tenant: &Arc<Tenant>,
        transport: Box<dyn Transport>,
        mut held: Held,
        is_busy: bool,
        hurry: CancellationToken,
    ) -> Session {
        let info = transport.info();
        let call_id = info.call_id.clone();
        // A withheld or malformed number of the trunk is none.
        let caller = info.caller_number.as_ref().and_then(|number| PhoneNumber::parse(number.expose(), &tenant.country_calling_code).ok());
        let store = self.store(tenant).with_lease(Arc::clone(&held.lease));
        let calls = Arc::new(PgCallStore::new(store.clone()).calling_from(caller));
        let tools = if is_busy { message_desk(&store, tenant) } else { tool_set_with(&store, tenant, self.eligibility.clone()) };
        let recording = match &self.recordings {
            Some(recordings) => recordings.of_call(&store, tenant, &call_id, held.age.is_some()).await,
            None => None,
        };
        let tools = match &recording {
            Some(recording) => tools.with(recording_tool(&store, &recording.consent)),
            None => tools,
        };
        let mut options = SessionOptions::new(call_id, tenant.id.as_str());
        options.conversation = tenant.conversation_config(self.now.unwrap_or_else(Utc::now), tools.specs());
        if is_busy {
            tenant.tell_busy(&mut options.conversation);
        }
        if recording.is_some() {
            tenant.tell_recorded(&mut options.conversation);
        }
        if tenant.limits.call_duration_max_s.is_none() {
            options.conversation.duration_max = self.duration_max;
        }
        options.hurry = hurry;
        options.tools = tools;
        options.stt = tenant.recognised();
        options.language_model.clone_from(&tenant.voice.language_model);
        options.tts = TtsOptions { voice: tenant.voice.text_to_speech.clone(), rate: SampleRate::HZ_24000 };
        options.voices = tenant.voice.by_language.clone();
        options.background = tenant.voice.thinking_sound.then(Background::thinking);
        options.temperature = Some(self.temperature);
        options.targets = self.targets.clone();
        options.prices = tenant.price_table();
        options.describe = Some(Describe::new(move |record| store.describe(record)));
        options.fallback = Some(self.fallback.clone());
        options.record_dir = self.calls_dir.clone();
        options.recording = recording;
        // Who is taken out of the room gives the call up in good order; who has lost it does not any more.
        options.lost = held.lease.lost().child_token();
        options.resumed = self.resumed(&mut held, calls.as_ref()).await;
        options.incidents = held.incidents;
        let mut providers = self.providers.clone();
        providers.store = Some(calls);
        Session::new(options, providers, transport)
    }
}

/// A call that this worker has.
struct Held {
    lease: Arc<Lease>,
    /// How long ago another worker began it.
    age: Option<Duration>,
    /// What its record shall note.
    incidents: Vec<String>,
}

/// The process among all that ever were.
fn process_name(principal: &str) -> String {
    format!("{principal}#{}", frontdesk_livekit::api::random_id(""))
}

/// The client of the service that knows what insurance covers, if one is configured.
fn eligibility(config: &Config) -> Result<Option<Arc<dyn EligibilityCheck>>, ReceptionError> {
    let Some(url) = config.eligibility.url.clone() else { return Ok(None) };
    let options = EligibilityOptions {
        url,
        api_key: config.eligibility.api_key.as_ref().map(|key| Pii::new(key.expose().to_owned())),
        timeout: Duration::from_millis(config.eligibility.timeout_ms.into()),
        breaker: BreakerOptions::default(),
    };
    Ok(Some(Arc::new(EligibilityService::new(&options)?)))
}

/// The clients of the configured services, each with its secondary and a circuit breaker, and the detector.
pub(crate) fn providers(config: &Config) -> Result<Providers, ReceptionError> {
    let model = VadModel::load().map_err(|error| ReceptionError::Vad(error.to_string()))?;
    let vad = frontdesk_agent::vad::SileroVad::new(model, VadOptions::default()).map_err(|error| ReceptionError::Vad(error.to_string()))?;
    let options = FallbackOptions::default();
    Ok(Providers {
        stt: Arc::new(FallbackStt::new(recognisers(config), options)),
        llm: Arc::new(FallbackLlm::new(models(config)?, options)),
        tts: Arc::new(FallbackTts::new(synthesisers(config), options)),
        greetings: Greetings::default(),
        vad: Arc::new(vad),
        turn: None,
        store: None,
    })
}

/// The clinics' files, and what is made of them; refused when they ask for a turn model that there is not.
fn clinic_files(config: Config, has_turn_model: Arc<AtomicBool>) -> Result<ClinicFiles<ReceptionError>, ReceptionError> {
    let dir = config.tenants.dir.clone();
    ClinicFiles::open(&dir, move || {
        let tenants = TenantDirectory::load(&config.tenants.dir)?;
        if wants_turn_model(&tenants) && !has_turn_model.load(Ordering::Relaxed) {
            return Err(ReceptionError::NeedsTurnModel);
        }
        let elsewhere = crate::notifications::elsewhere(&config, &tenants)?;
        Ok(Clinics { tenants, elsewhere })
    })
}

/// Whether a tenant's turns end by the turn model.
fn wants_turn_model(tenants: &TenantDirectory) -> bool {
    tenants.iter().any(|tenant| tenant.turn_taking.turn_detection.unwrap_or_default() == EndpointingMode::Model)
}

/// The turn model, if a tenant's turns end by it.
pub(crate) fn turn_model(config: &Config, tenants: &TenantDirectory) -> Result<Option<TurnEngine>, TurnError> {
    if !wants_turn_model(tenants) {
        return Ok(None);
    }
    TurnEngine::start(config.worker.turn_model.as_deref().map(Path::new)).map(Some)
}

/// Loads the turn model and lets it judge, if a tenant's turns end by it; whether one's do.
pub(crate) fn try_turn_model(config: &Config, tenants: &TenantDirectory) -> Result<bool, TurnError> {
    if wants_turn_model(tenants) {
        TurnEngine::inline(config.worker.turn_model.as_deref().map(Path::new))?;
    }
    Ok(wants_turn_model(tenants))
}

fn deepgram(base_url: &str, key: Option<&Secret>) -> DeepgramOptions {
    let mut options = DeepgramOptions::new(key.map(Secret::expose).unwrap_or_default().to_owned());
    base_url.clone_into(&mut options.base_url);
    options
}

fn recognisers(config: &Config) -> Vec<Arc<dyn SpeechToText>> {
    let Stt { base_url, api_key, model, secondary_base_url, secondary_api_key, secondary_model } = &config.stt;
    let client = |base_url: &str, key: &Option<Secret>, model: &String| {
        let listen = ListenSettings { model: model.clone(), ..ListenSettings::default() };
        Arc::new(DeepgramStt::new(deepgram(base_url, key.as_ref())).with_settings(listen)) as Arc<dyn SpeechToText>
    };
    let secondary = secondary_base_url.as_ref().map(|url| client(url, secondary_api_key, secondary_model));
    std::iter::once(client(base_url, api_key, model)).chain(secondary).collect()
}

fn synthesisers(config: &Config) -> Vec<Arc<dyn TextToSpeech>> {
    let Tts { base_url, api_key, voice, secondary_base_url, secondary_api_key, secondary_voice } = &config.tts;
    let client = |base_url: &str, key: &Option<Secret>, voice: &String| {
        let speak = SpeakSettings { model: voice.clone() };
        Arc::new(DeepgramTts::new(deepgram(base_url, key.as_ref())).with_settings(speak)) as Arc<dyn TextToSpeech>
    };
    let secondary = secondary_base_url.as_ref().map(|url| client(url, secondary_api_key, secondary_voice));
    std::iter::once(client(base_url, api_key, voice)).chain(secondary).collect()
}

pub(crate) fn models(config: &Config) -> Result<Vec<Arc<dyn LanguageModel>>, ReceptionError> {
    let Llm { base_url, api_key, model, secondary_base_url, secondary_api_key, secondary_model, .. } = &config.llm;
    let client = |base_url: &String, key: &Option<Secret>, model: &String| -> Result<Arc<dyn LanguageModel>, ReceptionError> {
        let mut options = OpenAiOptions::new(key.as_ref().map(Secret::expose).unwrap_or_default().to_owned(), model);
        options.base_url.clone_from(base_url);
        Ok(Arc::new(OpenAiLlm::new(options)?))
    };
    let secondary = secondary_base_url.as_ref().map(|url| client(url, secondary_api_key, secondary_model));
    std::iter::once(client(base_url, api_key, model)).chain(secondary).collect()
}

/// How long a connection is waited for when a command only looks whether a service is there.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
