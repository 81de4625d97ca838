//! What a bench starts: a database, one LiveKit server, the simulated services, our worker and our bridge.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use frontdesk_livekit::Credentials;
use frontdesk_livekit::api::LiveKit;
use frontdesk_simulators::providers::{ProviderSimulators, SimulatorOptions};
use frontdesk_simulators::stack::{Database, LiveKitOptions, LiveKitServer, Process, ProcessOptions, free_port, free_udp_range};

use super::Failure;

/// UDP ports of the bridge beyond two a call, and the same for LiveKit server.
const PORTS_SPARE: u16 = 80;
/// Most calls at once.
const CALLS_MAX: u16 = 200;
/// Protects nothing but the bench's own data.
const MASTER_KEY: &str = "YmVuY2ggZGF0YSBvbmx5LCBub3QgYSBzZWNyZXQga2U=";
/// How long a process may take until it is ready, the machine being busy.
const START_MAX: Duration = Duration::from_secs(90);

/// Everything that runs.
pub(crate) struct Services {
    pub(crate) calls_dir: PathBuf,
    sip_port: u16,
    livekit: LiveKitServer,
    simulators: ProviderSimulators,
    /// Workers first, the bridge last.
    processes: Vec<Process>,
    database: Database,
}

/// What to start.
pub(crate) struct Plan<'a> {
    pub(crate) checkout: &'a Path,
    /// For logs, records and configuration of this run.
    pub(crate) dir: &'a Path,
    pub(crate) simulators: SimulatorOptions,
    /// Calls at once.
    pub(crate) calls: usize,
    /// Whether our own worker is wanted.
    pub(crate) has_worker: bool,
    /// Whether callers come over SIP.
    pub(crate) has_bridge: bool,
}

impl Services {
    pub(crate) async fn start(plan: Plan<'_>) -> Result<Self, Failure> {
        let calls = u16::try_from(plan.calls).ok().filter(|calls| *calls <= CALLS_MAX);
        let calls = calls.ok_or_else(|| Failure::new(format!("at most {CALLS_MAX} calls at once")))?;
        println!("starting LiveKit server, simulated services, bridge and worker");
        let (log_dir, calls_dir) = (plan.dir.join("log"), plan.dir.join("calls"));
        for dir in [&log_dir, &calls_dir] {
            std::fs::create_dir_all(dir).map_err(Failure::new)?;
        }
        let database = Database::scratch().await.map_err(Failure::new)?;
        let mut livekit_options = LiveKitOptions::new(log_dir.join("livekit.log"));
        // Two participants a call with two ports each, and as many again for those that are just leaving.
        livekit_options.udp_ports = 8 * calls + PORTS_SPARE;
        let livekit = LiveKitServer::start(livekit_options).await.map_err(Failure::new)?;
        let simulators = ProviderSimulators::start(plan.simulators.clone()).await.map_err(Failure::new)?;
        let sip_port = free_port().map_err(Failure::new)?;
        let mut services = Self { calls_dir, sip_port, livekit, simulators, processes: Vec::new(), database };
        let own = Own { checkout: plan.checkout, dir: plan.dir, calls };
        services.migrate(&own).await?;
        if plan.has_worker {
            services.processes.push(services.own_worker(&own).await?);
        }
        if plan.has_bridge {
            services.processes.push(ready(&services.own(&own, "sip")?, "taking calls over SIP").await?);
        }
        Ok(services)
    }

    /// Where callers dial.
    pub(crate) fn sip(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.sip_port))
    }

    /// The server's API.
    pub(crate) fn api(&self) -> Result<LiveKit, Failure> {
        let credentials = Credentials::new(self.livekit.api_key(), self.livekit.api_secret());
        LiveKit::new(&self.livekit.url(), credentials).map_err(Failure::new)
    }

    /// Starts another worker, and waits until it logs `awaited`.
    pub(crate) async fn add(&mut self, options: ProcessOptions, awaited: &str) -> Result<(), Failure> {
        let process = self.worker(options, awaited).await?;
        self.processes.insert(0, process);
        Ok(())
    }

    /// Starts a worker that the bench ends itself, and waits until it logs `awaited`.
    pub(crate) async fn worker(&self, options: ProcessOptions, awaited: &str) -> Result<Process, Failure> {
        ready(&self.shared(options), awaited).await
    }

    /// The same, with all surroundings of our own.
    pub(crate) async fn surrounded_worker(&self, options: ProcessOptions, own: &Own<'_>, awaited: &str) -> Result<Process, Failure> {
        ready(&self.surrounded(options, own)?, awaited).await
    }

    /// The same, of our own.
    pub(crate) async fn own_worker(&self, own: &Own<'_>) -> Result<Process, Failure> {
        ready(&self.own(own, "start")?, "registered").await
    }

    /// Ends everything.
    pub(crate) async fn stop(mut self) {
        for process in &mut self.processes {
            if let Err(error) = process.stop(Duration::from_secs(15)).await {
                println!("  {error}");
            }
        }
        self.simulators.stop().await;
        self.livekit.stop().await;
        if let Err(error) = self.database.drop_now().await {
            println!("  {error}");
        }
    }

    async fn migrate(&self, own: &Own<'_>) -> Result<(), Failure> {
        let mut process = Process::spawn(&self.own(own, "migrate")?).map_err(Failure::new)?;
        let status = process.ended(START_MAX).await.map_err(Failure::new)?;
        if status.success() { Ok(()) } else { Err(Failure::new(process.log_tail())) }
    }

    /// A command of this build's own program.
    fn own(&self, own: &Own<'_>, command: &str) -> Result<ProcessOptions, Failure> {
        let log = own.dir.join("log").join(format!("{command}.log"));
        self.surrounded(ProcessOptions::new(command, own_program()?, log).argument(command), own)
    }

    /// The same surroundings for a program that the bench starts itself.
    fn surrounded(&self, mut options: ProcessOptions, own: &Own<'_>) -> Result<ProcessOptions, Failure> {
        let rtp_ports = 2 * own.calls + PORTS_SPARE;
        let rtp = free_udp_range(rtp_ports).map_err(Failure::new)?;
        options.directory = Some(own.checkout.to_owned());
        if let Ok(library) = std::env::var("ORT_DYLIB_PATH") {
            options = options.variable("ORT_DYLIB_PATH", library);
        }
        Ok(self
            .shared(options)
            .variable("DATABASE_URL", self.database.url())
            .variable("FRONTDESK_ENVIRONMENT", "development")
            .variable("FRONTDESK_LOG", "info")
            .variable("FRONTDESK_LOG_FORMAT", "json")
            .variable("FRONTDESK_MASTER_KEY", MASTER_KEY)
            .variable("FRONTDESK_TENANTS_DIR", own.dir.join("tenants").display().to_string())
            .variable("FRONTDESK_SIP_RULES_DIR", own.dir.join("sip").display().to_string())
            .variable("FRONTDESK_SIP_LISTEN", self.sip().to_string())
            .variable("FRONTDESK_RTP_PORT_MIN", rtp.to_string())
            .variable("FRONTDESK_RTP_PORT_MAX", (rtp + rtp_ports - 1).to_string())
            .variable("FRONTDESK_CALLS_DIR", self.calls_dir.display().to_string())
            .variable("FRONTDESK_MAX_JOBS", (2 * own.calls).max(50).to_string())
            // The load of everything else must not keep it from taking calls.
            .variable("FRONTDESK_LOAD_THRESHOLD", "1")
            .variable("FRONTDESK_DRAIN_TIMEOUT_S", "5"))
    }

    /// What every worker is told.
    fn shared(&self, options: ProcessOptions) -> ProcessOptions {
        options
            .variable("LIVEKIT_URL", self.livekit.url())
            .variable("LIVEKIT_API_KEY", self.livekit.api_key())
            .variable("LIVEKIT_API_SECRET", self.livekit.api_secret())
            .variable("DEEPGRAM_BASE_URL", self.simulators.deepgram_url())
            .variable("DEEPGRAM_API_KEY", self.simulators.api_key())
            .variable("OPENAI_BASE_URL", self.simulators.openai_url())
            .variable("OPENAI_API_KEY", self.simulators.api_key())
    }
}

/// What our own commands need.
pub(crate) struct Own<'a> {
    pub(crate) checkout: &'a Path,
    pub(crate) dir: &'a Path,
    /// Calls at once.
    pub(crate) calls: u16,
}

/// Starts a process and waits until it logs `awaited`.
async fn ready(options: &ProcessOptions, awaited: &str) -> Result<Process, Failure> {
    let mut process = Process::spawn(options).map_err(Failure::new)?;
    process.logged(awaited, START_MAX).await.map_err(Failure::new)?;
    Ok(process)
}

/// `frontdesk` of the same build: it lies beside this program.
fn own_program() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(Failure::new)?;
    let program = own.with_file_name("frontdesk");
    if program.exists() { Ok(program) } else { Err(Failure::new(format!("{} is missing: run bench/run", program.display()))) }
}
