//! The clinic whose book is filled: a year of appointments, as many on each day.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use frontdesk_clinic::booking::Booking;
use frontdesk_clinic::config::{import, load_tenant};
use frontdesk_clinic::{ClinicStore, Database, DatabaseOptions, Keyring, PhoneNumber, PractitionerId, TenantId, migrate};
use frontdesk_simulators::stack;

use super::Bookings;
use crate::common::Failure;

/// The clinic's id, and the name of its folder.
const TENANT: &str = "full-house";
/// Half an hour each, from eight to six.
pub(super) const SLOTS_A_DAY: usize = 20;
/// The days of the book, from tomorrow on.
const DAYS: usize = 360;

/// A database with a full book; dropped with the value.
pub(super) struct Book {
    pub(super) store: ClinicStore,
    database: stack::Database,
    appointments: usize,
    practitioners: usize,
}

/// The id of a practitioner.
pub(super) fn practitioner(number: usize) -> String {
    format!("dr-{number}")
}

/// When a slot of a day begins; the zone is UTC.
pub(super) fn slot(day: usize, slot: usize) -> DateTime<Utc> {
    let midnight = (Utc::now() + TimeDelta::days(1 + i64::try_from(day).unwrap_or(0))).date_naive().and_time(NaiveTime::MIN).and_utc();
    midnight + TimeDelta::hours(8) + TimeDelta::minutes(30 * i64::try_from(slot).unwrap_or(0))
}

/// Which slots of a practitioner's day are taken: so many of them, three apart.
const fn taken(practitioner: usize, day: usize, number: usize) -> usize {
    (number * 3 + practitioner + day) % SLOTS_A_DAY
}

fn open(database: &stack::Database, connections: u32) -> Result<Database, Failure> {
    let mut options = DatabaseOptions::new(database.url());
    options.connections_max = connections;
    Database::open(&options).map_err(Failure::new)
}

impl Book {
    pub(super) async fn fill(dir: &Path, appointments: usize, practitioners: usize, connections: u32) -> Result<Self, Failure> {
        let folder = dir.join("tenants").join(TENANT);
        std::fs::create_dir_all(&folder).map_err(Failure::new)?;
        std::fs::write(folder.join("tenant.toml"), tenant(practitioners)).map_err(Failure::new)?;
        std::fs::write(folder.join("prompt.md"), "You answer the telephone. It is {{now}}.\n").map_err(Failure::new)?;
        let tenant = load_tenant(&folder).map_err(Failure::new)?;
        let database = stack::Database::scratch().await.map_err(Failure::new)?;
        migrate(&database.url()).await.map_err(Failure::new)?;
        import(&database.url(), &tenant).await.map_err(Failure::new)?;
        let pool = open(&database, connections)?;
        let keys = Arc::new(Keyring::from_master([7; 32]));
        let store = ClinicStore::new(pool, keys, TenantId::new(TENANT).map_err(Failure::new)?);
        let book = Self { store, database, appointments, practitioners };
        book.write().await?;
        Ok(book)
    }

    /// Another pool of the same database.
    pub(super) fn open(&self, connections: u32) -> Result<Database, Failure> {
        open(&self.database, connections)
    }

    pub(super) fn tenant(&self) -> Result<TenantId, Failure> {
        TenantId::new(TENANT).map_err(Failure::new)
    }

    /// Writes so many events into the audit log, unsealed.
    pub(super) async fn note(&self, events: u32) -> Result<(), Failure> {
        let mut admin = self.database.connect().await.map_err(Failure::new)?;
        let noted = "INSERT INTO audit_events (tenant_id, call_id, actor, action, subject) \
                     SELECT $1, 'call-' || n, 'agent', 'appointment.viewed', gen_random_uuid()::text FROM generate_series(1, $2) n";
        sqlx::query(noted).bind(TENANT).bind(i64::from(events)).execute(&mut admin).await.map_err(Failure::new)?;
        Ok(())
    }

    /// Appointments of a day and practitioner.
    const fn a_day(&self) -> usize {
        self.appointments.div_ceil(self.practitioners * DAYS)
    }

    async fn write(&self) -> Result<(), Failure> {
        if self.a_day() > 6 + 1 {
            return Err(Failure::new("a book of so many appointments has no free times to be found: name fewer, or more practitioners"));
        }
        let mut admin = self.database.connect().await.map_err(Failure::new)?;
        // Sealed fields are random bytes here: nobody reads them.
        let patients = "INSERT INTO patients (tenant_id, patient_id, name_sealed, name_index, phone_sealed, phone_index) \
                        SELECT $1, gen_random_uuid(), '\\x00', sha256(('n' || n)::bytea), '\\x00', sha256(('p' || n)::bytea) \
                        FROM generate_series(1, $2) n";
        let count = i64::try_from(self.appointments).map_err(Failure::new)?;
        sqlx::query(patients).bind(TENANT).bind(count).execute(&mut admin).await.map_err(Failure::new)?;
        let (mut who, mut starts) = (Vec::new(), Vec::new());
        'filled: for day in 0..DAYS {
            for number in 0..self.a_day() {
                for practitioner in 0..self.practitioners {
                    if who.len() == self.appointments {
                        break 'filled;
                    }
                    who.push(self::practitioner(practitioner));
                    starts.push(slot(day, taken(practitioner, day, number)));
                }
            }
        }
        let appointments = "INSERT INTO appointments (tenant_id, appointment_id, practitioner_id, patient_id, during, status, call_id, confirmation_code) \
                            SELECT $1, gen_random_uuid(), wanted.who, patients.patient_id, \
                                   tstzrange(wanted.start, wanted.start + interval '30 minutes'), 'booked', 'before', 'OLD' || patients.n \
                            FROM (SELECT *, row_number() OVER () AS n FROM unnest($2::text[], $3::timestamptz[]) AS t (who, start)) wanted \
                            JOIN (SELECT patient_id, row_number() OVER () AS n FROM patients) patients USING (n)";
        sqlx::query(appointments).bind(TENANT).bind(&who).bind(&starts).execute(&mut admin).await.map_err(Failure::new)?;
        // As autovacuum would before long.
        sqlx::query("VACUUM ANALYZE").execute(&mut admin).await.map_err(Failure::new)?;
        Ok(())
    }

    /// Visits that can be booked, each in a slot and by a patient of its own.
    pub(super) fn free_slots(&self, count: usize) -> Result<Vec<Booking>, Failure> {
        let mut bookings = Vec::with_capacity(count);
        for day in 1..DAYS {
            for practitioner in 0..self.practitioners {
                let is_taken = |slot: &usize| (0..self.a_day()).any(|number| taken(practitioner, day, number) == *slot);
                let Some(free) = (0..SLOTS_A_DAY).find(|slot| !is_taken(slot)) else { continue };
                if bookings.len() == count {
                    return Ok(bookings);
                }
                let number = bookings.len();
                bookings.push(Booking {
                    start: slot(day, free),
                    duration_minutes: 30,
                    practitioner: PractitionerId::new(self::practitioner(practitioner)).map_err(Failure::new)?,
                    service: None,
                    patient_name: format!("Patient Number{number}").into(),
                    phone: PhoneNumber::parse(&format!("+1202{number:07}"), "1").map_err(Failure::new)?,
                    place: None,
                });
            }
        }
        Err(Failure::new(format!("only {} free times in the book, {count} are to be booked", bookings.len())))
    }

    /// What was said to be booked stands in the book, once.
    pub(super) async fn check(&self, bookings: &Bookings) -> Result<(), Failure> {
        let mut admin = self.database.connect().await.map_err(Failure::new)?;
        let booked: i64 = sqlx::query_scalar("SELECT count(*) FROM appointments WHERE status = 'booked' AND call_id LIKE 'call-%'")
            .fetch_one(&mut admin)
            .await
            .map_err(Failure::new)?;
        if usize::try_from(booked) != Ok(bookings.took.len()) {
            return Err(Failure::new(format!("{} bookings were acknowledged, but {booked} are in the book", bookings.took.len())));
        }
        Ok(())
    }
}

fn tenant(practitioners: usize) -> String {
    let mut text = format!(
        "id = \"{TENANT}\"\nname = \"Full House\"\nzone = \"UTC\"\nlanguage = \"en-US\"\ncurrency = \"USD\"\ncountry_calling_code = \"1\"\n\
         dialled_numbers = [\"+15550301\"]\ngreeting = \"Full House, good day.\"\nslot_minutes = 30\nlead_minutes = 60\nhorizon_days = 366\n"
    );
    let days = r#"["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]"#;
    for number in 0..practitioners {
        let id = practitioner(number);
        let _infallible = write!(
            text,
            "[[practitioners]]\nid = \"{id}\"\nname = \"Doctor Number {number}\"\nhours = [{{ days = {days}, opens = \"08:00\", closes = \"18:00\" }}]\n"
        );
    }
    text + "[[services]]\ncode = \"checkup\"\nname = \"check-up\"\nduration_minutes = 30\n"
}
