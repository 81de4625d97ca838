//! Rules on data that the program trusts: the models and the migrations.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::{File, Problem, assert_one, assert_tidy, files, read, root};

/// Every model has an entry in `SHA256SUMS` and in the README, a licence text beside it, and the recorded sum.
fn models(folder: &Path) -> Vec<Problem> {
    let names: BTreeSet<String> = folder
        .read_dir()
        .expect("models/ can be read")
        .map(|entry| entry.expect("models/ can be read").file_name().to_string_lossy().into_owned())
        .collect();
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap_or_default();
    let sums = std::fs::read_to_string(folder.join("SHA256SUMS")).unwrap_or_default();
    let mut problems = Vec::new();
    let mut problem = |name: &str, cause: &str, remedy: &str| {
        problems.push(Problem::new(format!("models/{name}"), cause, remedy));
    };
    let recorded: BTreeSet<&str> = sums.lines().filter_map(|line| line.split_once("  ")).map(|(_, name)| name).collect();
    for name in names.iter().filter(|name| name.ends_with(".onnx")) {
        if !recorded.contains(name.as_str()) {
            problem(name, "no SHA-256 sum is recorded", "cd models && sha256sum *.onnx >SHA256SUMS");
        }
        if !readme.contains(&format!("`{name}`")) {
            problem(name, "models/README.md does not say what it is", "add its source, licence, sum and shapes");
        }
    }
    if !names.iter().any(|name| name.ends_with(".LICENSE")) {
        problem("", "there is no licence text", "add the text as models/<name>.LICENSE");
    }
    let output = Command::new("sha256sum")
        .args(["--check", "--strict", "SHA256SUMS"])
        .current_dir(folder)
        .output()
        .expect("sha256sum (coreutils) runs");
    if !output.status.success() {
        let report = String::from_utf8_lossy(&output.stdout);
        for line in report.lines().filter(|line| !line.ends_with(": OK")) {
            problem(line, "the file is missing or is not the recorded one", "git checkout -- models");
        }
        if report.is_empty() {
            problem("SHA256SUMS", "it is missing or malformed", "cd models && sha256sum *.onnx >SHA256SUMS");
        }
    }
    problems
}

/// Migrations are teaching text: each begins by saying what it is for.
fn migrations(files: &[File]) -> Vec<Problem> {
    files
        .iter()
        .filter(|file| {
            let first = file.text.lines().next().unwrap_or_default();
            first.strip_prefix("--").is_none_or(|text| text.trim().len() <= 10)
        })
        .map(|file| {
            Problem::at(
                &file.path,
                1,
                "the migration does not begin with a comment",
                "begin it with `-- ` and what it is for, in a sentence",
            )
        })
        .collect()
}

#[test]
fn models_are_those_recorded() {
    assert_tidy(&models(&root().join("models")));
}

#[test]
fn a_changed_undocumented_or_unlicensed_model_is_found() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("it can be written");
    write("a.onnx", "abc");
    // SHA-256 of "abc": FIPS 180-2, appendix B.1.
    let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    write("SHA256SUMS", &format!("{sum}  a.onnx\n"));
    write("README.md", "`a.onnx` is a sample.");
    write("a.LICENSE", "MIT");
    assert_tidy(&models(folder.path()));

    write("a.onnx", "abd");
    assert_one(&models(folder.path()), "models/a.onnx: FAILED");
    write("a.onnx", "abc");

    write("README.md", "");
    assert_one(&models(folder.path()), "models/a.onnx");
    write("README.md", "`a.onnx` and `b.onnx` are samples.");

    write("b.onnx", "");
    assert_one(&models(folder.path()), "models/b.onnx");
    std::fs::remove_file(folder.path().join("b.onnx")).expect("it can be removed");

    std::fs::remove_file(folder.path().join("a.LICENSE")).expect("it can be removed");
    assert_one(&models(folder.path()), "models/");
}

#[test]
fn migrations_say_what_they_are_for() {
    let found = files(&["migrations"], |path| path.extension().is_some_and(|extension| extension == "sql"));
    assert!(!found.is_empty(), "there are migrations");
    assert_tidy(&migrations(&found));
}

#[test]
fn a_migration_without_a_comment_is_found() {
    let good = File::sample("migrations/0001_a.sql", "-- What a clinic is.\ncreate table a ();\n");
    let bad = File::sample("migrations/0002_b.sql", "create table b ();\n");
    assert_one(&migrations(&[good, bad]), "migrations/0002_b.sql:1");
    assert_one(&migrations(&[File::sample("migrations/0003_c.sql", "--\n")]), "migrations/0003_c.sql:1");
}

#[test]
fn the_licence_is_the_whole_apache_licence() {
    let text = read(&root().join("LICENSE")).text;
    for part in ["Apache License", "Version 2.0, January 2004", "END OF TERMS AND CONDITIONS"] {
        assert!(text.contains(part), "LICENSE lacks {part:?}: put the full text back");
    }
}
