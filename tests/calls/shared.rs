//! What the tests share: LiveKit server, providers, and a migrated database to clone. It ends with the last test that uses it.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use frontdesk_simulators::caller::Caller;
use frontdesk_simulators::providers::{ProviderSimulators, SimulatorOptions};
use frontdesk_simulators::stack::{Database, LiveKitOptions, LiveKitServer, Process, ProcessOptions, find_upward};
use frontdesk_simulators::voice::Voice;
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::nodes::OtherNode;
use crate::{clinic, people};

static SHARED: Mutex<Weak<Shared>> = Mutex::const_new(Weak::new());

/// Servers and data that no test changes.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) livekit: LiveKitServer,
    /// The other node, if LiveKit runs on two.
    pub(crate) other_node: Option<OtherNode>,
    pub(crate) providers: ProviderSimulators,
    pub(crate) template: Database,
    pub(crate) caller: Caller,
    _folder: TempDir,
}

impl Shared {
    /// What runs already, or everything anew.
    pub(crate) async fn get() -> Arc<Self> {
        let mut shared = SHARED.lock().await;
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let started = Arc::new(Self::start(false).await);
        *shared = Arc::downgrade(&started);
        started
    }

    /// Everything anew, for one desk alone; LiveKit on two nodes if that is wanted.
    pub(crate) async fn start(is_clustered: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (livekit, other_node) = if is_clustered {
            let (first, other) = OtherNode::start(folder.path()).await;
            (first, Some(other))
        } else {
            let options = LiveKitOptions::new(folder.path().join("livekit.log"));
            (LiveKitServer::start(options).await.expect("LiveKit server starts"), None)
        };
        let options = SimulatorOptions { utterances: people::utterances(), ..SimulatorOptions::default() };
        let providers = ProviderSimulators::start(options).await.expect("the simulated providers start");
        let template = Database::scratch().await.expect("the project's Postgres runs");
        migrate(&template, folder.path()).await;
        Self { livekit, other_node, providers, template, caller: Caller::new(Voice::caller()), _folder: folder }
    }
}

async fn migrate(database: &Database, folder: &Path) {
    let tenants = folder.join("tenants");
    clinic::write(&tenants, 15.0, "");
    let mut options = program("migrate", folder).variable("DATABASE_URL", database.url());
    options = options.variable("FRONTDESK_TENANTS_DIR", tenants.display().to_string());
    let mut process = Process::spawn(&options).expect("frontdesk runs");
    let status = process.ended(Duration::from_secs(120)).await.expect("the migration ends");
    assert!(status.success(), "frontdesk migrate failed:\n{}", process.log_text());
}

/// Our own program, which logs into the folder and finds no configuration but its environment.
pub(crate) fn program(command: &str, folder: &Path) -> ProcessOptions {
    let log = folder.join(format!("{command}.log"));
    let mut options = ProcessOptions::new(command, env!("CARGO_BIN_EXE_frontdesk"), log).argument(command);
    options.directory = Some(folder.to_owned());
    let given = std::env::var_os("ORT_DYLIB_PATH").map(std::path::PathBuf::from);
    if let Some(library) = given.or_else(|| find_upward("var/lib/onnxruntime/libonnxruntime.so")) {
        options = options.variable("ORT_DYLIB_PATH", library.display().to_string());
    }
    options.variable("FRONTDESK_ENVIRONMENT", "development").variable("FRONTDESK_LOG_FORMAT", "json")
}
