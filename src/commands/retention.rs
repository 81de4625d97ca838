//! `frontdesk retention` and `frontdesk hold`: what is erased in time, and what must not be.

use clap::Subcommand;
use frontdesk_clinic::Owner;
use frontdesk_clinic::records::{self, Held};

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
    database.close().await;
    let mut owner = Owner::connect(operator::url(config)?, &operator::principal()).await.map_err(CommandError::new)?;
    for tenant in tenants {
        let retained = records::run_retention(&mut owner, &tenant, *dry_run).await.map_err(CommandError::new)?;
        let verb = if *dry_run { "would be erased" } else { "erased" };
        println!(
            "{tenant}: past {} years: {} patients and {} calls {verb}, {} on legal hold",
            retained.years,
            retained.patients.len(),
            retained.calls.len(),
            retained.held
        );
        if *dry_run {
            retained.patients.iter().for_each(|patient| println!("  patient:{patient}"));
            retained.calls.iter().for_each(|call| println!("  call:{call}"));
        }
    }
    owner.close().await;
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
