//! The stages of our own turns, from the call records that the worker wrote.

use std::path::{Path, PathBuf};
use std::time::Duration;

use frontdesk_agent::CallRecord;

use crate::Failure;

/// The call records in a folder that stand not among `before`, once there are as many as calls.
pub(crate) async fn records(dir: &Path, before: &[PathBuf], calls: usize) -> Result<Vec<CallRecord>, Failure> {
    for _ in 0..100 {
        let new: Vec<PathBuf> = files(dir).into_iter().filter(|path| !before.contains(path)).collect();
        if new.len() >= calls {
            return new.iter().map(|path| read(path)).collect();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(Failure::new(format!("{} holds fewer than {calls} new call records 10 s after the last call ended", dir.display())))
}

pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect()
}

fn read(path: &Path) -> Result<CallRecord, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("call record {}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    serde_json::from_str(&text).map_err(|error| failed(&error))
}

/// A named stage.
type Stage = (&'static str, fn(&frontdesk_agent::record::RecordTurn) -> Option<u64>);

/// The stages in their order, each in milliseconds from the caller's last sound.
pub(crate) const STAGES: [Stage; 6] = [
    ("end of speech detected", |turn| turn.speech_ended_ms),
    ("final transcript", |turn| turn.transcript_final_ms),
    ("turn committed", |turn| turn.committed_ms),
    ("first clause to the synthesiser", |turn| turn.first_clause_ms),
    ("first byte of speech", |turn| turn.first_audio_ms),
    ("first sample played", |turn| turn.playback_started_ms),
];

/// The place of "first byte of speech" among [`STAGES`].
pub(crate) const FIRST_AUDIO: usize = 4;

/// A stage's times over all turns of all calls but the first of each, sorted.
pub(crate) fn times(records: &[CallRecord], stage: usize) -> Vec<u64> {
    let read = STAGES[stage].1;
    let mut times: Vec<u64> = records.iter().flat_map(|record| record.turns.iter().skip(1)).filter_map(read).collect();
    times.sort_unstable();
    times
}
