//! A clinic's configuration: one folder a tenant, data that is validated as a whole before anything of it is used.
//!
//! `agent-config/<tenant>/` holds `tenant.toml` (who the clinic is, who works when, what it offers), `prompt.md` (what the
//! language model is told) and `insurance.toml` (what is covered; may be missing). [`TenantDirectory::load`] reads all
//! tenants, [`import()`] brings one into Postgres.

mod conversation;
mod directory;
mod error;
mod features;
mod hours;
mod import;
mod lines;
mod load;
mod model;
mod notifications;
mod practice;
mod prompt;
mod read;
mod schema;
mod validate;

pub use directory::TenantDirectory;
pub use error::{ConfigError, Problem};
pub use features::Features;
pub use import::{ImportError, import};
pub use load::load_tenant;
pub use model::{ConsentBy, Emergency, Limits, PriceConfig, Question, RecordingConfig, Tenant, TransferTarget, TurnTaking, Voice};
pub use notifications::{
    CalendarNotices, CsvNotices, EmailBy, EmailNotices, Notifications, PatientEmailNotices, SheetsNotices, SmsNotices, WebhookNotices,
};
pub use practice::{CoverageRow, DepartmentConfig, Hours, LocationConfig, PractitionerConfig, ServiceConfig, TimeOff};
pub use schema::tenant_schema;

#[cfg(test)]
mod tests;
