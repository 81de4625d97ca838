//! The clinics' files, and what is made of them; a change is taken up for new calls while others go on.
//!
//! The files are read every two seconds, small as they are: modification times are too coarse on some file systems, and a mounted
//! Kubernetes volume changes by a link. A change counts once two looks in a row have seen the same, so that nobody is caught in the
//! middle of writing. What is faulty is refused as a whole, said once in the log, and what was in use stays in use.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use frontdesk_clinic::elsewhere::Elsewhere;
use frontdesk_clinic::{Tenant, TenantDirectory, TenantId};

/// Between two looks at the files.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Of one file no more is read; the loader refuses larger ones.
const FILE_BYTES_MAX: u64 = 4_100_000;
/// Folders below one another.
const DEPTH_MAX: u32 = 4;

/// The clinics as their files were when they were read.
#[derive(Debug, Default)]
pub struct Clinics {
    /// What stands in the files.
    pub tenants: TenantDirectory,
    /// The practitioners' own calendars, of those clinics that heed them.
    pub elsewhere: HashMap<TenantId, Arc<Elsewhere>>,
}

impl Clinics {
    /// The tenants that another reading does not have, or has otherwise.
    fn changed(&self, newer: &Self) -> Vec<TenantId> {
        let is_new = |tenant: &&Arc<Tenant>| self.tenants.get(tenant.id.as_str()) != Some(tenant);
        let is_gone = |tenant: &&Arc<Tenant>| newer.tenants.get(tenant.id.as_str()).is_none();
        newer.tenants.iter().filter(is_new).chain(self.tenants.iter().filter(is_gone)).map(|tenant| tenant.id.clone()).collect()
    }

    /// Takes over the calendars of clinics that have not changed, and what is remembered of them.
    fn keep_calendars(&mut self, older: &Self, changed: &[TenantId]) {
        for (id, elsewhere) in self.elsewhere.iter_mut().filter(|(id, _)| !changed.contains(id)) {
            if let Some(known) = older.elsewhere.get(id) {
                *elsewhere = Arc::clone(known);
            }
        }
    }
}

type Load<E> = Box<dyn Fn() -> Result<Clinics, E> + Send + Sync>;

/// What two looks have seen.
struct Seen {
    /// Of what is in use, or was refused.
    judged: u64,
    /// At the last look.
    last: u64,
}

/// The clinics' files, watched.
pub struct ClinicFiles<E> {
    dir: PathBuf,
    load: Load<E>,
    in_use: RwLock<Arc<Clinics>>,
    seen: Mutex<Seen>,
}

impl<E> fmt::Debug for ClinicFiles<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClinicFiles").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl<E> ClinicFiles<E> {
    /// Reads the files of a folder by `load`.
    ///
    /// # Errors
    /// Those of `load`.
    pub fn open(dir: &Path, load: impl Fn() -> Result<Clinics, E> + Send + Sync + 'static) -> Result<Self, E> {
        // Before reading: what changes meanwhile is a change.
        let judged = fingerprint(dir);
        let in_use = RwLock::new(Arc::new(load()?));
        Ok(Self { dir: dir.to_owned(), load: Box::new(load), in_use, seen: Mutex::new(Seen { judged, last: judged }) })
    }

    /// The clinics as they are now for a call that begins.
    #[must_use]
    pub fn now(&self) -> Arc<Clinics> {
        Arc::clone(&self.in_use.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the files once, and takes up what has changed since; gives the clinics that did. `None`: nothing has, or it is not
    /// certain yet that somebody is through with writing. Reads files: not for a thread that must not wait.
    ///
    /// # Errors
    /// Those of `load`, once for each change; nothing is taken up then.
    pub fn look(&self) -> Option<Result<Vec<TenantId>, E>> {
        let print = fingerprint(&self.dir);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_settled = print == seen.last;
        seen.last = print;
        if !is_settled || print == seen.judged {
            return None;
        }
        seen.judged = print;
        Some((self.load)().map(|mut newer| {
            let older = self.now();
            let changed = older.changed(&newer);
            newer.keep_calendars(&older, &changed);
            *self.in_use.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(newer);
            changed
        }))
    }
}

/// What tells one state of the files from another; what cannot be read counts as empty.
fn fingerprint(dir: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    add(dir, DEPTH_MAX, &mut hasher);
    hasher.finish()
}

fn add(dir: &Path, depth: u32, hasher: &mut DefaultHasher) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        path.hash(hasher);
        if path.is_dir() {
            if depth > 1 {
                add(&path, depth - 1, hasher);
            }
            continue;
        }
        let mut bytes = Vec::new();
        if let Ok(file) = std::fs::File::open(&path) {
            // What was read before a fault tells two states apart, too.
            let _ = file.take(FILE_BYTES_MAX).read_to_end(&mut bytes);
        }
        bytes.hash(hasher);
    }
}

#[cfg(test)]
mod tests {
    use frontdesk_clinic::ConfigError;

    use super::*;

    /// A copy of the demo clinic, and its files watched.
    fn demo() -> (tempfile::TempDir, ClinicFiles<ConfigError>) {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("agent-config/demo"), folder.path().join("demo"));
        std::fs::create_dir(&to).unwrap();
        for file in ["tenant.toml", "prompt.md", "insurance.toml"] {
            std::fs::copy(from.join(file), to.join(file)).unwrap();
        }
        let dir = folder.path().to_owned();
        let load = move || Ok(Clinics { tenants: TenantDirectory::load(&dir)?, elsewhere: HashMap::new() });
        let files = ClinicFiles::open(folder.path(), load).unwrap();
        (folder, files)
    }

    fn edit(folder: &tempfile::TempDir, from: &str, to: &str) {
        let file = folder.path().join("demo/tenant.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from));
        std::fs::write(file, text.replacen(from, to, 1)).unwrap();
    }

    fn lead(clinics: &Clinics) -> u32 {
        clinics.tenants.get("demo").unwrap().lead_minutes
    }

    #[test]
    fn a_change_is_taken_up_for_new_calls_and_running_ones_keep_theirs() {
        let (folder, files) = demo();
        let running = files.now();
        let before = lead(&running);
        assert!(files.look().is_none());
        edit(&folder, "lead_minutes = ", "lead_minutes = 1");
        assert!(files.look().is_none(), "somebody may still be writing");
        assert_eq!(files.look().unwrap().unwrap(), [TenantId::new("demo").unwrap()]);
        assert_ne!(lead(&files.now()), before);
        assert_eq!(lead(&running), before);
        assert!(files.look().is_none(), "once");
    }

    #[test]
    fn a_faulty_change_is_refused_once_and_what_was_in_use_stays() {
        let (folder, files) = demo();
        let before = lead(&files.now());
        edit(&folder, "lead_minutes = ", "lead_minutes = \"soon\" # ");
        assert!(files.look().is_none());
        let fault = files.look().unwrap().unwrap_err().to_string();
        assert!(fault.contains("lead_minutes"), "{fault}");
        assert_eq!(lead(&files.now()), before);
        assert!(files.look().is_none(), "said once");
        edit(&folder, "lead_minutes = \"soon\" # ", "lead_minutes = ");
        assert!(files.look().is_none());
        assert_eq!(files.look().unwrap().unwrap(), [], "as it was");
    }

    #[test]
    fn a_clinic_may_come_and_go() {
        let (folder, files) = demo();
        let other = folder.path().join("other");
        std::fs::create_dir(&other).unwrap();
        for file in ["tenant.toml", "prompt.md"] {
            let text = std::fs::read_to_string(folder.path().join("demo").join(file)).unwrap();
            std::fs::write(other.join(file), text.replace("id = \"demo\"", "id = \"other\"").replace("+15550100", "+15550101")).unwrap();
        }
        assert!(files.look().is_none());
        let other = [TenantId::new("other").unwrap()];
        assert_eq!(files.look().unwrap().unwrap(), other);
        std::fs::remove_dir_all(folder.path().join("other")).unwrap();
        assert!(files.look().is_none());
        assert_eq!(files.look().unwrap().unwrap(), other);
        assert!(files.now().tenants.get("other").is_none());
    }
}
