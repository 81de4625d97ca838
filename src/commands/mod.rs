//! The commands, one module each. A command's error is one or more lines for the terminal, each naming cause and remedy.

pub mod audit;
#[cfg(feature = "demo")]
mod batch;
pub mod calls;
mod check;
mod connect;
#[cfg(feature = "demo")]
mod console;
#[cfg(feature = "demo")]
pub mod demo;
mod dispatch;
#[cfg(feature = "demo")]
mod eval;
mod invite;
pub mod keys;
mod migrate;
mod operator;
mod outbox;
pub mod patient;
mod recording;
mod rescue;
pub mod retention;
mod simulate;
mod sip;
mod start;
mod tenant;

use tokio_util::sync::CancellationToken;

use crate::cli::{Cli, Command, ConfigCommand, TenantCommand};
use crate::config::{self, Config, ConfigError, SETTINGS, Sources};

/// Why a command failed, in words for the terminal; holds no secret and no personal data.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CommandError(String);

impl CommandError {
    /// From anything that explains itself.
    pub fn new(cause: impl std::fmt::Display) -> Self {
        Self(cause.to_string())
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        Self::new(error)
    }
}

/// Runs the command line.
///
/// # Errors
/// What the terminal shall say; the exit code is then 1.
pub async fn run(cli: Cli) -> Result<(), CommandError> {
    let sources = Sources::of_process(cli.global.config, cli.global.set);
    match cli.command {
        Command::Version => {
            println!("frontdesk {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Command::Check(check) if check.settings => {
            check::list_settings();
            Ok(())
        }
        Command::Check(_) => check::run(&load(&sources)?).await,
        Command::Start => start::run(load(&sources)?, &sources).await,
        Command::Dev => {
            let mut config = load(&sources)?;
            config.log.level = "warn,frontdesk=debug".into();
            if let Some(credentials) = livekit_credentials(&config, &mut Vec::new()) {
                for link in invite::links(&config, &credentials)? {
                    println!("talk with {link}");
                }
            }
            start::run(config, &sources).await
        }
        Command::Connect(connect) => connect::run(connect, &load(&sources)?).await,
        Command::Dispatch(dispatch) => dispatch::run(dispatch, &load(&sources)?).await,
        Command::Simulate(simulate) => simulate::run(simulate, &load(&sources)?).await,
        Command::Sip => sip::run(load(&sources)?).await,
        Command::Rescue => rescue::run(load(&sources)?).await,
        Command::Config(ConfigCommand::Check) => tenant::check(&load(&sources)?),
        Command::Config(ConfigCommand::Schema) => tenant::schema(),
        Command::Tenant(TenantCommand::Import { tenants }) => tenant::import(&load(&sources)?, &tenants).await,
        Command::Outbox(command) => outbox::run(&load(&sources)?, command).await,
        Command::Keys(command) => keys::run(&command, &load(&sources)?).await,
        Command::Calls(command) => calls::run(&command, &load(&sources)?).await,
        Command::Patient(command) => patient::run(&command, &load(&sources)?).await,
        Command::Retention(command) => retention::run(&command, &load(&sources)?).await,
        Command::Hold(command) => retention::hold(&command, &load(&sources)?).await,
        Command::Audit(command) => audit::run(&command, &load(&sources)?).await,
        Command::Migrate => migrate::run(&load(&sources)?).await,
        #[cfg(feature = "demo")]
        Command::Demo(demo) => demo::run(demo, &sources).await,
        #[cfg(feature = "demo")]
        Command::Console(console) => console::run(console, &load(&sources)?).await,
        #[cfg(feature = "demo")]
        Command::Batch(batch) => batch::run(batch, &load(&sources)?).await,
        #[cfg(feature = "demo")]
        Command::Eval(eval) => eval::run(eval, &load(&sources)?).await,
    }
}

/// Reads the configuration and starts logging as it says.
fn load(sources: &Sources) -> Result<Config, CommandError> {
    Ok(config::load(sources)?)
}

pub(crate) fn start_logging(config: &Config) -> Result<(), CommandError> {
    crate::logging::start(&config.log).map_err(CommandError::new)
}

/// A setting that this command cannot do without.
pub(crate) fn required<'a, T>(key: &str, value: Option<&'a T>, missing: &mut Vec<String>) -> Option<&'a T> {
    if value.is_none() {
        let setting = SETTINGS.iter().find(|setting| setting.key == key);
        let (env, help) = setting.map_or(("", ""), |setting| (setting.env, setting.help));
        missing.push(format!("{key} ({env}) is missing; expected: {help}"));
    }
    value
}

/// The LiveKit credentials, or what is missing of them.
pub(crate) fn livekit_credentials(config: &Config, missing: &mut Vec<String>) -> Option<frontdesk_livekit::Credentials> {
    let key = required("livekit.api_key", config.livekit.api_key.as_ref(), missing);
    let secret = required("livekit.api_secret", config.livekit.api_secret.as_ref(), missing);
    Some(frontdesk_livekit::Credentials::new(key?, secret?.expose()))
}

pub(crate) fn none_missing(missing: Vec<String>) -> Result<(), CommandError> {
    if missing.is_empty() { Ok(()) } else { Err(ConfigError(missing).into()) }
}

/// The keys that protect health data.
async fn keyring(config: &Config) -> Result<frontdesk_clinic::Keyring, CommandError> {
    crate::keys::load(&config.security).await.map_err(CommandError::new)
}

/// Fires at the first SIGTERM or Ctrl-C; the second ends the process at once.
fn shutdown_on_signals() -> Result<CancellationToken, CommandError> {
    let token = CancellationToken::new();
    on_signals(vec![(token.clone(), "told to stop: no new calls, running ones may finish; a second signal ends at once")])?;
    Ok(token)
}

/// The first token fires at the first SIGTERM or Ctrl-C: what runs may finish. The second at the second: what runs ends soon, and
/// politely. The third ends the process at once.
pub(crate) fn shutdown_in_two_steps() -> Result<(CancellationToken, CancellationToken), CommandError> {
    let (shutdown, hurry) = (CancellationToken::new(), CancellationToken::new());
    on_signals(vec![
        (shutdown.clone(), "told to stop: no new calls, running ones may finish; a second signal ends them politely, a third at once"),
        (hurry.clone(), "second signal: running calls say goodbye; a third ends at once"),
    ])?;
    Ok((shutdown, hurry))
}

/// Fires one token a signal, in their order; one signal more ends the process at once.
fn on_signals(steps: Vec<(CancellationToken, &'static str)>) -> Result<(), CommandError> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|error| CommandError(format!("cannot listen for signals: {error}")));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    tokio::spawn(async move {
        let mut steps = steps.into_iter();
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if let Some((token, meaning)) = steps.next() {
                tracing::info!("{meaning}");
                token.cancel();
            } else {
                tracing::warn!("one more signal: ending at once");
                std::process::exit(130);
            }
        }
    });
    Ok(())
}
