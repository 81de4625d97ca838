//! Bringing a tenant's configuration into Postgres.

use std::str::FromStr;
use std::time::Duration;

use chrono::Weekday;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use super::model::Tenant;
use super::practice::Hours;
use crate::audit::{Actor, SecurityEvent};
use crate::db::{DbError, violated};
use crate::ids::{DepartmentId, LocationId};

/// An import is more than a look-up, and nobody waits on the telephone for it.
const IMPORT_LIMIT: Duration = Duration::from_secs(30);

/// Why a tenant was not imported. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A dialled number belongs to another tenant: change dialled_numbers of one of the two.
    #[error("a dialled number of tenant {tenant} belongs to another tenant")]
    NumberTaken {
        /// The tenant that was to be imported.
        tenant: String,
    },
    /// The database failed.
    #[error("tenant {tenant} cannot be imported: {error}")]
    Database {
        /// The tenant that was to be imported.
        tenant: String,
        /// Why.
        #[source]
        error: DbError,
    },
}

/// Makes the database say what the configuration says, in one transaction; safe to repeat.
///
/// The URL's login must be a superuser or a member of `frontdesk_owner`, as after `migrate`: the running program may not
/// write configuration. Practitioners and services that are gone from the configuration are kept, inactive, because
/// appointments refer to them.
pub async fn import(url: &str, tenant: &Tenant) -> Result<(), ImportError> {
    let name = || tenant.id.to_string();
    let failed = |error: DbError| ImportError::Database { tenant: name(), error };
    match tokio::time::timeout(IMPORT_LIMIT, run(url, tenant)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if violated(&error).as_deref() == Some("dialled_numbers_pkey") => Err(ImportError::NumberTaken { tenant: name() }),
        Ok(Err(error)) => Err(failed(error.into())),
        Err(_) => Err(failed(DbError::Timeout { limit_ms: u64::try_from(IMPORT_LIMIT.as_millis()).unwrap_or(u64::MAX) })),
    }
}

async fn run(url: &str, tenant: &Tenant) -> Result<(), sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?.application_name("frontdesk import").options([("role", "frontdesk_owner")]);
    let mut connection = PgConnection::connect_with(&options).await?;
    let mut transaction = connection.begin().await?;
    sqlx::query!("SELECT set_config('app.tenant_id', $1, true) AS tenant", tenant.id.as_str()).fetch_one(&mut *transaction).await?;
    write_tenant(&mut transaction, tenant).await?;
    write_numbers(&mut transaction, tenant).await?;
    sqlx::query!("DELETE FROM working_hours").execute(&mut *transaction).await?;
    write_locations(&mut transaction, tenant).await?;
    write_departments(&mut transaction, tenant).await?;
    write_practitioners(&mut transaction, tenant).await?;
    write_services(&mut transaction, tenant).await?;
    write_offers(&mut transaction, tenant).await?;
    write_time_off(&mut transaction, tenant).await?;
    write_insurance(&mut transaction, tenant).await?;
    sqlx::query!(
        "INSERT INTO audit_events (tenant_id, actor, action) VALUES ($1, $2, $3)",
        tenant.id.as_str(),
        Actor::Operator.as_str(),
        SecurityEvent::ConfigurationChanged.action()
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    // The work is done; whether the server reads the farewell does not matter.
    let _ = connection.close().await;
    Ok(())
}

/// Validation bounds every number that is stored, so the clamp never shows.
fn int(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

async fn write_tenant(connection: &mut PgConnection, tenant: &Tenant) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO tenants (tenant_id, name, zone, language, currency, slot_minutes, lead_minutes, horizon_days, closed_days, retention_years,
                              notice_days)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (tenant_id) DO UPDATE SET
             name = excluded.name, zone = excluded.zone, language = excluded.language, currency = excluded.currency,
             slot_minutes = excluded.slot_minutes, lead_minutes = excluded.lead_minutes,
             horizon_days = excluded.horizon_days, closed_days = excluded.closed_days, retention_years = excluded.retention_years,
             notice_days = excluded.notice_days,
             imported_at = now()",
        tenant.id.as_str(),
        tenant.name,
        tenant.zone.name(),
        tenant.language,
        tenant.currency,
        int(tenant.slot_minutes),
        int(tenant.lead_minutes),
        int(tenant.horizon_days),
        &tenant.closed_days,
        int(tenant.retention.years),
        int(tenant.retention.notice_days)
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_numbers(connection: &mut PgConnection, tenant: &Tenant) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM dialled_numbers WHERE tenant_id = $1", tenant.id.as_str()).execute(&mut *connection).await?;
    sqlx::query!(
        "INSERT INTO dialled_numbers (number, tenant_id) SELECT number, $2 FROM unnest($1::text[]) AS number",
        &tenant.dialled_numbers,
        tenant.id.as_str()
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_departments(connection: &mut PgConnection, tenant: &Tenant) -> Result<(), sqlx::Error> {
    for department in &tenant.departments {
        sqlx::query!(
            "INSERT INTO departments (tenant_id, department_id, name) VALUES ($1, $2, $3)
             ON CONFLICT (tenant_id, department_id) DO UPDATE SET name = excluded.name",
            tenant.id.as_str(),
            department.id.as_str(),
            department.name
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn write_practitioners(connection: &mut PgConnection, tenant: &Tenant) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE practitioners SET is_active = false").execute(&mut *connection).await?;
    for practitioner in &tenant.practitioners {
        sqlx::query!(
            "INSERT INTO practitioners (tenant_id, practitioner_id, name, zone, offers_all_services, department_id)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (tenant_id, practitioner_id) DO UPDATE SET
                 name = excluded.name, zone = excluded.zone, offers_all_services = excluded.offers_all_services,
                 department_id = excluded.department_id, is_active = true",
            tenant.id.as_str(),
            practitioner.id.as_str(),
            practitioner.name,
            practitioner.zone.unwrap_or(tenant.zone).name(),
            practitioner.services.is_none(),
            practitioner.department.as_ref().map(DepartmentId::as_str)
        )
        .execute(&mut *connection)
        .await?;
        let periods: Vec<(Weekday, &Hours)> =
            practitioner.hours.iter().flat_map(|hours| hours.days.iter().map(move |day| (*day, hours))).collect();
        for (day, hours) in periods {
            let weekday = i16::try_from(day.number_from_monday()).unwrap_or_default();
            sqlx::query!(
                "INSERT INTO working_hours (tenant_id, practitioner_id, weekday, opens, closes, location_id) VALUES ($1, $2, $3, $4, $5, $6)",
                tenant.id.as_str(),
                practitioner.id.as_str(),
                weekday,
                hours.opens,
                hours.closes,
                hours.location.as_ref().map(LocationId::as_str)
            )
            .execute(&mut *connection)
            .await?;
        }
    }
    Ok(())
}

async fn write_services(connection: &mut PgConnection, tenant: &Tenant) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE services SET is_active = false").execute(&mut *connection).await?;
    for service in &tenant.services {
        sqlx::query!(
            "INSERT INTO services (tenant_id, service_code, name, duration_minutes, buffer_before_minutes, buffer_after_minutes)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (tenant_id, service_code) DO UPDATE SET
                 name = excluded.name, duration_minutes = excluded.duration_minutes, is_active = true,
                 buffer_before_minutes = excluded.buffer_before_minutes, buffer_after_minutes = excluded.buffer_after_minutes",
            tenant.id.as_str(),
            service.code.as_str(),
            service.name,
            int(service.duration_minutes),
            int(service.buffer_before_minutes),
            int(service.buffer_after_minutes)
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// No appointment refers to a place, so those that are gone are deleted. Working hours have to be gone before.
async fn write_locations(connection: &mut PgConnection, tenant: &Tenant) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM locations").execute(&mut *connection).await?;
    for location in &tenant.locations {
        sqlx::query!(
            "INSERT INTO locations (tenant_id, location_id, name, zone) VALUES ($1, $2, $3, $4)",
            tenant.id.as_str(),
            location.id.as_str(),
            location.name,
            location.zone.unwrap_or(tenant.zone).name()
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// What those offer who do not offer everything.
async fn write_offers(connection: &mut PgConnection, tenant: &Tenant) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM practitioner_services").execute(&mut *connection).await?;
    for practitioner in &tenant.practitioners {
        let codes: Vec<String> = practitioner.services.iter().flatten().map(ToString::to_string).collect();
        sqlx::query!(
            "INSERT INTO practitioner_services (tenant_id, practitioner_id, service_code)
             SELECT $1, $2, code FROM unnest($3::text[]) AS code ON CONFLICT DO NOTHING",
            tenant.id.as_str(),
            practitioner.id.as_str(),
            &codes
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn write_time_off(connection: &mut PgConnection, tenant: &Tenant) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM time_off WHERE is_configured").execute(&mut *connection).await?;
    for practitioner in &tenant.practitioners {
        let zone = practitioner.zone.unwrap_or(tenant.zone);
        // Validation lets no other pass.
        for away in practitioner.time_off.iter().filter_map(|away| away.span(zone)) {
            sqlx::query!(
                "INSERT INTO time_off (tenant_id, practitioner_id, during, is_configured)
                 VALUES ($1, $2, tstzrange($3, $4), true) ON CONFLICT DO NOTHING",
                tenant.id.as_str(),
                practitioner.id.as_str(),
                away.start,
                away.end
            )
            .execute(&mut *connection)
            .await?;
        }
    }
    Ok(())
}

async fn write_insurance(connection: &mut PgConnection, tenant: &Tenant) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM insurance_coverage").execute(&mut *connection).await?;
    for row in &tenant.insurance {
        sqlx::query!(
            "INSERT INTO insurance_coverage (tenant_id, payer, plan, procedure_code, covered, copay_cents, notes)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            tenant.id.as_str(),
            row.payer,
            row.plan,
            row.procedure_code,
            row.covered,
            row.copay_cents.map(int),
            row.notes
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
