//! The layers of the configuration and the one table of settings that flags, help and `.env.example` come from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Map, Value};

use super::Config;

/// So many letters wrong, missing, doubled or swapped still name the setting that was meant.
const TYPING_MISTAKES_MAX: usize = 3;

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Where it stands in the TOML, `section.key`.
    pub key: &'static str,
    /// Its environment variable.
    pub env: &'static str,
    /// Default as it would be written in the environment; empty for none.
    pub default: &'static str,
    /// Whether it must stay out of the TOML and of every output.
    pub secret: bool,
    /// What it is, and what is expected.
    pub help: &'static str,
}

const fn plain(key: &'static str, env: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { key, env, default, secret: false, help }
}

const fn secret(key: &'static str, env: &'static str, help: &'static str) -> Setting {
    Setting { key, env, default: "", secret: true, help }
}

/// Every setting, in the order of the documentation. One variable may feed several keys (Deepgram's).
pub const SETTINGS: &[Setting] = &[
    plain("environment", "FRONTDESK_ENVIRONMENT", "development", "development, staging or production"),
    plain("log.level", "FRONTDESK_LOG", "info", "log filter such as info or frontdesk=debug,warn"),
    plain("log.format", "FRONTDESK_LOG_FORMAT", "text", "text or json"),
    secret("database.url", "DATABASE_URL", "Postgres, as postgres://user:password@host:port/database"),
    plain("database.max_connections", "FRONTDESK_DATABASE_MAX_CONNECTIONS", "10", "upper bound of the pool, 1 to 1000"),
    plain("livekit.url", "LIVEKIT_URL", "ws://127.0.0.1:7880", "LiveKit server, as ws://, wss://, http:// or https:// URL"),
    plain("livekit.api_key", "LIVEKIT_API_KEY", "", "LiveKit API key"),
    secret("livekit.api_secret", "LIVEKIT_API_SECRET", "LiveKit API secret, 32 characters or more"),
    plain("livekit.agent_name", "FRONTDESK_AGENT_NAME", "frontdesk", "name under which the worker registers and the bridge dispatches"),
    secret(
        "livekit.further_servers",
        "FRONTDESK_LIVEKIT_FURTHER_SERVERS",
        "servers or projects to serve as well, as a JSON array of {\"url\", \"api_key\", \"api_secret\", \"tenant\" (optional)}",
    ),
    plain("worker.max_jobs", "FRONTDESK_MAX_JOBS", "50", "calls at once, 1 to 10000"),
    plain("worker.load_threshold", "FRONTDESK_LOAD_THRESHOLD", "0.7", "load from which no new call is taken, above 0 up to 1"),
    plain("worker.drain_timeout_s", "FRONTDESK_DRAIN_TIMEOUT_S", "3600", "seconds that running calls may go on after SIGTERM"),
    plain(
        "worker.accept_rooms",
        "FRONTDESK_ACCEPT_ROOMS",
        "",
        "rooms whose calls are taken, by names with * and ?, as a JSON array or comma-separated; empty: all",
    ),
    plain(
        "worker.accept_tenants",
        "FRONTDESK_ACCEPT_TENANTS",
        "",
        "clinics whose calls are taken, where the dispatch names one; empty: all",
    ),
    plain(
        "worker.accept_metadata",
        "FRONTDESK_ACCEPT_METADATA",
        "",
        "what a dispatch's metadata, a JSON object, must hold, as key=value, comma-separated; empty: anything",
    ),
    plain("worker.rescue", "FRONTDESK_RESCUE", "true", "whether the worker also looks after calls whose worker is gone, true or false"),
    plain("worker.turn_model", "FRONTDESK_TURN_MODEL", "", "file of the turn model; empty: the one of scripts/setup, in var/models/"),
    plain("health.listen", "FRONTDESK_HEALTH_LISTEN", "127.0.0.1:8081", "address and port of the health pages and /metrics, or off"),
    plain("health.interval_s", "FRONTDESK_HEALTH_INTERVAL_S", "30", "seconds between looks at what the worker depends on, 1 to 3600"),
    plain("sip.listen", "FRONTDESK_SIP_LISTEN", "127.0.0.1:5060", "address and port for SIP over UDP and TCP"),
    plain("sip.advertised_address", "FRONTDESK_SIP_ADVERTISED_ADDRESS", "", "IP address that peers are told, when it differs (NAT)"),
    plain("sip.rtp_port_min", "FRONTDESK_RTP_PORT_MIN", "20000", "first UDP port for RTP"),
    plain("sip.rtp_port_max", "FRONTDESK_RTP_PORT_MAX", "20999", "last UDP port for RTP"),
    plain("sip.max_calls", "FRONTDESK_SIP_MAX_CALLS", "100", "calls at once on this bridge, 1 to 10000"),
    plain("sip.rules_dir", "FRONTDESK_SIP_RULES_DIR", "sip", "folder of trunk and dispatch-rule files"),
    plain(
        "sip.allowed_networks",
        "FRONTDESK_SIP_ALLOWED_NETWORKS",
        "",
        "networks that may call, as a JSON array or comma-separated; empty: the trunks' lists",
    ),
    plain("stt.base_url", "DEEPGRAM_BASE_URL", "wss://api.deepgram.com", "Deepgram, as ws:// or wss:// URL"),
    secret("stt.api_key", "DEEPGRAM_API_KEY", "Deepgram API key"),
    plain("stt.model", "DEEPGRAM_STT_MODEL", "nova-3", "Deepgram speech-to-text model"),
    plain(
        "stt.secondary_base_url",
        "FRONTDESK_STT_SECONDARY_BASE_URL",
        "",
        "a second Deepgram for when the first fails, as ws:// or wss:// URL",
    ),
    secret("stt.secondary_api_key", "FRONTDESK_STT_SECONDARY_API_KEY", "its API key"),
    plain("stt.secondary_model", "FRONTDESK_STT_SECONDARY_MODEL", "nova-3", "its speech-to-text model"),
    plain("llm.base_url", "OPENAI_BASE_URL", "https://api.openai.com/v1", "OpenAI-compatible service, as http:// or https:// URL"),
    secret("llm.api_key", "OPENAI_API_KEY", "API key of the language model's service"),
    plain("llm.model", "OPENAI_MODEL", "gpt-4.1-mini", "language model"),
    plain("llm.temperature", "OPENAI_TEMPERATURE", "0.2", "sampling temperature, 0 to 2"),
    plain(
        "llm.secondary_base_url",
        "FRONTDESK_LLM_SECONDARY_BASE_URL",
        "",
        "a second OpenAI-compatible service for when the first fails, as http:// or https:// URL",
    ),
    secret("llm.secondary_api_key", "FRONTDESK_LLM_SECONDARY_API_KEY", "its API key"),
    plain("llm.secondary_model", "FRONTDESK_LLM_SECONDARY_MODEL", "gpt-4.1-mini", "its language model"),
    plain("tts.base_url", "DEEPGRAM_BASE_URL", "wss://api.deepgram.com", "Deepgram, as ws:// or wss:// URL"),
    secret("tts.api_key", "DEEPGRAM_API_KEY", "Deepgram API key"),
    plain("tts.voice", "DEEPGRAM_TTS_MODEL", "aura-2-thalia-en", "voice, unless the tenant names one"),
    plain(
        "tts.secondary_base_url",
        "FRONTDESK_TTS_SECONDARY_BASE_URL",
        "",
        "a second Deepgram for when the first fails, as ws:// or wss:// URL",
    ),
    secret("tts.secondary_api_key", "FRONTDESK_TTS_SECONDARY_API_KEY", "its API key"),
    plain("tts.secondary_voice", "FRONTDESK_TTS_SECONDARY_VOICE", "aura-2-thalia-en", "its voice"),
    plain(
        "latency_targets.transcription_delay_ms",
        "FRONTDESK_TARGET_TRANSCRIPTION_DELAY_MS",
        "0",
        "milliseconds from the caller's last sound to the final transcript; longer is a miss, 0 for no target",
    ),
    plain(
        "latency_targets.end_of_turn_delay_ms",
        "FRONTDESK_TARGET_END_OF_TURN_DELAY_MS",
        "800",
        "milliseconds from the caller's last sound to the end of the turn; longer is a miss, 0 for no target",
    ),
    plain(
        "latency_targets.llm_ttft_ms",
        "FRONTDESK_TARGET_LLM_TTFT_MS",
        "800",
        "milliseconds from the question to the model's first token; longer is a miss, 0 for no target",
    ),
    plain(
        "latency_targets.time_to_first_clause_ms",
        "FRONTDESK_TARGET_TIME_TO_FIRST_CLAUSE_MS",
        "0",
        "milliseconds from the first token to the first clause; longer is a miss, 0 for no target",
    ),
    plain(
        "latency_targets.tts_ttfb_ms",
        "FRONTDESK_TARGET_TTS_TTFB_MS",
        "400",
        "milliseconds from the first clause to the first byte of speech; longer is a miss, 0 for no target",
    ),
    plain(
        "latency_targets.playout_delay_ms",
        "FRONTDESK_TARGET_PLAYOUT_DELAY_MS",
        "0",
        "milliseconds from the first byte of speech to the first sample played; longer is a miss, 0 for no target",
    ),
    plain(
        "latency_targets.e2e_latency_ms",
        "FRONTDESK_TARGET_E2E_LATENCY_MS",
        "1500",
        "milliseconds from the caller's last sound to the agent's first; longer is a miss, 0 for no target",
    ),
    plain(
        "eligibility.url",
        "FRONTDESK_ELIGIBILITY_URL",
        "",
        "service that is asked what insurance covers (X12 270/271 as JSON), as http:// or https:// URL; empty: the clinics' tables alone",
    ),
    secret("eligibility.api_key", "FRONTDESK_ELIGIBILITY_API_KEY", "its API key"),
    plain("eligibility.timeout_ms", "FRONTDESK_ELIGIBILITY_TIMEOUT_MS", "4000", "milliseconds for one inquiry, 100 to 6000"),
    plain("tenants.dir", "FRONTDESK_TENANTS_DIR", "agent-config", "folder with one folder a tenant"),
    plain("tenants.now", "FRONTDESK_NOW", "", "for rehearsals: the moment that clinics take for now, as 2026-11-30T12:00:00Z; empty: now"),
    plain("calls.dir", "FRONTDESK_CALLS_DIR", "", "folder for plain JSON records and recordings; empty: only sealed in Postgres"),
    plain("calls.recordings_dir", "FRONTDESK_RECORDINGS_DIR", "", "folder for sealed recordings; empty: none"),
    plain(
        "calls.record_audio",
        "FRONTDESK_RECORD_AUDIO",
        "false",
        "true or false: record calls of clinics with [recording], sealed into calls.recordings_dir, else as plain WAV into calls.dir",
    ),
    plain(
        "calls.duration_max_s",
        "FRONTDESK_CALL_DURATION_MAX_S",
        "1800",
        "seconds that a call may last, 30 to 86400; 0: as long as it takes",
    ),
    plain("notifications.dispatch", "FRONTDESK_OUTBOX", "true", "true or false: whether the worker sends what is in the outbox"),
    plain("notifications.export_dir", "FRONTDESK_EXPORT_DIR", "", "folder for the CSV files of tenants that have the channel; empty: none"),
    plain("notifications.listen", "FRONTDESK_WEB_LISTEN", "", "address and port on which receipts of text messages are taken; empty: none"),
    plain(
        "notifications.public_url",
        "FRONTDESK_PUBLIC_URL",
        "",
        "the address under which Twilio reaches it, as https:// URL; receipts are asked for only with it",
    ),
    plain("notifications.twilio_base_url", "TWILIO_BASE_URL", "https://api.twilio.com", "Twilio, as http:// or https:// URL"),
    plain("notifications.twilio_account_sid", "TWILIO_ACCOUNT_SID", "", "Twilio account, AC and 32 characters"),
    secret(
        "notifications.twilio_auth_token",
        "TWILIO_AUTH_TOKEN",
        "the account's token; text messages are sent and receipts checked with it",
    ),
    secret("notifications.smtp_url", "SMTP_URL", "mail server, as smtps://user:password@host or smtp://user:password@host?tls=required"),
    secret(
        "notifications.webhook_secrets",
        "FRONTDESK_WEBHOOK_SECRETS",
        "what webhooks are signed with, as tenant=secret, comma-separated",
    ),
    secret(
        "notifications.google_service_account",
        "GOOGLE_SERVICE_ACCOUNT",
        "JSON key file of a service account, for Calendar, Sheets and Gmail",
    ),
    plain(
        "notifications.google_calendar_base_url",
        "GOOGLE_CALENDAR_BASE_URL",
        "https://www.googleapis.com/calendar/v3",
        "Google Calendar, as http:// or https:// URL",
    ),
    plain(
        "notifications.google_sheets_base_url",
        "GOOGLE_SHEETS_BASE_URL",
        "https://sheets.googleapis.com/v4",
        "Google Sheets, as http:// or https:// URL",
    ),
    plain("notifications.gmail_base_url", "GMAIL_BASE_URL", "https://gmail.googleapis.com/gmail/v1", "Gmail, as http:// or https:// URL"),
    secret("security.master_key", "FRONTDESK_MASTER_KEY", "key that seals health data, 32 bytes as base64 (openssl rand -base64 32)"),
    secret(
        "security.master_key",
        "FRONTDESK_MASTER_KEY",
        "key that seals health data, 32 bytes as base64 (openssl rand -base64 32), or several as VERSION:BASE64,VERSION:BASE64",
    ),
    plain(
        "security.master_key_command",
        "FRONTDESK_MASTER_KEY_COMMAND",
        "",
        "instead of the key: program and arguments that print VERSION:BASE64 lines within 10 s, such as a key service's client",
    ),
    secret(
        "security.index_key",
        "FRONTDESK_INDEX_KEY",
        "key of the blind indexes, 32 bytes as base64, which never changes; empty: the master key of the lowest version",
    ),
];

/// Why the configuration cannot be used. Each line names key, value and expectation; never a secret's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

/// Where configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The TOML file; a file named explicitly must exist.
    pub file: Option<PathBuf>,
    /// Folder in which `frontdesk.toml` and `.env` are looked for.
    pub dir: PathBuf,
    /// The process's environment.
    pub env: BTreeMap<String, String>,
    /// Flags, as (key, value).
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// The sources of this process.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(String, String)>) -> Self {
        let env = std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))).collect();
        Self { file, dir: std::env::current_dir().unwrap_or_default(), env, flags }
    }
}

/// Reads and validates the configuration.
pub fn load(sources: &Sources) -> Result<Config, ConfigError> {
    let mut figment = Figment::from(Serialized::defaults(defaults()));
    let path = sources.file.clone().unwrap_or_else(|| sources.dir.join("frontdesk.toml"));
    if path.exists() {
        let table = read_toml(&path)?;
        figment = figment.merge(Toml::string(&table));
    } else if sources.file.is_some() {
        return Err(one(format!("configuration file {} does not exist", path.display())));
    }
    let dotenv = read_dotenv(&sources.dir.join(".env"))?;
    for (layer, vars) in [(".env", &dotenv), ("the environment", &sources.env)] {
        unknown_variables(layer, vars)?;
        figment = figment.merge(Serialized::defaults(from_variables(layer, vars)?));
    }
    let flags = sources.flags.iter().fold(Dict::new(), |mut dict, (key, value)| {
        insert(&mut dict, key, parse(value));
        dict
    });
    figment = figment.merge(Serialized::defaults(flags));
    let config: Config = figment.extract().map_err(|error| describe(&figment, error))?;
    super::validate::validate(&config)?;
    Ok(config)
}

fn one(line: String) -> ConfigError {
    ConfigError(vec![line])
}

fn defaults() -> Dict {
    let mut dict = Dict::new();
    for setting in SETTINGS.iter().filter(|setting| !setting.default.is_empty()) {
        insert(&mut dict, setting.key, parse(setting.default));
    }
    for section in ["database", "livekit", "stt", "llm", "tts", "calls", "eligibility", "notifications", "security"] {
        dict.entry(section.into()).or_insert_with(|| Value::from(Dict::new()));
    }
    dict
}

/// The TOML as text; secrets in it are refused, since a file that is committed by mistake must not hold any.
fn read_toml(path: &Path) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| one(format!("configuration file {}: {error}", path.display())))?;
    let data: Map<String, Value> =
        Figment::from(Toml::string(&text)).extract().map_err(|error| one(format!("{}: {error}", path.display())))?;
    let dict: Dict = data.into_iter().collect();
    let present = |key: &str| Value::from(dict.clone()).find(key).is_some();
    let faults: Vec<String> = SETTINGS
        .iter()
        .filter(|setting| setting.secret && present(setting.key))
        .map(|setting| {
            let (file, key, env) = (path.display(), setting.key, setting.env);
            format!("{file}: {key} is a secret and must not stand in the TOML: set {env} or {env}_FILE in the environment instead")
        })
        .collect();
    if faults.is_empty() { Ok(text) } else { Err(ConfigError(faults)) }
}

fn read_dotenv(path: &Path) -> Result<BTreeMap<String, String>, ConfigError> {
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let items = dotenvy::from_path_iter(path).map_err(|error| one(format!("{}: {error}", path.display())))?;
    // The error of a malformed line quotes it, and the line may hold a secret: name the line's place alone.
    items
        .enumerate()
        .map(|(index, item)| item.map_err(|_| one(format!("{}: entry {} is not of the form NAME=value", path.display(), index + 1))))
        .collect()
}

/// A `FRONTDESK_` variable that nobody reads is a mistyped setting.
fn unknown_variables(layer: &str, vars: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    let known = |name: &str| {
        let name = name.strip_suffix("_FILE").unwrap_or(name);
        SETTINGS.iter().any(|setting| setting.env == name) || name.starts_with("FRONTDESK_TEST_") || name.starts_with("FRONTDESK_DEMO_")
    };
    let faults: Vec<String> = vars
        .keys()
        .filter(|name| name.starts_with("FRONTDESK_") && !known(name))
        .map(|name| format!("{name} in {layer} is not a setting; {}", nearest(name)))
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(ConfigError(faults)) }
}

/// The setting that was meant, if one is near enough to be meant.
fn nearest(name: &str) -> String {
    let distance = |env: &&str| strsim::damerau_levenshtein(env, name);
    let best = SETTINGS.iter().map(|setting| setting.env).min_by_key(distance).filter(|env| distance(env) <= TYPING_MISTAKES_MAX);
    let guess = best.map_or_else(String::new, |env| format!("did you mean {env}? "));
    format!("{guess}`frontdesk check --settings` lists all")
}

fn from_variables(layer: &str, vars: &BTreeMap<String, String>) -> Result<Dict, ConfigError> {
    let mut dict = Dict::new();
    for setting in SETTINGS {
        let file = format!("{}_FILE", setting.env);
        let value = match (vars.get(setting.env), vars.get(&file).filter(|_| setting.secret)) {
            (Some(_), Some(_)) => return Err(one(format!("{} and {file} are both set in {layer}: keep one", setting.env))),
            (Some(value), None) => value.clone(),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path).map_err(|error| one(format!("{file} = {path}: {error}")))?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
            (None, None) => continue,
        };
        if setting.secret {
            insert(&mut dict, setting.key, Value::from(value));
        } else if !value.is_empty() {
            insert(&mut dict, setting.key, parse(&value));
        }
    }
    Ok(dict)
}

/// Numbers and booleans become such, everything else stays text.
fn parse(value: &str) -> Value {
    let trimmed = value.trim();
    if let Ok(number) = trimmed.parse::<i64>() {
        // `+1` and `007` are telephone numbers and names, not numbers.
        if number.to_string() == trimmed {
            return Value::from(number);
        }
    }
    match trimmed {
        "true" => Value::from(true),
        "false" => Value::from(false),
        _ => match trimmed.parse::<f64>() {
            Ok(number) if trimmed.contains('.') && number.is_finite() => Value::from(number),
            _ => Value::from(value),
        },
    }
}

fn insert(dict: &mut Dict, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            dict.insert(key.into(), value);
        }
        Some((section, rest)) => {
            let mut inner = dict.get(section).and_then(Value::as_dict).cloned().unwrap_or_default();
            insert(&mut inner, rest, value);
            dict.insert(section.into(), Value::from(inner));
        }
    }
}

/// One line a fault: key, what came, what is expected.
fn describe(figment: &Figment, error: figment::Error) -> ConfigError {
    let line = |error: figment::Error| {
        let key = error.path.join(".");
        let setting = SETTINGS.iter().find(|setting| setting.key == key);
        let is_secret = setting.is_some_and(|setting| setting.secret);
        let what = match &error.kind {
            figment::error::Kind::UnknownField(field, _) => {
                let whole = if key.is_empty() || key.ends_with(field.as_str()) { key.clone() } else { format!("{key}.{field}") };
                return format!(
                    "{} is not a setting; `frontdesk check --settings` lists all",
                    if whole.is_empty() { field.clone() } else { whole }
                );
            }
            _ if is_secret => "the value cannot be read".to_owned(),
            kind => kind.to_string(),
        };
        let value = figment.find_value(&key).ok().and_then(|value| value.into_string()).filter(|_| !is_secret);
        let value = value.map_or_else(String::new, |value| format!(" = {value}"));
        match setting {
            Some(setting) => format!("{} ({}){value}: {what}; expected: {}", setting.key, setting.env, setting.help),
            None => format!("{key}{value}: {what}"),
        }
    };
    ConfigError(error.into_iter().map(line).collect())
}
