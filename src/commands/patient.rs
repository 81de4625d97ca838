//! `frontdesk patient`: find, export, erase.

use std::path::PathBuf;

use clap::Subcommand;
use frontdesk_clinic::records::{self, FoundPatient, Purpose};
use frontdesk_clinic::{Owner, PatientId, PhoneNumber};

use super::{CommandError, operator};
use crate::config::Config;

/// What to do about a patient.
#[derive(Debug, Subcommand)]
pub enum PatientCommand {
    /// Find patients by telephone number; shows ids, initials and last digits
    Find {
        /// The number, in E.164: +12025550143
        #[arg(long)]
        phone: String,
        /// A part of the name
        #[arg(long)]
        name: Option<String>,
        /// The clinic, where there are several
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Write all that the clinic holds of a patient as JSON, for an access request
    Export {
        /// The patient's id, as `find` shows it
        id: PatientId,
        /// Why; the audit log keeps it. Name no patient in it
        #[arg(long, value_name = "TEXT")]
        purpose: Purpose,
        /// The file to write, readable by nobody else [default: standard output]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// The clinic, where there are several
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Erase a patient and the calls that concern him, for good: destroys their keys. Refused on a legal hold, or while he is expected
    Erase {
        /// The patient's id, as `find` shows it
        id: PatientId,
        /// Why; the audit log keeps it. Name no patient in it
        #[arg(long, value_name = "TEXT")]
        purpose: Purpose,
        /// The clinic, where there are several
        #[arg(long)]
        tenant: Option<String>,
        /// Really do it
        #[arg(long)]
        yes: bool,
    },
}

/// Runs one of them.
///
/// # Errors
/// The database fails, there is no such patient, or erasing is refused.
pub(super) async fn run(command: &PatientCommand, config: &Config) -> Result<(), CommandError> {
    match command {
        PatientCommand::Find { phone, name, tenant } => {
            let phone = PhoneNumber::parse(phone, "1").map_err(|error| CommandError::new(format!("--phone {error}")))?;
            let desk = operator::desk(config, tenant.as_deref()).await?;
            let found = records::find_patients(&desk.store, &phone, name.as_deref()).await.map_err(CommandError::new)?;
            desk.close().await;
            if found.is_empty() {
                println!("nobody is known by that");
            }
            found.iter().for_each(|patient| println!("{}", describe(patient)));
            Ok(())
        }
        PatientCommand::Export { id, purpose, output, tenant } => {
            let desk = operator::desk(config, tenant.as_deref()).await?;
            let export = records::export_patient(&desk.store, *id, purpose).await.map_err(CommandError::new)?;
            desk.close().await;
            let export = export.ok_or_else(|| CommandError::new("no such patient"))?;
            operator::write_json(&export, output.as_deref())
        }
        PatientCommand::Erase { id, purpose, tenant, yes } => {
            if !*yes {
                return Err(CommandError::new("this cannot be undone: export first if need be, then repeat it with --yes"));
            }
            let database = operator::database(config)?;
            let tenant = operator::tenant(&database, tenant.as_deref()).await?;
            let mut owner = Owner::connect(operator::url(config)?, &operator::principal()).await.map_err(CommandError::new)?;
            let erased = records::erase_patient(&mut owner, &tenant, *id, Some(purpose.as_str())).await;
            owner.close().await;
            let erased = erased.map_err(CommandError::new)?;
            println!("erased: {} keys destroyed, {} values blanked, {} calls with them", erased.keys, erased.values, erased.calls);
            let swept = crate::recordings::sweep_machine(&config.calls, &database, &tenant).await.map_err(CommandError::new)?;
            database.close().await;
            println!("files of these calls removed from this machine: {}; other machines do it within the hour", swept.removed);
            println!("backups from before still hold the wrapped keys: see docs/data.md, Backup");
            Ok(())
        }
    }
}

fn describe(patient: &FoundPatient) -> String {
    let held = if patient.is_held { ", on legal hold" } else { "" };
    format!("{}  {}  {}  {} appointments{held}", patient.id, patient.name, patient.phone, patient.appointments)
}
