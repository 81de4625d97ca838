//! What the database holds in the end, against what was told.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use frontdesk_clinic::booking::Booked;
use sqlx::Row;
use uuid::Uuid;

use super::super::support::TestDatabase;
use super::super::wishes::at;
use super::ledger::Violation;
use super::task::Task;

/// An appointment, as it was acknowledged or is stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Appointment {
    id: Uuid,
    practitioner: String,
    start: DateTime<Utc>,
    code: String,
}

impl Appointment {
    pub(super) fn of(booked: &Booked) -> Self {
        let (practitioner, code) = (booked.practitioner.to_string(), booked.confirmation_code.clone());
        Self { id: booked.appointment.0, practitioner, start: booked.start, code }
    }
}

/// What somebody was told is so, and nothing since has changed.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) appointments: Vec<Appointment>,
    /// Entries of the waiting list that are there.
    waiting: BTreeSet<Uuid>,
    /// Entries that are there, unless a booking has served them.
    waiting_or_served: BTreeSet<Uuid>,
}

impl Told {
    /// What the tasks were told.
    pub(super) fn by(tasks: &[Task]) -> Self {
        let mine = tasks.iter().flat_map(|task| &task.mine);
        let appointment = |mine: &super::task::Mine| Appointment {
            id: mine.id,
            practitioner: mine.slot.practitioner.to_owned(),
            start: at(mine.slot.start),
            code: mine.code.clone(),
        };
        let entries = |may_be_served| {
            let list = tasks.iter().flat_map(|task| task.list);
            list.filter(|known| known.may_be_served == may_be_served).filter_map(|known| known.entry).collect()
        };
        Self { appointments: mine.map(appointment).collect(), waiting: entries(false), waiting_or_served: entries(true) }
    }
}

/// What is there and should not be, or the other way round.
pub(super) async fn check(test: &TestDatabase, told: &Told) -> Vec<Violation> {
    let mut found = Vec::new();
    let acknowledged: BTreeSet<&Appointment> = told.appointments.iter().collect();
    let stored: BTreeSet<Appointment> = appointments(test).await.into_iter().collect();
    found.extend(acknowledged.iter().filter(|one| !stored.contains(**one)).map(|lost| Violation::Lost(format!("{lost:?}"))));
    found.extend(stored.iter().filter(|one| !acknowledged.contains(one)).map(|one| Violation::Unacknowledged(format!("{one:?}"))));

    let overlaps = "SELECT a.appointment_id::text || ' and ' || b.appointment_id::text FROM appointments a JOIN appointments b
                    ON a.appointment_id < b.appointment_id AND a.during && b.during AND a.status = 'booked' AND b.status = 'booked'
                       AND (a.practitioner_id = b.practitioner_id OR a.patient_id = b.patient_id)
                    UNION ALL
                    SELECT a.entry_id::text || ' and ' || b.entry_id::text FROM waiting_list a JOIN waiting_list b
                    ON a.entry_id < b.entry_id AND a.patient_id = b.patient_id AND a.during && b.during
                       AND a.status IN ('waiting', 'offered') AND b.status IN ('waiting', 'offered')";
    let overlaps: Vec<String> = sqlx::query_scalar(overlaps).fetch_all(&test.admin).await.unwrap();
    found.extend(overlaps.into_iter().map(Violation::Overlap));

    let active = "SELECT entry_id FROM waiting_list WHERE status IN ('waiting', 'offered')";
    let active: BTreeSet<Uuid> = sqlx::query_scalar(active).fetch_all(&test.admin).await.unwrap().into_iter().collect();
    found.extend(told.waiting.difference(&active).map(|lost| Violation::Lost(format!("entry {lost}"))));
    let known: BTreeSet<Uuid> = told.waiting.union(&told.waiting_or_served).copied().collect();
    found.extend(active.difference(&known).map(|entry| Violation::Unacknowledged(format!("entry {entry}"))));

    let pending = test.count("SELECT count(*) FROM tool_commits WHERE outcome = 'pending'").await;
    found.extend((pending > 0).then_some(Violation::Pending(pending)));
    found
}

async fn appointments(test: &TestDatabase) -> Vec<Appointment> {
    let rows = sqlx::query(
        "SELECT appointment_id, practitioner_id, lower(during) AS start, confirmation_code FROM appointments WHERE status = 'booked'",
    );
    let rows = rows.fetch_all(&test.admin).await.unwrap();
    let appointment =
        |row: sqlx::postgres::PgRow| Appointment { id: row.get(0), practitioner: row.get(1), start: row.get(2), code: row.get(3) };
    rows.into_iter().map(appointment).collect()
}
