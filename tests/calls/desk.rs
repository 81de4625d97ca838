//! A clinic's desk: a bridge and a worker of our own, as processes, with a database and folders of their own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use frontdesk_livekit::Credentials;
use frontdesk_livekit::api::LiveKit;
use frontdesk_simulators::network::Network;
use frontdesk_simulators::stack::{Database, Process, ProcessOptions, free_port, free_udp_range};
use tempfile::TempDir;

use crate::clinic;
use crate::gate::Gate;
use crate::health;
use crate::shared::{Shared, program};

/// Protects test data alone: 32 bytes in base64.
pub(crate) const MASTER_KEY: &str = "dGVzdCBkYXRhIG9ubHksIG5vdCBhIHNlY3JldCBrZXk=";
/// UDP ports for RTP: two a call.
const RTP_PORTS: u16 = 24;
/// A debug build on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long draining may take when no call is left.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

static NUMBER: AtomicU32 = AtomicU32::new(1);

/// A service that the worker depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Service {
    Postgres,
    SpeechToText,
    LanguageModel,
    TextToSpeech,
}

/// How a desk differs from the others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeskOptions {
    /// Log filter of bridge and worker.
    pub(crate) log: &'static str,
    /// Silence after which the caller is asked whether he is there, in seconds.
    pub(crate) away_s: f64,
    /// The service that the test wants to take away.
    pub(crate) gated: Option<Service>,
    /// Calls at once of the first worker.
    pub(crate) max_jobs: u32,
    /// `[limits]` of the clinic.
    pub(crate) limits: &'static str,
    /// Whether its workers reach LiveKit server through a network that the test can cut.
    pub(crate) has_network: bool,
    /// Whether it has servers of its own, which the test may restart.
    pub(crate) has_own_servers: bool,
    /// Whether these are two nodes of LiveKit: the bridge is at one of them, the workers are at the other.
    pub(crate) is_clustered: bool,
}

impl Default for DeskOptions {
    fn default() -> Self {
        Self {
            log: "info",
            away_s: 15.0,
            gated: None,
            max_jobs: 50,
            limits: "",
            has_network: false,
            has_own_servers: false,
            is_clustered: false,
        }
    }
}

/// A running desk. When a test fails, its logs' last lines are printed.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) shared: Arc<Shared>,
    pub(crate) database: Arc<Database>,
    pub(crate) worker: Process,
    pub(crate) bridge: Process,
    pub(crate) sip: SocketAddr,
    /// The name under which its workers register.
    pub(crate) agent: String,
    /// How its worker was started.
    worker_options: ProcessOptions,
    /// Where its workers find the database.
    database_url: String,
    gate: Option<Gate>,
    network: Option<Network>,
    folder: TempDir,
    /// Where its first worker shows how it is.
    health: u16,
}

impl Desk {
    pub(crate) async fn open(options: DeskOptions) -> Self {
        let shared = if options.has_own_servers || options.is_clustered {
            Arc::new(Shared::start(options.is_clustered).await)
        } else {
            Shared::get().await
        };
        let folder = tempfile::tempdir().expect("a folder");
        let agent = format!("desk-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        clinic::write(&folder.path().join("tenants"), options.away_s, options.limits);
        clinic::write_rules(&folder.path().join("rules"), &agent);
        let database = Arc::new(shared.template.duplicate().await.expect("a database of its own"));
        let mut urls = Urls::new(&shared, &database);
        let gate = match options.gated {
            Some(service) => Some(urls.gate(service).await),
            None => None,
        };
        let sip = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().expect("a port")));
        let environment = |command: &str| {
            let rtp = free_udp_range(RTP_PORTS).expect("ports");
            let path = |name: &str| folder.path().join(name).display().to_string();
            with_urls(program(command, folder.path()), &shared, &urls)
                .variable("FRONTDESK_LOG", options.log)
                .variable("FRONTDESK_AGENT_NAME", &agent)
                .variable("FRONTDESK_SIP_LISTEN", sip.to_string())
                .variable("FRONTDESK_RTP_PORT_MIN", rtp.to_string())
                .variable("FRONTDESK_RTP_PORT_MAX", (rtp + RTP_PORTS - 1).to_string())
                .variable("FRONTDESK_SIP_RULES_DIR", path("rules"))
                .variable("FRONTDESK_TENANTS_DIR", path("tenants"))
                .variable("FRONTDESK_CALLS_DIR", path("calls"))
                .variable("FRONTDESK_RECORDINGS_DIR", path("recordings"))
                .variable("FRONTDESK_RECORD_AUDIO", "true")
                .variable("FRONTDESK_EXPORT_DIR", path("exports"))
        };
        let worker = environment("start")
            .argument("--set")
            .argument(format!("stt.base_url={}", urls.stt))
            .argument("--set")
            .argument(format!("tts.base_url={}", urls.tts));
        let mut worker_options = worker;
        if let Some(other) = &shared.other_node {
            worker_options = worker_options.variable("LIVEKIT_URL", other.livekit.url());
        }
        let mut network = None;
        if options.has_network {
            let before = Network::before(shared.livekit.port()).await.expect("a network");
            worker_options = worker_options.variable("LIVEKIT_URL", before.url());
            network = Some(before);
        }
        let health = free_port().expect("a port");
        let first = worker_options
            .clone()
            .variable("FRONTDESK_MAX_JOBS", options.max_jobs.to_string())
            .variable("FRONTDESK_HEALTH_LISTEN", format!("127.0.0.1:{health}"))
            .variable("FRONTDESK_HEALTH_INTERVAL_S", "1");
        let mut worker = Process::spawn(&first).expect("the worker starts");
        let mut bridge = Process::spawn(&environment("sip")).expect("the bridge starts");
        bridge.logged("taking calls over SIP", START_TIMEOUT).await.expect("the bridge gets ready");
        worker.logged("registered with LiveKit", START_TIMEOUT).await.expect("the worker gets ready");
        let database_url = urls.database;
        Self { shared, database, worker, bridge, sip, agent, worker_options, database_url, gate, network, folder, health }
    }

    /// Another worker for the same calls, with a log of its own; its name is the mark (`app.worker`) of its database connections.
    pub(crate) async fn hire(&self, name: &str) -> Process {
        self.hire_with(self.worker_options.clone(), name).await
    }

    /// Another worker, which the network is not in the way of.
    pub(crate) async fn hire_nearby(&self, name: &str) -> Process {
        self.hire_with(self.worker_options.clone().variable("LIVEKIT_URL", self.shared.livekit.url()), name).await
    }

    async fn hire_with(&self, options: ProcessOptions, name: &str) -> Process {
        let url = &self.database_url;
        let and = if url.contains('?') { '&' } else { '?' };
        let mut options = options.variable("DATABASE_URL", format!("{url}{and}options=-c%20app.worker%3D{name}"));
        options.log = self.folder.path().join(format!("{name}.log"));
        let mut worker = Process::spawn(&options).expect("the worker starts");
        worker.logged("registered with LiveKit", START_TIMEOUT).await.expect("the worker gets ready");
        worker
    }

    /// The API of its LiveKit server.
    pub(crate) fn api(&self) -> LiveKit {
        let livekit = &self.shared.livekit;
        LiveKit::new(&livekit.url(), Credentials::new(livekit.api_key(), livekit.api_secret())).expect("an address")
    }

    /// The network before its workers.
    pub(crate) const fn network(&self) -> &Network {
        self.network.as_ref().expect("a network")
    }

    /// What looks after calls whose worker is gone, alone.
    pub(crate) async fn rescue(&self) -> Process {
        let mut options = self.worker_options.clone();
        options.log = self.folder.path().join("rescue.log");
        options.arguments[0] = "rescue".into();
        let mut rescue = Process::spawn(&options).expect("the rescue starts");
        rescue.logged("looking after calls whose worker is gone", START_TIMEOUT).await.expect("it gets ready");
        rescue
    }

    /// Ends the bridge of a desk whose worker was killed.
    pub(crate) async fn close_bridge(mut self) {
        let status = self.bridge.stop(STOP_TIMEOUT).await.expect("it ends");
        assert!(status.success(), "{status}:\n{}", self.bridge.log_tail());
    }

    /// Takes the gated service away.
    pub(crate) fn take_away(&self) {
        self.gate.as_ref().expect("a gated service").shut();
    }

    /// Gives the gated service back.
    pub(crate) fn give_back(&self) {
        self.gate.as_ref().expect("a gated service").open();
    }

    /// Gives the gated service back, and waits until the first worker has found all that it needs.
    pub(crate) async fn restore(&self) {
        self.give_back();
        health::all_well(self.health).await;
    }

    /// Where records are written.
    pub(crate) fn calls_dir(&self) -> PathBuf {
        self.folder.path().join("calls")
    }

    /// Where recordings are written, sealed.
    pub(crate) fn recordings_dir(&self) -> PathBuf {
        self.folder.path().join("recordings")
    }

    /// Where notices are written.
    pub(crate) fn exports_dir(&self) -> PathBuf {
        self.folder.path().join("exports").join(clinic::TENANT)
    }

    /// Ends worker and bridge in good order, and keeps the database.
    pub(crate) async fn close_but_database(self) -> Arc<Database> {
        let database = Arc::clone(&self.database);
        self.close().await;
        database
    }

    /// Ends worker and bridge in good order; both exit with 0.
    pub(crate) async fn close(mut self) {
        for process in [&mut self.worker, &mut self.bridge] {
            let status = process.stop(STOP_TIMEOUT).await.expect("it ends");
            assert!(status.success(), "{status}:\n{}", process.log_tail());
        }
    }

    /// The last lines of all logs, for tests that fail.
    pub(crate) fn tails(&self) -> String {
        let livekit = std::fs::read_to_string(self.shared.livekit.log_path()).unwrap_or_default();
        let (worker, bridge) = (tail(&self.worker.log_text()), tail(&self.bridge.log_text()));
        let other = self.shared.other_node.as_ref().map(|other| std::fs::read_to_string(other.livekit.log_path()).unwrap_or_default());
        let other = other.map_or_else(String::new, |log| format!("\n--- its other node ---\n{}", tail(&log)));
        format!("--- worker ---\n{worker}\n--- bridge ---\n{bridge}\n--- LiveKit server ---\n{}{other}", tail(&livekit))
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.tails());
        }
    }
}

/// The last lines of a log, the longest of them cut.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let last = &lines[lines.len().saturating_sub(60)..];
    last.iter().map(|line| line.chars().take(400).collect::<String>()).collect::<Vec<_>>().join("\n")
}

/// Where the services are.
#[derive(Debug)]
pub(crate) struct Urls {
    database: String,
    stt: String,
    llm: String,
    tts: String,
}

impl Urls {
    fn new(shared: &Shared, database: &Database) -> Self {
        let deepgram = shared.providers.deepgram_url();
        Self { database: database.url(), stt: deepgram.clone(), llm: shared.providers.openai_url(), tts: deepgram }
    }

    async fn gate(&mut self, service: Service) -> Gate {
        let url = match service {
            Service::Postgres => &mut self.database,
            Service::SpeechToText => &mut self.stt,
            Service::LanguageModel => &mut self.llm,
            Service::TextToSpeech => &mut self.tts,
        };
        let (gate, through) = Gate::before_url(url).await;
        *url = through;
        gate
    }
}

/// Where the LiveKit server is.
pub(crate) fn with_livekit(options: ProcessOptions, shared: &Shared) -> ProcessOptions {
    options
        .variable("LIVEKIT_URL", shared.livekit.url())
        .variable("LIVEKIT_API_KEY", shared.livekit.api_key())
        .variable("LIVEKIT_API_SECRET", shared.livekit.api_secret())
}

fn with_urls(options: ProcessOptions, shared: &Shared, urls: &Urls) -> ProcessOptions {
    with_livekit(options, shared)
        .variable("DATABASE_URL", &urls.database)
        .variable("FRONTDESK_MASTER_KEY", MASTER_KEY)
        .variable("DEEPGRAM_BASE_URL", shared.providers.deepgram_url())
        .variable("DEEPGRAM_API_KEY", shared.providers.api_key())
        .variable("OPENAI_BASE_URL", &urls.llm)
        .variable("OPENAI_API_KEY", shared.providers.api_key())
}

/// The environment of a worker whose services are all there, for tests of its start.
pub(crate) fn worker_options(shared: &Shared, database: &Database, folder: &Path) -> ProcessOptions {
    clinic::write(&folder.join("tenants"), 15.0, "");
    let urls = Urls::new(shared, database);
    let tenants = folder.join("tenants").display().to_string();
    with_urls(program("start", folder), shared, &urls).variable("FRONTDESK_TENANTS_DIR", tenants)
}
