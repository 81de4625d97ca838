//! The health pages as a probe, a balancer, Prometheus and a tool written for livekit/agents see them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use frontdesk_web::health::{Health, Monitor, Probe, WorkerInfo, WorkerState};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

struct Served {
    url: String,
    worker: Arc<Mutex<WorkerState>>,
    monitor: Monitor,
    database: Arc<Mutex<Result<(), String>>>,
    _stop: DropGuard,
}

async fn serve() -> Served {
    let worker = Arc::new(Mutex::new(WorkerState { registered: true, active_jobs: 3, load: 0.25, ..WorkerState::default() }));
    let database = Arc::new(Mutex::new(Ok(())));
    let found = Arc::clone(&database);
    let monitor = Monitor::new(vec![Probe::new("postgres", move || {
        let found = found.lock().expect("unpoisoned").clone();
        async move { found }
    })]);
    let shown = Arc::clone(&worker);
    let health = Health {
        info: WorkerInfo { agent_name: "frontdesk".into(), worker_type: "JT_ROOM", version: "1.2.3".into() },
        worker: Arc::new(move || shown.lock().expect("unpoisoned").clone()),
        monitor: monitor.clone(),
        metrics: Arc::new(|| "# TYPE frontdesk_calls counter\nfrontdesk_calls 7\n".into()),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let stop = CancellationToken::new();
    tokio::spawn(frontdesk_web::serve_health(listener, health, stop.clone()));
    Served { url, worker, monitor, database, _stop: stop.drop_guard() }
}

impl Served {
    async fn get(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("{}{path}", self.url)).await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }

    async fn json(&self, path: &str) -> (u16, Value) {
        let (code, text) = self.get(path).await;
        (code, serde_json::from_str(&text).expect("JSON"))
    }

    fn is(&self, change: impl FnOnce(&mut WorkerState)) {
        change(&mut self.worker.lock().expect("unpoisoned"));
    }

    /// Has the monitor look until `seen`.
    async fn looked(&self, seen: impl Fn(&Value) -> bool) -> Value {
        let stop = CancellationToken::new();
        let _ends = stop.clone().drop_guard();
        let monitor = self.monitor.clone();
        tokio::spawn(async move { monitor.run(Duration::from_millis(100), stop).await });
        let looked = async {
            loop {
                let (_, page) = self.json("/health/detailed").await;
                if seen(&page) {
                    return page;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), looked).await.expect("it was looked at")
    }
}

#[tokio::test]
async fn pages_of_livekit_agents_answer_as_they_do() {
    let served = serve().await;
    assert_eq!(served.get("/").await, (200, "OK".into()));
    let (code, worker) = served.json("/worker").await;
    let expected = json!({
        "agent_name": "frontdesk", "worker_type": "JT_ROOM", "worker_load": 0.25, "active_jobs": 3, "sdk_version": "1.2.3",
        "protocol_version": 1,
    });
    assert_eq!((code, worker), (200, expected));
    // Lost with calls that live on is no reason to be restarted; without, it is.
    served.is(|worker| (worker.registered, worker.lost) = (false, true));
    assert_eq!(served.get("/").await.0, 200);
    served.is(|worker| worker.active_jobs = 0);
    assert_eq!(served.get("/").await, (503, "failed to connect to livekit".into()));
}

#[tokio::test]
async fn readiness_ends_with_draining_and_with_the_registration() {
    let served = serve().await;
    assert_eq!(served.get("/ready").await, (200, "ready".into()));
    served.is(|worker| worker.full = true);
    assert_eq!(served.get("/ready").await.0, 200);
    served.is(|worker| worker.draining = true);
    assert_eq!(served.get("/ready").await, (503, "draining".into()));
    served.is(|worker| *worker = WorkerState::default());
    assert_eq!(served.get("/ready").await, (503, "not registered with LiveKit".into()));
    assert_eq!(served.json("/health").await, (503, json!({ "status": "down" })));
}

#[tokio::test]
async fn components_are_shown_as_they_were_seen() {
    let served = serve().await;
    let (_, page) = served.json("/health/detailed").await;
    assert_eq!((&page["status"], &page["components"][0]["state"]), (&json!("ok"), &json!("unknown")));
    let page = served.looked(|page| page["components"][0]["state"] == "ok").await;
    assert!(page["components"][0]["latency_ms"].is_u64() && page["components"][0]["checked_at"].is_string(), "{page}");
    assert_eq!(page["worker"]["active_jobs"], 3);
    *served.database.lock().expect("unpoisoned") = Err("connection refused".into());
    let page = served.looked(|page| page["components"][0]["state"] == "failed").await;
    assert_eq!((&page["status"], &page["components"][0]["error"]), (&json!("degraded"), &json!("connection refused")));
    assert_eq!(served.json("/health").await, (200, json!({ "status": "degraded" })));
}

#[tokio::test]
async fn metrics_are_text_for_prometheus() {
    let served = serve().await;
    let answer = reqwest::get(format!("{}/metrics", served.url)).await.expect("an answer");
    let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    assert!(answer.text().await.expect("text").contains("frontdesk_calls 7"));
}
