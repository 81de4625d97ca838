//! Starts a LiveKit server of its own on free loopback ports.

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

pub const KEY: &str = "testkey";
pub const SECRET: &str = "a-secret-for-tests-of-thirty-two-or-more-characters";
/// UDP ports of one server: two a participant.
const UDP_PORTS: u16 = 200;

pub struct Server {
    port: u16,
    config: String,
    child: Option<Child>,
}

impl Server {
    pub async fn start() -> Self {
        let port = free_port();
        let first = free_udp_range();
        let config = format!(
            "port: {port}\nbind_addresses: [127.0.0.1]\nlogging: {{level: error}}\nkeys: {{{KEY}: {SECRET}}}\n\
             rtc:\n  node_ip: 127.0.0.1\n  enable_loopback_candidate: true\n  interfaces: {{includes: [lo]}}\n  tcp_port: 0\n  \
             port_range_start: {first}\n  port_range_end: {}\n  stun_servers: [\"127.0.0.1:3478\"]\n",
            first + UDP_PORTS - 1
        );
        let mut server = Self { port, config, child: None };
        server.restart().await;
        server
    }

    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills the server at once.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.expect("the server can be killed");
        }
    }

    /// Takes another secret from the next start on.
    pub fn change_secret(&mut self, secret: &str) {
        let (before, rest) = self.config.split_once("keys: {").expect("keys");
        let (_, after) = rest.split_once('}').expect("keys end");
        self.config = format!("{before}keys: {{{KEY}: {secret}}}{after}");
    }

    /// Starts (again) under the same ports.
    pub async fn restart(&mut self) {
        self.kill().await;
        let verbose = std::env::var_os("LIVEKIT_TEST_LOG").is_some();
        let child = Command::new(binary())
            .args(["--config-body", &self.config])
            .stdin(Stdio::null())
            .stdout(if verbose { Stdio::inherit() } else { Stdio::null() })
            .stderr(if verbose { Stdio::inherit() } else { Stdio::null() })
            .kill_on_drop(true)
            .spawn()
            .expect("livekit-server can be started");
        self.child = Some(child);
        super::within("the LiveKit server to start", async {
            while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                let status = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
                assert!(status.is_none(), "livekit-server ended at once: {status:?}; set LIVEKIT_TEST_LOG=1 to see why");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

/// `var/bin/livekit-server` of this checkout, else the one on PATH.
fn binary() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate lies two folders below the root");
    let own = root.join("var/bin/livekit-server");
    if own.is_file() {
        return own;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join("livekit-server"))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("no livekit-server in {} or on PATH: run scripts/setup livekit", own.display()))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

/// A range that nobody uses now: below the ephemeral ports, apart for every process by chance.
fn free_udp_range() -> u16 {
    for _ in 0..100 {
        let first = rand::random_range(10_000..30_000 / UDP_PORTS * UDP_PORTS - UDP_PORTS);
        let free = (first..first + UDP_PORTS).step_by(7).all(|port| UdpSocket::bind(("127.0.0.1", port)).is_ok());
        if free {
            return first;
        }
    }
    panic!("no free range of {UDP_PORTS} UDP ports");
}
