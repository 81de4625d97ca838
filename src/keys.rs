//! Where the keys that protect health data come from: the environment, a file, or a command that asks a key service.

use std::process::Stdio;
use std::time::Duration;

use frontdesk_clinic::{Keyring, crypto::KeyringError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::config::{Secret, Security};

/// How long the command may take; a key service answers within a second or not at all.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);
/// No list of keys is longer.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// What the command reads: one line of JSON, so that one command may serve several purposes.
const QUESTION: &[u8] = b"{\"version\":1,\"request\":\"master_keys\"}\n";

/// Why there are no keys. Never holds key material or anything that the command printed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The keys cannot be read.
    #[error("{name}: {error}; make a key with `openssl rand -base64 32`")]
    Keys {
        /// The setting.
        name: &'static str,
        /// Why.
        error: KeyringError,
    },
    /// Neither keys nor a command are configured.
    #[error("security.master_key (FRONTDESK_MASTER_KEY) or security.master_key_command (FRONTDESK_MASTER_KEY_COMMAND) is missing")]
    Missing,
    /// Both are; which one counts must not be guessed.
    #[error("security.master_key and security.master_key_command are both set: keep one")]
    Both,
    /// The command cannot be run, or failed.
    #[error("security.master_key_command (FRONTDESK_MASTER_KEY_COMMAND): {0}")]
    Command(String),
}

/// Reads the keys: one base64 key, or `VERSION:BASE64` separated by commas or line ends.
///
/// # Errors
/// [`KeyError`].
pub async fn load(security: &Security) -> Result<Keyring, KeyError> {
    let (name, text) = match (&security.master_key, &security.master_key_command) {
        (Some(_), Some(_)) => return Err(KeyError::Both),
        (Some(key), None) => ("security.master_key (FRONTDESK_MASTER_KEY)", key.clone()),
        (None, Some(command)) => ("the answer of security.master_key_command", ask(command).await?),
        (None, None) => return Err(KeyError::Missing),
    };
    let entries: Vec<&str> = text.expose().split(['\n', ',']).map(str::trim).filter(|entry| !entry.is_empty()).collect();
    let versioned = match entries.as_slice() {
        [one] if !one.contains(':') => format!("1:{one}"),
        _ => entries.join(","),
    };
    Keyring::parse(&versioned, security.index_key.as_ref().map(Secret::expose)).map_err(|error| match error {
        KeyringError::BadIndexKey => KeyError::Keys { name: "security.index_key (FRONTDESK_INDEX_KEY)", error },
        error => KeyError::Keys { name, error },
    })
}

/// Runs the command, without a shell: the words of its line are program and arguments.
async fn ask(line: &str) -> Result<Secret, KeyError> {
    let failed = |what: &str| KeyError::Command(what.to_owned());
    let mut words = line.split_whitespace();
    let program = words.next().ok_or_else(|| failed("it is empty"))?;
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| KeyError::Command(format!("{program} cannot be started: {error}")))?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(failed("it has no pipes"));
    };
    let exchange = async {
        // A command that does not read its input is fine, so whether that arrives does not matter.
        let _ = stdin.write_all(QUESTION).await;
        drop(stdin);
        let mut answer = String::new();
        stdout.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await.map_err(|_| failed("its answer is not text"))?;
        let status = child.wait().await.map_err(|error| KeyError::Command(error.to_string()))?;
        if status.success() { Ok(Secret::new(answer)) } else { Err(KeyError::Command(format!("it failed ({status})"))) }
    };
    let limit_s = COMMAND_LIMIT.as_secs();
    tokio::time::timeout(COMMAND_LIMIT, exchange).await.map_err(|_| KeyError::Command(format!("no answer within {limit_s} s")))?
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ONE: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    const TWO: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

    fn security(key: Option<&str>, command: Option<&str>) -> Security {
        Security { master_key: key.map(Secret::new), master_key_command: command.map(str::to_owned), index_key: None }
    }

    /// A command of these lines of shell.
    fn script(dir: &tempfile::TempDir, lines: &str) -> Security {
        let count = std::fs::read_dir(dir.path()).expect("the folder can be read").count();
        let path = dir.path().join(format!("keys-{count}"));
        std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).expect("a script is written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("it is made executable");
        security(None, Some(&format!("{} --purpose test", path.display())))
    }

    #[tokio::test]
    async fn keys_come_from_the_setting_or_from_a_command() {
        assert_eq!(load(&security(Some(ONE), None)).await.expect("one key").current_version(), 1);
        assert_eq!(load(&security(Some(&format!("1:{ONE},7:{TWO}")), None)).await.expect("two keys").current_version(), 7);
        let dir = tempfile::tempdir().expect("a temporary folder");
        let answering = script(
            &dir,
            &format!(
                "read question; echo \"$question\" | grep -q master_keys || exit 9; test \"$1\" = --purpose || exit 8; echo 1:{ONE}; echo 2:{TWO}"
            ),
        );
        assert_eq!(load(&answering).await.expect("two keys").current_version(), 2);
        // One that does not read its question.
        assert_eq!(load(&script(&dir, &format!("echo {ONE}"))).await.expect("one key").current_version(), 1);
    }

    #[tokio::test]
    async fn failures_name_the_setting_and_quote_nothing() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (security, expected) in [
            (security(None, None), "is missing"),
            (security(Some(ONE), Some("true")), "both set"),
            (security(Some("canary"), None), "32 bytes"),
            (security(None, Some("/nonexistent/program")), "cannot be started"),
            (security(None, Some(" ")), "it is empty"),
            (script(&dir, "echo canary; exit 3"), "it failed (exit status: 3)"),
            (script(&dir, "echo canary"), "32 bytes"),
            (script(&dir, "printf '\\377canary'"), "not text"),
            (script(&dir, "true"), "no key"),
        ] {
            let error = load(&security).await.expect_err("no keys").to_string();
            assert!(error.contains(expected) && !error.contains("canary"), "{error}");
        }
        let bad_index = Security { index_key: Some(Secret::new("canary")), ..security(Some(ONE), None) };
        let error = load(&bad_index).await.expect_err("no keys").to_string();
        assert!(error.starts_with("security.index_key (FRONTDESK_INDEX_KEY)") && !error.contains("canary"), "{error}");
    }
}
