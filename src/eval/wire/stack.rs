//! What depth call starts: LiveKit server and bridge once, and a worker for each call.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use frontdesk_agent::CallRecord;
use frontdesk_clinic::TenantDirectory;
use frontdesk_simulators::caller::ObserverOptions;
use frontdesk_simulators::providers::ProviderSimulators;
use frontdesk_simulators::stack::{LiveKitOptions, LiveKitServer, Process, ProcessOptions, free_port, free_udp_range};

use super::SEARCH_MAX;
use crate::eval::EvalError;
use crate::eval::clinic::Clinic;
use crate::eval::folder::Folder;
use crate::eval::scenario::Scenario;

/// Most calls at once.
pub(super) const LANES_MAX: usize = 8;
/// UDP ports of the bridge: two a call, and some to spare.
const RTP_PORTS: u16 = 40;
/// The key of [`crate::eval::clinic`]'s databases, which hold nothing but rehearsals.
const MASTER_KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
/// A debug build on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(20);
/// How long a call's record may take after its end.
const RECORD_MAX: Duration = Duration::from_secs(20);
const RECORD_POLL: Duration = Duration::from_millis(50);

/// What all calls share.
#[derive(Debug)]
pub(super) struct Stack {
    program: PathBuf,
    tenants: PathBuf,
    /// Ids of the clinics, in the order of their numbers.
    clinics: Vec<String>,
    livekit: LiveKitServer,
    bridge: tokio::sync::Mutex<Process>,
    sip: SocketAddr,
    _folder: Folder,
}

fn machine(cause: &dyn std::fmt::Display) -> EvalError {
    EvalError::Machine(cause.to_string())
}

impl Stack {
    /// Starts LiveKit server and bridge.
    pub(super) async fn start(tenants: &Path, program: Option<PathBuf>) -> Result<Self, EvalError> {
        let program = match program {
            Some(program) => program,
            None => std::env::current_exe().map_err(|error| machine(&error))?,
        };
        let tenants = tenants.canonicalize().map_err(|error| machine(&format!("{}: {error}", tenants.display())))?;
        let directory = TenantDirectory::load(&tenants).map_err(|error| EvalError::Tenant(error.to_string()))?;
        let clinics: Vec<String> = directory.ids().iter().map(|id| id.as_str().to_owned()).collect();
        let folder = Folder::new()?;
        std::fs::create_dir_all(folder.path().join("rules")).map_err(|error| machine(&error))?;
        std::fs::write(folder.path().join("rules/eval.toml"), rules(&clinics)).map_err(|error| machine(&error))?;
        let livekit =
            LiveKitServer::start(LiveKitOptions::new(folder.path().join("livekit.log"))).await.map_err(|error| machine(&error))?;
        let sip = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().map_err(|error| machine(&error))?));
        let rtp = free_udp_range(RTP_PORTS).map_err(|error| machine(&error))?;
        let options = command(&program, "sip", folder.path(), &livekit)
            .variable("FRONTDESK_SIP_LISTEN", sip.to_string())
            .variable("FRONTDESK_RTP_PORT_MIN", rtp.to_string())
            .variable("FRONTDESK_RTP_PORT_MAX", (rtp + RTP_PORTS - 1).to_string())
            .variable("FRONTDESK_SIP_RULES_DIR", folder.path().join("rules").display().to_string());
        let mut bridge = Process::spawn(&options).map_err(|error| machine(&error))?;
        bridge.logged("taking calls over SIP", START_MAX).await.map_err(|error| machine(&error))?;
        Ok(Self { program, tenants, clinics, livekit, bridge: tokio::sync::Mutex::new(bridge), sip, _folder: folder })
    }

    /// Ends them.
    pub(super) async fn stop(self) {
        if let Err(error) = self.bridge.lock().await.stop(STOP_MAX).await {
            tracing::warn!(%error, "the bridge");
        }
        self.livekit.stop().await;
    }

    /// Where the bridge listens.
    pub(super) const fn sip(&self) -> SocketAddr {
        self.sip
    }

    /// Looks into the room of the call from this number.
    pub(super) fn observer(&self, caller_number: String) -> ObserverOptions {
        let (url, api_key, api_secret) = (self.livekit.url(), self.livekit.api_key().to_owned(), self.livekit.api_secret().to_owned());
        ObserverOptions { url, api_key, api_secret, caller_number, search_max: SEARCH_MAX }
    }

    /// A worker for one call, which takes the scenario's moment for now.
    pub(super) async fn open(
        &self,
        lane: usize,
        scenario: &Scenario,
        clinic: &Clinic,
        simulators: &ProviderSimulators,
    ) -> Result<Lane, EvalError> {
        let id = clinic.tenant.id.as_str();
        let place = self.clinics.iter().position(|clinic| clinic == id);
        let place = place.ok_or_else(|| EvalError::Tenant(format!("{id} is not among the tenants")))?;
        let folder = Folder::new()?;
        let calls = folder.path().join("calls");
        std::fs::create_dir_all(&calls).map_err(|error| machine(&error))?;
        let options = command(&self.program, "start", folder.path(), &self.livekit)
            .variable("DATABASE_URL", clinic.database.url())
            .variable("FRONTDESK_MASTER_KEY", MASTER_KEY)
            .variable("FRONTDESK_TENANTS_DIR", self.tenants.display().to_string())
            .variable("FRONTDESK_CALLS_DIR", calls.display().to_string())
            .variable("FRONTDESK_AGENT_NAME", agent_name(lane))
            .variable("FRONTDESK_NOW", scenario.now.to_rfc3339())
            .variable("FRONTDESK_LOAD_THRESHOLD", "1")
            .variable("FRONTDESK_DRAIN_TIMEOUT_S", "5")
            .variable("DEEPGRAM_BASE_URL", simulators.deepgram_url())
            .variable("DEEPGRAM_API_KEY", simulators.api_key())
            .variable("OPENAI_BASE_URL", simulators.openai_url())
            .variable("OPENAI_API_KEY", simulators.api_key());
        let mut worker = Process::spawn(&options).map_err(|error| machine(&error))?;
        worker.logged("registered with LiveKit", START_MAX).await.map_err(|error| machine(&error))?;
        Ok(Lane { worker, number: number(lane, place), calls, _folder: folder })
    }
}

/// A worker that waits for one call.
#[derive(Debug)]
pub(super) struct Lane {
    worker: Process,
    number: String,
    calls: PathBuf,
    _folder: Folder,
}

impl Lane {
    /// The number that reaches it.
    pub(super) fn number(&self) -> &str {
        &self.number
    }

    /// The call's record, once it is written.
    pub(super) async fn record(&self) -> Result<CallRecord, EvalError> {
        let limit = tokio::time::Instant::now() + RECORD_MAX;
        loop {
            if let Some(record) = self.read().map_err(|error| machine(&error))? {
                return Ok(record);
            }
            if tokio::time::Instant::now() >= limit {
                return Err(machine(&format!("no call record within 20 s; the worker's log ends with:\n{}", self.worker.log_tail())));
            }
            tokio::time::sleep(RECORD_POLL).await;
        }
    }

    fn read(&self) -> std::io::Result<Option<CallRecord>> {
        for entry in std::fs::read_dir(&self.calls)?.flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "json") {
                // One that is not whole yet is read again.
                return Ok(serde_json::from_str(&std::fs::read_to_string(entry.path())?).ok());
            }
        }
        Ok(None)
    }

    /// Ends the worker.
    pub(super) async fn close(&mut self) {
        if let Err(error) = self.worker.stop(STOP_MAX).await {
            tracing::warn!(%error, "the worker");
        }
    }
}

/// One of our own commands, in a clean environment.
fn command(program: &Path, command: &str, folder: &Path, livekit: &LiveKitServer) -> ProcessOptions {
    let mut options = ProcessOptions::new(command, program, folder.join(format!("{command}.log"))).argument(command);
    if let Ok(library) = std::env::var("ORT_DYLIB_PATH") {
        options = options.variable("ORT_DYLIB_PATH", library);
    }
    options
        .variable("FRONTDESK_ENVIRONMENT", "development")
        .variable("FRONTDESK_LOG", "info")
        .variable("FRONTDESK_LOG_FORMAT", "json")
        .variable("LIVEKIT_URL", livekit.url())
        .variable("LIVEKIT_API_KEY", livekit.api_key())
        .variable("LIVEKIT_API_SECRET", livekit.api_secret())
}

fn agent_name(lane: usize) -> String {
    format!("eval-{lane}")
}

fn number(lane: usize, clinic: usize) -> String {
    format!("+155504{lane:02}{clinic:03}")
}

/// A number for each lane and clinic, which leads to the lane's worker.
fn rules(clinics: &[String]) -> String {
    let all = || (0..LANES_MAX).flat_map(|lane| clinics.iter().enumerate().map(move |(place, clinic)| (lane, place, clinic)));
    let numbers: Vec<String> = all().map(|(lane, place, _)| format!("\"{}\"", number(lane, place))).collect();
    let mut text = format!(
        "[[trunk]]\nid = \"ST_eval\"\nname = \"Rehearsed callers\"\nnumbers = [{}]\nallowed_addresses = [\"127.0.0.0/8\"]\n",
        numbers.join(", ")
    );
    for (lane, place, clinic) in all() {
        let (number, agent) = (number(lane, place), agent_name(lane));
        let _infallible = write!(
            text,
            "\n[[rule]]\nid = \"SDR_{lane}_{place}\"\ntrunks = [\"ST_eval\"]\nnumbers = [\"{number}\"]\nroom_prefix = \"{agent}\"\n\
             agent_name = \"{agent}\"\nattributes = {{ \"frontdesk.tenant\" = \"{clinic}\" }}\n"
        );
    }
    text
}
