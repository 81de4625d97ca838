//! A notice as a row of a table: the same for Google Sheets and for CSV.

use chrono::{DateTime, SecondsFormat, Utc};
use frontdesk_agent::Pii;

use crate::notice::Notice;

/// A row, the table it belongs to, and that table's header. The first cell is the notice's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) table: &'static str,
    pub(crate) header: &'static [&'static str],
    pub(crate) cells: Vec<String>,
}

const APPOINTMENTS: &[&str] =
    &["key", "event", "appointment", "revision", "start", "minutes", "code", "practitioner", "service", "location", "name", "phone"];
const MESSAGES: &[&str] = &["key", "event", "message", "taken_at", "urgent", "name", "phone", "text"];
const PATIENTS: &[&str] = &["key", "event", "patient", "registered_at", "name", "phone", "email", "date_of_birth"];
const CALLS: &[&str] = &["key", "event", "call", "started_at", "ended_at", "outcome", "phone"];

fn plain(value: Option<&String>) -> String {
    value.cloned().unwrap_or_default()
}

fn personal(value: Option<&Pii<String>>) -> String {
    plain(value.map(Pii::expose))
}

/// The row of a notice; `None` if it is about nothing.
pub(crate) fn row(notice: &Notice) -> Option<Row> {
    let at = |moment: DateTime<Utc>| moment.with_timezone(&notice.zone).to_rfc3339_opts(SecondsFormat::Secs, false);
    let mut cells = vec![notice.delivery.key.clone(), notice.event.as_str().to_owned(), notice.subject()];
    if let Some(it) = &notice.appointment {
        cells.extend([it.revision.to_string(), at(it.start), it.duration_minutes.to_string(), plain(it.code.as_ref())]);
        cells.extend([&it.practitioner, &it.service, &it.location].map(|value| plain(value.as_ref())));
        cells.extend([&it.name, &it.phone].map(|value| personal(value.as_ref())));
        return Some(Row { table: "Appointments", header: APPOINTMENTS, cells });
    }
    if let Some(it) = &notice.message {
        cells.extend([at(it.taken_at), it.is_urgent.to_string()]);
        cells.extend([&it.name, &it.phone, &it.text].map(|value| personal(value.as_ref())));
        return Some(Row { table: "Messages", header: MESSAGES, cells });
    }
    if let Some(it) = &notice.patient {
        cells.push(at(it.registered_at));
        cells.extend([&it.name, &it.phone, &it.email, &it.date_of_birth].map(|value| personal(value.as_ref())));
        return Some(Row { table: "Patients", header: PATIENTS, cells });
    }
    let it = notice.call.as_ref()?;
    cells.extend([at(it.started_at), at(it.ended_at), it.outcome.clone(), personal(it.phone.as_ref())]);
    Some(Row { table: "Calls", header: CALLS, cells })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tests::{booked, least};

    #[test]
    fn every_row_is_as_long_as_its_header() {
        for notice in [booked(), least()] {
            let row = row(&notice).unwrap();
            assert_eq!(row.cells.len(), row.header.len());
            assert_eq!(
                (row.table, row.cells[0].as_str(), row.cells[4].as_str()),
                ("Appointments", notice.delivery.key.as_str(), "2026-12-01T09:00:00-05:00")
            );
        }
        let about = |about: &str, value: serde_json::Value| {
            let mut json = serde_json::to_value(booked()).unwrap();
            json["appointment"] = serde_json::Value::Null;
            json[about] = value;
            row(&serde_json::from_value(json).unwrap()).unwrap()
        };
        let id = "0194d5f0-0000-7000-8000-000000000002";
        let message = about("message", serde_json::json!({"id": id, "taken_at": "2026-12-01T14:00:00Z", "is_urgent": true, "text": "Hi"}));
        assert_eq!((message.table, message.cells.len()), ("Messages", message.header.len()));
        assert_eq!(message.cells[2..], [id, "2026-12-01T09:00:00-05:00", "true", "", "", "Hi"]);
        let patient = about(
            "patient",
            serde_json::json!({"id": id, "registered_at": "2026-12-01T14:00:00Z", "name": "Jane", "email": "j@x.example"}),
        );
        assert_eq!((patient.table, patient.cells.len()), ("Patients", patient.header.len()));
        assert_eq!(patient.cells[2..], [id, "2026-12-01T09:00:00-05:00", "Jane", "", "j@x.example", ""]);
        let times = serde_json::json!({"id": "c", "started_at": "2026-12-01T14:00:00Z", "ended_at": "2026-12-01T14:01:00Z", "outcome": "completed"});
        let call = about("call", times);
        assert_eq!((call.table, call.cells.len(), call.cells[5].as_str()), ("Calls", call.header.len(), "completed"));
    }
}
