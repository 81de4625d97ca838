//! Rules on Rust sources: module docs, length, unfinished work, unsafe code, the purity of the conversation.

use crate::{File, Problem, RUST_FILES, assert_one, assert_tidy};

/// No file is longer, whatever the reason.
const LINES_MAX: usize = 800;
/// Nine files of ten are at most this long.
const LINES_P90_MAX: usize = 400;

/// Crates that call into foreign code directly and so cannot forbid `unsafe`. Each must really contain some: the list
/// may not outlive its reason.
const UNSAFE_ALLOWED: &[&str] = &[];

/// What the conversation must not know: clocks, tasks, files, sockets, processes. Its time is an argument, its effects
/// are commands.
const IMPURE: &[(&str, &str)] = &[
    ("tokio", "the core is synchronous; the shell in crates/agent drives it"),
    ("async fn", "the core is synchronous; the shell in crates/agent drives it"),
    ("Instant", "take the time as a CallTime argument"),
    ("SystemTime", "take the time as a CallTime argument"),
    ("Utc::now", "take the time as an argument"),
    ("std::fs", "emit a command; the shell does the work"),
    ("std::net", "emit a command; the shell does the work"),
    ("std::process", "emit a command; the shell does the work"),
    ("std::env", "take the value through the configuration"),
    ("std::thread", "emit a command; the shell does the work"),
    ("thread::spawn", "emit a command; the shell does the work"),
    ("rand::", "take the random value as an argument, or derive it from an id"),
    ("println!", "emit a command; the shell does the logging"),
];

/// Every file begins by saying what it is for. Inner attributes may stand above.
fn module_docs(files: &[File]) -> Vec<Problem> {
    files
        .iter()
        .filter(|file| {
            let first = file.text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
            first.is_none_or(|line| line.strip_prefix("//!").is_none_or(|text| text.trim().is_empty()))
        })
        .map(|file| {
            Problem::at(&file.path, 1, "the file has no module documentation", "begin it with a `//!` line that says what it is for")
        })
        .collect()
}

/// Lines of the file at the percentile, of lengths in ascending order.
fn percentile(sorted: &[usize], percent: usize) -> usize {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

fn lengths(files: &[File]) -> Vec<Problem> {
    let split = "split it by what changes together";
    let mut problems: Vec<_> = files
        .iter()
        .map(|file| (file, file.text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(file, lines)| Problem::at(&file.path, LINES_MAX + 1, format!("{lines} lines, {LINES_MAX} are allowed"), split))
        .collect();
    let mut sorted: Vec<usize> = files.iter().map(|file| file.text.lines().count()).collect();
    sorted.sort_unstable();
    let (median, p90) = (percentile(&sorted, 50), percentile(&sorted, 90));
    println!(
        "{} Rust files, {} lines; a file has {median} (median), {p90} (p90), {} (longest)",
        sorted.len(),
        sorted.iter().sum::<usize>(),
        percentile(&sorted, 100)
    );
    if p90 > LINES_P90_MAX {
        let long: Vec<_> = files.iter().filter(|file| file.text.lines().count() > LINES_P90_MAX).map(|file| file.path.as_str()).collect();
        problems.push(Problem::new(long.join(", "), format!("more than a tenth of all files have over {LINES_P90_MAX} lines"), split));
    }
    problems
}

/// A line of code without its comment. Good enough for rules on words: a `//` inside a string hides what follows it,
/// which no rule here minds.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

fn unfinished(files: &[File]) -> Vec<Problem> {
    let macros = ["todo", "unimplemented", "dbg"].map(|name| format!("{name}!("));
    let mut problems = Vec::new();
    for file in files {
        for (number, line) in file.lines() {
            for found in macros.iter().filter(|name| code(line).contains(name.as_str())) {
                problems.push(Problem::at(
                    &file.path,
                    number,
                    format!("`{found}…)` is unfinished work"),
                    "finish it, return an error, or leave it out",
                ));
            }
        }
    }
    problems
}

/// The crate roots (`lib.rs`, `main.rs`) forbid unsafe code, except in crates on the list, which must need it.
fn unsafe_code(files: &[File], allowed: &[&str]) -> Vec<Problem> {
    let is_root = |path: &str| path.ends_with("src/lib.rs") || path.ends_with("src/main.rs") || path.contains("src/bin/");
    let folder = |path: &str| path.split("src/").next().unwrap_or_default().to_owned();
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| is_root(&file.path)) {
        let forbids = file.text.lines().any(|line| line == "#![forbid(unsafe_code)]");
        let exempt = allowed.iter().any(|name| folder(&file.path) == format!("crates/{name}/"));
        if !forbids && !exempt {
            problems.push(Problem::at(
                &file.path,
                1,
                "the crate does not forbid unsafe code",
                "add `#![forbid(unsafe_code)]`; a crate with FFI goes into UNSAFE_ALLOWED in tests/tidy/sources.rs",
            ));
        }
    }
    for name in allowed {
        let folder = format!("crates/{name}/");
        let mut own = files.iter().filter(|file| file.path.starts_with(&folder));
        if !own.any(|file| file.lines().any(|(_, line)| code(line).contains("unsafe "))) {
            problems.push(Problem::new(
                folder,
                "the crate may use unsafe code but has none",
                "take it off UNSAFE_ALLOWED in tests/tidy/sources.rs and forbid unsafe code in it",
            ));
        }
    }
    problems
}

/// Whether `word` stands in `line` with no letter, digit or underscore directly beside it.
fn contains_word(line: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let edge_before = word.starts_with(is_word);
    let edge_after = word.ends_with(is_word);
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        !(edge_before && before.is_some_and(is_word) || edge_after && after.is_some_and(is_word))
    })
}

fn purity(files: &[File]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with("crates/conversation/src/")) {
        for (number, line) in file.lines() {
            for (word, remedy) in IMPURE {
                if contains_word(code(line), word) {
                    problems.push(Problem::at(
                        &file.path,
                        number,
                        format!("the conversation has no clock, no tasks and no I/O, yet uses `{word}`"),
                        *remedy,
                    ));
                }
            }
        }
    }
    problems
}

#[test]
fn every_file_says_what_it_is_for() {
    assert_tidy(&module_docs(&RUST_FILES));
}

#[test]
fn a_file_without_module_docs_is_found() {
    let good = File::sample("src/a.rs", "#![forbid(unsafe_code)]\n\n//! What a is for.\nfn a() {}\n");
    let bad = File::sample("src/b.rs", "// Not a doc comment.\nfn b() {}\n");
    assert_one(&module_docs(&[good, bad]), "src/b.rs:1");
    assert_one(&module_docs(&[File::sample("src/c.rs", "//!\nfn c() {}")]), "src/c.rs:1");
    assert_one(&module_docs(&[File::sample("src/d.rs", "")]), "src/d.rs:1");
}

#[test]
fn files_are_short() {
    assert_tidy(&lengths(&RUST_FILES));
}

#[test]
fn a_long_file_is_found() {
    let of = |path: &str, lines: usize| File::sample(path, &"\n".repeat(lines));
    let mut files: Vec<File> = (0..18).map(|_| of("src/short.rs", 100)).collect();
    files.push(of("src/at_the_cap.rs", LINES_MAX));
    assert_tidy(&lengths(&files));
    files.push(of("src/long.rs", LINES_MAX + 1));
    assert_one(&lengths(&files), "src/long.rs:801");
    files.push(of("src/longish.rs", LINES_P90_MAX + 1));
    files.retain(|file| file.path != "src/long.rs");
    files.push(of("src/longish_too.rs", LINES_P90_MAX + 1));
    assert_one(&lengths(&files), "src/at_the_cap.rs, src/longish.rs, src/longish_too.rs");
}

#[test]
fn percentiles_are_those_of_the_nearest_rank() {
    let sorted: Vec<usize> = (1..=10).collect();
    assert_eq!([percentile(&sorted, 50), percentile(&sorted, 90), percentile(&sorted, 100)], [5, 9, 10]);
    assert_eq!(percentile(&[], 90), 0);
}

#[test]
fn no_work_is_left_unfinished() {
    assert_tidy(&unfinished(&RUST_FILES));
}

#[test]
fn unfinished_work_is_found() {
    let text = format!("//! A.\n// {0}!() in a comment is fine\nfn a() {{\n    {0}!()\n}}\n", "todo");
    assert_one(&unfinished(&[File::sample("src/a.rs", &text)]), "src/a.rs:4");
    let text = format!("{}!(x);", "dbg");
    assert_one(&unfinished(&[File::sample("src/a.rs", &text)]), "src/a.rs:1");
}

#[test]
fn unsafe_code_is_forbidden() {
    assert_tidy(&unsafe_code(&RUST_FILES, UNSAFE_ALLOWED));
}

#[test]
fn a_crate_that_permits_unsafe_code_is_found() {
    let good = File::sample("src/lib.rs", "//! A.\n#![forbid(unsafe_code)]\n");
    let bad = File::sample("crates/audio/src/lib.rs", "//! B.\n");
    let module = File::sample("crates/audio/src/wav.rs", "//! C.\n");
    let files = [good, bad, module];
    assert_one(&unsafe_code(&files, &[]), "crates/audio/src/lib.rs:1");
    // On the list, but nothing in it is unsafe.
    assert_one(&unsafe_code(&files, &["audio"]), "crates/audio/");
    let ffi = File::sample("crates/audio/src/lib.rs", "//! B.\nfn f() { unsafe { g() } }\n");
    assert_tidy(&unsafe_code(&[ffi], &["audio"]));
}

#[test]
fn the_conversation_is_pure() {
    assert_tidy(&purity(&RUST_FILES));
}

#[test]
fn an_impure_conversation_is_found() {
    let of = |line: &str| purity(&[File::sample("crates/conversation/src/turn.rs", line)]);
    for bad in [
        "use std::time::Instant;",
        "use std::time::{Duration, Instant};",
        "let now = SystemTime::now();",
        "tokio::spawn(x);",
        "std::thread::spawn(f);",
        "std::fs::read(p);",
        "pub async fn run() {}",
        "let x: u8 = rand::random();",
    ] {
        assert!(!of(bad).is_empty(), "{bad}");
    }
    assert_one(&of("//! A.\nuse std::net::TcpStream;"), "crates/conversation/src/turn.rs:2");
    assert_tidy(&of("//! No tokio, no Instant.\nlet instantaneous = InstantaneousRate; // not Instant"));
    assert_tidy(&purity(&[File::sample("crates/agent/src/a.rs", "use tokio::time::Instant;")]));
}
