//! `frontdesk keys`: another master key while serving, and which versions are needed.

use clap::Subcommand;
use frontdesk_clinic::records::{self, KeyStatus};
use frontdesk_clinic::{Owner, TenantId};

use super::{CommandError, keyring, operator};
use crate::config::Config;

/// What to do with the keys.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "To change the master key: (1) add the new one under a higher version, beside the old; (2) restart the workers, or send \
    them SIGHUP where the key comes from a file or a command; (3) frontdesk keys rotate; (4) when frontdesk keys status says that the \
    old version is free, take it away. docs/data.md explains."
)]
pub enum KeysCommand {
    /// Wrap the keys of all patients and calls under the newest master key; safe to interrupt and to repeat
    Rotate {
        /// One clinic [default: all]
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Show what needs which version of the master key
    Status {
        /// One clinic [default: all]
        #[arg(long)]
        tenant: Option<String>,
    },
}

/// Runs one of them.
///
/// # Errors
/// Keys or database fail.
pub(super) async fn run(command: &KeysCommand, config: &Config) -> Result<(), CommandError> {
    match command {
        KeysCommand::Rotate { tenant } => rotate(config, tenant.as_deref()).await,
        KeysCommand::Status { tenant } => status(config, tenant.as_deref()).await,
    }
}

async fn rotate(config: &Config, tenant: Option<&str>) -> Result<(), CommandError> {
    let keys = keyring(config).await?;
    let database = operator::database(config)?;
    let tenants = operator::tenants(&database, tenant).await?;
    database.close().await;
    let mut owner = Owner::connect(operator::url(config)?, &operator::principal()).await.map_err(CommandError::new)?;
    let mut left = 0;
    for tenant in tenants {
        let show = |state: records::Rotation| println!("{tenant}: {} keys wrapped anew, {} to go", state.done, state.remaining);
        let state = records::rotate_keys(&mut owner, &keys, &tenant, show).await;
        let state = state.map_err(|error| CommandError::new(format!("{tenant}: {error}; what was done stays, and may be repeated")))?;
        println!("{tenant}: {} keys under version {}, {} under older ones", state.done, state.version, state.remaining);
        left += state.remaining;
    }
    owner.close().await;
    if left == 0 { Ok(()) } else { Err(CommandError::new(format!("{left} keys are in use by others: run it again"))) }
}

async fn status(config: &Config, tenant: Option<&str>) -> Result<(), CommandError> {
    let current = keyring(config).await?.current_version();
    let database = operator::database(config)?;
    for tenant in operator::tenants(&database, tenant).await? {
        let status = records::key_status(&database, &tenant).await.map_err(CommandError::new)?;
        describe(&tenant, &status, current).iter().for_each(|line| println!("{line}"));
    }
    database.close().await;
    Ok(())
}

/// One line a version.
fn describe(tenant: &TenantId, status: &KeyStatus, current: u16) -> Vec<String> {
    if status.is_empty() {
        return vec![format!("{tenant}: nothing is sealed yet; version {current} is current")];
    }
    let line = |(version, used): (&u16, &records::VersionUse)| {
        let role = match version {
            version if *version == current => "current",
            _ if used.values > 0 => "still needed by values that an earlier release sealed: keep it",
            _ => "still needed until `frontdesk keys rotate`",
        };
        format!("{tenant}: version {version}: {} keys, {} values sealed directly; {role}", used.subject_keys, used.values)
    };
    status.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use frontdesk_clinic::records::VersionUse;

    use super::*;

    #[test]
    fn a_version_that_is_needed_says_for_what() {
        let tenant = TenantId::new("demo").expect("a short name");
        let status = KeyStatus::from([
            (1, VersionUse { subject_keys: 0, values: 4 }),
            (2, VersionUse { subject_keys: 7, values: 0 }),
            (3, VersionUse { subject_keys: 9, values: 0 }),
        ]);
        let lines = describe(&tenant, &status, 3);
        assert!(lines[0].contains("version 1: 0 keys, 4 values") && lines[0].ends_with("keep it"), "{lines:?}");
        assert!(lines[1].ends_with("still needed until `frontdesk keys rotate`"), "{lines:?}");
        assert!(lines[2].ends_with("current"), "{lines:?}");
        assert_eq!(describe(&tenant, &KeyStatus::new(), 3), ["demo: nothing is sealed yet; version 3 is current"]);
    }
}
