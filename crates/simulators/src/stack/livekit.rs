//! A LiveKit server of one's own on free loopback ports.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use frontdesk_livekit::Credentials;
use frontdesk_livekit::api::LiveKit;

use super::find::{FindError, find_on_path, find_upward, free_port, free_udp_range};
use super::process::{Process, ProcessError, ProcessOptions};

const BINARY: &str = "var/bin/livekit-server";
/// The server is up in a third of a second; a machine under load gets more.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How long it may take to say goodbye to its participants.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a start is tried: another program may take a port between the look and the use.
const START_TRIES: usize = 3;

/// Settings of a server.
#[derive(Debug, Clone)]
pub struct LiveKitOptions {
    /// Where it logs; replaced at every start.
    pub log: PathBuf,
    /// `debug`, `info`, `warn` or `error`. Below `warn` it logs attributes, and with them callers' numbers.
    pub log_level: String,
    /// The API key.
    pub api_key: String,
    /// Its secret; the server wants 32 characters or more.
    pub api_secret: String,
    /// UDP ports for media: two for every participant.
    pub udp_ports: u16,
    /// Whether it is a TURN server over UDP as well.
    pub turn: bool,
    /// The Redis that it shares with the other nodes of its cluster; all have the same key and secret.
    pub redis: Option<SocketAddr>,
    /// Whether media may come over TCP (ICE over TCP).
    pub tcp: bool,
    /// Whether it is a TURN server over streams as well.
    pub turn_streams: TurnStreams,
}

/// How a LiveKit server is a TURN server over streams. It says that this is at port 443, wherever it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TurnStreams {
    /// It is none.
    #[default]
    None,
    /// In the clear, as behind something that ends TLS.
    Clear,
    /// With TLS.
    Tls {
        /// Its certificate, in PEM.
        certificate: PathBuf,
        /// The certificate's key, in PEM.
        key: PathBuf,
    },
}

impl LiveKitOptions {
    /// Settings for a dozen calls at once, with a random secret.
    pub fn new(log: impl Into<PathBuf>) -> Self {
        Self {
            log: log.into(),
            log_level: "warn".to_owned(),
            api_key: "devkey".to_owned(),
            api_secret: format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple()),
            udp_ports: 200,
            turn: false,
            redis: None,
            tcp: false,
            turn_streams: TurnStreams::None,
        }
    }
}

/// Why there is no LiveKit server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveKitError {
    /// The program is missing.
    #[error("no livekit-server on PATH, nor {BINARY} in the working directory or above; remedy: scripts/setup livekit")]
    Missing,
    /// No free ports.
    #[error("no ports for LiveKit server: {0}")]
    Ports(#[from] FindError),
    /// It did not come up.
    #[error(transparent)]
    Start(#[from] ProcessError),
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub struct LiveKitServer {
    options: LiveKitOptions,
    binary: PathBuf,
    ports: Ports,
    process: Process,
}

/// Where it listens.
#[derive(Debug, Clone, Copy)]
struct Ports {
    signal: u16,
    first_udp: u16,
    /// 0 for none.
    turn: u16,
    /// 0 for none.
    tcp: u16,
    /// 0 for none.
    turn_streams: u16,
}

impl Ports {
    fn find(options: &LiveKitOptions) -> Result<Self, FindError> {
        let port = |wanted: bool| if wanted { free_port() } else { Ok(0) };
        let first_udp = free_udp_range(options.udp_ports)?;
        let turn_streams = port(options.turn_streams != TurnStreams::None)?;
        Ok(Self { signal: free_port()?, first_udp, turn: port(options.turn)?, tcp: port(options.tcp)?, turn_streams })
    }
}

impl LiveKitServer {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// [`LiveKitError`].
    pub async fn start(options: LiveKitOptions) -> Result<Self, LiveKitError> {
        let binary = find_on_path("livekit-server").or_else(|| find_upward(BINARY)).ok_or(LiveKitError::Missing)?;
        let mut tries = 0;
        loop {
            tries += 1;
            let ports = Ports::find(&options)?;
            match run(&options, &binary, ports).await {
                Ok(process) => return Ok(Self { options, binary, ports, process }),
                Err(ProcessError::Ended { tail, .. }) if tries < START_TRIES && tail.contains("address already in use") => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Its address, `ws://127.0.0.1:…`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.ports.signal)
    }

    /// The port of its signalling and API.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.ports.signal
    }

    /// The port of its TURN server over streams; 0 if there is none.
    #[must_use]
    pub const fn turn_stream_port(&self) -> u16 {
        self.ports.turn_streams
    }

    /// The API key.
    #[must_use]
    pub fn api_key(&self) -> &str {
        &self.options.api_key
    }

    /// The API secret.
    #[must_use]
    pub fn api_secret(&self) -> &str {
        &self.options.api_secret
    }

    /// Takes another secret from the next start on.
    pub fn change_secret(&mut self, secret: &str) {
        secret.clone_into(&mut self.options.api_secret);
    }

    /// Where it logs.
    #[must_use]
    pub fn log_path(&self) -> &std::path::Path {
        self.process.log_path()
    }

    /// Kills it at once: the crash of a fault test.
    pub async fn kill(&mut self) {
        if let Err(error) = self.process.kill().await {
            tracing::warn!(%error, "LiveKit server");
        }
    }

    /// Starts it again on the same ports, killing it first if it runs.
    ///
    /// # Errors
    /// [`LiveKitError::Start`].
    pub async fn restart(&mut self) -> Result<(), LiveKitError> {
        self.kill().await;
        self.process = run(&self.options, &self.binary, self.ports).await?;
        Ok(())
    }

    /// Ends it, gracefully if it can be.
    pub async fn stop(mut self) {
        if let Err(error) = self.process.stop(STOP_TIMEOUT).await {
            tracing::warn!(%error, "LiveKit server");
        }
    }
}

/// Everything on loopback, and no STUN server that could be reached.
fn config(options: &LiveKitOptions, ports: Ports) -> String {
    let LiveKitOptions { log_level, api_key, api_secret, udp_ports, redis, .. } = options;
    let Ports { signal, first_udp, turn, tcp, turn_streams } = ports;
    let tls = match &options.turn_streams {
        TurnStreams::None => String::new(),
        TurnStreams::Clear => format!(", tls_port: {turn_streams}, external_tls: true"),
        TurnStreams::Tls { certificate, key } => {
            format!(", tls_port: {turn_streams}, cert_file: {}, key_file: {}", certificate.display(), key.display())
        }
    };
    let domain = if turn_streams == 0 { "localhost" } else { "turn.localhost" };
    let turn = match turn.max(turn_streams) {
        0 => String::new(),
        // Peers on loopback are refused otherwise; so is a domain of one word where streams are served.
        _ => format!("turn: {{enabled: true, domain: {domain}, udp_port: {turn}{tls}, allow_restricted_peer_cidrs: [127.0.0.0/8]}}\n"),
    };
    let redis = redis.map_or_else(String::new, |address| format!("redis: {{address: \"{address}\"}}\n"));
    format!(
        "port: {signal}\nbind_addresses: [127.0.0.1]\nlogging: {{level: {log_level}}}\nkeys: {{{api_key}: {api_secret}}}\n\
         rtc:\n  node_ip: 127.0.0.1\n  enable_loopback_candidate: true\n  interfaces: {{includes: [lo]}}\n  tcp_port: {tcp}\n  \
         port_range_start: {first_udp}\n  port_range_end: {}\n  stun_servers: [\"127.0.0.1:3478\"]\n{turn}{redis}",
        first_udp + udp_ports - 1
    )
}

async fn run(options: &LiveKitOptions, binary: &std::path::Path, ports: Ports) -> Result<Process, ProcessError> {
    // In the environment rather than the arguments, where every user of the machine could read the secret.
    let process = ProcessOptions::new("livekit-server", binary, &options.log).variable("LIVEKIT_CONFIG", config(options, ports));
    let mut process = Process::spawn(&process)?;
    process.ready("an answer to our key", START_TIMEOUT, async |_| answers(options, ports.signal).await).await?;
    Ok(process)
}

/// Whether a server that takes our key answers: another one may have taken the port first.
async fn answers(options: &LiveKitOptions, port: u16) -> bool {
    let credentials = Credentials::new(&options.api_key, &options.api_secret);
    match LiveKit::new(&format!("ws://127.0.0.1:{port}"), credentials) {
        Ok(api) => api.check().await.is_ok(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_starts_takes_our_key_restarts_and_stops() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = LiveKitServer::start(LiveKitOptions::new(folder.path().join("livekit.log"))).await.expect("it is installed");
        let api = LiveKit::new(&server.url(), Credentials::new(server.api_key(), server.api_secret())).expect("an address");
        api.check().await.expect("the key is accepted");
        server.kill().await;
        assert!(api.check().await.is_err());
        server.restart().await.expect("starts again");
        api.check().await.expect("under the same address");
        server.stop().await;
        assert!(api.check().await.is_err());
    }
}
