//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::audit::AuditCommand;
use crate::commands::calls::CallsCommand;
use crate::commands::keys::KeysCommand;
use crate::commands::patient::PatientCommand;
use crate::commands::retention::{HoldCommand, RetentionCommand};

/// Answers a clinic's telephone.
#[derive(Debug, Parser)]
#[command(
    name = "frontdesk",
    version,
    about,
    max_term_width = 120,
    after_help = "Settings come from frontdesk.toml, .env and the environment, each overriding the one before; `frontdesk check --settings` lists all."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Settings that every command takes.
    #[command(flatten)]
    pub global: Global,
}

/// Settings that every command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// Configuration file [default: frontdesk.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Override one setting, as section.key=value; may be repeated. Secrets are refused here: other users can see them.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = parse_set)]
    pub set: Vec<(String, String)>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the worker: register with LiveKit and answer calls until SIGTERM, then finish the running ones
    Start,
    /// Run the worker with verbose logs, and print links to talk with it in a browser
    Dev,
    /// Answer the call in one room, without being dispatched there, and end with it
    Connect(Connect),
    /// Ask for the agent in a room, which is made if there is none
    Dispatch(Dispatch),
    /// Have LiveKit assign jobs without calls to a worker of its own, and say how long that took
    Simulate(Simulate),
    /// Run the SIP bridge: take calls from trunks and carry them into LiveKit rooms
    Sip,
    /// Send for another agent when a call's worker is gone; workers do so as well (worker.rescue)
    Rescue,
    /// Bring the database's schema up to date and import the tenants
    Migrate,
    /// Start everything on this machine and book an appointment by telephone
    #[cfg(feature = "demo")]
    Demo(Demo),
    /// Rehearse calls: play scenario files in virtual time and judge what came of each
    #[cfg(feature = "demo")]
    Eval(Eval),
    /// Talk to the agent in this terminal, by text or with a WAV file; no telephone, no LiveKit
    #[cfg(feature = "demo")]
    Console(Console),
    /// Play recorded callers through the whole agent, and print its replies, what it learnt, and what came of each call
    #[cfg(feature = "demo")]
    Batch(Batch),
    /// Look after the clinics' files
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look after the clinics in the database
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Look after what is told to others: text messages, e-mails, webhooks, calendar entries, rows
    #[command(subcommand)]
    Outbox(OutboxCommand),
    /// List, show and export calls; masked unless a purpose is given
    #[command(subcommand)]
    Calls(CallsCommand),
    /// Find, export and erase patients
    #[command(subcommand)]
    Patient(PatientCommand),
    /// Erase what is past its time
    #[command(subcommand)]
    Retention(RetentionCommand),
    /// Forbid erasing, and allow it again
    #[command(subcommand)]
    Hold(HoldCommand),
    /// Change the master key while serving, and see which versions are needed
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Seal and verify the audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Validate the configuration and print what is reachable
    Check(Check),
    /// Print the version
    Version,
}

/// Which call to answer.
#[derive(Debug, Args)]
pub struct Connect {
    /// The room
    #[arg(long)]
    pub room: String,
    /// The clinic that answers [default: as the caller's attribute or the dialled number says]
    #[arg(long)]
    pub tenant: Option<String>,
}

/// Where the agent is wanted.
#[derive(Debug, Args)]
pub struct Dispatch {
    /// The room
    #[arg(long)]
    pub room: String,
    /// The name that workers registered under [default: livekit.agent_name]
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// Given to the job as it is
    #[arg(long, default_value = "")]
    pub metadata: String,
    /// Given to the job as it is; may be repeated
    #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = parse_attribute)]
    pub attributes: Vec<(String, String)>,
}

/// How much to simulate.
#[derive(Debug, Args)]
pub struct Simulate {
    /// How many jobs, all at once
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub jobs: u32,
}

/// What to do with the clinics' files.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every fault in the clinics' files, with file, line, key, and what is expected; exit code 1 if there is any
    Check,
    /// Print the JSON Schema of tenant.toml, for editors
    Schema,
}

/// What to do with the clinics in the database.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Bring clinics from their files into the database; may be repeated after every change
    Import {
        /// The clinics' folders below the tenants' directory [default: all]
        tenants: Vec<String>,
    },
}

/// What to do with the outbox.
#[derive(Debug, Subcommand)]
pub enum OutboxCommand {
    /// Send what is due until SIGTERM, as the worker does; several at once are safe
    Run {
        /// Only until nothing is due any more
        #[arg(long)]
        once: bool,
    },
    /// Show notices, newest first: ids, where each stands, and why the last attempt failed
    List {
        /// Only of this clinic
        #[arg(long)]
        tenant: Option<String>,
        /// Only those that stand so; may be repeated
        #[arg(long, value_name = "STATUS", value_parser = ["pending", "sending", "sent", "delivered", "failed", "dead"])]
        status: Vec<String>,
    },
    /// Have notices tried again, at once
    Retry {
        /// Of this clinic
        #[arg(long)]
        tenant: String,
        /// Their ids [default: all that were given up]
        ids: Vec<uuid::Uuid>,
    },
}

/// How to run the demo.
#[cfg(feature = "demo")]
#[derive(Debug, Args)]
pub struct Demo {
    /// Leave everything running afterwards and print how to dial in with a softphone
    #[arg(long, env = "STAY", value_parser = clap::builder::FalseyValueParser::new())]
    pub stay: bool,
    /// Where speech and language come from: simulated, or cloud (needs the providers' keys)
    #[arg(long, env = "PROVIDERS", value_enum, default_value_t = ProviderChoice::Simulated)]
    pub providers: ProviderChoice,
    /// How many callers at once, each for an appointment of his own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub callers: u8,
}

/// How to talk to the agent.
#[cfg(feature = "demo")]
#[derive(Debug, Args)]
#[command(
    after_help = "What happens is shown as it happens: words, states, tools, and how long each stage of a turn took. The database is a \
    scratch one on the project's cluster (scripts/postgres start) and is gone afterwards. /keys 123# presses keys, /quit or Ctrl-D hangs up.\n\n\
    The simulated recogniser hears nothing but what it was taught: give the sentences of a WAV file with --utterance, or use PROVIDERS=cloud."
)]
pub struct Console {
    /// The clinic's folder below the tenants' directory
    #[arg(long, default_value = "demo")]
    pub tenant: String,
    /// The caller's audio, WAV or MP3: it is played into the call, and nothing is read from the terminal
    #[arg(long, value_name = "FILE")]
    pub wav: Option<PathBuf>,
    /// A sentence that the simulated recogniser shall know; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub utterance: Vec<String>,
    /// Where speech and language come from: simulated, or cloud (needs the providers' keys)
    #[arg(long, env = "PROVIDERS", value_enum, default_value_t = ProviderChoice::Simulated)]
    pub providers: ProviderChoice,
}

/// Which recordings to play.
#[cfg(feature = "demo")]
#[derive(Debug, Args)]
#[command(
    after_help = "Each file is one call, in real time, one after the other at one clinic: what the first books is taken for the second. The \
    database is a scratch one on the project's cluster (scripts/postgres start) and is gone afterwards. The exit code is 1 if a file cannot \
    be read, its call failed, or nothing was heard in it.\n\n\
    The simulated recogniser hears nothing but what it was taught: give the sentences of the files with --utterance, or use PROVIDERS=cloud."
)]
pub struct Batch {
    /// Recordings of callers, WAV or MP3; several channels are averaged
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The clinic's folder below the tenants' directory
    #[arg(long, default_value = "demo")]
    pub tenant: String,
    /// A sentence that the simulated recogniser shall know; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub utterance: Vec<String>,
    /// Where speech and language come from: simulated, or cloud (needs the providers' keys)
    #[arg(long, env = "PROVIDERS", value_enum, default_value_t = ProviderChoice::Simulated)]
    pub providers: ProviderChoice,
    /// Write all that came of the calls as JSON to a new file, readable by nobody else
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Minutes that a recording may last
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub max_minutes: u32,
}

/// Which calls to rehearse.
#[cfg(feature = "demo")]
#[derive(Debug, Args)]
#[command(after_help = "Needs the project's Postgres cluster: scripts/postgres start. docs/evaluation.md explains the files.")]
pub struct Eval {
    /// Scenario files, or folders of them
    #[arg(default_value = "scenarios")]
    pub paths: Vec<PathBuf>,
    /// How much of a call is real; may be repeated [default: text and audio, where a scenario names them; call takes real time]
    #[arg(long, value_enum)]
    pub depth: Vec<crate::eval::Depth>,
    /// Only scenarios whose names contain this
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
    /// Write JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write one HTML page that shows each call over time
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Print the transcript of each call that failed
    #[arg(long, short)]
    pub verbose: bool,
    /// How many calls at once [default: one a processor; two at depth call]
    #[arg(long, value_name = "COUNT")]
    pub jobs: Option<usize>,
}

/// Where speech and language come from.
#[cfg(feature = "demo")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ProviderChoice {
    /// Servers on this machine that speak the providers' protocols.
    Simulated,
    /// The real services.
    Cloud,
}

/// What to check.
#[derive(Debug, Args)]
pub struct Check {
    /// List every setting with its variable, default and meaning, and do nothing else
    #[arg(long)]
    pub settings: bool,
}

fn parse_set(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected section.key=value")?;
    let setting = crate::config::SETTINGS.iter().find(|setting| setting.key == key);
    match setting {
        None => Err(format!("{key} is not a setting; `frontdesk check --settings` lists all")),
        Some(setting) if setting.secret => Err(format!("{key} is a secret: set {} in the environment instead", setting.env)),
        Some(_) => Ok((key.to_owned(), value.to_owned())),
    }
}

fn parse_attribute(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("expected key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_override_must_name_a_setting_and_no_secret() {
        assert_eq!(parse_set("sip.max_calls=3"), Ok(("sip.max_calls".into(), "3".into())));
        assert!(parse_set("sip.max_cals=3").unwrap_err().contains("not a setting"));
        assert!(parse_set("database.url=postgres://x").unwrap_err().contains("DATABASE_URL"));
    }
}
