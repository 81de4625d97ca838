//! Whether exactly the appointment that the caller agreed to is in the database.

use std::path::{Path, PathBuf};
use std::time::Duration;

use frontdesk_agent::CallRecord;
use sqlx::{Connection, PgConnection, Row};

use super::super::CommandError;

/// An appointment as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Appointment {
    pub(super) code: String,
    pub(super) practitioner: String,
    pub(super) starts: String,
    pub(super) ends: String,
    pub(super) status: String,
}

/// All appointments of the database, oldest first.
pub(super) async fn appointments(url: &str) -> Result<Vec<Appointment>, CommandError> {
    let failed = |error: sqlx::Error| CommandError::new(format!("the appointments cannot be read: {error}"));
    let mut connection = PgConnection::connect(url).await.map_err(failed)?;
    // Row-level security holds for every login but a superuser.
    sqlx::query("SELECT set_config('app.tenant_id', $1, false)").bind(super::TENANT).execute(&mut connection).await.map_err(failed)?;
    let rows = sqlx::query(
        "SELECT coalesce(a.confirmation_code, '') AS code, p.name AS practitioner, a.status::text AS status,
                to_char(lower(a.during) AT TIME ZONE p.zone, 'Dy DD Mon YYYY HH24:MI') AS starts,
                to_char(upper(a.during) AT TIME ZONE p.zone, 'HH24:MI') AS ends
         FROM appointments a JOIN practitioners p USING (tenant_id, practitioner_id)
         WHERE a.status <> 'held' ORDER BY a.created_at",
    )
    .fetch_all(&mut connection)
    .await
    .map_err(failed)?;
    let text = |row: &sqlx::postgres::PgRow, column: &str| row.try_get::<String, _>(column).map_err(failed);
    let appointment = |row| {
        Ok(Appointment {
            code: text(row, "code")?,
            practitioner: text(row, "practitioner")?,
            starts: text(row, "starts")?,
            ends: text(row, "ends")?,
            status: text(row, "status")?,
        })
    };
    rows.iter().map(appointment).collect()
}

/// The records written since the demo began, once there are as many as calls.
pub(super) async fn records(dir: &Path, before: &[PathBuf], calls: usize) -> Result<Vec<(PathBuf, CallRecord)>, CommandError> {
    for _ in 0..100 {
        let new: Vec<PathBuf> = json_files(dir).into_iter().filter(|path| !before.contains(path)).collect();
        if new.len() >= calls {
            return new.into_iter().map(read).collect();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(CommandError::new(format!("{} holds fewer than {calls} new call records 10 s after the last call ended", dir.display())))
}

pub(super) fn json_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect()
}

fn read(path: PathBuf) -> Result<(PathBuf, CallRecord), CommandError> {
    let failed = |error: &dyn std::fmt::Display| CommandError::new(format!("call record {}: {error}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|error| failed(&error))?;
    let record = serde_json::from_str(&text).map_err(|error| failed(&error))?;
    Ok((path, record))
}

/// Every confirmation code that the tools of a call gave out.
pub(super) fn codes(record: &CallRecord) -> Vec<String> {
    let confirmed = record.tools.iter().filter(|tool| tool.name == frontdesk_conversation::CONFIRM_TOOL);
    confirmed.filter_map(|tool| find(&tool.result)).collect()
}

fn find(value: &serde_json::Value) -> Option<String> {
    let object = value.as_object()?;
    let here = object.get("confirmation_code").and_then(|code| code.as_str()).map(str::to_owned);
    here.or_else(|| object.values().find_map(find))
}

/// Compares what was booked with what the calls agreed to: as many new rows as callers, each with a code of a record.
pub(super) fn verdict(new: &[Appointment], records: &[(PathBuf, CallRecord)], callers: usize) -> Result<(), CommandError> {
    let mut agreed: Vec<String> = records.iter().flat_map(|(_, record)| codes(record)).collect();
    let mut booked: Vec<String> = new.iter().filter(|row| row.status == "booked").map(|row| row.code.clone()).collect();
    agreed.sort();
    booked.sort();
    if booked.len() == callers && new.len() == callers && booked == agreed {
        return Ok(());
    }
    let list = |codes: &[String]| if codes.is_empty() { "none".to_owned() } else { codes.join(", ") };
    Err(CommandError::new(format!(
        "expected exactly {callers} new appointment(s) with the codes that were told; told: {}; in the database: {}",
        list(&agreed),
        list(&booked)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(code: &str, status: &str) -> Appointment {
        Appointment { code: code.into(), practitioner: "Doctor".into(), starts: String::new(), ends: String::new(), status: status.into() }
    }

    fn record(code: Option<&str>) -> (PathBuf, CallRecord) {
        let tools = code.map_or_else(Vec::new, |code| {
            vec![serde_json::json!({
                "name": frontdesk_conversation::CONFIRM_TOOL, "arguments": {}, "result": {"confirmation_code": code}, "status": "done",
                "start_ms": 0, "duration_ms": 1, "turn": null
            })]
        });
        let record = serde_json::json!({
            "schema_version": 1, "call_id": "c", "tenant_id": "t", "started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:00:00Z",
            "duration_ms": 0, "language": null, "outcome": "completed", "transcript": [], "intents": [], "fields": [], "tools": tools,
            "turns": [], "interruptions": 0, "recording": null, "incidents": []
        });
        (PathBuf::from("c.json"), serde_json::from_value(record).unwrap())
    }

    #[test]
    fn only_the_agreed_appointment_and_no_other_passes() {
        assert!(verdict(&[row("A1", "booked")], &[record(Some("A1"))], 1).is_ok());
        let refused: [(&[Appointment], Option<&str>); 5] = [
            (&[], Some("A1")),
            (&[row("A1", "booked")], None),
            (&[row("B2", "booked")], Some("A1")),
            (&[row("A1", "cancelled")], Some("A1")),
            (&[row("A1", "booked"), row("B2", "booked")], Some("A1")),
        ];
        for (rows, code) in refused {
            assert!(verdict(rows, &[record(code)], 1).is_err(), "{rows:?} {code:?}");
        }
    }
}
