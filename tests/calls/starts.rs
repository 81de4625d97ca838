//! A worker that cannot start says why in one clear line, and exits with a failure.

use std::time::Duration;

use frontdesk_simulators::stack::{Process, ProcessOptions, free_port};

use crate::desk::worker_options;
use crate::run;
use crate::shared::Shared;

/// How long a worker may take to give up.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(60);

/// The lines of a worker that fails to start which hold this text.
async fn lines_of_failure(options: &ProcessOptions, text: &str) -> Vec<String> {
    let mut worker = Process::spawn(options).expect("it runs");
    let status = worker.ended(GIVES_UP_WITHIN).await.expect("it gives up");
    let log = worker.log_text();
    assert!(!status.success(), "{log}");
    assert!(!log.contains("panicked"), "{log}");
    let lines: Vec<String> = log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect();
    assert_eq!(lines.len(), 1, "one line with {text:?}:\n{log}");
    lines
}

#[test]
fn an_unreachable_livekit_server_is_named() {
    run(async {
        let shared = Shared::get().await;
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("ws://127.0.0.1:{}", free_port().expect("a port"));
        let options = worker_options(&shared, &shared.template, folder.path()).variable("LIVEKIT_URL", &url);
        let lines = lines_of_failure(&options, "no LiveKit server can be reached").await;
        assert!(lines[0].contains(&url) && lines[0].contains("LIVEKIT_URL"), "{}", lines[0]);
    });
}

#[test]
fn a_wrong_secret_is_told_without_showing_it() {
    run(async {
        let shared = Shared::get().await;
        let folder = tempfile::tempdir().expect("a folder");
        let secret = "another-secret-of-more-than-32-characters";
        let options = worker_options(&shared, &shared.template, folder.path()).variable("LIVEKIT_API_SECRET", secret);
        let lines = lines_of_failure(&options, "LIVEKIT_API_SECRET").await;
        assert!(lines[0].contains("refused"), "{}", lines[0]);
        let log = std::fs::read_to_string(folder.path().join("start.log")).expect("a log");
        assert!(!log.contains(secret) && !log.contains(shared.livekit.api_secret()));
    });
}

#[test]
fn an_unreachable_database_is_told() {
    run(async {
        let shared = Shared::get().await;
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("postgres://nobody:hidden-password@127.0.0.1:{}/none", free_port().expect("a port"));
        let options = worker_options(&shared, &shared.template, folder.path()).variable("DATABASE_URL", url);
        let lines = lines_of_failure(&options, "database").await;
        assert!(!lines[0].contains("hidden-password"), "{}", lines[0]);
    });
}
