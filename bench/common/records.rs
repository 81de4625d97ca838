//! The call records that the worker wrote.

use std::path::{Path, PathBuf};
use std::time::Duration;

use frontdesk_agent::CallRecord;

use super::Failure;

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
