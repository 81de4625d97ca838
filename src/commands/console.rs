//! `frontdesk console`: a call with the agent in the terminal, without telephone and without LiveKit.

use std::collections::HashMap;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use frontdesk_agent::session::{Describe, Providers, Session, SessionOptions};
use frontdesk_agent::transport::TranscriptLine;
use frontdesk_agent::{Greetings, Observation, Pii, SessionEvent, ToolPhase, TransportEvent, TtsOptions};
use frontdesk_audio::{SampleRate, clip, resample};
use frontdesk_clinic::PgCallStore;
use frontdesk_clinic::tools::tool_set;
use frontdesk_conversation::{CallTime, Speaker, TurnMetrics};
use frontdesk_inference::vad::{VadModel, VadOptions};
use frontdesk_simulators::llm::SimulatedLlm;
use frontdesk_simulators::stt::{self, Inventory, SimulatedStt, SttMode};
use frontdesk_simulators::tts::{self, SimulatedTts, TtsMode};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use super::CommandError;
use crate::cli::{Console, ProviderChoice};
use crate::config::Config;
use crate::eval::{Clinic, Clinics, line};

/// Observations that may wait for a slow terminal.
const OBSERVATIONS_MAX: usize = 1024;
/// Lines that may wait to be sent.
const LINES_MAX: usize = 16;
/// How long a character of the agent's silent voice lasts.
const MS_PER_CHAR: u32 = 55;
/// Silence after a recording, so that the agent can answer its last words.
const AFTER_WAV: Duration = Duration::from_secs(20);

/// Talks until the call ends.
///
/// # Errors
/// The clinic, the database, a provider or the WAV cannot be had.
pub(super) async fn run(console: Console, config: &Config) -> Result<(), CommandError> {
    let audio = console.wav.as_deref().map(caller_audio).transpose()?;
    let clinics = Clinics::new(&PathBuf::from(&config.tenants.dir));
    let clinic = clinics.open(&console.tenant, None).await.map_err(CommandError::new)?;
    let talked = talk(&console, config, &clinic, audio).await;
    clinic.close().await;
    talked
}

async fn talk(console: &Console, config: &Config, clinic: &Clinic, audio: Option<Vec<i16>>) -> Result<(), CommandError> {
    let mut providers = match console.providers {
        ProviderChoice::Simulated => simulated(&console.utterance).await?,
        ProviderChoice::Cloud => crate::reception::providers(config).map_err(CommandError::new)?,
    };
    providers.store = Some(Arc::new(PgCallStore::new(clinic.store.clone())));
    let call_id = format!("console-{}", std::process::id());
    let (observer, observations) = broadcast::channel(OBSERVATIONS_MAX);
    let mut options = options(clinic, &call_id, Utc::now());
    options.observer = Some(observer);
    let (transport, end) = line(&call_id);
    let shown = tokio::spawn(show(observations, Paint(std::io::stdout().is_terminal())));
    let stop = CancellationToken::new();
    let session = tokio::spawn(Session::new(options, providers, Box::new(transport)).run(stop));
    if let Some(samples) = audio {
        let seconds = SampleRate::HZ_16000.duration(samples.len());
        end.state().speech.extend(samples);
        let end = end.clone();
        tokio::spawn(async move {
            tokio::time::sleep(seconds + AFTER_WAV).await;
            end.send(TransportEvent::CallerLeft);
        });
    } else {
        println!("Type what the caller says; /keys 123# presses keys; /quit or Ctrl-D hangs up.\n");
        let mut lines = stdin_lines();
        let typed = end.clone();
        tokio::spawn(async move {
            while let Some(text) = lines.recv().await {
                let event = match text.trim() {
                    "" => continue,
                    "/quit" => break,
                    keys if keys.starts_with("/keys ") => {
                        for key in keys[6..].trim().chars() {
                            typed.send(TransportEvent::Dtmf(key));
                        }
                        continue;
                    }
                    text => TransportEvent::Text(Pii::new(text.to_owned())),
                };
                typed.send(event);
            }
            typed.send(TransportEvent::CallerLeft);
        });
    }
    let record = session.await.map_err(CommandError::new)?;
    // Everything was observed by now; what is still to be printed comes first.
    let _printed = shown.await;
    println!(
        "\n{:?} after {:.1} s, {} turns, cut short {}×",
        record.outcome,
        record.duration_ms as f64 / 1000.0,
        record.turns.len(),
        record.interruptions
    );
    for incident in &record.incidents {
        println!("  incident: {incident}");
    }
    let appointments = clinic.store.appointments_of_call(&record.call_id).await.map_err(CommandError::new)?;
    for row in appointments {
        let start = frontdesk_clinic::local_time::format(row.start, clinic.tenant.zone);
        println!("  {}: {start} with {}, confirmation code {}", row.status, row.practitioner_name, row.confirmation_code);
    }
    Ok(())
}

/// A call of the clinic's at a moment, as its files say.
pub(super) fn options(clinic: &Clinic, call_id: &str, now: DateTime<Utc>) -> SessionOptions {
    let mut options = SessionOptions::new(call_id, clinic.tenant.id.as_str());
    options.tools = tool_set(&clinic.store, &clinic.tenant);
    options.conversation = clinic.tenant.conversation_config(now, options.tools.specs());
    options.stt = clinic.tenant.recognised();
    options.language_model.clone_from(&clinic.tenant.voice.language_model);
    options.tts = TtsOptions { voice: clinic.tenant.voice.text_to_speech.clone(), rate: SampleRate::HZ_24000 };
    options.prices = clinic.tenant.price_table();
    let store = clinic.store.clone();
    options.describe = Some(Describe::new(move |record| store.describe(record)));
    options
}

/// Services in this process; the recogniser knows these sentences.
pub(super) async fn simulated(utterances: &[String]) -> Result<Providers, CommandError> {
    let model = VadModel::load().map_err(CommandError::new)?;
    simulated_with(model, utterances).await
}

/// The same with a model of one's own.
pub(super) async fn simulated_with(model: VadModel, utterances: &[String]) -> Result<Providers, CommandError> {
    let inventory = Arc::new(Inventory::default());
    inventory.register_async(utterances.to_vec()).await.map_err(CommandError::new)?;
    let vad = frontdesk_agent::vad::SileroVad::new(model, VadOptions::default()).map_err(CommandError::new)?;
    Ok(Providers {
        stt: Arc::new(SimulatedStt::new(stt::SessionOptions::new(SttMode::Listen(inventory)))),
        llm: Arc::new(SimulatedLlm::default()),
        tts: Arc::new(SimulatedTts::new(tts::SessionOptions::new(TtsMode::Tone { hz: 220, ms_per_char: MS_PER_CHAR }))),
        greetings: Greetings::default(),
        vad: Arc::new(vad),
        turn: None,
        store: None,
    })
}

fn caller_audio(path: &Path) -> Result<Vec<i16>, CommandError> {
    let frame = clip::read(path).map_err(|error| CommandError::new(format!("{}: {error}", path.display())))?;
    Ok(resample::convert(&frame.samples, frame.rate, SampleRate::HZ_16000))
}

/// Lines from the terminal; a thread of its own, because reading them cannot be cancelled.
fn stdin_lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(LINES_MAX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Colours, where there is a terminal.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn row(self, at: CallTime, code: &str, who: &str, text: &str) {
        let seconds = at.since(CallTime::ZERO).as_secs_f64();
        if self.0 {
            println!("\u{1b}[2m{seconds:>7.2}\u{1b}[0m  \u{1b}[{code}m{who:<6}\u{1b}[0m  {text}");
        } else {
            println!("{seconds:>7.2}  {who:<6}  {text}");
        }
    }
}

/// Prints what happens until the call ends.
async fn show(mut observations: broadcast::Receiver<Observation>, paint: Paint) {
    let mut lines: HashMap<String, String> = HashMap::new();
    loop {
        let Observation { at, event, .. } = match observations.recv().await {
            Ok(observation) => observation,
            Err(RecvError::Lagged(missed)) => {
                println!("         …     {missed} events were not shown");
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        match event {
            SessionEvent::Answered { after, warm } => {
                paint.row(at, "2", "call", &format!("answered after {} ms{}", after.as_millis(), if warm { "" } else { ", not warm" }));
            }
            SessionEvent::State(state) => paint.row(at, "2", "state", state.as_str()),
            SessionEvent::Transcript(line) => transcript(paint, at, line.into_inner(), &mut lines),
            SessionEvent::Turn(turn) => paint.row(at, "2", "timing", &timing(&turn)),
            SessionEvent::ToolStarted { name, phase, arguments, .. } => {
                paint.row(at, "33", "tool", &format!("{} {}", phased(&name, phase), arguments.expose()));
            }
            SessionEvent::ToolEnded { name, phase, succeeded, took, .. } => {
                let how = match succeeded {
                    Some(true) => "done",
                    Some(false) => "failed",
                    None => "outcome unknown",
                };
                paint.row(at, "33", "tool", &format!("{} {how} in {} ms", phased(&name, phase), took.as_millis()));
            }
            SessionEvent::Ended(_) => return,
            _ => {}
        }
    }
}

fn phased(name: &str, phase: ToolPhase) -> String {
    match phase {
        ToolPhase::Run => name.to_owned(),
        ToolPhase::Prepare => format!("{name} (prepare)"),
        ToolPhase::Commit => format!("{name} (commit)"),
    }
}

/// The agent's lines clause by clause as they begin to play, the caller's when they are final.
fn transcript(paint: Paint, at: CallTime, line: TranscriptLine, lines: &mut HashMap<String, String>) {
    if line.speaker == Speaker::Caller {
        if line.is_final {
            paint.row(at, "36", "caller", &line.text);
        }
        return;
    }
    let before = lines.entry(line.segment).or_default();
    match line.text.strip_prefix(before.as_str()) {
        Some("") => {}
        Some(more) => paint.row(at, "32", "agent", more.trim_start()),
        None => paint.row(at, "31", "agent", &format!("cut short; heard was: {}", line.text)),
    }
    *before = line.text;
}

/// Stages of a turn that were reached, from the caller's last sound, or from the commit where there was none.
fn timing(turn: &TurnMetrics) -> String {
    let from = turn.last_speech.or(turn.committed).unwrap_or(CallTime::ZERO);
    let stages = [
        ("final words", turn.transcript_final),
        ("turn committed", turn.committed),
        ("first token", turn.first_token),
        ("first clause", turn.first_clause),
        ("first audio", turn.first_audio),
        ("playing", turn.playback_started),
    ];
    let reached = stages.into_iter().filter_map(|(name, at)| Some(format!("{name} {} ms", at?.since(from).as_millis())));
    reached.collect::<Vec<_>>().join(" · ")
}
