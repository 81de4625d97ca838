//! Voice agents of one's own: everything that such a program needs, under one name.
//!
//! ```no_run
//! use frontdesk::agents::{Agent, Calls, CommandError};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), CommandError> {
//!     let shop = Agent::new("shop").instructions("You answer for a bicycle shop.").greeting("Hello, the bicycle shop.");
//!     frontdesk::agents::run("shop", Calls::answered_by([shop])).await
//! }
//! ```
//!
//! `examples/` has more, and docs/from-livekit-agents.md shows them beside livekit/agents.

use std::sync::Arc;

use clap::{Parser, Subcommand};
pub use frontdesk_agent::text::{FnModel, TextTransport};
pub use frontdesk_agent::{
    Agent, CallRecord, FallbackLlm, FallbackOptions, FnTool, LanguageModel, Message, ModelEvent, ModelRequest, ModelStream, ProviderError,
    Providers, Session, SessionOptions, SpeechToText, TextToSpeech, Tool, ToolCall, ToolContext, Transport, TransportEvent, tasks,
};
pub use frontdesk_audio::SampleRate;
pub use frontdesk_conversation::{CommitOutcome, Effect, Prepared, ToolError};
use frontdesk_livekit::api::LiveKit;
pub use frontdesk_livekit::worker::{Acceptance, JobAnswer, JobContext, JobFailure, JobRequest, RequestFilter, Worker, WorkerOptions};
pub use frontdesk_livekit::{Calls, Credentials};
use tokio_util::sync::CancellationToken;

pub use crate::commands::CommandError;
use crate::commands::{livekit_credentials, none_missing, required, shutdown_in_two_steps, start_logging};
use crate::config::{self, Config, Sources};
use crate::health::{self, Pages, Shown};
use crate::reception;

/// The command line of a program of one's own.
#[derive(Debug, Parser)]
#[command(about = "A voice agent", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Register with LiveKit and answer calls (what happens without a command); health pages on health.listen
    Start,
    /// Talk to the agent in this terminal, in writing
    Console,
    /// Answer in one room
    Connect {
        /// Its name
        #[arg(long)]
        room: String,
    },
}

/// Runs a program of one's own: `start` (the default), `console`, `connect --room ROOM`. Settings come from `frontdesk.toml`, `.env`
/// and the environment, as those of `frontdesk` itself; services that `calls` has none of are the configured ones.
///
/// # Errors
/// What is missing, line by line, or why it ended.
pub async fn run(agent_name: &str, calls: Calls) -> Result<(), CommandError> {
    let command = Cli::parse().command.unwrap_or(Command::Start);
    let config = config::load(&Sources::of_process(None, Vec::new()))?;
    start_logging(&config)?;
    let (shutdown, hurry) = shutdown_in_two_steps()?;
    match command {
        Command::Start => serve(agent_name, calls, &config, (shutdown, hurry)).await,
        Command::Console => console(with_model(calls, &config)?.in_writing(), (shutdown, hurry)).await,
        Command::Connect { room } => connect(agent_name, with_services(calls, &config)?, &config, &room, (shutdown, hurry)).await,
    }
}

/// The configured services of speech and language, with the voice activity detector: Deepgram and any OpenAI-compatible model, each with
/// its secondary.
///
/// # Errors
/// A model that cannot be loaded, or a setting that makes no sense. Whether keys are right shows with the first call.
pub fn providers(config: &Config) -> Result<Providers, CommandError> {
    reception::providers(config).map_err(CommandError::new)
}

fn with_services(calls: Calls, config: &Config) -> Result<Calls, CommandError> {
    if calls.is_complete() {
        return Ok(calls);
    }
    let mut missing = Vec::new();
    if !calls.has_stt() {
        required("stt.api_key", config.stt.api_key.as_ref(), &mut missing);
    }
    if !calls.has_llm() {
        required("llm.api_key", config.llm.api_key.as_ref(), &mut missing);
    }
    none_missing(missing)?;
    Ok(calls.providers(providers(config)?))
}

fn with_model(calls: Calls, config: &Config) -> Result<Calls, CommandError> {
    if calls.has_llm() {
        return Ok(calls);
    }
    let mut missing = Vec::new();
    required("llm.api_key", config.llm.api_key.as_ref(), &mut missing);
    none_missing(missing)?;
    let models = reception::models(config).map_err(CommandError::new)?;
    Ok(calls.llm(FallbackLlm::new(models, FallbackOptions::default())))
}

fn credentials(config: &Config) -> Result<Credentials, CommandError> {
    let mut missing = Vec::new();
    let credentials = livekit_credentials(config, &mut missing);
    none_missing(missing)?;
    credentials.ok_or_else(|| CommandError::new("the LiveKit credentials are missing"))
}

/// Fires to stop when the calls have ended, and fires to end them politely.
pub type Signals = (CancellationToken, CancellationToken);

/// What `start` does, for programs with a command line of their own: registers and answers calls until the first token fires and they
/// have ended; the second asks them to end soon, and politely. Meanwhile the health pages and numbers are served on `health.listen`
/// (`off` for none), as those of `frontdesk start`; readiness turns false while calls are waited for.
///
/// # Errors
/// What is missing, or why it ended.
pub async fn serve(agent_name: &str, calls: Calls, config: &Config, (shutdown, hurry): Signals) -> Result<(), CommandError> {
    let credentials = credentials(config)?;
    let own: Vec<&str> = [("speech_to_text", calls.has_stt()), ("language_model", calls.has_llm()), ("text_to_speech", calls.has_tts())]
        .into_iter()
        .filter_map(|(name, is_own)| (is_own || calls.is_complete()).then_some(name))
        .collect();
    let calls = with_services(calls, config)?;
    let api = Arc::new(LiveKit::new(&config.livekit.url, credentials.clone()).map_err(CommandError::new)?);
    let mut probes = vec![health::of_livekit(vec![api])];
    probes.extend(health::of_services(config, |name| !own.contains(&name)));
    let mut options = WorkerOptions::new(&config.livekit.url, credentials, agent_name);
    options.filter = config.worker.filter();
    options.max_jobs = config.worker.max_jobs;
    options.load_threshold = config.worker.load_threshold;
    options.drain_timeout = std::time::Duration::from_secs(config.worker.drain_timeout_s);
    let worker = Worker::new(options).hurried_by(hurry);
    let (workers, capacity) = (vec![worker.health()], worker.capacity().clone());
    let shown = Shown { agent_name: agent_name.to_owned(), workers, capacity, probes };
    let pages = Pages::open(config, shown).await.map_err(CommandError::new)?;
    let served = worker.serve(calls, shutdown).await.map_err(CommandError::new);
    if let Some(pages) = pages {
        pages.close().await;
    }
    served
}

async fn connect(agent_name: &str, calls: Calls, config: &Config, room: &str, (hurry, stop): Signals) -> Result<(), CommandError> {
    let api = LiveKit::new(&config.livekit.url, credentials(config)?).map_err(CommandError::new)?;
    calls.warm_up().await.map_err(CommandError::new)?;
    let job = JobContext::undispatched(&api, room, agent_name).await.map_err(CommandError::new)?;
    calls.take_job(JobContext { stop, hurry, ..job }, Arc::new(api)).await.map(drop).map_err(CommandError::new)
}

async fn console(calls: Calls, (hurry, stop): Signals) -> Result<(), CommandError> {
    calls.warm_up().await.map_err(CommandError::new)?;
    println!("Type what the caller says; Ctrl-D hangs up.");
    let record = calls.take(Box::new(TextTransport::terminal()), stop, hurry).await.map_err(CommandError::new)?;
    if let Some(record) = record {
        println!("{:?} after {} turns, {} tools", record.outcome, record.turns.len(), record.tools.len());
    }
    Ok(())
}
