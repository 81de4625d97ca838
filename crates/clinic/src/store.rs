//! One tenant's view of the database.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, Postgres, Transaction};

use crate::config::Tenant;
use crate::crypto::{Keyring, Place};
use crate::db::{Database, DbError, bounded};
use crate::elsewhere::{Age, Elsewhere};
use crate::ids::{DepartmentId, LocationId, PractitionerId, ServiceCode, TenantId};
use crate::leases::Lease;
use crate::schedule::{Buffer, Busy, Location, Practitioner, Schedule, Span, WorkingPeriod};
use crate::wording::{self, Wording};

/// Whose "now" counts when a time is judged past or too far ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clock {
    /// The database's, one for all workers.
    #[default]
    Database,
    /// A fixed moment, for tests and rehearsals. Holds expire by the database's clock all the same.
    Fixed(DateTime<Utc>),
}

/// One tenant's appointments, insurance table and messages. Cheap to clone; every method is one or a few transactions.
#[derive(Debug, Clone)]
pub struct ClinicStore {
    pub(crate) database: Database,
    pub(crate) keys: Arc<Keyring>,
    pub(crate) tenant: TenantId,
    /// Whose `[notifications]` say what is told to whom; nothing is, without.
    pub(crate) notices: Option<Arc<Tenant>>,
    /// The practitioners' own calendars, if they are heeded.
    elsewhere: Option<Arc<Elsewhere>>,
    /// The worker's hold on the call that this view serves; every write of the call looks whether it still stands.
    pub(crate) lease: Option<Arc<Lease>>,
    clock: Clock,
}

impl ClinicStore {
    /// The view of one tenant.
    #[must_use]
    pub const fn new(database: Database, keys: Arc<Keyring>, tenant: TenantId) -> Self {
        Self { database, keys, tenant, notices: None, elsewhere: None, lease: None, clock: Clock::Database }
    }

    /// The same view with another clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// The same view, in which what happens is told on the channels that the tenant has switched on.
    #[must_use]
    pub fn with_notices(self, tenant: &Arc<Tenant>) -> Self {
        Self { notices: Some(Arc::clone(tenant)), ..self }
    }

    /// The same view, in which practitioners are taken when their own calendars say so.
    #[must_use]
    pub fn with_elsewhere(self, elsewhere: &Arc<Elsewhere>) -> Self {
        Self { elsewhere: Some(Arc::clone(elsewhere)), ..self }
    }

    /// The same view, which writes for a call only as long as its lease stands, and books nothing without one.
    #[must_use]
    pub fn with_lease(self, lease: Arc<Lease>) -> Self {
        Self { lease: Some(lease), ..self }
    }

    /// Whether the practitioners' own calendars are heeded.
    pub(crate) const fn heeds_elsewhere(&self) -> bool {
        self.elsewhere.is_some()
    }

    /// When the practitioners' own calendars are taken within a window. Never within a transaction: somebody else's server is asked.
    pub(crate) async fn busy_elsewhere(&self, window: Span, age: Age) -> Busy {
        let mut busy = Busy::new();
        if let Some(elsewhere) = &self.elsewhere {
            elsewhere.add_to(&mut busy, window, age).await;
        }
        busy
    }

    /// Whose view it is.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// What a call did, as the audit log names it, and how often.
    pub async fn audited_of_call(&self, call_id: &str) -> Result<BTreeMap<String, u64>, DbError> {
        bounded(async {
            let (mut transaction, _) = self.begin().await?;
            let rows = sqlx::query!(r#"SELECT action, count(*) AS "count!" FROM audit_events WHERE call_id = $1 GROUP BY action"#, call_id)
                .fetch_all(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(rows.into_iter().map(|row| (row.action, row.count.unsigned_abs())).collect())
        })
        .await
    }

    /// How the clinic's own people are written to: in the clinic's language, where this view knows it.
    pub(crate) fn wording(&self) -> &'static dyn Wording {
        wording::of(self.notices.as_ref().map_or("en", |tenant| tenant.language.as_str()))
    }

    /// The time by the store's clock, without asking the database: good enough to tell which day it is.
    pub(crate) fn clock_now(&self) -> DateTime<Utc> {
        match self.clock {
            Clock::Database => Utc::now(),
            Clock::Fixed(fixed) => fixed,
        }
    }

    /// Begins a transaction; also tells the time by the store's clock.
    pub(crate) async fn begin(&self) -> Result<(Transaction<'static, Postgres>, DateTime<Utc>), DbError> {
        let (transaction, now) = self.database.begin(&self.tenant).await?;
        let now = match self.clock {
            Clock::Database => now,
            Clock::Fixed(fixed) => fixed,
        };
        Ok((transaction, now))
    }

    pub(crate) const fn place<'a>(&'a self, table: &'a str, column: &'a str) -> Place<'a> {
        Place::new(&self.tenant, table, column)
    }
}

/// Reads the clinic's schedule. A configuration that cannot be read back (an unknown zone, say) is `Unreadable`: import it anew.
pub(crate) async fn load_schedule(connection: &mut PgConnection) -> Result<Schedule, DbError> {
    let tenant = sqlx::query!("SELECT zone, slot_minutes, lead_minutes, horizon_days, closed_days FROM tenants")
        .fetch_optional(&mut *connection)
        .await?
        .ok_or_else(|| DbError::Unreadable { what: "tenants", reason: "the tenant has not been imported".into() })?;
    let locations = load_locations(connection).await?;
    let rows = sqlx::query!(
        r#"SELECT p.practitioner_id, p.name, p.zone, h.weekday AS "weekday?", h.opens AS "opens?", h.closes AS "closes?", h.location_id,
                  p.offers_all_services, p.department_id,
                  ARRAY(SELECT s.service_code FROM practitioner_services s
                        WHERE s.tenant_id = p.tenant_id AND s.practitioner_id = p.practitioner_id) AS "services!"
           FROM practitioners p LEFT JOIN working_hours h USING (tenant_id, practitioner_id)
           WHERE p.is_active
           ORDER BY p.practitioner_id, h.weekday, h.opens"#
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut practitioners: Vec<Practitioner> = Vec::new();
    for row in rows {
        if practitioners.last().is_none_or(|last| last.id.as_str() != row.practitioner_id) {
            practitioners.push(Practitioner {
                id: practitioner_id(row.practitioner_id)?,
                name: row.name,
                zone: zone(&row.zone)?,
                department: row.department_id.map(department_id).transpose()?,
                hours: Vec::new(),
                services: if row.offers_all_services { None } else { Some(service_codes(row.services)?) },
                time_off: Vec::new(),
            });
        }
        let period = row.weekday.zip(row.opens).zip(row.closes);
        if let (Some(last), Some(((weekday, opens), closes))) = (practitioners.last_mut(), period) {
            let location = row.location_id.and_then(|id| locations.iter().position(|location| location.id.as_str() == id));
            last.hours.push(WorkingPeriod { weekday: weekday.unsigned_abs().into(), opens, closes, location });
        }
    }
    load_time_off(connection, &mut practitioners).await?;
    Ok(Schedule {
        zone: zone(&tenant.zone)?,
        slot_minutes: tenant.slot_minutes.unsigned_abs(),
        lead: TimeDelta::minutes(tenant.lead_minutes.into()),
        horizon: TimeDelta::days(tenant.horizon_days.into()),
        closed_days: tenant.closed_days.into_iter().collect(),
        practitioners,
        locations,
        buffers: load_buffers(connection).await?,
    })
}

async fn load_locations(connection: &mut PgConnection) -> Result<Vec<Location>, DbError> {
    let rows = sqlx::query!("SELECT location_id, name, zone FROM locations ORDER BY location_id").fetch_all(connection).await?;
    let location = |id: String, name, text: &str| {
        let id = LocationId::new(id).map_err(|error| DbError::unreadable("location_id", &error))?;
        Ok(Location { id, name, zone: zone(text)? })
    };
    rows.into_iter().map(|row| location(row.location_id, row.name, &row.zone)).collect()
}

/// Absences that are not over yet.
async fn load_time_off(connection: &mut PgConnection, practitioners: &mut [Practitioner]) -> Result<(), DbError> {
    let rows = sqlx::query!(
        r#"SELECT practitioner_id, lower(during) AS "start!", upper(during) AS "end!" FROM time_off
           WHERE upper(during) > now() - interval '2 years'"#
    )
    .fetch_all(connection)
    .await?;
    for row in rows {
        if let Some(away) = practitioners.iter_mut().find(|one| one.id.as_str() == row.practitioner_id) {
            away.time_off.push(Span { start: row.start, end: row.end });
        }
    }
    Ok(())
}

async fn load_buffers(connection: &mut PgConnection) -> Result<HashMap<ServiceCode, Buffer>, DbError> {
    let rows = sqlx::query!(
        "SELECT service_code, buffer_before_minutes, buffer_after_minutes FROM services
         WHERE buffer_before_minutes > 0 OR buffer_after_minutes > 0"
    )
    .fetch_all(connection)
    .await?;
    let minutes = |minutes: i32| TimeDelta::minutes(minutes.into());
    rows.into_iter()
        .map(|row| {
            let service = service_code(row.service_code)?;
            Ok((service, Buffer { before: minutes(row.buffer_before_minutes), after: minutes(row.buffer_after_minutes) }))
        })
        .collect()
}

fn service_codes(codes: Vec<String>) -> Result<HashSet<ServiceCode>, DbError> {
    codes.into_iter().map(service_code).collect()
}

fn service_code(text: String) -> Result<ServiceCode, DbError> {
    ServiceCode::new(text).map_err(|error| DbError::unreadable("service_code", &error))
}

/// When practitioners are taken within a window, buffers included. What this very call holds does not count against it.
pub(crate) async fn load_busy(
    connection: &mut PgConnection,
    window: Span,
    call_id: &str,
    practitioner: Option<&PractitionerId>,
) -> Result<Busy, DbError> {
    // Nothing takes longer than a day, which a constraint sees to; the index is of beginnings.
    let rows = sqlx::query!(
        r#"SELECT practitioner_id, taken_from, taken_until FROM appointments
           WHERE taken_from < $2 AND taken_until > $1 AND taken_from > $1::timestamptz - interval '1 day'
             AND (status = 'booked' OR (status = 'held' AND hold_expires_at > now() AND call_id <> $3))
             AND ($4::text IS NULL OR practitioner_id = $4)"#,
        window.start,
        window.end.max(window.start),
        call_id,
        practitioner.map(PractitionerId::as_str)
    )
    .fetch_all(connection)
    .await?;
    let mut busy = Busy::new();
    for row in rows {
        busy.entry(practitioner_id(row.practitioner_id)?).or_default().push(Span { start: row.taken_from, end: row.taken_until });
    }
    Ok(busy)
}

/// Adds what is taken elsewhere.
pub(crate) fn merge(busy: &mut Busy, elsewhere: Busy) {
    for (practitioner, spans) in elsewhere {
        busy.entry(practitioner).or_default().extend(spans);
    }
}

pub(crate) fn practitioner_id(text: String) -> Result<PractitionerId, DbError> {
    PractitionerId::new(text).map_err(|error| DbError::unreadable("practitioner_id", &error))
}

fn department_id(text: String) -> Result<DepartmentId, DbError> {
    DepartmentId::new(text).map_err(|error| DbError::unreadable("department_id", &error))
}

fn zone(text: &str) -> Result<chrono_tz::Tz, DbError> {
    text.parse().map_err(|_| DbError::Unreadable { what: "zone", reason: format!("{text:?} is not an IANA zone") })
}
