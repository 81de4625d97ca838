//! `frontdesk retention` and `frontdesk hold`: what is erased in time, and what must not be.

use clap::Subcommand;
use frontdesk_clinic::audit;
use frontdesk_clinic::records::{self, Held};
use frontdesk_clinic::{Database, Owner};

use super::{CommandError, operator};
use crate::config::Config;

/// What to do about data that is past its time.
#[derive(Debug, Subcommand)]
pub enum RetentionCommand {
    /// Erase calls and patients past their clinic's `[retention] years`; meant for a nightly timer. Legal holds are passed over
    Run {
        /// Erase nothing, and list what would be
        #[arg(long)]
        dry_run: bool,
        /// One clinic [default: all]
        #[arg(long)]
        tenant: Option<String>,
    },
}

/// What to do about legal holds.
#[derive(Debug, Subcommand)]
pub enum HoldCommand {
    /// Forbid erasing: patient:ID or call:ID
    Set {
        /// patient:ID or call:ID
        what: Held,
        /// The clinic, where there are several
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Allow it again
    Clear {
        /// patient:ID or call:ID
        what: Held,
        /// The clinic, where there are several
        #[arg(long)]
        tenant: Option<String>,
    },
}

/// Erases what is past its time.
///
/// # Errors
/// The database fails.
pub(super) async fn run(command: &RetentionCommand, config: &Config) -> Result<(), CommandError> {
    let RetentionCommand::Run { dry_run, tenant } = command;
    let database = operator::database(config)?;
    let tenants = operator::tenants(&database, tenant.as_deref()).await?;
    let mut owner = Owner::connect(operator::url(config)?, &operator::principal()).await.map_err(CommandError::new)?;
    for tenant in &tenants {
        let retained = records::run_retention(&mut owner, tenant, *dry_run).await.map_err(CommandError::new)?;
        let verb = if *dry_run { "would be erased" } else { "erased" };
        println!(
            "{tenant}: past {} years: {} patients and {} calls {verb}, {} on legal hold; {} old notices",
            retained.years,
            retained.patients.len(),
            retained.calls.len(),
            retained.held,
            retained.notices
        );
        if *dry_run {
            retained.patients.iter().for_each(|patient| println!("  patient:{patient}"));
            retained.calls.iter().for_each(|call| println!("  call:{call}"));
        }
    }
    if !*dry_run {
        for tenant in &tenants {
            let swept = crate::recordings::sweep_machine(&config.calls, &database, tenant).await.map_err(CommandError::new)?;
            println!("{tenant}: {} files of erased calls removed from this machine", swept.removed);
        }
    }
    // The log's years are all clinics' together.
    let retired = if tenant.is_none() { retire(&mut owner, &database, *dry_run).await } else { Ok(()) };
    owner.close().await;
    database.close().await;
    retired
}

/// Retires the audit log's oldest years, if every clinic's chain is sound.
async fn retire(owner: &mut Owner, database: &Database, is_dry: bool) -> Result<(), CommandError> {
    for tenant in operator::tenants(database, None).await? {
        let verdict = audit::verify(database, &tenant, None).await.map_err(CommandError::new)?;
        if let Some(fault) = verdict.fault {
            return Err(CommandError::new(format!("no year of the audit log is retired, since it is broken\n{tenant}: {fault}")));
        }
    }
    let done = records::retire_audit(owner, is_dry).await.map_err(CommandError::new)?;
    let verb = if is_dry { "would be retired" } else { "retired" };
    for years in &done.retired {
        println!("audit log: {} with {} events {verb}", years.partition, years.events);
    }
    if done.is_held {
        println!("audit log: its oldest years are past their time and stay, since something in them is not sealed, or on legal hold");
    }
    Ok(())
}

/// Sets or clears a hold.
///
/// # Errors
/// The database fails.
pub(super) async fn hold(command: &HoldCommand, config: &Config) -> Result<(), CommandError> {
    let (HoldCommand::Set { what, tenant } | HoldCommand::Clear { what, tenant }) = command;
    let database = operator::database(config)?;
    let tenant = operator::tenant(&database, tenant.as_deref()).await?;
    database.close().await;
    let mut owner = Owner::connect(operator::url(config)?, &operator::principal()).await.map_err(CommandError::new)?;
    let said = if matches!(command, HoldCommand::Set { .. }) {
        if records::set_hold(&mut owner, &tenant, what).await.map_err(CommandError::new)? { "held" } else { "was held already" }
    } else if records::clear_hold(&mut owner, &tenant, what).await.map_err(CommandError::new)? {
        "free"
    } else {
        "was not held"
    };
    owner.close().await;
    println!("{said}");
    Ok(())
}
