//! Licences: ours are Apache-2.0, those of others are on the list in `licences.toml`.

use std::collections::{BTreeMap, BTreeSet};

use crate::{METADATA, Problem, assert_one, assert_tidy, root};

/// Where the list lives, for messages.
const LIST: &str = "tests/tidy/licences.toml";

/// The list of `licences.toml`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    /// SPDX identifier → why it is fine.
    allow: BTreeMap<String, String>,
    /// Package → (SPDX expression, why it is fine).
    exceptions: BTreeMap<String, (String, String)>,
}

/// What the rule needs to know of a package.
struct Package {
    name: String,
    version: String,
    licence: Option<String>,
    /// A member of this workspace.
    own: bool,
}

/// Whether an SPDX expression (with the older `/` for OR) holds, given which identifiers hold. `AND` binds stronger
/// than `OR` (SPDX 2.3, annex D.4). `X WITH exception` only adds permissions and counts as `X`.
fn holds(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut tokens = spaced.split_whitespace().peekable();
    let value = disjunction(&mut tokens, allowed)?;
    tokens.next().is_none().then_some(value)
}

type Tokens<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn disjunction(tokens: &mut Tokens<'_>, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut value = conjunction(tokens, allowed)?;
    while tokens.next_if_eq(&"OR").is_some() {
        value |= conjunction(tokens, allowed)?;
    }
    Some(value)
}

fn conjunction(tokens: &mut Tokens<'_>, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut value = term(tokens, allowed)?;
    while tokens.next_if_eq(&"AND").is_some() {
        value &= term(tokens, allowed)?;
    }
    Some(value)
}

fn term(tokens: &mut Tokens<'_>, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    match tokens.next()? {
        "(" => {
            let value = disjunction(tokens, allowed)?;
            tokens.next_if_eq(&")")?;
            Some(value)
        }
        ")" | "OR" | "AND" | "WITH" => None,
        identifier => {
            if tokens.next_if_eq(&"WITH").is_some() {
                tokens.next()?;
            }
            Some(allowed(identifier))
        }
    }
}

fn licences(packages: &[Package], policy: &Policy) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in packages {
        let licence = package.licence.as_deref().unwrap_or("none stated");
        let place = format!("{} {}", package.name, package.version);
        if package.own {
            if licence != "Apache-2.0" {
                problems.push(Problem::new(
                    place,
                    format!("a crate of ours has the licence {licence}"),
                    "write `license.workspace = true`",
                ));
            }
            continue;
        }
        let excepted = policy.exceptions.get(&package.name).is_some_and(|(expression, _)| expression == licence);
        if !excepted && holds(licence, &|id| policy.allow.contains_key(id)) != Some(true) {
            problems.push(Problem::new(
                place,
                format!("its licence is {licence}"),
                format!("do without the crate, or, if the licence permits our use, explain it in {LIST}"),
            ));
        }
    }
    problems
}

/// The list may not outlive its reasons: every identifier and exception is used by some package.
fn stale(packages: &[Package], policy: &Policy) -> Vec<Problem> {
    let named: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let identifiers: BTreeSet<&str> =
        packages.iter().filter_map(|package| package.licence.as_deref()).flat_map(|licence| licence.split(['(', ')', ' ', '/'])).collect();
    let unused = policy
        .allow
        .keys()
        .filter(|id| !identifiers.contains(id.as_str()))
        .chain(policy.exceptions.keys().filter(|name| !named.contains(name.as_str())));
    unused.map(|entry| Problem::new(LIST, format!("nothing needs the entry {entry:?}"), "delete the entry")).collect()
}

fn packages() -> Vec<Package> {
    let text = |value: &serde_json::Value, key: &str| value[key].as_str().map(str::to_owned);
    let packages = METADATA["packages"].as_array().expect("cargo metadata lists packages");
    packages
        .iter()
        .map(|package| Package {
            name: text(package, "name").expect("a package has a name"),
            version: text(package, "version").expect("a package has a version"),
            licence: text(package, "license"),
            // Only packages from a folder have no source.
            own: package["source"].is_null(),
        })
        .collect()
}

fn policy() -> Policy {
    let text = std::fs::read_to_string(root().join(LIST)).expect("the list of licences can be read");
    toml::from_str(&text).unwrap_or_else(|error| panic!("{LIST}: {error}"))
}

#[test]
fn licences_are_on_the_list() {
    let packages = packages();
    assert!(packages.iter().filter(|package| package.own).count() > 5, "our crates are found");
    assert_tidy(&licences(&packages, &policy()));
}

#[test]
fn the_list_has_no_stale_entries() {
    assert_tidy(&stale(&packages(), &policy()));
}

fn sample(name: &str, licence: Option<&str>, own: bool) -> Package {
    Package { name: name.to_owned(), version: "1.0.0".to_owned(), licence: licence.map(str::to_owned), own }
}

fn sample_policy() -> Policy {
    toml::from_str("[allow]\nMIT = \"\"\n[exceptions]\nodd = [\"MPL-2.0\", \"unchanged\"]\n").expect("the sample parses")
}

#[test]
fn a_bad_licence_is_found() {
    let check = |name: &str, licence: Option<&str>, own: bool| licences(&[sample(name, licence, own)], &sample_policy());
    assert_tidy(&check("good", Some("MIT OR GPL-3.0"), false));
    assert_tidy(&check("odd", Some("MPL-2.0"), false));
    assert_tidy(&check("frontdesk", Some("Apache-2.0"), true));
    assert_one(&check("copyleft", Some("GPL-3.0"), false), "copyleft 1.0.0");
    assert_one(&check("both", Some("MIT AND GPL-3.0"), false), "both 1.0.0");
    assert_one(&check("silent", None, false), "silent 1.0.0");
    assert_one(&check("frontdesk-audio", Some("MIT"), true), "frontdesk-audio 1.0.0");
    // An exception is for the licence that was looked at.
    assert_one(&check("odd", Some("GPL-3.0"), false), "odd 1.0.0");
}

#[test]
fn a_stale_entry_is_found() {
    let odd = || sample("odd", Some("MPL-2.0"), false);
    let good = || sample("good", Some("MIT"), false);
    assert_tidy(&stale(&[odd(), good()], &sample_policy()));
    assert_one(&stale(&[odd()], &sample_policy()), LIST);
    assert_one(&stale(&[good()], &sample_policy()), LIST);
}

#[test]
fn spdx_expressions_are_evaluated() {
    let check = |expression: &str| holds(expression, &|id| ["A", "B"].contains(&id));
    for (expression, expected) in [
        ("A", Some(true)),
        ("X", Some(false)),
        ("A OR X", Some(true)),
        ("X/A", Some(true)),
        ("A AND X", Some(false)),
        ("A OR X AND X", Some(true)),
        ("(A OR X) AND X", Some(false)),
        ("(X OR B) AND A", Some(true)),
        ("A WITH LLVM-exception OR X", Some(true)),
        ("", None),
        ("A B", None),
        ("(A", None),
        ("A OR", None),
    ] {
        assert_eq!(check(expression), expected, "{expression}");
    }
}
