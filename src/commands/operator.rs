//! What the commands for people who look after the data have in common: the database, who they are, which clinic is meant.

use frontdesk_clinic::{Database, DatabaseOptions, TenantId};

use super::{CommandError, none_missing, required};
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
