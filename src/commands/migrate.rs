//! `frontdesk migrate`: the schema, then the tenants.

use super::{CommandError, none_missing, required, tenant};
use crate::config::Config;

/// Brings the database up to date and imports every tenant.
pub(super) async fn run(config: &Config) -> Result<(), CommandError> {
    let mut missing = Vec::new();
    let url = required("database.url", config.database.url.as_ref(), &mut missing);
    none_missing(missing)?;
    let Some(url) = url.map(|url| url.expose()) else { return Ok(()) };

    // Validate before touching anything: a fault in a tenant's files must not leave a half-done migration behind.
    let tenants = frontdesk_clinic::TenantDirectory::load(&config.tenants.dir).map_err(CommandError::new)?;
    let version = frontdesk_clinic::migrate(url).await.map_err(CommandError::new)?;
    println!("database: schema is at version {version}");
    tenant::import_each(config, url, tenants.iter()).await
}
