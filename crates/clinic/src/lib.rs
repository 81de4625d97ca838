//! The receptionist's domain: tenants, schedules, booking, insurance, messages, audit; its tools and its Postgres store.
//!
//! - [`config`] reads and validates `agent-config/<tenant>/` and imports it into Postgres.
//! - [`Database`] is the pool of connections; each acts as the role `frontdesk_app`, under row-level security.
//! - [`ClinicStore`] is one tenant's view of it: slots, bookings exactly once, patients, the waiting list, insurance, messages.
//! - [`PgCallStore`] keeps the state and the record of calls, sealed.
//! - [`elsewhere`] knows when practitioners are taken by their own calendars.
//! - [`outbox`] holds what has to be told to others, written with the act it tells of, and sends it.
//! - [`limits`] counts a clinic's calls, over all workers.
//! - [`recordings`] keeps calls' recordings sealed, opens them for a purpose, and removes those that were erased.
//! - [`audit`] seals and verifies the audit log.
//! - [`tools::tool_set`] makes the tools that the language model may call.
//!
//! Absent on purpose: a cache of slots (the database answers within milliseconds, and a stale answer is a wrong one), and
//! plain-text personal data at rest ([`crypto`]).

#![forbid(unsafe_code)]

pub mod appointments;
pub mod audit;
pub mod booking;
mod call_store;
pub mod config;
pub mod crypto;
pub mod db;
pub mod elsewhere;
mod health;
pub mod ids;
pub mod insurance;
pub mod leases;
pub mod limits;
pub mod local_time;
pub mod masks;
pub mod messages;
pub mod migrate;
pub mod outbox;
mod owner;
pub mod patients;
pub mod recordings;
pub mod records;
pub mod schedule;
pub mod slots;
mod store;
mod subjects;
pub mod tools;
pub mod waiting;
pub mod wording;

pub use call_store::PgCallStore;
pub use config::{ConfigError, Tenant, TenantDirectory};
pub use crypto::{Keyring, Sealed};
pub use db::{Database, DatabaseOptions, DbError};
pub use frontdesk_agent::phone::{self, PhoneNumber};
pub use frontdesk_agent::spoken;
pub use ids::{AppointmentId, CommitKey, DepartmentId, LocationId, PatientId, PractitionerId, ServiceCode, TenantId};
pub use migrate::migrate;
pub use owner::Owner;

pub use store::{ClinicStore, Clock};
