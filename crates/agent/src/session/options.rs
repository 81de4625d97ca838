//! What a session needs to know before it starts.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use frontdesk_audio::{Frame, SampleRate};
use frontdesk_conversation::{Config, StoredState};
use tokio_util::sync::CancellationToken;

use crate::agent::Agent;
use crate::background::Background;
use crate::llm::LanguageModel;
use crate::numbers::LatencyTargets;
use crate::observe::Observer;
use crate::playout::PlayoutLimits;
use crate::record::CallRecord;
use crate::recording::RecordingOptions;
use crate::speech::Greetings;
use crate::store::CallStore;
use crate::stt::{SpeechToText, SttOptions};
use crate::tool::ToolSet;
use crate::tts::{TextToSpeech, TtsOptions};
use crate::turn::TurnDetector;
use crate::usage::PriceTable;
use crate::vad::VoiceActivityDetector;

/// The services of a call; one set usually serves a whole process.
#[derive(Clone)]
pub struct Providers {
    /// Speech-to-text.
    pub stt: Arc<dyn SpeechToText>,
    /// The language model.
    pub llm: Arc<dyn LanguageModel>,
    /// Text-to-speech.
    pub tts: Arc<dyn TextToSpeech>,
    /// Greetings that `tts` has spoken.
    pub greetings: Greetings,
    /// Voice activity detection.
    pub vad: Arc<dyn VoiceActivityDetector>,
    /// Judges whether the caller has finished; without it, silence alone decides.
    pub turn: Option<Arc<dyn TurnDetector>>,
    /// Where state, audit events and the record are kept; a call goes on without.
    pub store: Option<Arc<dyn CallStore>>,
}

/// Played in place of a conversation when a provider is not there.
#[derive(Debug, Clone)]
pub struct Fallback {
    /// The apology, at any rate.
    pub audio: Frame,
    /// What it says, for the transcript.
    pub text: String,
}

/// What an application makes of a record before it is stored.
#[derive(Clone)]
pub struct Describe(Arc<dyn Fn(&mut CallRecord) + Send + Sync>);

impl Describe {
    /// It may alter the record as it likes, and must not wait for anything.
    #[must_use]
    pub fn new(describe: impl Fn(&mut CallRecord) + Send + Sync + 'static) -> Self {
        Self(Arc::new(describe))
    }

    pub(super) fn apply(&self, record: &mut CallRecord) {
        (self.0)(record);
    }
}

impl fmt::Debug for Describe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Describe")
    }
}

/// Settings of one call.
#[derive(Clone)]
pub struct SessionOptions {
    /// Unique, pseudonymous id of the call; the room's name behind LiveKit. Names its files as well.
    pub call_id: String,
    /// The tenant.
    pub tenant_id: String,
    /// The conversation's settings. Its `tools` are set from [`SessionOptions::tools`].
    pub conversation: Config,
    /// The tools that the model may call.
    pub tools: ToolSet,
    /// The agents that the call may be handed to; the first is the one that these settings describe. Empty where there is but one.
    pub agents: Arc<[Agent]>,
    /// What the recogniser is to hear.
    pub stt: SttOptions,
    /// How the synthesiser is to speak; also the rate of all audio that is sent.
    pub tts: TtsOptions,
    /// The provider's voices for further languages, by primary tag; the call's own language is spoken with [`SessionOptions::tts`].
    pub voices: BTreeMap<String, String>,
    /// The language model's name at its primary service; `None` leaves the choice to the client's settings.
    pub language_model: Option<String>,
    /// The model's sampling temperature, if not the service's default.
    pub temperature: Option<f32>,
    /// Upper bound of one answer of the model, in tokens.
    pub max_tokens: Option<u32>,
    /// Played when a provider is not warm in time, or when the conversation breaks down.
    pub fallback: Option<Fallback>,
    /// What is heard beneath the agent's speech; `None` for nothing.
    pub background: Option<Background>,
    /// Where `<call id>.json` is written; `None` for nowhere.
    pub record_dir: Option<PathBuf>,
    /// Whether and where the call is recorded; `None` for no recording.
    pub recording: Option<RecordingOptions>,
    /// The application's last word on the record, before it is stored: a summary, say. It must not wait for anything.
    pub describe: Option<Describe>,
    /// What the clinic pays its providers.
    pub prices: PriceTable,
    /// Who watches.
    pub observer: Option<Observer>,
    /// Bounds of the playout.
    pub playout: PlayoutLimits,
    /// How long the stages of a turn may take before that counts as a miss.
    pub targets: LatencyTargets,
    /// Bounds of waits.
    pub limits: SessionLimits,
    /// Whoever fires this asks the call to end soon, and politely: the agent says so, and puts the caller through to a person if it can.
    pub hurry: CancellationToken,
    /// What another worker has left of this call; `None` for a call that begins.
    pub resumed: Option<Resumed>,
    /// Fires when the call belongs to another worker: the session mutes, leaves and stores nothing more.
    pub lost: CancellationToken,
    /// What is known of the call that its record shall note, in a few words without personal data.
    pub incidents: Vec<String>,
}

/// A call that began at another worker.
#[derive(Debug, Clone)]
pub struct Resumed {
    /// The conversation as it was stored last.
    pub state: StoredState,
    /// How long ago the call began.
    pub age: Duration,
}

impl SessionOptions {
    /// Defaults for a call: speech at 24 kHz, nothing written, nobody watching.
    #[must_use]
    pub fn new(call_id: impl Into<String>, tenant_id: impl Into<String>) -> Self {
        Self {
            call_id: call_id.into(),
            tenant_id: tenant_id.into(),
            conversation: Config::default(),
            tools: ToolSet::default(),
            agents: Arc::default(),
            stt: SttOptions::default(),
            tts: TtsOptions { voice: None, rate: SampleRate::HZ_24000 },
            voices: BTreeMap::new(),
            temperature: None,
            language_model: None,
            describe: None,
            max_tokens: None,
            fallback: None,
            background: None,
            record_dir: None,
            recording: None,
            prices: PriceTable::default(),
            observer: None,
            playout: PlayoutLimits::default(),
            targets: LatencyTargets::default(),
            limits: SessionLimits::default(),
            hurry: CancellationToken::new(),
            resumed: None,
            lost: CancellationToken::new(),
            incidents: Vec::new(),
        }
    }
}

/// How long a session waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// For the providers, from the start; then the call is answered with the fallback.
    pub warm_up: Duration,
    /// For the transport to join the call.
    pub join: Duration,
    /// For the transport to answer.
    pub answer: Duration,
    /// After the last word and before hanging up: what a SIP bridge still holds.
    pub drain: Duration,
    /// For the conversation to end after it was told to stop or the caller left.
    pub end: Duration,
    /// For commits and records that still run when everything else has ended; their results enter the record.
    pub effects: Duration,
    /// For helper tasks to end by themselves before they are ended.
    pub tasks: Duration,
    /// For the session's own task to come round again; then its watchdog ends the call.
    pub stuck: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            warm_up: Duration::from_secs(2),
            join: Duration::from_secs(10),
            answer: Duration::from_secs(5),
            drain: Duration::from_millis(200),
            end: Duration::from_secs(10),
            effects: Duration::from_secs(10),
            tasks: Duration::from_secs(5),
            stuck: Duration::from_secs(5),
        }
    }
}
