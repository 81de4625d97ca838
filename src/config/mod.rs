//! Configuration: defaults < `frontdesk.toml` < `.env` < environment < flags.
//!
//! Secrets never come from the TOML; each may also be given as `<NAME>_FILE`, the path of a file that holds it.

mod layers;
mod scalar;
mod secret;
mod validate;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use frontdesk_livekit::worker::{RequestFilter, WildMatch};
use serde::Deserialize;

pub use layers::{ConfigError, SETTINGS, Setting, Sources, load};
pub use secret::Secret;

/// Everything that an operator can set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where this process runs; production refuses development keys and unencrypted connections.
    pub environment: Environment,
    /// Logging.
    pub log: Log,
    /// Postgres.
    pub database: Database,
    /// LiveKit server.
    pub livekit: LiveKit,
    /// The worker.
    pub worker: Worker,
    /// The worker's health pages.
    pub health: Health,
    /// The SIP bridge.
    pub sip: Sip,
    /// Speech-to-text.
    pub stt: Stt,
    /// Language model.
    pub llm: Llm,
    /// Text-to-speech.
    pub tts: Tts,
    /// How long the stages of a turn may take.
    pub latency_targets: LatencyTargets,
    /// The service that is asked what insurance covers.
    pub eligibility: Eligibility,
    /// Tenants.
    pub tenants: Tenants,
    /// Call records.
    pub calls: Calls,
    /// What is told to others.
    pub notifications: Notifications,
    /// Keys that protect health data.
    pub security: Security,
}

/// Where a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// A developer's machine.
    Development,
    /// A rehearsal with production's rules relaxed.
    Staging,
    /// Real callers.
    Production,
}

/// Logging.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// A filter such as `info` or `frontdesk=debug,warn`.
    #[serde(deserialize_with = "scalar::text")]
    pub level: String,
    /// Text for people, JSON for machines.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Postgres.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `postgres://user:password@host:port/database`.
    #[serde(default, deserialize_with = "scalar::optional_secret")]
    pub url: Option<Secret>,
    /// Upper bound of the pool.
    pub max_connections: u32,
}

/// LiveKit server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveKit {
    /// `ws://`, `wss://`, `http://` or `https://` URL.
    #[serde(deserialize_with = "scalar::text")]
    pub url: String,
    /// API key.
    #[serde(default, deserialize_with = "scalar::optional_text")]
    pub api_key: Option<String>,
    /// API secret.
    #[serde(default, deserialize_with = "scalar::optional_secret")]
    pub api_secret: Option<Secret>,
    /// The name under which the worker registers and the bridge dispatches.
    #[serde(deserialize_with = "scalar::text")]
    pub agent_name: String,
    /// Further servers or projects, as a JSON array; see [`LiveKit::further`].
    #[serde(default, deserialize_with = "scalar::optional_secret")]
    pub further_servers: Option<Secret>,
}

/// A further LiveKit server or project to serve.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FurtherServer {
    /// Its URL.
    pub url: String,
    /// Its API key.
    pub api_key: String,
    /// Its API secret.
    pub api_secret: Secret,
    /// The tenant whose project it is: all its calls are that tenant's. Without, as on the first server.
    #[serde(default)]
    pub tenant: Option<String>,
}

impl LiveKit {
    /// The further servers.
    ///
    /// # Errors
    /// What is wrong, without the value: it holds secrets.
    pub fn further(&self) -> Result<Vec<FurtherServer>, String> {
        let Some(text) = &self.further_servers else { return Ok(Vec::new()) };
        // The library's words may quote the text.
        serde_json::from_str(text.expose()).map_err(|error| format!("line {}, column {}", error.line(), error.column()))
    }
}

/// The worker.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Calls at once.
    pub max_jobs: u32,
    /// Load from which no new call is taken, 0 to 1.
    pub load_threshold: f32,
    /// How long running calls may go on after SIGTERM, in seconds.
    pub drain_timeout_s: u64,
    /// Whether the worker also sends for agents to calls whose worker is gone, as `frontdesk rescue` does.
    pub rescue: bool,
    /// The turn model's file, unless it is where `scripts/setup` puts it.
    #[serde(default, deserialize_with = "scalar::optional_text")]
    pub turn_model: Option<String>,
    /// Patterns of rooms whose jobs are taken; empty for all.
    #[serde(default, deserialize_with = "scalar::list")]
    pub accept_rooms: Vec<String>,
    /// Tenants whose jobs are taken; empty for all.
    #[serde(default, deserialize_with = "scalar::list")]
    pub accept_tenants: Vec<String>,
    /// `key=value` that a dispatch's metadata must hold; empty for none.
    #[serde(default, deserialize_with = "scalar::list")]
    pub accept_metadata: Vec<String>,
}

impl Worker {
    /// Which jobs are taken; validation has seen that each condition on metadata is one.
    #[must_use]
    pub fn filter(&self) -> RequestFilter {
        let pairs = self.accept_metadata.iter().filter_map(|pair| pair.split_once('='));
        RequestFilter {
            rooms: self.accept_rooms.iter().map(|pattern| WildMatch::new(pattern)).collect(),
            tenants: self.accept_tenants.clone(),
            metadata: pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        }
    }
}

/// The worker's health pages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Where they are served, or `off`.
    #[serde(deserialize_with = "scalar::text")]
    pub listen: String,
    /// How often it is looked at what the worker depends on, in seconds.
    pub interval_s: u64,
}

impl Health {
    /// Where they are served, unless nowhere; validation has seen that it is an address.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }
}

/// The SIP bridge.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sip {
    /// Address for SIP over UDP and TCP.
    pub listen: SocketAddr,
    /// The address that peers are told, when it differs from the one listened on (NAT).
    #[serde(default)]
    pub advertised_address: Option<IpAddr>,
    /// First UDP port for RTP.
    pub rtp_port_min: u16,
    /// Last UDP port for RTP.
    pub rtp_port_max: u16,
    /// Calls at once; beyond it callers hear busy.
    pub max_calls: usize,
    /// Folder of trunk and dispatch-rule files.
    pub rules_dir: PathBuf,
    /// Networks whose requests are heard at all (`203.0.113.0/24`); empty for the trunks' own lists only.
    #[serde(default, deserialize_with = "scalar::list")]
    pub allowed_networks: Vec<String>,
}

/// Speech-to-text (Deepgram).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stt {
    /// `wss://` base URL.
    #[serde(deserialize_with = "scalar::text")]
    pub base_url: String,
    /// API key.
    #[serde(default, deserialize_with = "scalar::optional_secret")]
    pub api_key: Option<Secret>,
    /// Model.
    #[serde(deserialize_with = "scalar::text")]
    pub model: String,
    /// A second service for when the first fails; `None` for none.
    #[serde(default, deserialize_with = "scalar::optional_text")]
    pub secondary_base_url: Option<String>,
    /// Its API key.
    #[serde(default, deserialize_with = "scalar::optional_secret")]
    pub secondary_api_key: Option<Secret>,
    /// Its model.
    #[serde(deserialize_with = "scalar::text")]
    pub secondary_model: String,
}

/// Language model (any OpenAI-compatible service).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Llm {
    /// `https://` base URL ending in `/v1`.
    #[serde(deserialize_with = "scalar::text")]
    pub base_url: String,
    /// API key.
    #[serde(default, deserialize_with = "scalar::optional_secret")]
    pub api_key: Option<Secret>,
    /// Model.
    #[serde(deserialize_with = "scalar::text")]
    pub model: String,
    /// Sampling temperature, 0 to 2.
    pub temperature: f32,
    /// A second service for when the first fails; `None` for none.
    #[serde(default, deserialize_with = "scalar::optional_text")]
    pub secondary_base_url: Option<String>,
    /// Its API key.
    #[serde(default, deserialize_with = "scalar::optional_secret")]
    pub secondary_api_key: Option<Secret>,
    /// Its model.
    #[serde(deserialize_with = "scalar::text")]
    pub secondary_model: String,
}

/// Text-to-speech (Deepgram).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tts {
    /// `wss://` base URL.
    #[serde(deserialize_with = "scalar::text")]
    pub base_url: String,
    /// API key.
    #[serde(default, deserialize_with = "scalar::optional_secret")]
    pub api_key: Option<Secret>,
    /// Voice, unless the tenant names one.
    #[serde(deserialize_with = "scalar::text")]
    pub voice: String,
    /// A second service for when the first fails; `None` for none.
    #[serde(default, deserialize_with = "scalar::optional_text")]
    pub secondary_base_url: Option<String>,
    /// Its API key.
    #[serde(default, deserialize_with = "scalar::optional_secret")]
    pub secondary_api_key: Option<Secret>,
    /// Its voice.
    #[serde(deserialize_with = "scalar::text")]
    pub secondary_voice: String,
}

/// How long the stages of a turn may take, in milliseconds; zero for no target.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyTargets {
    /// From the caller's last sound to the final transcript.
    pub transcription_delay_ms: u64,
    /// From the caller's last sound to the end of the turn.
    pub end_of_turn_delay_ms: u64,
    /// From the question to the model's first token.
    pub llm_ttft_ms: u64,
    /// From the first token to the first clause.
    pub time_to_first_clause_ms: u64,
    /// From the first clause to the first byte of speech.
    pub tts_ttfb_ms: u64,
    /// From the first byte of speech to the first sample played.
    pub playout_delay_ms: u64,
    /// From the caller's last sound to the agent's first.
    pub e2e_latency_ms: u64,
}

impl LatencyTargets {
    /// As the session counts them.
    #[must_use]
    pub fn to_session(self) -> frontdesk_agent::LatencyTargets {
        use frontdesk_agent::Stage;
        let target = |stage: Stage| match stage {
            Stage::TranscriptionDelay => self.transcription_delay_ms,
            Stage::EndOfTurnDelay => self.end_of_turn_delay_ms,
            Stage::LlmTtft => self.llm_ttft_ms,
            Stage::TimeToFirstClause => self.time_to_first_clause_ms,
            Stage::TtsTtfb => self.tts_ttfb_ms,
            Stage::PlayoutDelay => self.playout_delay_ms,
            Stage::E2eLatency => self.e2e_latency_ms,
        };
        let targets = frontdesk_agent::LatencyTargets::none();
        Stage::ALL.into_iter().fold(targets, |targets, stage| targets.with(stage, Duration::from_millis(target(stage))))
    }
}

/// Tenants.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenants {
    /// Folder with one folder a tenant.
    pub dir: PathBuf,
    /// For rehearsals: the moment that clinics take for now, RFC 3339.
    #[serde(default, deserialize_with = "scalar::optional_text")]
    pub now: Option<String>,
}

impl Tenants {
    /// The moment that clinics take for now, if it is not the real one; validation has seen that it is one.
    #[must_use]
    pub fn fixed_now(&self) -> Option<chrono::DateTime<chrono::Utc>> {
        self.now.as_deref().and_then(|text| text.parse().ok())
    }
}

/// The service that is asked what insurance covers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eligibility {
    /// To which inquiries are posted; none: the clinics' tables alone are asked.
    #[serde(default, deserialize_with = "scalar::optional_text")]
    pub url: Option<String>,
    /// Its key.
    #[serde(default, deserialize_with = "scalar::optional_secret")]
    pub api_key: Option<Secret>,
    /// Milliseconds for one inquiry.
    pub timeout_ms: u32,
}

/// Call records.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calls {
    /// Folder for plain JSON records and recordings; empty for none (they are kept, sealed, in Postgres).
    #[serde(default, deserialize_with = "scalar::optional_text")]
    pub dir: Option<String>,
    /// Folder for sealed recordings; empty for none.
    #[serde(default, deserialize_with = "scalar::optional_text")]
    pub recordings_dir: Option<String>,
    /// Whether calls are recorded, if their clinic says how callers consent: sealed into `recordings_dir`, else as plain WAV files
    /// into `dir`.
    pub record_audio: bool,
    /// How long a call may last, in seconds; zero for as long as it takes.
    pub duration_max_s: u64,
}

/// What is told to others: the operator's part, credentials and addresses. Which event goes where stands in the tenants' files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notifications {
    /// Whether the worker sends what is in the outbox.
    pub dispatch: bool,
    /// Folder for CSV files.
    #[serde(default, deserialize_with = "scalar::optional_text")]
    pub export_dir: Option<String>,
    /// Where receipts are taken.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    /// Where the world reaches that.
    #[serde(default, deserialize_with = "scalar::optional_text")]
    pub public_url: Option<String>,
    /// Twilio.
    #[serde(deserialize_with = "scalar::text")]
    pub twilio_base_url: String,
    /// Twilio's account.
    #[serde(default, deserialize_with = "scalar::optional_text")]
    pub twilio_account_sid: Option<String>,
    /// Its token.
    #[serde(default, deserialize_with = "scalar::optional_secret")]
    pub twilio_auth_token: Option<Secret>,
    /// The mail server.
    #[serde(default, deserialize_with = "scalar::optional_secret")]
    pub smtp_url: Option<Secret>,
    /// `tenant=secret`, comma-separated.
    #[serde(default, deserialize_with = "scalar::optional_secret")]
    pub webhook_secrets: Option<Secret>,
    /// A JSON key file's content.
    #[serde(default, deserialize_with = "scalar::optional_secret")]
    pub google_service_account: Option<Secret>,
    /// Google Calendar.
    #[serde(deserialize_with = "scalar::text")]
    pub google_calendar_base_url: String,
    /// Google Sheets.
    #[serde(deserialize_with = "scalar::text")]
    pub google_sheets_base_url: String,
    /// Gmail.
    #[serde(deserialize_with = "scalar::text")]
    pub gmail_base_url: String,
}

/// Keys that protect health data.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Security {
    /// 32 bytes as base64, or several as `VERSION:BASE64,…`, the highest of which is used for what is new.
    #[serde(default, deserialize_with = "scalar::optional_secret")]
    pub master_key: Option<Secret>,
    /// Instead: a command that prints them.
    #[serde(default, deserialize_with = "scalar::optional_text")]
    pub master_key_command: Option<String>,
    /// The key of the blind indexes; `None` for the master key of the lowest version.
    #[serde(default, deserialize_with = "scalar::optional_secret")]
    pub index_key: Option<Secret>,
}
