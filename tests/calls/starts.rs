//! A worker that cannot start says why in one clear line, and exits with a failure; one that can shows how it is.

use std::time::Duration;

use frontdesk_simulators::stack::{Process, ProcessOptions, free_port};
use tokio::time::{sleep, timeout};

use crate::desk::{with_livekit, worker_options};
use crate::health::{all_well, page};
use crate::run;
use crate::shared::{Shared, program};

/// How long a worker may take to give up.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(60);

/// What a worker that fails to start says of it. (Its health monitor may have logged the same before.)
async fn lines_of_failure(options: &ProcessOptions, text: &str) -> Vec<String> {
    let mut worker = Process::spawn(options).expect("it runs");
    let status = worker.ended(GIVES_UP_WITHIN).await.expect("it gives up");
    let log = worker.log_text();
    assert!(!status.success(), "{log}");
    assert!(!log.contains("panicked"), "{log}");
    let lines: Vec<String> = log.lines().filter(|line| line.starts_with("frontdesk: ") && line.contains(text)).map(str::to_owned).collect();
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

#[test]
fn a_worker_shows_how_it_is_and_jobs_can_be_simulated() {
    run(async {
        let shared = Shared::get().await;
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port().expect("a port");
        let options = worker_options(&shared, &shared.template, folder.path())
            .variable("FRONTDESK_HEALTH_LISTEN", format!("127.0.0.1:{port}"))
            .variable("FRONTDESK_HEALTH_INTERVAL_S", "1")
            .variable("FRONTDESK_AGENT_NAME", "healthy");
        let mut worker = Process::spawn(&options).expect("it starts");
        worker.logged("registered with LiveKit", GIVES_UP_WITHIN).await.expect("it gets ready");
        assert!(page(port, "/").await.ends_with("\r\n\r\nOK"));
        assert!(page(port, "/ready").await.ends_with("ready"));
        let about = page(port, "/worker").await;
        assert!(about.contains("\"agent_name\":\"healthy\"") && about.contains("\"active_jobs\":0"), "{about}");
        let numbers = page(port, "/metrics").await;
        assert!(numbers.contains("# TYPE frontdesk_worker_jobs_max gauge\nfrontdesk_worker_jobs_max 50"), "{numbers}");
        all_well(port).await;

        let simulation = with_livekit(program("simulate", folder.path()), &shared).argument("--jobs").argument("20");
        let mut simulation = Process::spawn(&simulation).expect("it runs");
        let status = simulation.ended(GIVES_UP_WITHIN).await.expect("it ends");
        assert!(status.success() && simulation.log_text().contains("20 of 20 jobs assigned"), "{}", simulation.log_text());
        let wanted = with_livekit(program("dispatch", folder.path()), &shared).argument("--room").argument("dispatched");
        let mut wanted = Process::spawn(&wanted.argument("--agent").argument("healthy")).expect("it runs");
        assert!(
            wanted.ended(GIVES_UP_WITHIN).await.expect("it ends").success() && wanted.log_text().contains("AD_"),
            "{}",
            wanted.log_text()
        );
        let has_begun = async {
            while !page(port, "/metrics").await.contains("frontdesk_worker_jobs_started 1") {
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(GIVES_UP_WITHIN, has_begun).await.expect("the dispatch becomes a job");
        assert!(page(port, "/metrics").await.contains("frontdesk_worker_jobs_offered 1"));
    });
}
