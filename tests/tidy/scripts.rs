//! Rules on shell scripts: they parse, stop at the first error, and can be run.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::{Problem, assert_one, assert_tidy, root};

/// Checks one script: `bash -n`, `set -euo pipefail`, executable. A file without `#!` is sourced by others, and need
/// only parse.
fn script(path: &Path, name: &str) -> Vec<Problem> {
    let text = std::fs::read_to_string(path).expect("a script can be read");
    let mut problems = Vec::new();
    let parsed = Command::new("bash").arg("-n").arg(path).output().expect("bash runs");
    if !parsed.status.success() {
        let report = String::from_utf8_lossy(&parsed.stderr);
        problems.push(Problem::new(name, format!("bash cannot parse it: {}", report.trim()), "correct the syntax"));
    }
    if !text.starts_with("#!") {
        return problems;
    }
    if text.lines().next() != Some("#!/usr/bin/env bash") {
        problems.push(Problem::at(name, 1, "it is not a bash script", "begin it with `#!/usr/bin/env bash`"));
    }
    if !text.lines().any(|line| line == "set -euo pipefail") {
        problems.push(Problem::at(name, 1, "it goes on after an error", "add `set -euo pipefail`"));
    }
    let mode = path.metadata().expect("a script has metadata").permissions().mode();
    if mode & 0o111 == 0 {
        problems.push(Problem::new(name, "it is not executable", format!("chmod +x {name}")));
    }
    problems
}

#[test]
fn scripts_parse_and_stop_at_errors() {
    let mut checked = 0;
    for folder in ["scripts", ".ci", "bench"] {
        for entry in root().join(folder).read_dir().expect("the folder of scripts can be read") {
            let path = entry.expect("the folder of scripts can be read").path();
            let name = format!("{folder}/{}", path.file_name().unwrap_or_default().to_string_lossy());
            let is_bash = path.extension().is_none_or(|extension| extension == "sh");
            if path.is_file() && is_bash {
                assert_tidy(&script(&path, &name));
                checked += 1;
            }
        }
    }
    assert!(checked >= 5, "the scripts are found");
}

#[test]
fn a_bad_script_is_found() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("bad");
    let check = |text: &str, mode: u32| {
        std::fs::write(&path, text).expect("it can be written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("its mode can be set");
        script(&path, "scripts/bad")
    };
    let good = "#!/usr/bin/env bash\nset -euo pipefail\necho good\n";
    assert_tidy(&check(good, 0o755));
    assert_tidy(&check("variable=1\n", 0o644));
    assert_one(&check(good, 0o644), "scripts/bad");
    assert_one(&check(&good.replace("echo good", "if true; then"), 0o755), "scripts/bad");
    assert_one(&check(&good.replace("set -euo pipefail\n", ""), 0o755), "scripts/bad:1");
    assert_one(&check(&good.replace("env bash", "env fish"), 0o755), "scripts/bad:1");
}
