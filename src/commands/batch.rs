//! `frontdesk batch`: recorded callers through the whole agent, one after the other, and what came of each.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use frontdesk_agent::session::{Providers, Session};
use frontdesk_agent::{CallRecord, TransportEvent};
use frontdesk_audio::{clip, resample};
use frontdesk_clinic::PgCallStore;
use frontdesk_conversation::{EndReason, Speaker};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{CommandError, console, operator};
use crate::cli::{Batch, ProviderChoice};
use crate::config::Config;
use crate::eval::{CALLER_RATE, CallerEnd, Clinic, Clinics, line};

/// The agent has answered the recording's last words when it has been silent for this long.
const QUIET: Duration = Duration::from_secs(4);
/// Silence behind a recording at most, so that the agent can answer its last words.
const AFTER_MAX: Duration = Duration::from_secs(40);
/// How often is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What came of one file.
struct Played {
    file: PathBuf,
    outcome: Result<Left, String>,
}

/// What a call left.
struct Left {
    record: CallRecord,
    /// Patients, appointments, messages and places on the waiting list, as the clinic has them.
    rows: Value,
}

/// Plays the files and prints what came of them.
///
/// # Errors
/// The clinic, the database or a provider cannot be had; or the call of a file failed, or nothing was heard in it.
pub(super) async fn run(batch: Batch, config: &Config) -> Result<(), CommandError> {
    let providers = match batch.providers {
        ProviderChoice::Simulated => console::simulated(&batch.utterance).await?,
        ProviderChoice::Cloud => crate::reception::providers(config).map_err(CommandError::new)?,
    };
    let clinics = Clinics::new(&PathBuf::from(&config.tenants.dir));
    let clinic = clinics.open(&batch.tenant, None).await.map_err(CommandError::new)?;
    let mut all = Vec::new();
    for (number, file) in batch.files.iter().enumerate() {
        println!("{}", file.display());
        let outcome = play(&clinic, &providers, file, (number + 1, batch.max_minutes)).await;
        let played = Played { file: file.clone(), outcome };
        print(&played);
        all.push(played);
    }
    clinic.close().await;
    println!("{}", table(&all));
    if let Some(path) = &batch.json {
        let files: Vec<Value> = all.iter().map(document).collect();
        operator::write_json(&json!({ "files": files }), Some(path))?;
    }
    match all.iter().filter(|played| played.fault().is_some()).count() {
        0 => Ok(()),
        failed => Err(CommandError::new(format!("{failed} of {} failed", all.len()))),
    }
}

/// One file's call.
async fn play(clinic: &Clinic, providers: &Providers, file: &Path, (number, max_minutes): (usize, u32)) -> Result<Left, String> {
    let path = file.to_owned();
    let samples = tokio::task::spawn_blocking(move || read(&path, max_minutes)).await.map_err(|error| error.to_string())??;
    let call_id = format!("batch-{}-{number}", std::process::id());
    let options = console::options(clinic, &call_id);
    let providers = Providers { store: Some(Arc::new(PgCallStore::new(clinic.store.clone()))), ..providers.clone() };
    let (transport, end) = line(&call_id);
    end.state().speech.extend(samples);
    let session = Session::new(options, providers, Box::new(transport)).run(CancellationToken::new());
    tokio::pin!(session);
    let record = tokio::select! {
        record = &mut session => record,
        () = answered(&end) => {
            end.send(TransportEvent::CallerLeft);
            session.await
        }
    };
    let rows = rows(clinic, &call_id).await.map_err(|error| error.to_string())?;
    Ok(Left { record, rows })
}

fn read(path: &Path, max_minutes: u32) -> Result<Vec<i16>, String> {
    let clip = clip::read(path).map_err(|error| error.to_string())?;
    let limit = Duration::from_secs(u64::from(max_minutes) * 60);
    if clip.duration() > limit {
        let minutes = clip.duration().as_secs_f64() / 60.0;
        return Err(format!("{minutes:.1} minutes long, which is more than {max_minutes} (--max-minutes)"));
    }
    if clip.samples.is_empty() {
        return Err("there is no audio in it".into());
    }
    Ok(resample::convert(&clip.samples, clip.rate, CALLER_RATE))
}

/// Returns when the recording was played and the agent has said all that it had to say to it.
async fn answered(end: &CallerEnd) {
    let mut played = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = Instant::now();
        let (is_played, last) = {
            let state = end.state();
            (state.speech.is_empty(), state.agent_last)
        };
        if !is_played {
            continue;
        }
        let since = *played.get_or_insert(now);
        let quiet_from = last.map_or(since, |last| last.max(since));
        let has_answered = last.is_some_and(|last| last > since);
        if has_answered && now - quiet_from >= QUIET || now - since >= AFTER_MAX {
            return;
        }
    }
}

async fn rows(clinic: &Clinic, call_id: &str) -> Result<Value, frontdesk_clinic::DbError> {
    let store = &clinic.store;
    let zone = clinic.tenant.zone;
    let appointments = store.appointments_of_call(call_id).await?.into_iter().map(|row| {
        let start = frontdesk_clinic::local_time::format(row.start, zone);
        json!({"status": row.status, "start": start, "practitioner": row.practitioner_name, "confirmation_code": row.confirmation_code})
    });
    let appointments: Vec<Value> = appointments.collect();
    let patients = store.patients_of_call(call_id).await?.into_iter().map(|patient| {
        let intake = patient.intake.map(frontdesk_agent::Pii::into_inner);
        json!({"name": patient.name.expose(), "phone": patient.phone.as_e164(), "caller": patient.caller_type, "intake": intake})
    });
    let patients: Vec<Value> = patients.collect();
    Ok(json!({
        "patients": patients,
        "appointments": appointments,
        "messages": store.messages_of_call(call_id).await?,
    }))
}

impl Played {
    /// Why it counts as failed.
    fn fault(&self) -> Option<String> {
        match &self.outcome {
            Err(error) => Some(error.clone()),
            Ok(left) if left.record.outcome == EndReason::Failed => Some("the call failed; see its incidents".into()),
            Ok(left) if left.said(Speaker::Caller).next().is_none() => Some("nothing was heard".into()),
            Ok(_) => None,
        }
    }
}

impl Left {
    fn said(&self, speaker: Speaker) -> impl Iterator<Item = &str> {
        self.record.transcript.iter().filter(move |line| line.speaker == speaker).map(|line| line.text.as_str())
    }

    fn wanted(&self) -> Vec<&str> {
        self.record.intents.iter().map(|intent| intent.intent.as_str()).collect()
    }

    fn count(&self, rows: &str) -> usize {
        self.rows[rows].as_array().map_or(0, Vec::len)
    }
}

fn print(played: &Played) {
    match &played.outcome {
        Err(_) => {}
        Ok(left) => {
            for line in &left.record.transcript {
                let who = if line.speaker == Speaker::Caller { "caller" } else { "agent" };
                println!("{:>8.2}  {who:<6}  {}", line.start_ms as f64 / 1000.0, line.text);
            }
            for intent in &left.record.intents {
                println!("  wanted: {}{}", intent.intent, intent.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default());
            }
            for field in &left.record.fields {
                println!("  learnt: {} = {}", field.name, field.value);
            }
            for (kind, rows) in left.rows.as_object().into_iter().flatten() {
                rows.as_array().into_iter().flatten().for_each(|row| println!("  {kind}: {row}"));
            }
            left.record.incidents.iter().for_each(|incident| println!("  incident: {incident}"));
        }
    }
    match played.fault() {
        Some(fault) => println!("  FAILED: {fault}\n"),
        None => println!(),
    }
}

fn table(all: &[Played]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["file", "seconds", "ended", "lines heard", "wanted", "patients", "appointments", "messages", "result"]);
    if std::env::var_os("COLUMNS").is_none() {
        table.set_width(140);
    }
    for played in all {
        let name = played.file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let result = played.fault().unwrap_or_else(|| "ok".into());
        match &played.outcome {
            Err(_) => table.add_row([name, "-".into(), "-".into(), "-".into(), "-".into(), "-".into(), "-".into(), "-".into(), result]),
            Ok(left) => table.add_row([
                name,
                format!("{:.1}", left.record.duration_ms as f64 / 1000.0),
                format!("{:?}", left.record.outcome),
                left.said(Speaker::Caller).count().to_string(),
                left.wanted().join(", "),
                left.count("patients").to_string(),
                left.count("appointments").to_string(),
                left.count("messages").to_string(),
                result,
            ]),
        };
    }
    table
}

/// A file's call as JSON.
fn document(played: &Played) -> Value {
    let file = played.file.display().to_string();
    match &played.outcome {
        Err(error) => json!({"file": file, "ok": false, "fault": error}),
        Ok(left) => json!({
            "file": file,
            "ok": played.fault().is_none(),
            "fault": played.fault(),
            "replies": left.said(Speaker::Agent).collect::<Vec<_>>(),
            "intents": left.wanted(),
            "intake": left.record.fields,
            "clinic": left.rows,
            "record": left.record,
        }),
    }
}

#[cfg(test)]
mod tests {
    use frontdesk_audio::SampleRate;

    use super::*;

    #[test]
    fn files_are_bounded_and_their_faults_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let frame = frontdesk_audio::Frame::silence(SampleRate::HZ_8000, 61_000);
        frontdesk_audio::wav::write_mono(path("long.wav"), &frame).expect("written");
        std::fs::write(path("junk.mp3"), "not audio").expect("written");
        assert_eq!(read(&path("long.wav"), 2).expect("it is read").len(), 61 * 16_000);
        for (name, expected) in [("long.wav", "1.0 minutes long"), ("junk.mp3", "neither a WAV nor an MP3"), ("none.wav", "No such file")] {
            let fault = read(&path(name), 1).expect_err("it is refused");
            assert!(fault.contains(expected), "{fault}");
        }
    }
}
