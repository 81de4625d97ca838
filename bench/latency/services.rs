//! What the bench starts: one LiveKit server, the simulated services, our bridge and worker, the peer's workers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use frontdesk_simulators::llm::Answer;
use frontdesk_simulators::providers::{Latency, ProviderSimulators, SimulatorMode, SimulatorOptions};
use frontdesk_simulators::stack::{Database, LiveKitOptions, LiveKitServer, Process, ProcessOptions, free_port, free_udp_range};
use tokio::sync::mpsc;

use crate::Failure;
use crate::rows::{Row, Side, Turns};
use crate::script::{ANSWER, GREETING, texts};

/// UDP ports of the bridge: two a call, and some to spare.
const RTP_PORTS: u16 = 120;
/// Protects nothing but the bench's own data.
const MASTER_KEY: &str = "YmVuY2ggZGF0YSBvbmx5LCBub3QgYSBzZWNyZXQga2U=";
/// Requests to the model that may wait to be counted: far more than a row makes.
const HISTORIES_MAX: usize = 8_192;

/// Everything that runs.
pub(crate) struct Services {
    pub(crate) sip_port: u16,
    pub(crate) calls_dir: PathBuf,
    /// The caller's lines of every request to the model.
    pub(crate) histories: mpsc::Receiver<Vec<String>>,
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
    pub(crate) peer_python: &'a Path,
    pub(crate) rows: &'a [Row],
    pub(crate) latency: Latency,
    pub(crate) calls: usize,
}

impl Services {
    pub(crate) async fn start(plan: &Plan<'_>) -> Result<Self, Failure> {
        let (log_dir, calls_dir) = (plan.dir.join("log"), plan.dir.join("calls"));
        for dir in [&log_dir, &calls_dir] {
            std::fs::create_dir_all(dir).map_err(Failure::new)?;
        }
        let database = Database::scratch().await.map_err(Failure::new)?;
        let mut livekit_options = LiveKitOptions::new(log_dir.join("livekit.log"));
        livekit_options.udp_ports = 400;
        let livekit = LiveKitServer::start(livekit_options).await.map_err(Failure::new)?;
        let (caller_lines, histories) = mpsc::channel(HISTORIES_MAX);
        let simulators = ProviderSimulators::start(SimulatorOptions {
            utterances: texts(),
            latency: plan.latency,
            mode: SimulatorMode::Reciting(vec![Answer::say(ANSWER)]),
            caller_lines: Some(caller_lines),
            ..SimulatorOptions::default()
        });
        let simulators = simulators.await.map_err(Failure::new)?;
        let sip_port = free_port().map_err(Failure::new)?;
        let mut services = Self { sip_port, calls_dir, histories, livekit, simulators, processes: Vec::new(), database };
        services.migrate(plan, &log_dir).await?;
        if plan.rows.iter().any(|row| row.side == Side::Ours) {
            services.run(services.ours(plan, "start", &log_dir)?, "registered").await?;
        }
        for row in plan.rows.iter().filter(|row| row.side == Side::Peer) {
            services.run(services.peer(plan, row, &log_dir), "registered worker").await?;
        }
        services.run(services.ours(plan, "sip", &log_dir)?, "taking calls over SIP").await?;
        Ok(services)
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

    async fn run(&mut self, options: ProcessOptions, awaited: &str) -> Result<(), Failure> {
        let mut process = Process::spawn(&options).map_err(Failure::new)?;
        process.logged(awaited, Duration::from_secs(90)).await.map_err(Failure::new)?;
        self.processes.push(process);
        Ok(())
    }

    async fn migrate(&self, plan: &Plan<'_>, log_dir: &Path) -> Result<(), Failure> {
        let options = self.ours(plan, "migrate", log_dir)?;
        let mut process = Process::spawn(&options).map_err(Failure::new)?;
        let status = process.ended(Duration::from_secs(120)).await.map_err(Failure::new)?;
        if status.success() { Ok(()) } else { Err(Failure::new(process.log_tail())) }
    }

    /// A command of this build's own program.
    fn ours(&self, plan: &Plan<'_>, command: &str, log_dir: &Path) -> Result<ProcessOptions, Failure> {
        let rtp = free_udp_range(RTP_PORTS).map_err(Failure::new)?;
        let log = log_dir.join(format!("{command}.log"));
        let mut options = ProcessOptions::new(command, own_program()?, log).argument(command);
        options.directory = Some(plan.checkout.to_owned());
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
            .variable("FRONTDESK_TENANTS_DIR", plan.dir.join("tenants").display().to_string())
            .variable("FRONTDESK_SIP_RULES_DIR", plan.dir.join("sip").display().to_string())
            .variable("FRONTDESK_SIP_LISTEN", format!("127.0.0.1:{}", self.sip_port))
            .variable("FRONTDESK_RTP_PORT_MIN", rtp.to_string())
            .variable("FRONTDESK_RTP_PORT_MAX", (rtp + RTP_PORTS - 1).to_string())
            .variable("FRONTDESK_CALLS_DIR", self.calls_dir.display().to_string())
            // As for the peer: the load of everything else must not keep it from taking calls.
            .variable("FRONTDESK_LOAD_THRESHOLD", "1")
            .variable("FRONTDESK_DRAIN_TIMEOUT_S", "5"))
    }

    fn peer(&self, plan: &Plan<'_>, row: &Row, log_dir: &Path) -> ProcessOptions {
        let log = log_dir.join(format!("{}.log", row.id));
        let turns = match row.turns {
            Turns::Model => "default",
            Turns::Vad => "vad",
        };
        let options = ProcessOptions::new(row.id, plan.peer_python, log).argument(plan.checkout.join("bench/peer/agent.py"));
        self.shared(options.argument("start"))
            .variable("BENCH_AGENT_NAME", row.agent_name)
            .variable("BENCH_TURNS", turns)
            .variable("BENCH_GREETING", GREETING)
            .variable("BENCH_CALLS", plan.calls.to_string())
            .variable("PYTHONUNBUFFERED", "1")
    }

    /// What both sides are told.
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

/// `frontdesk` of the same build: it lies beside this program.
fn own_program() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(Failure::new)?;
    let program = own.with_file_name("frontdesk");
    if program.exists() { Ok(program) } else { Err(Failure::new(format!("{} is missing: run bench/run", program.display()))) }
}
