//! `frontdesk check`: what is configured, and what of it can be reached.

use std::time::{Duration, Instant};

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use frontdesk_agent::{LanguageModel, Providers, SpeechToText, SttOptions, TextToSpeech, TtsOptions};
use frontdesk_audio::SampleRate;
use frontdesk_bridge::rules::Rules;
use frontdesk_clinic::{Database, DatabaseOptions, TenantDirectory};
use frontdesk_livekit::api::LiveKit;
use tokio::time::timeout;

use super::{CommandError, keyring, livekit_credentials};
use crate::config::{Config, SETTINGS};
use crate::reception::{PROBE_TIMEOUT, providers, try_turn_model};

/// Prints every setting.
pub(super) fn list_settings() {
    let mut table = table(&["variable", "key", "default", "meaning"]);
    for setting in SETTINGS {
        let default = if setting.secret { "(secret)" } else { setting.default };
        table.add_row([setting.env, setting.key, default, setting.help]);
    }
    // Names are there to be copied.
    for name in table.column_iter_mut().take(2) {
        name.set_constraint(ColumnConstraint::ContentWidth);
    }
    println!("{table}");
}

/// One row of the report: what, whether it is well, and a word on it.
struct Finding {
    what: &'static str,
    outcome: Result<String, String>,
    took: Option<Duration>,
}

/// Prints a table of what is reachable.
///
/// # Errors
/// At least one thing is not.
pub(super) async fn run(config: &Config) -> Result<(), CommandError> {
    let mut findings = vec![
        local("configuration", || Ok(format!("valid, environment {:?}", config.environment).to_lowercase())),
        local("tenants", || {
            let tenants = TenantDirectory::load(&config.tenants.dir).map_err(|error| error.to_string())?;
            Ok(tenants.ids().iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }),
        local("SIP trunks and rules", || {
            let rules = Rules::load(&config.sip.rules_dir).map_err(|error| error.to_string())?;
            Ok(format!("{} trunks, {} rules", rules.trunks.len(), rules.rules.len()))
        }),
    ];
    // A command that asks a key service takes its time.
    findings.push(remote("master key", async { keyring(config).await.map(|_| "valid".into()).map_err(|error| error.to_string()) }).await);
    findings.push(local("turn model", || {
        let tenants = TenantDirectory::load(&config.tenants.dir).map_err(|_| "which tenants need it is not known".to_owned())?;
        let is_needed = try_turn_model(config, &tenants).map_err(|error| error.to_string())?;
        Ok(if is_needed { "loaded" } else { "not needed: no tenant has turn_detection = \"model\"" }.into())
    }));
    findings.push(local("notifications", || {
        let tenants = TenantDirectory::load(&config.tenants.dir).map_err(|_| "which channels are needed is not known".to_owned())?;
        let (channels, missing) = crate::notifications::channels(config, &tenants).map_err(|error| error.to_string())?;
        let count: usize = channels.values().map(std::collections::HashMap::len).sum();
        if missing.is_empty() { Ok(format!("{count} channels")) } else { Err(missing.join("; ")) }
    }));
    findings.push(remote("Postgres", postgres(config)).await);
    findings.push(remote("LiveKit server", livekit(config)).await);
    match providers(config) {
        Err(error) => findings.push(Finding { what: "models and clients", outcome: Err(error.to_string()), took: None }),
        Ok(providers) => {
            findings.push(Finding { what: "Silero VAD", outcome: Ok("loaded".into()), took: None });
            let Providers { stt, llm, tts, .. } = providers;
            let (stt, llm, tts) = tokio::join!(
                remote("speech-to-text", speech_to_text(config, &*stt)),
                remote("language model", language_model(config, &*llm)),
                remote("text-to-speech", text_to_speech(config, &*tts)),
            );
            findings.extend([stt, llm, tts]);
        }
    }
    report(&findings)
}

fn report(findings: &[Finding]) -> Result<(), CommandError> {
    let mut table = table(&["what", "state", "took", "remark"]);
    for finding in findings {
        let (state, remark) = match &finding.outcome {
            Ok(remark) => ("ok", remark),
            Err(remark) => ("FAILED", remark),
        };
        let took = finding.took.map_or_else(String::new, |took| format!("{} ms", took.as_millis()));
        table.add_row([finding.what, state, &took, remark]);
    }
    println!("{table}");
    let failed: Vec<&str> = findings.iter().filter(|finding| finding.outcome.is_err()).map(|finding| finding.what).collect();
    if failed.is_empty() { Ok(()) } else { Err(CommandError::new(format!("not ready: {}", failed.join(", ")))) }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic).set_header(header.to_vec());
    if std::env::var_os("COLUMNS").is_none() {
        table.set_width(140);
    }
    table
}

fn local(what: &'static str, look: impl FnOnce() -> Result<String, String>) -> Finding {
    Finding { what, outcome: look(), took: None }
}

async fn remote(what: &'static str, look: impl Future<Output = Result<String, String>>) -> Finding {
    let since = Instant::now();
    let outcome = timeout(PROBE_TIMEOUT, look).await.unwrap_or_else(|_| Err(format!("no answer within {} s", PROBE_TIMEOUT.as_secs())));
    Finding { what, outcome, took: Some(since.elapsed()) }
}

async fn postgres(config: &Config) -> Result<String, String> {
    let url = config.database.url.as_ref().ok_or("DATABASE_URL is missing; expected postgres://user:password@host:port/database")?;
    let database = Database::open(&DatabaseOptions::new(url.expose())).map_err(|error| error.to_string())?;
    let outcome = database.check().await;
    database.close().await;
    outcome.map(|()| "reachable, schema is there".into()).map_err(|error| error.to_string())
}

async fn livekit(config: &Config) -> Result<String, String> {
    let mut missing = Vec::new();
    let Some(credentials) = livekit_credentials(config, &mut missing) else { return Err(missing.join("; ")) };
    let server = LiveKit::new(&config.livekit.url, credentials).map_err(|error| error.to_string())?;
    server.check().await.map_err(|error| error.to_string())?;
    Ok(format!("{} accepts the key", config.livekit.url))
}

async fn speech_to_text(config: &Config, stt: &dyn SpeechToText) -> Result<String, String> {
    config.stt.api_key.as_ref().ok_or("DEEPGRAM_API_KEY is missing")?;
    let mut stream = stt.open(SttOptions::default()).await.map_err(|error| error.to_string())?;
    stream.close().await;
    Ok(format!("{} {} at {}", stt.name(), config.stt.model, config.stt.base_url))
}

async fn text_to_speech(config: &Config, tts: &dyn TextToSpeech) -> Result<String, String> {
    config.tts.api_key.as_ref().ok_or("DEEPGRAM_API_KEY is missing")?;
    let mut stream = tts.open(TtsOptions { voice: None, rate: SampleRate::HZ_24000 }).await.map_err(|error| error.to_string())?;
    stream.close().await;
    Ok(format!("{} {} at {}", tts.name(), config.tts.voice, config.tts.base_url))
}

async fn language_model(config: &Config, llm: &dyn LanguageModel) -> Result<String, String> {
    use frontdesk_conversation::Message;
    config.llm.api_key.as_ref().ok_or("OPENAI_API_KEY is missing")?;
    let messages = vec![Message::System { text: "Answer with the word ok.".into() }, Message::User { text: "Are you there?".into() }];
    let request = frontdesk_agent::ModelRequest { messages, max_tokens: Some(8), ..Default::default() };
    let mut stream = llm.ask(request).await.map_err(|error| error.to_string())?;
    stream.next_event().await.map_err(|error| error.to_string())?;
    Ok(format!("{} {} at {}", llm.name(), config.llm.model, config.llm.base_url))
}
