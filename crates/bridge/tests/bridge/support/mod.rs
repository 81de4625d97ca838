//! A LiveKit server, a bridge and a log for one test, and what is awaited of them.

mod agent;
mod log;
mod phone;
mod talk;
mod tone;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use frontdesk_bridge::rules::Rules;
use frontdesk_bridge::{Bridge, BridgeConfig, BridgeEvent, CallReport, LiveKitServer as Server, Waits};
use frontdesk_livekit::Credentials;
use frontdesk_livekit::api::LiveKit;
use frontdesk_simulators::stack::{LiveKitOptions, LiveKitServer};
use frontdesk_telephony::sip::SipTimers;
use tempfile::TempDir;
use tokio::sync::broadcast;

pub(crate) use agent::{Agent, Workers, run_agent};
pub(crate) use log::Log;
pub(crate) use phone::{Line, Phone};
pub(crate) use talk::Talk;
pub(crate) use tone::{HEARD, clip, find_clip, is_tone};

/// Loopback.
pub(crate) const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The number that the desk answers.
pub(crate) const NUMBER: &str = "+15550100";
/// The caller's number, which must reach no log.
pub(crate) const CALLER: &str = "+15557770123";
/// The caller's name, which must reach no log.
pub(crate) const CALLER_NAME: &str = "Canary Crow";
/// Longest wait for anything in a test that succeeds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const RULES: &str = r#"
[[trunk]]
id = "ST_test"
numbers = ["+15550100"]
allowed_addresses = ["127.0.0.0/8"]

[[rule]]
id = "SDR_test"
trunks = ["ST_test"]
room_prefix = "call"
agent_name = "frontdesk"
metadata = "{\"tenant\":\"demo\"}"
attributes = { "frontdesk.tenant" = "demo" }
"#;

/// One trunk from loopback and one rule.
pub(crate) fn rules() -> Rules {
    toml::from_str(RULES).expect("the rules are valid")
}

/// The same trunk from elsewhere.
pub(crate) fn foreign_rules() -> Rules {
    toml::from_str(&RULES.replace("127.0.0.0/8", "192.0.2.0/24")).expect("the rules are valid")
}

/// A configuration on loopback with quick SIP timers.
pub(crate) fn config(livekit: Server) -> BridgeConfig {
    let waits = Waits { room_linger: Duration::from_secs(1), ..Waits::default() };
    BridgeConfig {
        waits,
        sip_timers: SipTimers { t1: Duration::from_millis(100), t2: Duration::from_millis(800), t4: Duration::from_secs(1) },
        ..BridgeConfig::new(SocketAddr::new(LOCAL, 0), rules(), livekit)
    }
}

/// See the module's documentation.
pub(crate) struct Desk {
    pub(crate) log: Log,
    pub(crate) server: LiveKitServer,
    pub(crate) api: Arc<LiveKit>,
    pub(crate) bridge: Bridge,
    events: broadcast::Receiver<BridgeEvent>,
    _folder: TempDir,
}

impl Desk {
    /// Starts all of it. `adjust` may change the bridge's settings.
    pub(crate) async fn start(adjust: impl FnOnce(&mut BridgeConfig)) -> Self {
        let log = Log::start();
        let folder = tempfile::tempdir().expect("a folder");
        let server =
            LiveKitServer::start(LiveKitOptions::new(folder.path().join("livekit.log"))).await.expect("LiveKit server is installed");
        let credentials = Credentials::new(server.api_key(), server.api_secret());
        let api = Arc::new(LiveKit::new(&server.url(), credentials.clone()).expect("an address"));
        let mut config = config(Server { url: server.url(), credentials });
        adjust(&mut config);
        let bridge = Bridge::start(config).await.expect("the bridge starts");
        let events = bridge.events();
        Self { log, server, api, bridge, events, _folder: folder }
    }

    /// Where calls go.
    pub(crate) fn address(&self) -> SocketAddr {
        self.bridge.local_addr()
    }

    /// The next event that `pick` takes.
    pub(crate) async fn event<T>(&mut self, what: &str, mut pick: impl FnMut(BridgeEvent) -> Option<T>) -> T {
        within(what, async {
            loop {
                let event = self.events.recv().await.unwrap_or_else(|error| panic!("{what}: {error}"));
                if let Some(found) = pick(event) {
                    return found;
                }
            }
        })
        .await
    }

    /// How the next call to end has ended.
    pub(crate) async fn report(&mut self) -> CallReport {
        let pick = |event| match event {
            BridgeEvent::Ended(report) => Some(report),
            _ => None,
        };
        self.event("the report", pick).await
    }

    /// Waits until nothing is left of any call: no task, no port, no room.
    pub(crate) async fn settled(&self) {
        eventually("nothing is left behind", async || {
            let stats = self.bridge.stats();
            stats.active_calls == 0 && stats.media_ports == 0 && stats.closing_rooms == 0
        })
        .await;
    }

    /// Waits for a tidy end, and looks for the caller in the log.
    pub(crate) async fn finish(self) {
        self.settled().await;
        eventually("no room is left", async || self.api.list_rooms(&[]).await.expect("the server answers").is_empty()).await;
        self.log.assert_private();
    }
}

/// Waits, but not without end.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Waits until `condition` holds; for states that no event announces.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
