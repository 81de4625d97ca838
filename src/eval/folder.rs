//! A scratch folder.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::EvalError;

/// Numbers folders.
static NUMBER: AtomicU32 = AtomicU32::new(1);

/// A folder that is deleted with its value.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Result<Self, EvalError> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("frontdesk-eval-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| EvalError::Machine(format!("{}: {error}", path.display())))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind lies where the system clears up.
        let _left = std::fs::remove_dir_all(&self.0);
    }
}
