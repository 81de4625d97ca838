//! The program as its user meets it: help, version, and one clear line for every mistake.

use std::process::{Command, Output};

fn frontdesk(arguments: &[&str], environment: &[(&str, &str)]) -> (Output, String) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(env!("CARGO_BIN_EXE_frontdesk"));
    command.args(arguments).current_dir(dir.path()).env_clear().env("PATH", path).envs(environment.iter().copied());
    if let Ok(library) = std::env::var("ORT_DYLIB_PATH") {
        command.env("ORT_DYLIB_PATH", library);
    }
    let output = command.output().expect("the program runs");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}

#[test]
fn help_and_version_work_without_any_configuration() {
    let (output, text) = frontdesk(&["--help"], &[]);
    assert!(output.status.success());
    for command in [
        "start",
        "dev",
        "connect",
        "dispatch",
        "simulate",
        "sip",
        "migrate",
        "demo",
        "eval",
        "console",
        "batch",
        "config",
        "tenant",
        "calls",
        "patient",
        "retention",
        "hold",
        "keys",
        "audit",
        "check",
        "version",
    ] {
        assert!(text.contains(command), "{command} is missing in {text}");
    }
    let (output, text) = frontdesk(&["version"], &[]);
    assert!(output.status.success());
    assert_eq!(text.trim(), concat!("frontdesk ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_settings_can_be_listed() {
    let (output, text) = frontdesk(&["check", "--settings"], &[]);
    assert!(output.status.success());
    for setting in frontdesk::config::SETTINGS {
        assert!(text.contains(setting.env), "{} is missing", setting.env);
    }
}

#[test]
fn a_worker_without_secrets_names_each_that_is_missing() {
    let (output, text) = frontdesk(&["start"], &[("LIVEKIT_API_KEY", "key")]);
    assert!(!output.status.success());
    for name in ["LIVEKIT_API_SECRET", "DATABASE_URL", "DEEPGRAM_API_KEY", "OPENAI_API_KEY", "FRONTDESK_MASTER_KEY"] {
        assert_eq!(text.lines().filter(|line| line.contains(name) && line.contains("missing")).count(), 1, "{name}: {text}");
    }
    assert!(!text.contains("LIVEKIT_API_KEY"), "what is there is not asked for: {text}");
}

#[test]
fn a_bad_value_ends_the_program_with_one_line() {
    let (output, text) = frontdesk(&["sip"], &[("FRONTDESK_SIP_LISTEN", "nowhere")]);
    assert!(!output.status.success());
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("sip.listen") && text.contains("nowhere"), "{text}");
}

#[test]
fn a_bad_master_key_is_not_quoted() {
    let secrets = [
        ("LIVEKIT_API_KEY", "key"),
        ("LIVEKIT_API_SECRET", "a-secret-of-thirty-two-or-more-characters"),
        ("DATABASE_URL", "postgres://127.0.0.1:1/none"),
        ("DEEPGRAM_API_KEY", "k"),
        ("OPENAI_API_KEY", "k"),
        ("FRONTDESK_MASTER_KEY", "canary"),
    ];
    let (output, text) = frontdesk(&["start"], &secrets);
    assert!(!output.status.success());
    assert!(text.contains("FRONTDESK_MASTER_KEY") && text.contains("openssl") && !text.contains("canary"), "{text}");
}

#[test]
fn check_names_what_is_not_ready_and_fails() {
    let (output, text) =
        frontdesk(&["check"], &[("DATABASE_URL", "postgres://u:canary@127.0.0.1:1/none"), ("LIVEKIT_URL", "ws://127.0.0.1:1")]);
    assert!(!output.status.success());
    let failed = text.lines().find(|line| line.contains("not ready")).unwrap_or_else(|| panic!("{text}"));
    for what in ["Postgres", "LiveKit server", "tenants", "speech-to-text", "language model", "text-to-speech"] {
        assert!(failed.contains(what), "{what} is missing in: {failed}");
    }
    assert!(!text.contains("canary"), "{text}");
}

#[test]
fn an_unreachable_database_ends_the_migration_with_its_cause() {
    let tenants = concat!(env!("CARGO_MANIFEST_DIR"), "/agent-config");
    let (output, text) =
        frontdesk(&["migrate"], &[("DATABASE_URL", "postgres://u:canary@127.0.0.1:1/none"), ("FRONTDESK_TENANTS_DIR", tenants)]);
    assert!(!output.status.success());
    assert!(text.contains("cannot connect to the database") && !text.contains("canary"), "{text}");
}

#[test]
fn faults_in_a_clinics_files_are_told_with_their_lines_and_the_schema_can_be_had() {
    let tenants = tempfile::tempdir().expect("a temporary folder");
    let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("agent-config/demo");
    std::fs::create_dir(tenants.path().join("demo")).expect("a folder");
    for name in ["tenant.toml", "prompt.md", "insurance.toml"] {
        std::fs::copy(demo.join(name), tenants.path().join("demo").join(name)).expect("a copy");
    }
    let dir = tenants.path().to_str().expect("a plain path");
    let (output, text) = frontdesk(&["config", "check"], &[("FRONTDESK_TENANTS_DIR", dir)]);
    assert!(output.status.success() && text.starts_with("demo: Lakeside Family Clinic, 2 practitioners"), "{text}");
    let file = tenants.path().join("demo/tenant.toml");
    let faulty = std::fs::read_to_string(&file).expect("it is there").replacen("slot_minutes = 30", "slot_minutes = 7", 1);
    let line = faulty[..faulty.find("slot_minutes = 7").expect("it was replaced")].matches('\n').count() + 1;
    std::fs::write(&file, faulty.replacen("horizon_days = 120", "horizon_days = 0", 1)).expect("it can be written");
    let (output, text) = frontdesk(&["config", "check"], &[("FRONTDESK_TENANTS_DIR", dir)]);
    assert!(!output.status.success());
    assert!(text.contains(&format!("demo/tenant.toml:{line}: slot_minutes: got 7, expected a multiple of 5")), "{text}");
    assert!(text.contains("horizon_days: got 0") && text.contains("2 faults"), "{text}");
    let (output, text) = frontdesk(&["config", "schema"], &[]);
    assert!(output.status.success());
    let schema: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert!(schema["properties"]["practitioners"].is_object(), "{text}");
}

#[test]
fn health_data_are_shown_for_a_purpose_only_and_erased_after_a_yes_only() {
    let database = [
        ("DATABASE_URL", "postgres://u:canary@127.0.0.1:1/none"),
        ("FRONTDESK_MASTER_KEY", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="),
    ];
    let id = "01a20149-4ebd-77f8-8e12-2b2d27d9e0ff";
    for (arguments, expected) in [
        (vec!["calls", "show", "one", "--phi"], "--purpose"),
        (vec!["calls", "show", "one", "--purpose", "complaint"], "--phi"),
        (vec!["calls", "show", "one", "--phi", "--purpose", "x"], "3 to 200 characters"),
        (vec!["patient", "export", id], "--purpose"),
        (vec!["patient", "erase", id, "--purpose", "request"], "--yes"),
        (vec!["patient", "erase", "ada", "--purpose", "request"], "ada"),
        (vec!["patient", "find", "--phone", "five"], "--phone holds something other than digits"),
        (vec!["hold", "set", "ada"], "patient:ID or call:ID"),
        (vec!["audit", "verify", "--tenant", "demo", "--head", "4711"], "64 hexadecimal digits"),
        (vec!["audit", "verify", "--head", &"0".repeat(64)], "--tenant"),
        // All said, and the database is not there.
        (vec!["calls", "list"], "database is unavailable"),
        (vec!["patient", "erase", id, "--purpose", "request", "--yes"], "database is unavailable"),
        (vec!["keys", "status"], "database is unavailable"),
        (vec!["audit", "verify"], "database is unavailable"),
    ] {
        let (output, text) = frontdesk(&arguments, &database);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(text.contains(expected) && !text.contains("canary"), "{arguments:?}: {text}");
    }
}
