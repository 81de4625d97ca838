//! `frontdesk config` and `frontdesk tenant`: the clinics' files, and the way from them into the database.

use std::sync::Arc;

use frontdesk_clinic::{Tenant, TenantDirectory};

use super::{CommandError, none_missing, required};
use crate::config::Config;

/// Prints every fault in the clinics' files.
///
/// # Errors
/// There is at least one; it is in the error, one line each.
pub(super) fn check(config: &Config) -> Result<(), CommandError> {
    let tenants = TenantDirectory::load(&config.tenants.dir).map_err(|error| {
        let count = error.problems.len();
        CommandError::new(format!("{error}\n{count} fault{} in {}", if count == 1 { "" } else { "s" }, config.tenants.dir.display()))
    })?;
    for tenant in tenants.iter() {
        println!(
            "{}: {}, {} practitioners, {} services, {} answers, {} rows of insurance",
            tenant.id,
            tenant.name,
            tenant.practitioners.len(),
            tenant.services.len(),
            tenant.questions.len(),
            tenant.insurance.len()
        );
    }
    Ok(())
}

/// Prints the JSON Schema of tenant.toml.
pub(super) fn schema() -> Result<(), CommandError> {
    let schema = serde_json::to_string_pretty(&frontdesk_clinic::config::tenant_schema()).map_err(CommandError::new)?;
    println!("{schema}");
    Ok(())
}

/// Imports the clinics of these names, or all; nothing is imported if any of them is faulty.
pub(super) async fn import(config: &Config, names: &[String]) -> Result<(), CommandError> {
    let mut missing = Vec::new();
    let url = required("database.url", config.database.url.as_ref(), &mut missing);
    none_missing(missing)?;
    let Some(url) = url.map(|url| url.expose()) else { return Ok(()) };
    let tenants = TenantDirectory::load(&config.tenants.dir).map_err(CommandError::new)?;
    if let Some(unknown) = names.iter().find(|name| tenants.get(name).is_none()) {
        let known: Vec<String> = tenants.ids().iter().map(ToString::to_string).collect();
        return Err(CommandError::new(format!(
            "{unknown}: no such clinic in {}, expected one of {}",
            config.tenants.dir.display(),
            known.join(", ")
        )));
    }
    let wanted = |tenant: &&Arc<Tenant>| names.is_empty() || names.iter().any(|name| name == tenant.id.as_str());
    import_each(config, url, tenants.iter().filter(wanted)).await
}

/// Brings these clinics into the database at `url`, and says so.
pub(super) async fn import_each(config: &Config, url: &str, tenants: impl Iterator<Item = &Arc<Tenant>>) -> Result<(), CommandError> {
    for tenant in tenants {
        frontdesk_clinic::config::import(url, tenant).await.map_err(CommandError::new)?;
        println!("tenant {}: imported from {}", tenant.id, config.tenants.dir.join(tenant.id.as_str()).display());
    }
    Ok(())
}
