//! A clinic's configuration: one folder a tenant, data that is validated as a whole before anything of it is used.
//!
//! `agent-config/<tenant>/` holds `tenant.toml` (who the clinic is, who works when, what it offers), `prompt.md` (what the
//! language model is told) and `insurance.toml` (what is covered; may be missing). [`TenantDirectory::load`] reads all
//! tenants, [`import()`] brings one into Postgres.

mod conversation;
mod directory;
mod error;
mod import;
mod lines;
mod load;
mod model;
mod notifications;
mod prompt;
mod read;
mod schema;
mod validate;

pub use directory::TenantDirectory;
pub use error::{ConfigError, Problem};
pub use import::{ImportError, import};
pub use load::load_tenant;
pub use model::{
    ConsentBy, CoverageRow, Emergency, Hours, Limits, LocationConfig, PractitionerConfig, PriceConfig, Question, RecordingConfig,
    ServiceConfig, Tenant, TimeOff, TransferTarget, TurnTaking, Voice,
};
pub use notifications::{
    CalendarNotices, CsvNotices, EmailBy, EmailNotices, Notifications, PatientEmailNotices, SheetsNotices, SmsNotices, WebhookNotices,
};
pub use schema::tenant_schema;

#[cfg(test)]
mod tests;
