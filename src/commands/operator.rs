//! What the commands for people who look after the data have in common: the database, who they are, which clinic is meant.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use frontdesk_clinic::{ClinicStore, Database, DatabaseOptions, TenantId};

use super::{CommandError, keyring, none_missing, required};
use crate::config::{Config, Secret};

/// As the audit log names whoever types a command. The environment says it, so it is a claim; the login beside it is not.
pub(super) fn principal() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok()).filter(|name| !name.is_empty());
    format!("cli:{}", named.as_deref().unwrap_or("unknown"))
}

/// The worker of this machine, for the audit log.
pub(super) fn worker_principal(agent_name: &str) -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    format!("worker:{agent_name}@{}", host.trim())
}

/// The database's URL.
pub(super) fn url(config: &Config) -> Result<&str, CommandError> {
    let mut missing = Vec::new();
    let url = required("database.url", config.database.url.as_ref(), &mut missing).map(Secret::expose);
    none_missing(missing)?;
    Ok(url.unwrap_or_default())
}

/// A small pool that acts for whoever types.
pub(super) fn database(config: &Config) -> Result<Database, CommandError> {
    let mut options = DatabaseOptions::new(url(config)?);
    options.connections_max = 2;
    options.principal = principal();
    Database::open(&options).map_err(CommandError::new)
}

/// The clinic of that name, or all of them; those of the database, not of the files.
pub(super) async fn tenants(database: &Database, name: Option<&str>) -> Result<Vec<TenantId>, CommandError> {
    let known = database.tenants().await.map_err(CommandError::new)?;
    let Some(name) = name else { return Ok(known) };
    if let Some(tenant) = known.iter().find(|tenant| tenant.as_str() == name) {
        return Ok(vec![tenant.clone()]);
    }
    let known: Vec<&str> = known.iter().map(TenantId::as_str).collect();
    Err(CommandError::new(format!("{name}: no such clinic in the database, expected one of {}", known.join(", "))))
}

/// The clinic of that name; may be left out where there is but one.
pub(super) async fn tenant(database: &Database, name: Option<&str>) -> Result<TenantId, CommandError> {
    let mut found = tenants(database, name).await?;
    match found.pop() {
        Some(tenant) if found.is_empty() => Ok(tenant),
        Some(_) => Err(CommandError::new("there are several clinics: name one with --tenant")),
        None => Err(CommandError::new("there is no clinic in the database: `frontdesk migrate` imports them")),
    }
}

/// One clinic's data, with the keys to read them.
pub(super) struct Desk {
    pub(super) store: ClinicStore,
    database: Database,
}

/// Opens the clinic of that name, or the only one.
pub(super) async fn desk(config: &Config, tenant: Option<&str>) -> Result<Desk, CommandError> {
    let keys = Arc::new(keyring(config).await?);
    let database = database(config)?;
    let tenant = self::tenant(&database, tenant).await?;
    Ok(Desk { store: ClinicStore::new(database.clone(), keys, tenant), database })
}

impl Desk {
    /// Closes the connections.
    pub(super) async fn close(&self) {
        self.database.close().await;
    }
}

/// Writes a document for people, to a file that only its owner may read, or to standard output.
pub(super) fn write_json(document: &serde_json::Value, path: Option<&Path>) -> Result<(), CommandError> {
    write(&format!("{document:#}\n"), path)
}

/// Writes text to a new file that only its owner may read, or to standard output.
pub(super) fn write(text: &str, path: Option<&Path>) -> Result<(), CommandError> {
    let written = match path {
        Some(path) => {
            let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            file.and_then(|mut file| file.write_all(text.as_bytes()))
        }
        None => std::io::stdout().write_all(text.as_bytes()),
    };
    let place = path.map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
    written.map_err(|error| CommandError::new(format!("{place}: {error}")))
}
