//! What the demo starts, and how it all ends.

use std::path::{Path, PathBuf};
use std::time::Duration;

use frontdesk_simulators::providers::{ProviderSimulators, SimulatorOptions};
use frontdesk_simulators::stack::{LiveKitOptions, LiveKitServer, Process, ProcessOptions, find_upward, free_port, free_udp_range};
use sqlx::{Connection, PgConnection};

use super::super::CommandError;
use super::show::Steps;
use crate::cli::ProviderChoice;

/// UDP ports for RTP: two a call.
const RTP_PORTS: u16 = 40;
/// The port that softphones try first.
const SIP_PORT: u16 = 5060;
/// Protects nothing but the demo's own data; a real key is made with `openssl rand -base64 32`.
const DEMO_MASTER_KEY: &str = "ZGVtbyBkYXRhIG9ubHksIG5vdCBhIHNlY3JldCBrZXk=";

/// Everything that runs, in the order in which it was started.
pub(super) struct Services {
    pub(super) database_url: String,
    pub(super) sip_port: u16,
    pub(super) calls_dir: PathBuf,
    pub(super) log_dir: PathBuf,
    pub(super) livekit: LiveKitServer,
    pub(super) worker: Process,
    bridge: Process,
    simulators: Option<ProviderSimulators>,
    cluster: Option<PathBuf>,
}

/// What to start.
pub(super) struct Plan {
    pub(super) checkout: PathBuf,
    pub(super) database_url: Option<String>,
    pub(super) providers: ProviderChoice,
    pub(super) utterances: Vec<String>,
}

impl Services {
    /// Starts everything, one step after the other.
    pub(super) async fn start(plan: Plan, steps: &mut Steps) -> Result<Self, CommandError> {
        let var = plan.checkout.join("var");
        let (log_dir, calls_dir) = (var.join("log"), var.join("calls"));
        for dir in [&log_dir, &calls_dir] {
            std::fs::create_dir_all(dir).map_err(|error| CommandError::new(format!("{}: {error}", dir.display())))?;
        }
        let (database_url, cluster) = steps.step("Postgres", postgres(&plan)).await?;
        let outcome = Self::start_rest(&plan, steps, database_url, cluster.clone(), log_dir, calls_dir).await;
        if outcome.is_err() {
            stop_cluster(cluster.as_deref()).await;
        }
        outcome
    }

    async fn start_rest(
        plan: &Plan,
        steps: &mut Steps,
        database_url: String,
        cluster: Option<PathBuf>,
        log_dir: PathBuf,
        calls_dir: PathBuf,
    ) -> Result<Self, CommandError> {
        steps.step("database schema, demo clinic", migrate(plan, &database_url, &log_dir)).await?;
        let livekit = steps
            .step("LiveKit server", async {
                let server = LiveKitServer::start(LiveKitOptions::new(log_dir.join("livekit.log"))).await.map_err(CommandError::new)?;
                let url = server.url();
                Ok::<_, CommandError>((server, url))
            })
            .await?;
        let simulators = match plan.providers {
            ProviderChoice::Cloud => None,
            ProviderChoice::Simulated => Some(steps.step("simulated speech and language services", simulate(plan)).await?),
        };
        let sip_port = if port_is_free(SIP_PORT) { SIP_PORT } else { free_port().map_err(CommandError::new)? };
        let mut child = Child {
            plan,
            livekit: &livekit,
            simulators: simulators.as_ref(),
            database_url: &database_url,
            calls_dir: &calls_dir,
            sip_port,
        };
        let bridge = steps.step("frontdesk sip (the bridge)", child.spawn("sip", "taking calls over SIP", &log_dir)).await?;
        let worker = steps.step("frontdesk start (the worker)", child.spawn("start", "registered", &log_dir)).await?;
        Ok(Self { database_url, sip_port, calls_dir, log_dir, livekit, worker, bridge, simulators, cluster })
    }

    /// Ends everything in reverse order. Postgres goes on if it ran before.
    pub(super) async fn stop(mut self) {
        let patience = Duration::from_secs(10);
        for process in [&mut self.worker, &mut self.bridge] {
            if let Err(error) = process.stop(patience).await {
                println!("  {error}");
            }
        }
        if let Some(simulators) = self.simulators.take() {
            simulators.stop().await;
        }
        self.livekit.stop().await;
        stop_cluster(self.cluster.as_deref()).await;
    }
}

/// The database's URL, and the script that stops the cluster if we started it.
async fn postgres(plan: &Plan) -> Result<((String, Option<PathBuf>), String), CommandError> {
    if let Some(url) = &plan.database_url {
        return Ok(((url.clone(), None), "the one of DATABASE_URL".into()));
    }
    let script = plan.checkout.join("scripts/postgres");
    let was_running = script_run(&script, "status").await.is_ok();
    script_run(&script, "start").await?;
    let admin = script_run(&script, "url").await?.trim().to_owned();
    let failed = |error: sqlx::Error| CommandError::new(format!("the demo's database cannot be made: {error}"));
    let mut connection = PgConnection::connect(&admin).await.map_err(failed)?;
    let exists =
        sqlx::query("SELECT 1 FROM pg_database WHERE datname = 'frontdesk_demo'").fetch_optional(&mut connection).await.map_err(failed)?;
    if exists.is_none() {
        sqlx::query("CREATE DATABASE frontdesk_demo").execute(&mut connection).await.map_err(failed)?;
    }
    let (base, _) = admin.rsplit_once('/').ok_or_else(|| CommandError::new("scripts/postgres url prints no URL"))?;
    let cluster = (!was_running).then_some(script);
    let remark = if was_running { "the project's own cluster, running already" } else { "the project's own cluster, below var/postgres" };
    Ok(((format!("{base}/frontdesk_demo"), cluster), remark.into()))
}

async fn script_run(script: &Path, argument: &str) -> Result<String, CommandError> {
    let run = tokio::process::Command::new(script).arg(argument).env_remove("DATABASE_URL").stdin(std::process::Stdio::null()).output();
    let output = tokio::time::timeout(Duration::from_secs(120), run).await;
    let output = output.map_err(|_| CommandError::new(format!("{} {argument} did not end within 120 s", script.display())))?;
    let output = output.map_err(|error| CommandError::new(format!("{}: {error}; run the demo from the checkout", script.display())))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(CommandError::new(String::from_utf8_lossy(&output.stderr).trim()))
}

async fn stop_cluster(script: Option<&Path>) {
    if let Some(script) = script
        && let Err(error) = script_run(script, "stop").await
    {
        println!("  Postgres: {error}");
    }
}

async fn migrate(plan: &Plan, url: &str, log_dir: &Path) -> Result<((), String), CommandError> {
    let mut options = own_program("migrate", &log_dir.join("migrate.log"))?;
    options.directory = Some(plan.checkout.clone());
    let options = options.argument("migrate").variable("DATABASE_URL", url).variable("FRONTDESK_ENVIRONMENT", "development");
    let mut process = Process::spawn(&options).map_err(CommandError::new)?;
    let status = process.ended(Duration::from_secs(60)).await.map_err(CommandError::new)?;
    if !status.success() {
        return Err(CommandError::new(process.log_tail()));
    }
    Ok(((), "up to date".into()))
}

async fn simulate(plan: &Plan) -> Result<(ProviderSimulators, String), CommandError> {
    let options = SimulatorOptions { utterances: plan.utterances.clone(), ..SimulatorOptions::default() };
    let remark = format!(
        "speech-to-text final after {} ms, language model {} ms + {} ms a word, text-to-speech {} ms",
        options.latency.stt_final.as_millis(),
        options.latency.llm_first_token.as_millis(),
        options.latency.llm_word.as_millis(),
        options.latency.tts_first_byte.as_millis()
    );
    let simulators = ProviderSimulators::start(options).await.map_err(CommandError::new)?;
    Ok((simulators, remark))
}

fn own_program(name: &str, log: &Path) -> Result<ProcessOptions, CommandError> {
    let program = std::env::current_exe().map_err(|error| CommandError::new(format!("cannot find the own program: {error}")))?;
    Ok(ProcessOptions::new(name, program, log))
}

fn port_is_free(port: u16) -> bool {
    let address = (std::net::Ipv4Addr::LOCALHOST, port);
    std::net::UdpSocket::bind(address).is_ok() && std::net::TcpListener::bind(address).is_ok()
}

/// What the bridge and the worker are started with.
struct Child<'a> {
    plan: &'a Plan,
    livekit: &'a LiveKitServer,
    simulators: Option<&'a ProviderSimulators>,
    database_url: &'a str,
    calls_dir: &'a Path,
    sip_port: u16,
}

impl Child<'_> {
    async fn spawn(&mut self, command: &str, awaited: &str, log_dir: &Path) -> Result<(Process, String), CommandError> {
        let log = log_dir.join(format!("{command}.log"));
        let rtp = free_udp_range(RTP_PORTS).map_err(CommandError::new)?;
        let mut options = own_program(command, &log)?
            .argument(command)
            .variable("FRONTDESK_ENVIRONMENT", "development")
            .variable("FRONTDESK_LOG", "info")
            .variable("FRONTDESK_LOG_FORMAT", "json")
            .variable("LIVEKIT_URL", self.livekit.url())
            .variable("LIVEKIT_API_KEY", self.livekit.api_key())
            .variable("LIVEKIT_API_SECRET", self.livekit.api_secret())
            .variable("DATABASE_URL", self.database_url)
            .variable("FRONTDESK_MASTER_KEY", DEMO_MASTER_KEY)
            .variable("FRONTDESK_SIP_LISTEN", format!("127.0.0.1:{}", self.sip_port))
            .variable("FRONTDESK_RTP_PORT_MIN", rtp.to_string())
            .variable("FRONTDESK_RTP_PORT_MAX", (rtp + RTP_PORTS - 1).to_string())
            .variable("FRONTDESK_CALLS_DIR", self.calls_dir.display().to_string())
            .variable("FRONTDESK_EXPORT_DIR", self.calls_dir.join("exports").display().to_string())
            .variable("FRONTDESK_RECORD_AUDIO", "true");
        options.directory = Some(self.plan.checkout.clone());
        // The real services' keys, and where ONNX Runtime is, come from our own environment.
        options.clear_environment = false;
        if let Some(simulators) = self.simulators {
            options = options
                .variable("DEEPGRAM_BASE_URL", simulators.deepgram_url())
                .variable("DEEPGRAM_API_KEY", simulators.api_key())
                .variable("OPENAI_BASE_URL", simulators.openai_url())
                .variable("OPENAI_API_KEY", simulators.api_key());
        }
        let mut process = Process::spawn(&options).map_err(CommandError::new)?;
        process.logged(awaited, Duration::from_secs(20)).await.map_err(CommandError::new)?;
        let remark = match command {
            "sip" => format!("listening on 127.0.0.1:{}", self.sip_port),
            _ => format!("registered; log: {}", find_upward("var").map_or_else(|| log.clone(), |_| log.clone()).display()),
        };
        Ok((process, remark))
    }
}
