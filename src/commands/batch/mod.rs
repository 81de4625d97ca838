//! `frontdesk batch`: recorded callers through the whole agent, one after the other, and what came of each.

mod left;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use frontdesk_agent::session::{Providers, Session, SessionOptions};
use frontdesk_agent::{CallRecord, TransportEvent};
use frontdesk_audio::{clip, resample};
use frontdesk_clinic::PgCallStore;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::left::{Left, Played, table};
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
    for (number, file) in (1..).zip(&batch.files) {
        println!("{}", file.display());
        let outcome = call(&clinic, &providers, file, (number, batch.max_minutes)).await;
        let played = Played { file: file.clone(), outcome };
        println!("{played}");
        all.push(played);
    }
    clinic.close().await;
    println!("{}", table(&all));
    if let Some(path) = &batch.json {
        let files: Vec<Value> = all.iter().map(Played::document).collect();
        operator::write_json(&json!({ "files": files }), Some(path))?;
    }
    match all.iter().filter(|played| played.fault().is_some()).count() {
        0 => Ok(()),
        failed => Err(CommandError::new(format!("{failed} of {} failed", all.len()))),
    }
}

/// One file's call.
async fn call(clinic: &Clinic, providers: &Providers, file: &Path, (number, max_minutes): (u32, u32)) -> Result<Left, String> {
    let call_id = format!("batch-{}-{number}", std::process::id());
    let options = console::options(clinic, &call_id, Utc::now());
    let providers = Providers { store: Some(Arc::new(PgCallStore::new(clinic.store.clone()))), ..providers.clone() };
    let record = play(options, providers, file, max_minutes).await?;
    Left::read(clinic, record).await.map_err(|error| error.to_string())
}

/// Plays a file into a session, hangs up when the agent has answered its last words, and returns the record.
async fn play(options: SessionOptions, providers: Providers, file: &Path, max_minutes: u32) -> Result<CallRecord, String> {
    let path = file.to_owned();
    let samples = tokio::task::spawn_blocking(move || read(&path, max_minutes)).await.map_err(|error| error.to_string())??;
    let (transport, end) = line(&options.call_id);
    end.state().speech.extend(samples);
    let session = Session::new(options, providers, Box::new(transport)).run(CancellationToken::new());
    tokio::pin!(session);
    Ok(tokio::select! {
        record = &mut session => record,
        () = answered(&end) => {
            end.send(TransportEvent::CallerLeft);
            session.await
        }
    })
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
