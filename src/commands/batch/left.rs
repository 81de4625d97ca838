//! What a recorded caller's call left, as it is printed and as JSON.

use std::fmt;
use std::path::PathBuf;

use comfy_table::{ContentArrangement, Table, presets};
use frontdesk_agent::{CallRecord, Pii};
use frontdesk_clinic::{DbError, local_time};
use frontdesk_conversation::{EndReason, Speaker};
use serde_json::{Value, json};

use crate::eval::Clinic;

/// What came of one file.
pub(super) struct Played {
    pub(super) file: PathBuf,
    pub(super) outcome: Result<Left, String>,
}

/// What a call left.
pub(super) struct Left {
    pub(super) record: CallRecord,
    /// Patients, appointments, messages and places on the waiting list, as the clinic has them.
    pub(super) rows: Value,
}

impl Left {
    /// With what the clinic has of this call in its database.
    pub(super) async fn read(clinic: &Clinic, record: CallRecord) -> Result<Self, DbError> {
        let (store, zone, call_id) = (&clinic.store, clinic.tenant.zone, record.call_id.as_str());
        let appointments = store.appointments_of_call(call_id).await?.into_iter().map(|row| {
            let start = local_time::format(row.start, zone);
            json!({"status": row.status, "start": start, "practitioner": row.practitioner_name, "confirmation_code": row.confirmation_code})
        });
        let patients = store.patients_of_call(call_id).await?.into_iter().map(|patient| {
            let intake = patient.intake.map(Pii::into_inner);
            json!({"name": patient.name.expose(), "phone": patient.phone.as_e164(), "caller": patient.caller_type, "intake": intake})
        });
        let waiting = store.waiting_of_call(call_id).await?.into_iter().map(|entry| {
            let (from, until) = (local_time::format(entry.window.start, zone), local_time::format(entry.window.end, zone));
            json!({"status": entry.status, "from": from, "until": until, "practitioner": entry.practitioner, "service": entry.service})
        });
        let rows = json!({
            "patients": patients.collect::<Vec<_>>(),
            "appointments": appointments.collect::<Vec<_>>(),
            "waiting": waiting.collect::<Vec<_>>(),
            "messages": store.messages_of_call(call_id).await?,
        });
        Ok(Self { record, rows })
    }

    pub(super) fn said(&self, speaker: Speaker) -> impl Iterator<Item = &str> {
        self.record.transcript.iter().filter(move |line| line.speaker == speaker).map(|line| line.text.as_str())
    }

    fn wanted(&self) -> Vec<&str> {
        self.record.intents.iter().map(|intent| intent.intent.as_str()).collect()
    }

    fn count(&self, rows: &str) -> usize {
        self.rows[rows].as_array().map_or(0, Vec::len)
    }

    fn seconds(&self) -> f64 {
        self.record.duration_ms as f64 / 1000.0
    }
}

impl fmt::Display for Left {
    /// What was said on both sides, the caller's wishes, what was learnt, the rows, and how the call went.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.record.transcript {
            let who = if line.speaker == Speaker::Caller { "caller" } else { "agent" };
            writeln!(f, "{:>8.2}  {who:<6}  {}", line.start_ms as f64 / 1000.0, line.text)?;
        }
        for intent in &self.record.intents {
            writeln!(f, "  wanted: {}{}", intent.intent, intent.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default())?;
        }
        for field in &self.record.fields {
            writeln!(f, "  learnt: {} = {}", field.name, field.value)?;
        }
        for (kind, rows) in self.rows.as_object().into_iter().flatten() {
            for row in rows.as_array().into_iter().flatten() {
                writeln!(f, "  {kind}: {row}")?;
            }
        }
        let CallRecord { outcome, turns, tools, interruptions, incidents, .. } = &self.record;
        let (turns, tools) = (turns.len(), tools.len());
        writeln!(f, "  ended: {outcome:?} after {:.1} s, {turns} turns, {tools} tool calls, cut short {interruptions}×", self.seconds())?;
        incidents.iter().try_for_each(|incident| writeln!(f, "  incident: {incident}"))
    }
}

impl Played {
    /// Why it counts as failed.
    pub(super) fn fault(&self) -> Option<String> {
        match &self.outcome {
            Err(error) => Some(error.clone()),
            Ok(left) if left.record.outcome == EndReason::Failed => Some("the call failed; see its incidents".into()),
            Ok(left) if left.said(Speaker::Caller).next().is_none() => Some("nothing was heard".into()),
            Ok(_) => None,
        }
    }

    /// A file's call as JSON.
    pub(super) fn document(&self) -> Value {
        let file = self.file.display().to_string();
        match &self.outcome {
            Err(error) => json!({"file": file, "ok": false, "fault": error}),
            Ok(left) => json!({
                "file": file,
                "ok": self.fault().is_none(),
                "fault": self.fault(),
                "replies": left.said(Speaker::Agent).collect::<Vec<_>>(),
                "intents": left.wanted(),
                "intake": left.record.fields,
                "clinic": left.rows,
                "record": left.record,
            }),
        }
    }
}

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(left) = &self.outcome {
            left.fmt(f)?;
        }
        self.fault().map_or(Ok(()), |fault| writeln!(f, "  FAILED: {fault}"))
    }
}

/// One row a file.
pub(super) fn table(all: &[Played]) -> Table {
    const ROWS: [&str; 4] = ["patients", "appointments", "waiting", "messages"];
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["file", "seconds", "ended", "lines heard", "wanted"].into_iter().chain(ROWS).chain(["result"]));
    if std::env::var_os("COLUMNS").is_none() {
        table.set_width(140);
    }
    for played in all {
        let name = played.file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let mut cells = vec![name];
        match &played.outcome {
            Err(_) => cells.extend(std::iter::repeat_n("-".to_owned(), 4 + ROWS.len())),
            Ok(left) => {
                let heard = left.said(Speaker::Caller).count();
                let ended = format!("{:?}", left.record.outcome);
                cells.extend([format!("{:.1}", left.seconds()), ended, heard.to_string(), left.wanted().join(", ")]);
                cells.extend(ROWS.map(|rows| left.count(rows).to_string()));
            }
        }
        cells.push(played.fault().unwrap_or_else(|| "ok".into()));
        table.add_row(cells);
    }
    table
}
