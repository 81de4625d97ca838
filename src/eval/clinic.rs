//! A clinic for every scenario: a database of its own, cloned from a migrated one, dropped when the scenario ends.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use frontdesk_clinic::booking::BookingWish;
use frontdesk_clinic::config::{SmsNotices, import, load_tenant};
use frontdesk_clinic::{ClinicStore, Clock, CommitKey, DatabaseOptions, Keyring, PhoneNumber, PractitionerId, Tenant, local_time, migrate};
use frontdesk_notify::{Event, Field};
use frontdesk_simulators::stack::Database;
use tokio::sync::Mutex;

use super::EvalError;
use super::scenario::Taken;

/// Connections of one scenario.
const CONNECTIONS: u32 = 4;
/// The machine may be busy.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(20);

/// Migrated databases, one a tenant, from which scenarios clone theirs.
pub(crate) struct Clinics {
    folder: PathBuf,
    templates: Mutex<HashMap<String, Template>>,
}

/// A tenant, and the database that holds it.
type Template = (Arc<Tenant>, Arc<Database>);

/// The clinic of one scenario.
pub(crate) struct Clinic {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) store: ClinicStore,
    pub(crate) database: Database,
    pool: frontdesk_clinic::Database,
}

impl Clinics {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), templates: Mutex::default() }
    }

    /// A fresh clinic whose clock stands at `now`.
    pub(crate) async fn open(&self, tenant: &str, now: Option<DateTime<Utc>>, text_messages: bool) -> Result<Clinic, EvalError> {
        let (mut tenant, template) = self.template(tenant).await?;
        if text_messages {
            let on = vec![Event::AppointmentBooked, Event::AppointmentMoved, Event::AppointmentCancelled];
            let from = tenant.dialled_numbers.first().cloned().unwrap_or_default();
            Arc::make_mut(&mut tenant).notifications.sms = Some(SmsNotices { from, on, fields: vec![Field::Code] });
        }
        let failed = |error: &dyn std::fmt::Display| EvalError::Database(error.to_string());
        let database = template.duplicate().await.map_err(|error| failed(&error))?;
        let mut options = DatabaseOptions::new(database.url());
        options.connections_max = CONNECTIONS;
        options.acquire_timeout = ACQUIRE_TIMEOUT;
        let pool = frontdesk_clinic::Database::open(&options).map_err(|error| failed(&error))?;
        let keys = Arc::new(Keyring::from_master([7; 32]));
        let mut store = ClinicStore::new(pool.clone(), keys, tenant.id.clone()).with_notices(&tenant);
        if let Some(now) = now {
            store = store.with_clock(Clock::Fixed(now));
        }
        Ok(Clinic { tenant, store, database, pool })
    }

    async fn template(&self, tenant: &str) -> Result<Template, EvalError> {
        let mut templates = self.templates.lock().await;
        if let Some((known, template)) = templates.get(tenant) {
            return Ok((Arc::clone(known), Arc::clone(template)));
        }
        let failed = |error: &dyn std::fmt::Display| EvalError::Database(error.to_string());
        let loaded = load_tenant(&self.folder.join(tenant)).map_err(|error| EvalError::Tenant(error.to_string()))?;
        let database = Database::scratch().await.map_err(|error| failed(&error))?;
        migrate(&database.url()).await.map_err(|error| failed(&error))?;
        import(&database.url(), &loaded).await.map_err(|error| failed(&error))?;
        let made = (Arc::new(loaded), Arc::new(database));
        templates.insert(tenant.to_owned(), made.clone());
        Ok(made)
    }
}

impl Clinic {
    /// Gives the database back.
    pub(crate) async fn close(self) {
        self.pool.close().await;
        if let Err(error) = self.database.drop_now().await {
            tracing::warn!(%error, "a scratch database stays behind");
        }
    }
}

/// Books a slot for somebody else.
pub(crate) async fn take(clinic: (ClinicStore, Arc<Tenant>), taken: Taken, number: usize) -> Result<(), String> {
    let (store, tenant) = clinic;
    let start = local_time::parse(&taken.start, tenant.zone).map_err(|error| format!("taken: start {:?}: {error}", taken.start))?;
    let practitioner = PractitionerId::new(taken.practitioner.clone()).map_err(|error| format!("taken: practitioner: {error}"))?;
    let phone = PhoneNumber::parse(&format!("202555{:04}", 1000 + number), "1").map_err(|error| format!("taken: {error}"))?;
    let wish = BookingWish {
        start,
        duration_minutes: taken.minutes,
        practitioner: Some(practitioner),
        service: None,
        location: None,
        patient_name: "Somebody Else".to_owned().into(),
        phone,
    };
    let call_id = format!("before-{number}");
    let prepared =
        store.prepare_booking(&call_id, &wish).await.map_err(|error| format!("taken: {} cannot be booked: {error}", taken.start))?;
    let key = CommitKey { call_id, confirmation_id: "c1".into() };
    store.commit_booking(&key, &prepared.booking).await.map_err(|error| format!("taken: {error}"))?;
    Ok(())
}
