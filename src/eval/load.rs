//! Scenario files: found, read, checked. One error names file and line.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::scenario::Scenario;

/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Why scenarios cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file or folder cannot be read.
    #[error("{}: {reason}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file is no scenario.
    #[error("{}:{line}: {reason}", path.display())]
    Faulty {
        /// Which.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// What was found and what is expected.
        reason: String,
    },
    /// No file was found.
    #[error("no scenario (*.yaml) in {0}")]
    None(String),
}

/// Reads all scenarios below the paths, files or folders, in the order of their names.
///
/// # Errors
/// [`LoadError`] for the first that is faulty.
pub fn load(paths: &[PathBuf]) -> Result<Vec<(PathBuf, Scenario)>, LoadError> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    files.sort();
    files.dedup();
    let mut scenarios: Vec<(PathBuf, Scenario)> = Vec::new();
    let mut names: HashMap<String, PathBuf> = HashMap::new();
    for path in files {
        let scenario = read(&path)?;
        if let Some(other) = names.insert(scenario.name.clone(), path.clone()) {
            let reason = format!("the name {:?} is taken by {}", scenario.name, other.display());
            return Err(LoadError::Faulty { path, line: 1, reason });
        }
        scenarios.push((path, scenario));
    }
    if scenarios.is_empty() {
        return Err(LoadError::None(paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")));
    }
    Ok(scenarios)
}

/// Reads one file.
///
/// # Errors
/// [`LoadError`].
pub fn read(path: &Path) -> Result<Scenario, LoadError> {
    let unreadable = |error: std::io::Error| LoadError::Unreadable { path: path.to_owned(), reason: error.to_string() };
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(LoadError::Unreadable { path: path.to_owned(), reason: format!("larger than {FILE_BYTES_MAX} bytes") });
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    parse(path, &text)
}

/// Parses the text of a file.
fn parse(path: &Path, text: &str) -> Result<Scenario, LoadError> {
    let faulty = |line, reason| LoadError::Faulty { path: path.to_owned(), line, reason };
    let scenario: Scenario = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        let error = error.without_snippet();
        faulty(line.max(1), error.to_string())
    })?;
    match scenario.faults_of_form().into_iter().next() {
        Some(reason) => Err(faulty(line_of(text, &reason), reason)),
        None => Ok(scenario),
    }
}

/// The line of a step or of a key that a message begins with.
fn line_of(text: &str, reason: &str) -> u64 {
    let number_after = |prefix: &str| reason.strip_prefix(prefix)?.split(':').next()?.parse::<usize>().ok();
    let found = match number_after("caller step ") {
        Some(step) => {
            let within = text.lines().enumerate().skip_while(|(_, line)| !line.starts_with("caller:")).skip(1);
            within.filter(|(_, line)| line.trim_start().starts_with("- ")).nth(step - 1)
        }
        None => {
            let key = reason.split([' ', ':', '.']).next().unwrap_or_default();
            text.lines().enumerate().find(|(_, line)| line.starts_with(&format!("{key}:")))
        }
    };
    found.map_or(1, |(line, _)| line as u64 + 1)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), LoadError> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let unreadable = |error: std::io::Error| LoadError::Unreadable { path: path.to_owned(), reason: error.to_string() };
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(Path::new("a.yaml"), text).expect_err("it is faulty").to_string()
    }

    const GOOD: &str =
        "name: a\ndescription: b\ncaller:\n  - say: Hello [0.5] there\n    into: 1\n  - hang_up: true\nexpect:\n  outcome: completed\n";

    #[test]
    fn a_scenario_is_read() {
        let scenario = parse(Path::new("a.yaml"), GOOD).expect("it is one");
        assert_eq!(scenario.utterances().collect::<Vec<_>>(), ["Hello", "there"]);
        assert_eq!((scenario.caller[0].into, scenario.depths.len()), (Some(1.0), 3));
        assert_eq!(scenario.now.to_rfc3339(), "2026-11-30T12:00:00+00:00");
    }

    #[test]
    fn errors_name_file_line_and_what_is_expected() {
        let unknown = error(&GOOD.replace("    into: 1", "    intto: 1"));
        assert!(unknown.starts_with("a.yaml:5: ") && unknown.contains("intto"), "{unknown}");
        let value = error(&GOOD.replace("into: 1", "into: soon"));
        assert!(value.starts_with("a.yaml:5: "), "{value}");
        let two = error(&GOOD.replace("hang_up: true", "hang_up: true\n    say: x"));
        assert!(two.starts_with("a.yaml:6: caller step 2: exactly one of"), "{two}");
        let outcome = error(&GOOD.replace("completed", "fine"));
        assert!(outcome.contains("caller_hung_up") && outcome.starts_with("a.yaml:7"), "{outcome}");
    }
}
