//! `frontdesk calls`: list, show, export; masked unless a purpose is given.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use comfy_table::{ContentArrangement, Table, presets};
use frontdesk_clinic::records::{self, CallLine, Purpose};

use super::{CommandError, operator};
use crate::config::Config;

/// What to do with the records of calls.
#[derive(Debug, Subcommand)]
pub enum CallsCommand {
    /// List calls, newest first: initials and last digits only
    List(Which),
    /// Show what a call left, as JSON
    Show {
        /// The call's id, as `list` shows it
        call_id: String,
        /// What is personal, too
        #[command(flatten)]
        access: Access,
        /// The clinic, where there are several
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Write what calls left, one JSON document a line
    Export {
        /// Which calls
        #[command(flatten)]
        which: Which,
        /// What is personal, too
        #[command(flatten)]
        access: Access,
        /// Write this call's recording instead, as WAV: caller left, agent right. Needs --phi, --purpose and --output
        #[arg(long, value_name = "CALL", requires_all = ["phi", "purpose", "output"], conflicts_with_all = ["since", "until"])]
        recording: Option<String>,
        /// The file to write, readable by nobody else [default: standard output]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Which calls.
#[derive(Debug, Args)]
pub struct Which {
    /// Calls from this moment on, as 2026-11-30T00:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<DateTime<Utc>>,
    /// Calls before this moment
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime<Utc>>,
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// The clinic, where there are several
    #[arg(long)]
    tenant: Option<String>,
}

/// How much is shown.
#[derive(Debug, Args)]
pub struct Access {
    /// Show health data unmasked; needs --purpose, and the audit log says who saw what, and why
    #[arg(long, requires = "purpose")]
    phi: bool,
    /// Why; the audit log keeps it. Name no patient in it
    #[arg(long, value_name = "TEXT", requires = "phi")]
    purpose: Option<Purpose>,
}

impl Access {
    fn purpose(&self) -> Option<&Purpose> {
        self.purpose.as_ref().filter(|_| self.phi)
    }
}

/// Runs one of them.
///
/// # Errors
/// The database fails, or there is no such call.
pub(super) async fn run(command: &CallsCommand, config: &Config) -> Result<(), CommandError> {
    match command {
        CallsCommand::List(which) => {
            let desk = operator::desk(config, which.tenant.as_deref()).await?;
            let calls = list(&desk, which).await?;
            desk.close().await;
            println!("{}", table(&calls));
            Ok(())
        }
        CallsCommand::Show { call_id, access, tenant } => {
            let desk = operator::desk(config, tenant.as_deref()).await?;
            let call = records::show_call(&desk.store, call_id, access.purpose()).await.map_err(CommandError::new)?;
            desk.close().await;
            operator::write_json(&call.ok_or_else(|| CommandError::new(format!("{call_id}: no such call")))?, None)
        }
        CallsCommand::Export { which, access, recording, output } => {
            let desk = operator::desk(config, which.tenant.as_deref()).await?;
            if let (Some(call_id), Some(purpose), Some(output)) = (recording, access.purpose(), output) {
                let exported = super::recording::export(&desk, config, call_id, (purpose, output)).await;
                desk.close().await;
                return exported;
            }
            let mut lines = String::new();
            for call in list(&desk, which).await? {
                let whole = records::show_call(&desk.store, &call.call_id, access.purpose()).await.map_err(CommandError::new)?;
                if let Some(whole) = whole {
                    lines.push_str(&whole.to_string());
                    lines.push('\n');
                }
            }
            desk.close().await;
            operator::write(&lines, output.as_deref())
        }
    }
}

async fn list(desk: &operator::Desk, which: &Which) -> Result<Vec<CallLine>, CommandError> {
    records::list_calls(&desk.store, which.since, which.until, which.limit).await.map_err(CommandError::new)
}

fn table(calls: &[CallLine]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["call", "started (UTC)", "seconds", "outcome", "caller", "wanted", "booked for"]);
    if std::env::var_os("COLUMNS").is_none() {
        table.set_width(140);
    }
    for call in calls {
        let outcome = if call.is_erased { format!("{}, erased", call.outcome) } else { call.outcome.clone() };
        table.add_row([
            call.call_id.clone(),
            call.started_at.format("%F %T").to_string(),
            call.duration_s.to_string(),
            outcome,
            call.caller_type.clone(),
            call.intents.join(", "),
            call.patients.join(", "),
        ]);
    }
    table
}
