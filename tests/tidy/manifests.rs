//! Rules on Cargo.toml files: the dependency arrows of the design, names, and what every manifest inherits.

use std::collections::BTreeMap;

use crate::{File, Problem, assert_one, assert_tidy, read, root};

/// The arrows that the design allows: a crate of ours, and those of ours that it may depend on. All others fail.
/// `frontdesk`, the binary, may depend on all.
const ARROWS: &[(&str, &[&str])] = &[
    ("conversation", &[]),
    ("audio", &[]),
    ("inference", &["audio"]),
    ("agent", &["conversation", "inference", "audio"]),
    ("providers", &["agent", "audio"]),
    ("livekit", &["agent", "audio"]),
    ("telephony", &["agent", "audio"]),
    ("bridge", &["livekit", "telephony", "audio"]),
    ("notify", &["agent"]),
    ("clinic", &["agent", "conversation", "notify"]),
    ("web", &["clinic", "agent", "notify"]),
    ("simulators", &["agent", "livekit", "telephony", "audio"]),
];

/// For tests, benches and the demo feature alone; what a test may use beyond the arrows.
const SIMULATORS: &str = "simulators";

/// Crates of others that only I/O needs, and so the conversation must not.
const IMPURE: &[&str] = &["tokio", "tokio-util", "futures-util", "reqwest", "sqlx", "tracing", "rand", "chrono"];

/// A dependency as a manifest declares it.
struct Dependency {
    name: String,
    /// From `[dev-dependencies]`.
    dev: bool,
    optional: bool,
    /// Line of its first mention, for the message.
    line: usize,
}

fn table(file: &File) -> toml::Table {
    file.text.parse().unwrap_or_else(|error| panic!("{} is no TOML: {error}", file.path))
}

/// All dependencies of a manifest: normal, build and dev, of every target.
fn dependencies(file: &File) -> Vec<Dependency> {
    let manifest = table(file);
    let mut scopes = vec![&manifest];
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        scopes.extend(targets.values().filter_map(toml::Value::as_table));
    }
    let mut found = Vec::new();
    for scope in scopes {
        for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let Some(listed) = scope.get(kind).and_then(toml::Value::as_table) else {
                continue;
            };
            for (key, value) in listed {
                // A renamed dependency states its package.
                let name = value.get("package").and_then(toml::Value::as_str).unwrap_or(key);
                let line = dependency_line(file, kind, key);
                found.push(Dependency {
                    name: name.to_owned(),
                    dev: kind == "dev-dependencies",
                    optional: value.get("optional").and_then(toml::Value::as_bool).unwrap_or(false),
                    line,
                });
            }
        }
    }
    found
}

/// The line that declares `key` below a header that ends with `kind`; 1 when it is written in another way.
fn dependency_line(file: &File, kind: &str, key: &str) -> usize {
    let mut inside = false;
    for (number, line) in file.lines() {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_end().trim_end_matches(']');
            inside = header == kind || header.ends_with(&format!(".{kind}"));
            if header == format!("{kind}.{key}") {
                return number;
            }
        } else if inside && line.strip_prefix(key).is_some_and(|rest| rest.starts_with([' ', '.', '='])) {
            return number;
        }
    }
    1
}

/// The folder name of a crate from its manifest's path; `None` for the root package.
fn crate_of(path: &str) -> Option<&str> {
    path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")
}

fn arrows(manifests: &[File]) -> Vec<Problem> {
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut problems = Vec::new();
    for file in manifests {
        let from = crate_of(&file.path);
        let targets = match from {
            None => None,
            Some(name) => match allowed.get(name) {
                Some(targets) => Some(*targets),
                None => {
                    problems.push(Problem::at(
                        &file.path,
                        1,
                        format!("the design knows no crate `{name}`"),
                        "decide its arrows in the design first, then add it to ARROWS in tests/tidy/manifests.rs",
                    ));
                    continue;
                }
            },
        };
        for dependency in dependencies(file) {
            let Some(to) = dependency.name.strip_prefix("frontdesk-") else {
                continue;
            };
            let by_design = targets.is_none_or(|targets| targets.contains(&to));
            let fine = if to == SIMULATORS {
                dependency.dev || (from.is_none() && dependency.optional)
            } else {
                by_design || (dependency.dev && from.is_some_and(|from| from == to))
            };
            if !fine {
                problems.push(Problem::at(
                    &file.path,
                    dependency.line,
                    format!("the design has no arrow {} → {to}", from.unwrap_or("frontdesk")),
                    if to == SIMULATORS {
                        "use the simulators from [dev-dependencies], or in the binary as an optional dependency of the demo feature"
                    } else {
                        "move the code to where the arrow exists, or invert it with a trait in `agent`"
                    },
                ));
            }
        }
    }
    problems
}

fn pure_dependencies(manifests: &[File]) -> Vec<Problem> {
    manifests
        .iter()
        .filter(|file| crate_of(&file.path) == Some("conversation"))
        .flat_map(|file| {
            dependencies(file).into_iter().filter(|dependency| !dependency.dev && IMPURE.contains(&dependency.name.as_str())).map(
                |dependency| {
                    Problem::at(
                        &file.path,
                        dependency.line,
                        format!("the conversation has no clock, no tasks and no I/O, yet depends on `{}`", dependency.name),
                        "do it in crates/agent, which drives the conversation",
                    )
                },
            )
        })
        .collect()
}

/// Names follow folders; edition, licence and lints are the workspace's.
fn inheritance(manifests: &[File]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in manifests {
        let manifest = table(file);
        let expected = crate_of(&file.path).map_or("frontdesk".to_owned(), |name| format!("frontdesk-{name}"));
        let package = manifest.get("package");
        let name = package.and_then(|package| package.get("name")).and_then(toml::Value::as_str);
        if name != Some(expected.as_str()) {
            problems.push(Problem::at(
                &file.path,
                1,
                format!("the package is named {name:?}"),
                format!("name it `{expected}`, after its folder"),
            ));
        }
        let inherits =
            |value: Option<&toml::Value>| value.and_then(|value| value.get("workspace")).and_then(toml::Value::as_bool) == Some(true);
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            if !inherits(package.and_then(|package| package.get(key))) {
                problems.push(Problem::at(
                    &file.path,
                    1,
                    format!("`{key}` is not the workspace's"),
                    format!("write `{key}.workspace = true` under [package]"),
                ));
            }
        }
        if !inherits(manifest.get("lints")) {
            problems.push(Problem::at(&file.path, 1, "the workspace's lints do not apply", "write `[lints]` with `workspace = true`"));
        }
    }
    problems
}

/// The root manifest and that of every crate.
fn manifests() -> Vec<File> {
    let mut files = vec![read(&root().join("Cargo.toml"))];
    for entry in root().join("crates").read_dir().expect("crates/ can be read") {
        let manifest = entry.expect("crates/ can be read").path().join("Cargo.toml");
        if manifest.exists() {
            files.push(read(&manifest));
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

#[test]
fn dependencies_follow_the_arrows_of_the_design() {
    assert_tidy(&arrows(&manifests()));
}

#[test]
fn a_forbidden_arrow_is_found() {
    let of = |name: &str, text: &str| arrows(&[File::sample(&format!("crates/{name}/Cargo.toml"), text)]);
    assert_tidy(&of("agent", "[dependencies]\nfrontdesk-audio.workspace = true\n"));
    assert_one(&of("audio", "[dependencies]\nserde = \"1\"\nfrontdesk-agent.workspace = true\n"), "crates/audio/Cargo.toml:3");
    // Neither another target, nor another name, nor a test or a build script is a way round.
    assert_one(&of("audio", "[target.'cfg(unix)'.dependencies]\nfrontdesk-agent.workspace = true\n"), "crates/audio/Cargo.toml:2");
    assert_one(&of("audio", "[dependencies.other]\npackage = \"frontdesk-agent\"\npath = \"../agent\"\n"), "crates/audio/Cargo.toml:1");
    assert_one(&of("audio", "[dev-dependencies]\nfrontdesk-clinic.workspace = true\n"), "crates/audio/Cargo.toml:2");
    assert_one(&of("audio", "[build-dependencies]\nfrontdesk-agent.workspace = true\n"), "crates/audio/Cargo.toml:2");
    assert_one(&of("novelty", "[dependencies]\n"), "crates/novelty/Cargo.toml:1");
}

#[test]
fn simulators_are_for_tests_and_the_demo_feature() {
    let of = |path: &str, text: &str| arrows(&[File::sample(path, text)]);
    assert_tidy(&of("crates/agent/Cargo.toml", "[dev-dependencies]\nfrontdesk-simulators.workspace = true\n"));
    assert_tidy(&of("Cargo.toml", "[dependencies]\nfrontdesk-simulators = { workspace = true, optional = true }\n"));
    assert_one(&of("Cargo.toml", "[dependencies]\nfrontdesk-simulators.workspace = true\n"), "Cargo.toml:2");
    assert_one(
        &of("crates/bridge/Cargo.toml", "[dependencies]\nfrontdesk-simulators = { workspace = true, optional = true }\n"),
        "crates/bridge/Cargo.toml:2",
    );
}

#[test]
fn the_conversation_depends_on_nothing_that_does_io() {
    assert_tidy(&pure_dependencies(&manifests()));
}

#[test]
fn an_impure_dependency_of_the_conversation_is_found() {
    let text = "[dependencies]\nserde.workspace = true\ntokio.workspace = true\n[dev-dependencies]\nrand = \"0.9\"\n";
    assert_one(&pure_dependencies(&[File::sample("crates/conversation/Cargo.toml", text)]), "crates/conversation/Cargo.toml:3");
    assert_tidy(&pure_dependencies(&[File::sample("crates/agent/Cargo.toml", text)]));
}

#[test]
fn manifests_inherit_from_the_workspace() {
    assert_tidy(&inheritance(&manifests()));
}

#[test]
fn a_manifest_that_does_not_inherit_is_found() {
    let good = "[package]\nname = \"frontdesk-audio\"\nversion.workspace = true\nedition.workspace = true\n\
                rust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n\
                [lints]\nworkspace = true\n";
    let of = |text: &str| inheritance(&[File::sample("crates/audio/Cargo.toml", text)]);
    assert_tidy(&of(good));
    for (from, to) in [("frontdesk-audio", "audio"), ("license.workspace = true", "license = \"MIT\""), ("[lints]\nworkspace = true", "")] {
        assert_one(&of(&good.replace(from, to)), "crates/audio/Cargo.toml:1");
    }
}
