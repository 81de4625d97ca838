//! What the health pages show of this worker, and what it depends on.

use std::sync::Arc;
use std::time::Duration;

use frontdesk_livekit::ServerUrl;
use frontdesk_livekit::api::LiveKit;
use frontdesk_livekit::worker::{Capacity, JobKind, WorkerHealth};
use frontdesk_web::health::{Finding, Health, Monitor, Probe, WorkerInfo, WorkerState};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Environment};
use crate::reception::Reception;

/// A worker that no LiveKit server has known for so long, although it tries all the time, may be helped by a new start.
const LOST_AFTER: Duration = Duration::from_secs(150);
/// How often the numbers are put in order; histograms would grow otherwise while nobody reads them.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Whose pages they are.
pub struct Shown {
    /// The name under which it registers.
    pub agent_name: String,
    /// How its workers are, one a LiveKit server.
    pub workers: Vec<watch::Receiver<WorkerHealth>>,
    /// How much it has taken on.
    pub capacity: Capacity,
    /// What it depends on ([`of_clinics`], [`of_livekit`], [`of_services`], or one's own).
    pub probes: Vec<Probe>,
}

/// The health pages of a worker that runs.
#[derive(Debug)]
pub struct Pages {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Pages {
    /// Serves the pages, if the settings want them. In development an address that is taken costs the pages and nothing else: several
    /// workers may run on one machine.
    ///
    /// # Errors
    /// What the terminal shall say: the address cannot be listened on, or the numbers cannot be kept.
    pub async fn open(config: &Config, shown: Shown) -> Result<Option<Self>, String> {
        let Some(address) = config.health.address() else { return Ok(None) };
        let listener = match TcpListener::bind(address).await {
            Ok(listener) => listener,
            Err(error) if config.environment == Environment::Development => {
                tracing::info!(%address, %error, "no health pages: their address cannot be listened on (health.listen)");
                return Ok(None);
            }
            Err(error) => return Err(format!("health.listen (FRONTDESK_HEALTH_LISTEN) = {address}: {error}")),
        };
        let numbers = crate::measures::install().map_err(|error| error.to_string())?;
        let Shown { agent_name, workers, capacity, probes } = shown;
        let monitor = Monitor::new(probes);
        let health = Health {
            info: WorkerInfo { agent_name, worker_type: JobKind::Room.as_str(), version: env!("CARGO_PKG_VERSION").to_owned() },
            worker: Arc::new(move || state(&workers, &capacity)),
            monitor: monitor.clone(),
            metrics: rendered(numbers.clone()),
        };
        let stop = CancellationToken::new();
        let interval = Duration::from_secs(config.health.interval_s);
        let looking = {
            let stop = stop.clone();
            async move { monitor.run(interval, stop).await }
        };
        let serving = {
            let stop = stop.clone();
            async move {
                if let Err(error) = frontdesk_web::serve_health(listener, health, stop).await {
                    tracing::error!(%error, "the health pages ended");
                }
            }
        };
        tracing::info!(%address, "health pages");
        let mut tasks = vec![tokio::spawn(looking), tokio::spawn(serving)];
        if let Some(numbers) = numbers {
            tasks.push(tokio::spawn(upkeep(numbers, stop.clone())));
        }
        Ok(Some(Self { stop, tasks }))
    }

    /// Ends them, the last of all: an orchestrator asks as long as calls go on.
    pub async fn close(self) {
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the health pages failed");
            }
        }
    }
}

/// Another recorder may have been there first, as in tests; then there is nothing to show.
fn rendered(numbers: Option<PrometheusHandle>) -> Arc<dyn Fn() -> String + Send + Sync> {
    Arc::new(move || numbers.as_ref().map(PrometheusHandle::render).unwrap_or_default())
}

async fn upkeep(numbers: PrometheusHandle, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
    let keep = async {
        loop {
            ticks.tick().await;
            numbers.run_upkeep();
        }
    };
    let _ = stop.run_until_cancelled(keep).await;
}

/// One process may have several workers, one a server.
fn state(workers: &[watch::Receiver<WorkerHealth>], capacity: &Capacity) -> WorkerState {
    let standing = capacity.standing();
    let lost = |health: &WorkerHealth| health.down_since.is_some_and(|since| since.elapsed() >= LOST_AFTER);
    WorkerState {
        registered: workers.iter().any(|worker| worker.borrow().worker_id.is_some()),
        lost: !workers.is_empty() && workers.iter().all(|worker| lost(&worker.borrow())),
        draining: workers.iter().any(|worker| worker.borrow().draining),
        full: standing.is_full,
        active_jobs: standing.active_jobs,
        load: standing.load,
    }
}

/// What a worker of the clinics depends on.
#[must_use]
pub fn of_clinics(config: &Config, reception: &Arc<Reception>, servers: Vec<Arc<LiveKit>>) -> Vec<Probe> {
    let reception = Arc::clone(reception);
    let postgres = move || {
        let reception = Arc::clone(&reception);
        async move { reception.check_database().await.map_err(|error| error.to_string()) }
    };
    let mut probes = vec![Probe::new("postgres", postgres), of_livekit(servers)];
    probes.extend(of_services(config, |_| true));
    probes
}

/// LiveKit servers, asked as a worker would.
#[must_use]
pub fn of_livekit(servers: Vec<Arc<LiveKit>>) -> Probe {
    let livekit = move || {
        let servers = servers.clone();
        async move {
            for server in servers {
                server.check().await.map_err(|error| error.to_string())?;
            }
            Ok(())
        }
    };
    Probe::new("livekit", livekit)
}

/// The configured services of speech and language that are used: `speech_to_text`, `language_model`, `text_to_speech`.
#[must_use]
pub fn of_services(config: &Config, is_used: impl Fn(&str) -> bool) -> Vec<Probe> {
    // Whether requests succeed, the breakers know (frontdesk_provider_circuit); a question here would cost money each time.
    let (stt, llm, tts) = (&config.stt.base_url, &config.llm.base_url, &config.tts.base_url);
    let services = [("speech_to_text", stt), ("language_model", llm), ("text_to_speech", tts)];
    let used = services.into_iter().filter(|(name, _)| is_used(name)).map(|(name, url)| (name, url.clone()));
    used.map(|(name, url)| Probe::new(name, move || connects(url.clone()))).collect()
}

/// Whether somebody listens there.
async fn connects(url: String) -> Finding {
    let url = ServerUrl::parse(&url).map_err(|error| error.to_string())?;
    let (host, port) = url.host_and_port();
    TcpStream::connect((host, port)).await.map(drop).map_err(|error| format!("{host}:{port}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn several_workers_are_one() {
        let capacity = Capacity::of_jobs(4, 0.7);
        let health = || watch::Sender::new(WorkerHealth::default());
        let (one, other) = (health(), health());
        let workers = [one.subscribe(), other.subscribe()];
        assert!(!state(&workers, &capacity).registered);
        one.send_modify(|health| health.worker_id = Some("AW_1".into()));
        other.send_modify(|health| health.down_since = Some(tokio::time::Instant::now()));
        tokio::time::advance(LOST_AFTER).await;
        let both = state(&workers, &capacity);
        assert!(both.registered && !both.lost && !both.draining && !both.full);
        one.send_modify(|health| (health.worker_id, health.down_since) = (None, Some(tokio::time::Instant::now())));
        assert!(!state(&workers, &capacity).lost);
        tokio::time::advance(LOST_AFTER).await;
        assert!(state(&workers, &capacity).lost);
        other.send_modify(|health| health.draining = true);
        assert!(state(&workers, &capacity).draining);
    }

    #[tokio::test]
    async fn a_service_is_there_or_not() {
        // Bound from the beginning, so that nobody else takes the port meanwhile.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}/v1", socket.local_addr().unwrap());
        assert!(connects(url.clone()).await.is_err());
        let _listener = socket.listen(1).unwrap();
        assert_eq!(connects(url).await, Ok(()));
    }
}
