//! What calls leave behind: records, recordings, appointments.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use frontdesk_agent::CallRecord;
use frontdesk_agent::record::RecordLine;
use frontdesk_conversation::{CONFIRM_TOOL, Speaker};
use frontdesk_simulators::stack::Database;
use serde_json::Value;
use sqlx::Row as _;
use tokio::time::{Instant, sleep};

use crate::desk::Desk;

/// How long a record may take after the caller's last sight of the call.
const RECORD_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// The lines of a file of notices, header included, once there are so many.
pub(crate) async fn exported(desk: &Desk, file: &str, count: usize) -> Vec<String> {
    let path = desk.exports_dir().join(file);
    let deadline = Instant::now() + RECORD_MAX;
    loop {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(String::from).collect();
        if lines.len() >= count {
            return lines;
        }
        assert!(Instant::now() < deadline, "{} has {} lines, expected {count}:\n{}", path.display(), lines.len(), desk.tails());
        sleep(POLL).await;
    }
}

/// A row of `appointments` that is no hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Appointment {
    pub(crate) code: String,
    pub(crate) practitioner: String,
    pub(crate) start: DateTime<Utc>,
    pub(crate) status: String,
    pub(crate) call_id: String,
}

impl Desk {
    /// Its appointments.
    pub(crate) async fn appointments(&self) -> Vec<Appointment> {
        appointments(&self.database).await
    }

    /// The records of so many calls, oldest first, once they are written; each is valid by the published schema.
    pub(crate) async fn records(&self, calls: usize) -> Vec<CallRecord> {
        let deadline = Instant::now() + RECORD_MAX;
        loop {
            let found = documents(&self.calls_dir());
            if found.len() >= calls {
                let mut records: Vec<CallRecord> = found.iter().map(|document| read(document)).collect();
                records.sort_by_key(|record| record.started_at);
                assert_eq!(records.len(), calls, "there are more records than calls");
                return records;
            }
            assert!(Instant::now() < deadline, "{} of {calls} records were written within {RECORD_MAX:?}", found.len());
            sleep(POLL).await;
        }
    }
}

/// All appointments, in the order of their beginnings; holds are none.
pub(crate) async fn appointments(database: &Database) -> Vec<Appointment> {
    let mut connection = database.connect().await.expect("the database is there");
    let query = "SELECT confirmation_code, practitioner_id, lower(during) AS start, status, call_id FROM appointments \
                 WHERE status <> 'held' ORDER BY lower(during), practitioner_id";
    let rows = sqlx::query(query).fetch_all(&mut connection).await.expect("a readable table");
    let appointment = |row: &sqlx::postgres::PgRow| Appointment {
        code: row.get("confirmation_code"),
        practitioner: row.get("practitioner_id"),
        start: row.get("start"),
        status: row.get("status"),
        call_id: row.get("call_id"),
    };
    rows.iter().map(appointment).collect()
}

/// The text of every record.
fn documents(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.map(|path| std::fs::read_to_string(path).expect("a readable record")).collect()
}

fn read(document: &str) -> CallRecord {
    let value: Value = serde_json::from_str(document).expect("a record is JSON");
    let schema = include_str!("../../docs/schemas/call-record.v1.json");
    let schema: Value = serde_json::from_str(schema).expect("a schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is one");
    let faults: Vec<String> = validator.iter_errors(&value).map(|error| format!("{} at {}", error, error.instance_path())).collect();
    assert!(faults.is_empty(), "the record breaks its schema: {faults:?}");
    serde_json::from_value(value).expect("what is valid can be read")
}

/// The confirmation codes that a call gave out.
pub(crate) fn codes(record: &CallRecord) -> Vec<String> {
    record.tools.iter().filter(|tool| tool.name == CONFIRM_TOOL).filter_map(|tool| code(&tool.result)).collect()
}

fn code(value: &Value) -> Option<String> {
    let object = value.as_object()?;
    let here = object.get("confirmation_code").and_then(Value::as_str).map(str::to_owned);
    here.or_else(|| object.values().find_map(code))
}

/// What one side said, in the transcript's words.
pub(crate) fn said(record: &CallRecord, speaker: Speaker) -> Vec<&str> {
    record.transcript.iter().filter(|line| line.speaker == speaker).map(|line| line.text.as_str()).collect()
}

/// Both channels of a recording with two channels of 16 bits.
pub(crate) fn stereo(path: &Path) -> (Vec<i16>, Vec<i16>) {
    let bytes = std::fs::read(path).expect("the recording is there");
    assert_eq!((&bytes[..4], &bytes[8..12]), (b"RIFF".as_slice(), b"WAVE".as_slice()));
    let mut rest = &bytes[12..];
    while rest.len() >= 8 {
        let length = u32::from_le_bytes(rest[4..8].try_into().expect("four bytes"));
        let length = usize::try_from(length).expect("a length");
        let body = &rest[8..rest.len().min(8 + length)];
        match &rest[..4] {
            b"fmt " => assert_eq!((body[2], body[14]), (2, 16), "channels and bits"),
            b"data" => {
                let sample = |bytes: &[u8]| i16::from_le_bytes([bytes[0], bytes[1]]);
                return body.chunks_exact(4).map(|both| (sample(&both[..2]), sample(&both[2..]))).unzip();
            }
            _ => {}
        }
        rest = &rest[rest.len().min(8 + length + length % 2)..];
    }
    panic!("the recording has no samples");
}

/// How much of a recording is louder than silence, in samples.
pub(crate) fn sound(samples: &[i16]) -> usize {
    let is_loud = |block: &&[i16]| block.iter().any(|sample| sample.unsigned_abs() > 1000);
    samples.chunks(80).filter(is_loud).map(<[i16]>::len).sum()
}

/// What was said, for messages of failed tests, and what went wrong in the call.
pub(crate) fn transcript(record: &CallRecord) -> String {
    let line = |line: &RecordLine| {
        let cut = if line.interrupted { " (interrupted)" } else { "" };
        format!("{:>6} ms {:?}: {}{cut}\n", line.start_ms, line.speaker, line.text)
    };
    let lines: String = record.transcript.iter().map(line).collect();
    format!("{lines}outcome {:?}, incidents {:?}", record.outcome, record.incidents)
}
