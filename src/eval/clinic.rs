//! A clinic for every scenario: a database of its own, cloned from a migrated one, dropped when the scenario ends.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use frontdesk_clinic::booking::{BookingWish, Settled};
use frontdesk_clinic::config::{SmsNotices, import, load_tenant};
use frontdesk_clinic::patients::{Intake, Registration};
use frontdesk_clinic::schedule::when::Phrase;
use frontdesk_clinic::waiting::WaitingWish;
use frontdesk_clinic::{ClinicStore, Clock, CommitKey, DatabaseOptions, Keyring, PhoneNumber, PractitionerId, Tenant, local_time, migrate};
use frontdesk_notify::{Event, Field};
use frontdesk_simulators::stack::Database;
use tokio::sync::Mutex;

use super::EvalError;
use super::scenario::{Before, Scenario, Settings, Taken};

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
    /// How many calls booked before the one that is rehearsed.
    pub(crate) earlier: usize,
    /// The code of the first appointment that was there before.
    pub(crate) code: Option<String>,
    pool: frontdesk_clinic::Database,
}

impl Clinics {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), templates: Mutex::default() }
    }

    /// A fresh clinic whose clock stands at `now`.
    pub(crate) async fn open(&self, tenant: &str, now: Option<DateTime<Utc>>) -> Result<Clinic, EvalError> {
        self.open_with(tenant, now, Settings::default(), false).await
    }

    /// The clinic of a scenario, with its settings and whom it knows before the call.
    pub(crate) async fn of(&self, scenario: &Scenario) -> Result<Clinic, EvalError> {
        let mut clinic = self.open_with(&scenario.tenant, Some(scenario.now), scenario.settings, scenario.text_messages).await?;
        match prepare(&clinic, &scenario.before).await {
            Ok(code) => {
                (clinic.earlier, clinic.code) = (scenario.before.appointments.len(), code);
                Ok(clinic)
            }
            Err(fault) => {
                clinic.close().await;
                Err(EvalError::Scenario(format!("before: {fault}")))
            }
        }
    }

    async fn open_with(
        &self,
        tenant: &str,
        now: Option<DateTime<Utc>>,
        settings: Settings,
        text_messages: bool,
    ) -> Result<Clinic, EvalError> {
        let (mut tenant, template) = self.template(tenant).await?;
        if let Some(require_identification) = settings.require_identification {
            Arc::make_mut(&mut tenant).require_identification = require_identification;
        }
        if let Some(recording) = settings.recording() {
            Arc::make_mut(&mut tenant).recording = Some(recording);
        }
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
        Ok(Clinic { tenant, store, database, earlier: 0, code: None, pool })
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

/// The call that booked the n-th appointment that was there before.
pub(crate) fn earlier_call(number: usize) -> String {
    format!("earlier-{number}")
}

/// Makes the clinic know whom it knows before the call; the code of the first appointment.
async fn prepare(clinic: &Clinic, before: &Before) -> Result<Option<String>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let store = &clinic.store;
    let phone = |number: &str| PhoneNumber::parse(number, &clinic.tenant.country_calling_code).map_err(|error| text(&error));
    let key = |call_id: &str| CommitKey { call_id: call_id.into(), confirmation_id: "c1".into() };
    for (number, known) in before.patients.iter().enumerate() {
        let intake = Intake::born(known.born).into();
        let registration = Registration { patient_name: known.name.clone().into(), phone: phone(&known.phone)?, intake };
        let settled = store.commit_registration(&key(&format!("registered-{number}")), &registration).await;
        done(settled.map_err(|error| text(&error))?)?;
    }
    let mut code = None;
    for (number, known) in before.appointments.iter().enumerate() {
        let call_id = earlier_call(number);
        let start = local_time::parse(&known.start, clinic.tenant.zone).map_err(|error| format!("{}: {error}", known.start))?;
        let wish = BookingWish {
            start,
            duration_minutes: known.minutes,
            practitioner: Some(PractitionerId::new(known.practitioner.clone()).map_err(|error| text(&error))?),
            service: None,
            location: None,
            department: None,
            patient_name: known.name.clone().into(),
            phone: phone(&known.phone)?,
        };
        let prepared = store.prepare_booking(&call_id, &wish).await.map_err(|error| format!("{}: {error}", known.start))?;
        let booked = done(store.commit_booking(&key(&call_id), &prepared.booking).await.map_err(|error| text(&error))?)?;
        code.get_or_insert(booked.confirmation_code);
    }
    for (number, known) in before.waiting.iter().enumerate() {
        let wish = WaitingWish {
            patient_name: known.name.clone().into(),
            phone: phone(&known.phone)?,
            practitioner: None,
            service: None,
            department: None,
            duration_minutes: 30,
            when: Phrase::read(&known.when).map_err(|error| text(&error))?,
        };
        let prepared = store.prepare_waiting(&wish).await.map_err(|error| text(&error))?;
        let settled = store.commit_waiting(&key(&format!("waits-{number}")), &prepared.waiting).await;
        done(settled.map_err(|error| text(&error))?)?;
    }
    Ok(code)
}

fn done<T>(settled: Settled<T>) -> Result<T, String> {
    match settled {
        Settled::Done(done) => Ok(done),
        Settled::Refused(refusal) => Err(refusal.to_string()),
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
        department: None,
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
