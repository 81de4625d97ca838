//! House rules that neither the compiler nor clippy checks: module docs, file length, dependency arrows, licences, models,
//! migrations, shell scripts, and the purity of the conversation.
//!
//! Each rule is a pure function from what it reads to a list of [`Problem`]s, and has two tests: one on this checkout,
//! and one on a bad sample, which proves that the rule can fail.

mod licences;
mod manifests;
mod models;
mod scripts;
mod sources;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// One breach of a rule: where, what, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    /// `path` or `path:line`, relative to the checkout.
    place: String,
    /// What is wrong.
    cause: String,
    /// What to do.
    remedy: String,
}

impl Problem {
    fn new(place: impl Into<String>, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { place: place.into(), cause: cause.into(), remedy: remedy.into() }
    }

    /// At a line, counted from 1.
    fn at(path: &str, line: usize, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(format!("{path}:{line}"), cause, remedy)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; remedy: {}", self.place, self.cause, self.remedy)
    }
}

/// Fails the test with every problem on a line of its own.
#[track_caller]
fn assert_tidy(problems: &[Problem]) {
    assert!(
        problems.is_empty(),
        "{} breach(es) of a house rule:\n{}",
        problems.len(),
        problems.iter().map(|problem| format!("  {problem}\n")).collect::<String>()
    );
}

/// Fails unless the rule found exactly one problem, at `place`. For the tests on bad samples.
#[track_caller]
fn assert_one(problems: &[Problem], place: &str) {
    assert_eq!(problems.iter().map(|problem| problem.place.as_str()).collect::<Vec<_>>(), [place], "{problems:?}");
}

/// A text file of the checkout.
struct File {
    /// Path relative to the checkout, with `/`.
    path: String,
    /// Whole content.
    text: String,
}

impl File {
    /// A sample for a rule's own test.
    fn sample(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Lines with their numbers, counted from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// The root of the checkout.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below `folders` of the checkout for which `wanted` holds, by path. A folder that does not exist has no files;
/// build output is never entered.
fn files(folders: &[&str], wanted: impl Fn(&Path) -> bool) -> Vec<File> {
    let mut pending: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = pending.pop() {
        let Ok(entries) = folder.read_dir() else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("a listed folder can be read").path();
            if path.is_dir() {
                if !path.ends_with("target") {
                    pending.push(path);
                }
            } else if wanted(&path) {
                found.push(read(&path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Reads a text file by its full path.
fn read(path: &Path) -> File {
    let relative = path.strip_prefix(root()).unwrap_or(path);
    File {
        path: relative.to_string_lossy().replace('\\', "/"),
        text: std::fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display())),
    }
}

/// Every Rust file of the workspace.
static RUST_FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    let files = files(&["src", "crates", "tests", "benches", "examples", "bench"], |path| {
        path.extension().is_some_and(|extension| extension == "rs")
    });
    assert!(files.len() > 10, "the walk over the sources finds them");
    files
});

/// `cargo metadata` for this machine's platform: members, dependencies, licences.
static METADATA: LazyLock<serde_json::Value> = LazyLock::new(|| {
    let cargo = env!("CARGO");
    let host = output(Command::new(cargo).arg("-vV"));
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).expect("cargo -vV names the host");
    let text =
        output(Command::new(cargo).current_dir(root()).args(["metadata", "--format-version=1", "--locked", "--filter-platform", host]));
    serde_json::from_str(&text).expect("cargo metadata prints JSON")
});

/// Standard output of a program that must succeed.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the program prints UTF-8")
}

#[test]
fn a_problem_names_place_cause_and_remedy() {
    let problem = Problem::at("src/lib.rs", 7, "it is bad", "make it good");
    assert_eq!(problem.to_string(), "src/lib.rs:7: it is bad; remedy: make it good");
}

#[test]
#[should_panic(expected = "src/lib.rs:7: it is bad")]
fn a_problem_fails_the_test() {
    assert_tidy(&[Problem::at("src/lib.rs", 7, "it is bad", "make it good")]);
}
