//! What is wrong with a configuration: all of it at once, each with file and key.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The line in it, from 1, where it has one.
    pub line: Option<usize>,
    /// The key, as `practitioners[1].hours[0].closes`, or what stands in the line where the file could not be read.
    pub key: String,
    /// What was found and what is expected.
    pub problem: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}: {}", self.key, self.problem)
    }
}

/// A configuration that cannot be used. Displays one line a problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.problems))]
pub struct ConfigError {
    /// All problems, in the order of the files.
    pub problems: Vec<Problem>,
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

impl ConfigError {
    pub(super) fn one(file: &Path, key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { problems: vec![Problem { file: file.into(), line: None, key: key.into(), problem: problem.into() }] }
    }
}
