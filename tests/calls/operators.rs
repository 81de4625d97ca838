//! What a person at the clinic sees of a call, by the program's own commands.

use std::path::Path;

use tokio::process::Command;

use crate::booking::{CALLER, Example, example};
use crate::desk::{Desk, MASTER_KEY};
use crate::run;

/// What each command answered, in the order in which they were given.
pub(crate) struct Answers {
    list: String,
    masked: String,
    whole: String,
    found: String,
    export: String,
    erase: String,
    keys: String,
    audit: String,
}

/// Standard output and error of the program with these arguments.
async fn ask(url: &str, arguments: &[&str]) -> String {
    ask_with(url, &[], arguments).await
}

async fn ask_with(url: &str, variables: &[(&str, &str)], arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_frontdesk"))
        .args(arguments)
        .current_dir(std::env::temp_dir())
        .env_clear()
        .envs([("DATABASE_URL", url), ("FRONTDESK_MASTER_KEY", MASTER_KEY), ("USER", "jane"), ("COLUMNS", "200")])
        .envs(variables.iter().copied())
        .output()
        .await
        .expect("the program runs");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Asks everything about one call.
pub(crate) async fn answers(url: &str, call_id: &str) -> Answers {
    let number = format!("+1{}", CALLER.digits);
    let found = ask(url, &["patient", "find", "--phone", &number]).await;
    let id = found.split_whitespace().next().unwrap_or_default().to_owned();
    Answers {
        list: ask(url, &["calls", "list"]).await,
        masked: ask(url, &["calls", "show", call_id]).await,
        whole: ask(url, &["calls", "show", call_id, "--phi", "--purpose", "complaint 12"]).await,
        export: ask(url, &["patient", "export", &id, "--purpose", "access request"]).await,
        erase: ask(url, &["patient", "erase", &id, "--purpose", "request", "--yes"]).await,
        keys: ask(url, &["keys", "status"]).await,
        audit: ask(url, &["audit", "verify"]).await,
        found,
    }
}

/// Has a call's sealed recording written as WAV; what the program says to it. Without a purpose nothing is written.
pub(crate) async fn export_recording(desk: &Desk, call_id: &str, path: &Path) -> String {
    let folder = desk.recordings_dir().display().to_string();
    let (url, path_text) = (desk.database.url(), path.display().to_string());
    let variables = [("FRONTDESK_RECORDINGS_DIR", folder.as_str())];
    let command = ["calls", "export", "--recording", call_id, "--output", path_text.as_str()];
    let refused = ask_with(&url, &variables, &command).await;
    assert!(refused.contains("--phi") && refused.contains("--purpose") && !path.exists(), "{refused}");
    ask_with(&url, &variables, &[command.as_slice(), &["--phi", "--purpose", "complaint 12"]].concat()).await
}

#[test]
fn operators_see_masked_calls_and_whole_ones_only_for_a_purpose() {
    run(async {
        let Example { record, operator, .. } = example().await;
        let last_digits = format!("•••{}", &CALLER.digits[CALLER.digits.len() - 4..]);
        assert!(operator.list.contains(&record.call_id) && operator.list.contains(&last_digits), "{}", operator.list);
        assert!(operator.found.contains(&last_digits) && operator.found.contains("1 appointments"), "{}", operator.found);
        for masked in [&operator.list, &operator.masked, &operator.found] {
            for personal in CALLER.name.split(' ').chain([CALLER.digits, CALLER.number]) {
                assert!(!masked.contains(personal), "{personal} in {masked}");
            }
        }
        for whole in [&operator.whole, &operator.export] {
            let document: serde_json::Value = serde_json::from_str(whole).unwrap_or_else(|error| panic!("{error}: {whole}"));
            assert!(document.to_string().contains(CALLER.name) && !whole.contains("unreadable"), "{whole}");
        }
        // The audit log that the export quotes tells of the look before, by whom and why.
        assert!(operator.export.contains("cli:jane login:") && operator.export.contains("patient.found"), "{}", operator.export);
        assert!(operator.erase.contains("1 appointments are still to come"), "{}", operator.erase);
        assert!(operator.keys.contains("version 1: 2 keys, 0 values sealed directly; current"), "{}", operator.keys);
        assert!(operator.audit.contains("rows verified, head"), "{}", operator.audit);
    });
}
