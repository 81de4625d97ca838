//! ONNX Runtime: finding, loading and holding the shared library.
//!
//! The library is loaded at run time, so the program builds without it and one binary serves whatever
//! accelerated build an operator installs.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::LoadDynamicError;
use ort::environment::Environment;

/// Environment variable that names the shared library.
pub const DYLIB_VARIABLE: &str = "ORT_DYLIB_PATH";
/// Where `scripts/setup` puts the library, relative to the project or any folder above the working directory.
const INSTALLED_IN: &str = "var/lib/onnxruntime";

/// Why ONNX Runtime is not at hand.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No library in any of the places. Run `scripts/setup`, or set `ORT_DYLIB_PATH` to an installed one.
    #[error("ONNX Runtime is missing: looked for {}; run scripts/setup, or set {DYLIB_VARIABLE} to libonnxruntime.so", places(.searched))]
    NotFound {
        /// Files that were looked for, in order.
        searched: Vec<PathBuf>,
    },
    /// The file is there but no usable shared library: it may be for another processor, or damaged.
    #[error("{} cannot be loaded as ONNX Runtime: {reason}; run scripts/setup, or set {DYLIB_VARIABLE} to another one", path.display())]
    Unloadable {
        /// The file.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// The library is older than 1.24, whose interface this program was built for.
    #[error("{} is ONNX Runtime {version}, but 1.24 or newer is needed; run scripts/setup, or set {DYLIB_VARIABLE} to another one", path.display())]
    TooOld {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// The library loaded but refused to start.
    #[error("ONNX Runtime did not start: {0}")]
    Start(String),
}

pub(crate) fn places(searched: &[PathBuf]) -> String {
    let shown: Vec<_> = searched.iter().map(|path| path.display().to_string()).collect();
    shown.join(", ")
}

/// The one environment of the process. ONNX Runtime allows no second, so it is held until the process ends.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// Loads ONNX Runtime: `dylib` if given, else what `ORT_DYLIB_PATH` names, else
/// `var/lib/onnxruntime/libonnxruntime.so*` in the working directory or the nearest folder above it.
///
/// The first success holds for the process; later calls return at once, whatever they name.
///
/// # Errors
/// [`RuntimeError`], each with its remedy; a failed call may be repeated.
pub fn init(dylib: Option<&Path>) -> Result<(), RuntimeError> {
    environment_from(dylib).map(|_| ())
}

/// The environment for sessions; loads the library from the default places if nobody did.
pub(crate) fn environment() -> Result<Environment, RuntimeError> {
    environment_from(None)
}

fn environment_from(dylib: Option<&Path>) -> Result<Environment, RuntimeError> {
    // A panic while holding the lock leaves either `None` or a whole environment behind.
    let mut held = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = held.as_ref() {
        return Ok(environment.clone());
    }
    let named = dylib.map(Path::to_path_buf);
    let named = named.or_else(|| env::var_os(DYLIB_VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from));
    let path = match named {
        Some(path) => existing(path)?,
        None => installed(&env::current_dir().unwrap_or_default())?,
    };
    let environment = load(&path)?;
    tracing::debug!(path = %path.display(), "loaded ONNX Runtime");
    Ok(held.insert(environment).clone())
}

/// A named library: a file, or a bare file name that the system's loader is to find.
fn existing(path: PathBuf) -> Result<PathBuf, RuntimeError> {
    if path.is_file() {
        return Ok(std::path::absolute(&path).unwrap_or(path));
    }
    let is_bare = path.components().count() == 1 && !path.is_dir();
    if is_bare { Ok(path) } else { Err(RuntimeError::NotFound { searched: vec![path] }) }
}

/// The library that `scripts/setup` installed, in `start` or the nearest folder above it.
fn installed(start: &Path) -> Result<PathBuf, RuntimeError> {
    let mut searched = Vec::new();
    for folder in start.ancestors() {
        let folder = folder.join(INSTALLED_IN);
        let name = if cfg!(target_os = "macos") { "libonnxruntime.dylib" } else { "libonnxruntime.so" };
        let plain = folder.join(name);
        if plain.is_file() {
            return Ok(plain);
        }
        if let Some(versioned) = newest_versioned(&folder, name) {
            return Ok(versioned);
        }
        searched.push(plain);
    }
    // Folders far above the project only blur the message.
    searched.truncate(2);
    Err(RuntimeError::NotFound { searched })
}

/// `libonnxruntime.so.1.31.1` and the like, the last by name.
fn newest_versioned(folder: &Path, name: &str) -> Option<PathBuf> {
    let prefix = format!("{name}.");
    let entries = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let matching = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
    matching.map(|entry| entry.path()).filter(|path| path.is_file()).max()
}

fn load(path: &Path) -> Result<Environment, RuntimeError> {
    let builder = ort::init_from(path).map_err(|error| match error {
        LoadDynamicError::BadVersion { version_str, path } => RuntimeError::TooOld { path, version: version_str },
        other => RuntimeError::Unloadable { path: path.to_path_buf(), reason: other.to_string() },
    })?;
    let builder = builder.with_name("frontdesk").with_telemetry(false);
    builder.build().map_err(|error| RuntimeError::Start(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_missing_library_names_the_places_and_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let named = dir.path().join("absent.so");
        let error = existing(named.clone()).unwrap_err().to_string();
        assert!(error.contains(&named.display().to_string()) && error.contains("scripts/setup"), "{error}");
        let error = installed(dir.path()).unwrap_err().to_string();
        assert!(error.contains("var/lib/onnxruntime") && error.contains(DYLIB_VARIABLE), "{error}");
    }

    #[test]
    fn the_installed_library_is_found_from_below() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(INSTALLED_IN);
        let below = dir.path().join("crates/any");
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(&below).unwrap();
        fs::write(folder.join("libonnxruntime_providers_shared.so"), "").unwrap();
        assert!(installed(&below).is_err());
        let name = if cfg!(target_os = "macos") { "libonnxruntime.dylib" } else { "libonnxruntime.so" };
        for version in ["1.24.0", "1.31.1"] {
            fs::write(folder.join(format!("{name}.{version}")), "").unwrap();
        }
        assert_eq!(installed(&below).unwrap(), folder.join(format!("{name}.1.31.1")));
        fs::write(folder.join(name), "").unwrap();
        assert_eq!(installed(&below).unwrap(), folder.join(name));
    }

    #[test]
    fn a_bare_name_is_left_to_the_loader() {
        let bare = PathBuf::from("libonnxruntime-of-the-system.so");
        assert_eq!(existing(bare.clone()).unwrap(), bare);
    }

    #[test]
    fn a_file_that_is_no_library_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("libonnxruntime.so");
        fs::write(&path, "not a library").unwrap();
        // Where another test has loaded the real library, `ort` does not look at the file any more.
        if let Err(error) = load(&path) {
            assert!(matches!(error, RuntimeError::Unloadable { .. } | RuntimeError::Start(_)), "{error}");
        }
    }
}
